//! Environment variables that look like settings of the server, but that nothing reads.

use super::settings::settings;
use crate::manifest::closest;

const PREFIX: &str = "FAAS_";
/// What others read: the command line, and tests.
const OTHERS: [&str; 5] = ["FAAS_API_KEY", "FAAS_BIN", "FAAS_CONFIG", "FAAS_ENDPOINT", "FAAS_LONG"];
/// What others make: `faas deps`, tests, and Kubernetes for a service of the server's name.
const OTHER_PREFIXES: [&str; 4] = ["FAAS_LLM_", "FAAS_TEST_", "FAAS_SERVICE_", "FAAS_PORT"];

/// A variable that nothing reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The setting that was probably meant.
    pub meant: Option<&'static str>,
}

/// Those of these names that begin with `FAAS_` and that nothing reads.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<UnknownVariable> {
    let known = known();
    let is_known = |name: &str| {
        known.contains(&name) || OTHERS.contains(&name) || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let unknown = names.into_iter().filter(|name| name.starts_with(PREFIX) && !is_known(name));
    unknown.map(|name| UnknownVariable { meant: meant(&name, &known), name }).collect()
}

/// The variables of all settings.
fn known() -> Vec<&'static str> {
    settings().iter().filter_map(|setting| setting.env.as_deref()).collect()
}

/// All names begin alike, which says nothing.
fn meant(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let own = &name[PREFIX.len()..];
    let tail = closest(own, known.iter().map(|name| &name[PREFIX.len()..]))?;
    known.iter().find(|name| &name[PREFIX.len()..] == tail).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_reads_is_found_with_what_was_meant() {
        let names =
            ["FAAS_DATA_DIR", "FAAS_DATA", "FAAS_LISTN", "FAAS_XYZZY", "FAAS_PORT_8080_TCP", "PATH", "FAAS_LOG"];
        let found = unknown_variables(names.map(str::to_owned));
        let found: Vec<_> = found.iter().map(|unknown| (unknown.name.as_str(), unknown.meant)).collect();
        let wanted = [("FAAS_DATA_DIR", Some("FAAS_DATA")), ("FAAS_LISTN", Some("FAAS_LISTEN")), ("FAAS_XYZZY", None)];
        assert_eq!(found, wanted);
    }

    #[test]
    fn every_setting_is_asked_for() {
        let known = known();
        assert!(known.len() > 40, "{known:?}");
        assert!(known.iter().all(|name| name.starts_with(PREFIX)), "{known:?}");
    }
}
