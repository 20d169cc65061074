//! `[cors]`: which pages of other origins may call the function.

use faas_types::{CorsOrigin, CorsSettings, HttpMethod, Span};

use super::http;
use super::node::{Node, Value};
use super::reader::{Reader, Table, shorten};

/// Keys of `[cors]`.
pub(super) const CORS_KEYS: &[&str] = &["origins", "methods", "headers", "expose_headers", "credentials", "max_age"];
/// In place of names: every header.
const EVERY: &str = "*";
/// Entries of one list.
const ENTRIES_MAX: usize = 64;
/// What browsers keep to, whatever they are told.
const MAX_AGE_MAX: Span = Span::from_secs(24 * 3_600);

pub(super) fn cors(reader: &mut Reader, node: &Node) -> Option<CorsSettings> {
    let table = reader.table("cors", node)?;
    reader.refuse_unknown(&table, CORS_KEYS);
    let settings = CorsSettings {
        origins: origins(reader, &table),
        methods: methods(reader, &table).unwrap_or_default(),
        headers: headers(reader, &table, "headers").unwrap_or_default(),
        expose_headers: headers(reader, &table, "expose_headers").unwrap_or_default(),
        credentials: reader.switch(&table, "credentials").unwrap_or_default(),
        max_age: max_age(reader, &table).unwrap_or(CorsSettings::MAX_AGE),
    };
    if settings.credentials && settings.origins.contains(&CorsOrigin::Any) {
        let message = "`cors.credentials` needs origins by name: with \"*\" every page could act as its visitor";
        reader.problem("cors.credentials", table.get("credentials").and_then(|node| node.at), message);
    }
    if settings.credentials && settings.expose_headers.iter().any(|name| name == EVERY) {
        let message =
            "`cors.expose_headers` names each header where `credentials` is set: browsers take \"*\" for a name then";
        reader.problem("cors.expose_headers", table.get("expose_headers").and_then(|node| node.at), message);
    }
    Some(settings)
}

fn origins(reader: &mut Reader, table: &Table<'_>) -> Vec<CorsOrigin> {
    let field = "cors.origins";
    let missing =
        "`cors.origins` is needed: the pages that may call, such as [\"https://app.example\"], or [\"*\"] for all";
    let Some(node) = table.get("origins") else {
        reader.missing(field, table.at(), missing);
        return Vec::new();
    };
    let Some(items) = entries(reader, field, node) else { return Vec::new() };
    if items.is_empty() {
        reader.missing(field, node.at, missing);
    }
    let mut origins = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = reader.text(field, item) else { continue };
        origins.extend(reader.keep(field, item, text.parse::<CorsOrigin>()));
    }
    origins
}

fn methods(reader: &mut Reader, table: &Table<'_>) -> Option<Vec<HttpMethod>> {
    let node = table.get("methods")?;
    entries(reader, "cors.methods", node)?;
    http::methods_of(reader, "cors.methods", node)
}

fn headers(reader: &mut Reader, table: &Table<'_>, key: &str) -> Option<Vec<String>> {
    let (field, node) = (&*format!("cors.{key}"), table.get(key)?);
    let is_exposed = key == "expose_headers";
    let mut headers = Vec::new();
    for item in entries(reader, field, node)? {
        let Some(text) = reader.text(field, item) else { continue };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_name) || text == EVERY && !is_exposed {
            let all = if is_exposed { "write \"*\"" } else { "leave `headers` out" };
            let message = format!("`{}` is not the name of a header; {all} to allow all", shorten(text));
            reader.problem(field, item.at, message);
        } else {
            headers.push(text.to_ascii_lowercase());
        }
    }
    Some(headers)
}

fn entries<'n>(reader: &mut Reader, field: &str, node: &'n Node) -> Option<&'n [Node]> {
    let items = reader.list(field, node)?;
    if items.len() > ENTRIES_MAX {
        reader.problem(field, node.at, format!("`{field}` has more than {ENTRIES_MAX} entries"));
        return None;
    }
    Some(items)
}

fn max_age(reader: &mut Reader, table: &Table<'_>) -> Option<Span> {
    let (field, node) = ("cors.max_age", table.get("max_age")?);
    let span = match &node.value {
        Value::Int(seconds) => u64::try_from(*seconds).ok().and_then(|s| s.checked_mul(1_000)).map(Span::from_millis),
        Value::Float(_) => None,
        _ => {
            let text = reader.text(field, node)?;
            Some(reader.keep(field, node, text.parse::<Span>())?)
        }
    };
    let span = span.filter(|span| *span <= MAX_AGE_MAX && span.get().subsec_nanos() == 0);
    if span.is_none() {
        reader.problem(field, node.at, "`cors.max_age` must be whole seconds up to 24h, such as \"10m\"");
    }
    span
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;

    fn read(text: &str) -> Result<Manifest, String> {
        Manifest::from_toml("faas.toml", &format!("name = \"a\"\n{text}")).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_table_comes_back_from_json() {
        let manifest = read(
            "[cors]\norigins = [\"https://a.example\"]\nmethods = [\"POST\"]\nheaders = [\"X-A\"]\nexpose_headers = [\"X-Total\"]\ncredentials = true\n\
             max_age = \"1h\"",
        )
        .expect("good");
        let cors = manifest.settings.cors.clone().expect("a table");
        assert_eq!(
            (cors.headers, cors.expose_headers, cors.credentials, cors.max_age.get().as_secs()),
            (vec!["x-a".to_owned()], vec!["x-total".to_owned()], true, 3_600)
        );
        let again = Manifest::from_json(manifest.to_json()).map_err(|errors| errors.to_string());
        assert_eq!(again.map(|again| again.settings), Ok(manifest.settings));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("[cors]", "`cors.origins` is needed"),
            ("[cors]\norigins = []", "`cors.origins` is needed"),
            ("[cors]\norigins = [\"a.example\"]", "is not an origin"),
            ("[cors]\norigins = [\"*\"]\ncredentials = true", "needs origins by name"),
            ("[cors]\norigins = [\"*\"]\nmethods = [\"post\"]", "write it as \"POST\""),
            ("[cors]\norigins = [\"*\"]\nheaders = [\"a b\"]", "not the name of a header"),
            ("[cors]\norigins = [\"*\"]\nheaders = [\"*\"]", "leave `headers` out"),
            ("[cors]\norigins = [\"*\"]\nexpose_headers = [\"a,b\"]", "write \"*\" to allow all"),
            (
                "[cors]\norigins = [\"https://a.example\"]\nexpose_headers = [\"*\"]\ncredentials = true",
                "names each header",
            ),
            ("[cors]\norigins = [\"*\"]\nmax_age = \"25h\"", "up to 24h"),
            ("[cors]\norigins = [\"*\"]\ncredentials = 1", "true or false"),
            ("[cors]\norigin = \"*\"", "did you mean `cors.origins`"),
        ] {
            let message = read(text).expect_err(text);
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
