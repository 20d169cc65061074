//! The OpenAPI 3.1 document, generated from the route table.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema, ToSchema};

use crate::routes::table;
use crate::state::ApiState;

/// The document as pretty JSON, the same for every server of a release and its configuration.
#[must_use]
pub fn document(state: &ApiState) -> String {
    let (_, routes) = table(state).split_for_parts();
    let mut base = base();
    base.merge(routes);
    base.to_pretty_json().map_or_else(|_| String::new(), |json| json + "\n")
}

fn base() -> OpenApi {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("an API key")).build();
    let api_key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "an API key"));
    let mut schemas = vec![(faas_proto::rest::Problem::name().into_owned(), faas_proto::rest::Problem::schema())];
    faas_proto::rest::Problem::schemas(&mut schemas);
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("api_key", SecurityScheme::ApiKey(api_key))
        .build();
    let info = InfoBuilder::new()
        .title("Function Cloud")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Functions, their deployments and their runs. The routes below `/api/v1/functions` also answer without \
             the prefix `/api/v1`. Functions themselves are called at `/fn/{function}/…`.",
        ))
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}
