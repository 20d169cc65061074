//! The OpenAPI 3.1 document, generated from the route table.
//!
//! What the derive macros write is right, but generators of clients make little of it: anonymous variants become
//! `Step1` to `Step5`, and each of 700 problem responses a type of its own. The modules below rework the document.

mod binary;
mod examples;
mod headers;
mod responses;
mod times;
mod variants;
mod webhooks;

use faas_web::TablePurpose;
use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::routes::table;
use crate::state::ApiState;

/// The groups of operations, in the order of a reader's first day.
const TAGS: &[(&str, &str)] = &[
    ("functions", "Functions and what they do as a whole"),
    ("deployments", "Uploads, deployments, versions and rollbacks"),
    ("aliases", "Names of versions, splits and rollouts"),
    ("invoke", "Calls by way of the API"),
    ("runs", "Runs and replays"),
    ("dead-letters", "Runs that have failed for good"),
    ("logs", "Lines that functions have written"),
    ("triggers", "Schedules, webhooks, events and topics' subscriptions"),
    ("events", "CloudEvents"),
    ("topics", "Messages"),
    ("vars", "Plain settings of functions and stages"),
    ("secrets", "Sealed settings of stages"),
    ("layers", "Shared files and installed packages"),
    ("network", "What functions may connect to"),
    ("callbacks", "Secrets that callbacks are signed with"),
    ("keys", "API keys"),
    ("retention", "How long history is kept"),
    ("server", "The server itself"),
];

/// The document as pretty JSON, the same for every server of a release and its configuration.
#[must_use]
pub fn document(state: &ApiState) -> String {
    let (_, routes) = table(state, TablePurpose::Describe).split_for_parts();
    let mut base = base();
    base.merge(routes);
    serde_json::to_value(&base).map(reworked).and_then(|document| serde_json::to_string_pretty(&document)).map_or_else(
        |error| {
            tracing::error!(%error, "the OpenAPI document cannot be written");
            String::new()
        },
        |json| json + "\n",
    )
}

fn reworked(mut document: Value) -> Value {
    variants::name(&mut document);
    times::mark(&mut document);
    binary::mark(&mut document);
    headers::declare(&mut document);
    examples::add(&mut document);
    responses::describe(&mut document);
    responses::share(&mut document);
    webhooks::describe(&mut document);
    document
}

/// The operations of a document.
fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    paths
        .filter_map(|(_, item)| item.as_object_mut())
        .flatten()
        .filter(|(method, _)| METHODS.contains(&method.as_str()))
        .map(|(_, operation)| operation)
}

/// The component schemas of a document, by name.
fn schemas(document: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    document.pointer_mut("/components/schemas").and_then(Value::as_object_mut)
}

fn base() -> OpenApi {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("an API key")).build();
    let api_key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "an API key"));
    let mut schemas = vec![(faas_proto::rest::Problem::name().into_owned(), faas_proto::rest::Problem::schema())];
    faas_proto::rest::Problem::schemas(&mut schemas);
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .schema(crate::invoke::CallMode::name(), crate::invoke::CallMode::schema())
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("api_key", SecurityScheme::ApiKey(api_key))
        .build();
    let info = InfoBuilder::new()
        .title("Function Cloud")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Functions, their deployments and their runs. Thirteen of them also answer without the prefix \
             `/api/v1`: `GET` and `POST /functions`; `GET`, `PUT` and `DELETE /functions/{function}`; `POST` of its `deploy`, \
             `rollback`, `invoke` and `env`; `GET` of its `logs`, `metrics` and `env`; `DELETE` of `env/{var}`. Functions themselves are called at `/fn/{function}/…`.",
        ))
        .contact(Some(ContactBuilder::new().name(Some("Function Cloud")).build()))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let tags = TAGS.iter().map(|(name, text)| TagBuilder::new().name(*name).description(Some(*text)).build());
    let server = ServerBuilder::new().url("/").description(Some("this server")).build();
    OpenApiBuilder::new().info(info).servers(Some([server])).tags(Some(tags)).components(Some(components)).build()
}
