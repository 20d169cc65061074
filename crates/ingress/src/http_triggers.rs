//! Which requests the HTTP triggers of a version take.

use faas_engine::Route;
use faas_types::{Code, Fault, HttpMethod, Reason, TriggerSettings};

/// Checks that an HTTP trigger takes this method and path.
///
/// # Errors
/// `FN_013` when no trigger takes the path, `FN_020` when none takes the method on it.
pub(crate) fn check(route: &Route, method: &str, path: &str) -> Result<(), Fault> {
    let takes = |methods: &[HttpMethod]| methods.is_empty() || methods.iter().any(|m| m.as_str() == method);
    let triggers = &route.version.settings.triggers;
    if on_path(triggers, path).any(takes) {
        return Ok(());
    }
    let name = &route.entry.record.name;
    if on_path(triggers, path).next().is_none() {
        return Err(Fault::new(Reason::PathNotServed, format!("`{name}` has no http trigger for this path"))
            .with_hint("triggers are listed in the manifest under [[triggers]]"));
    }
    Err(Fault::new(Code::MethodNotAllowed, format!("`{name}` does not take {method} here"))
        .with_hint(format!("it takes {}", allowed(triggers, path))))
}

/// The methods that HTTP triggers name for a path, as the header `Allow` lists them.
pub(crate) fn allowed(triggers: &[TriggerSettings], path: &str) -> String {
    let mut methods: Vec<_> = on_path(triggers, path).flatten().map(|method| method.as_str()).collect();
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

/// The methods of each HTTP trigger that takes the path. An empty list stands for all methods.
fn on_path<'a>(triggers: &'a [TriggerSettings], path: &'a str) -> impl Iterator<Item = &'a [HttpMethod]> {
    triggers.iter().filter_map(move |trigger| match trigger {
        TriggerSettings::Http { path: prefix, methods } => is_below(path, prefix).then_some(methods.as_slice()),
        _ => None,
    })
}

fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(path: &str, methods: &[HttpMethod]) -> TriggerSettings {
        TriggerSettings::Http { path: path.to_owned(), methods: methods.to_vec() }
    }

    #[test]
    fn methods_are_those_of_every_trigger_on_the_path() {
        let triggers = [
            trigger("/a", &[HttpMethod::Post, HttpMethod::Get]),
            trigger("/a/b/", &[HttpMethod::Get]),
            trigger("/c", &[]),
        ];
        assert_eq!(allowed(&triggers, "/a/b/c"), "GET, POST");
        assert_eq!(allowed(&triggers, "/a"), "GET, POST");
        assert_eq!(on_path(&triggers, "/ab").count(), 0, "a path is no prefix of a name");
        assert_eq!(on_path(&triggers, "/c/d").next(), Some(&[][..]), "all methods");
        assert_eq!(on_path(&[trigger("/", &[])], "/any").count(), 1);
    }
}
