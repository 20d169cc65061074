//! Variables of the environment that look like settings of the server and are none.

use std::cell::RefCell;

use super::layers;
use crate::manifest::closest;

const PREFIX: &str = "FAAS_";
/// What others read: the command line, and tests.
const OTHERS: [&str; 5] = ["FAAS_API_KEY", "FAAS_BIN", "FAAS_CONFIG", "FAAS_ENDPOINT", "FAAS_LONG"];
/// What others make: `faas deps`, tests, and Kubernetes for a service of the server's name.
const OTHER_PREFIXES: [&str; 4] = ["FAAS_LLM_", "FAAS_TEST_", "FAAS_SERVICE_", "FAAS_PORT"];

/// A variable that nothing reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its name.
    pub name: String,
    /// The setting that was probably meant.
    pub meant: Option<&'static str>,
}

/// Those of these names that begin with `FAAS_` and that nothing reads.
pub fn strangers(names: impl IntoIterator<Item = String>) -> Vec<Stranger> {
    let known = known();
    let is_known = |name: &str| {
        known.contains(&name) || OTHERS.contains(&name) || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let unknown = names.into_iter().filter(|name| name.starts_with(PREFIX) && !is_known(name));
    unknown.map(|name| Stranger { meant: meant(&name, &known), name }).collect()
}

/// The names of all settings, as the reading of an empty environment asks for them.
fn known() -> Vec<&'static str> {
    let asked = RefCell::new(Vec::new());
    let read = layers::from_env(&|name: &'static str| {
        asked.borrow_mut().push(name);
        None
    });
    debug_assert!(read.is_ok(), "an empty environment has no bad value");
    asked.into_inner()
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
        let found = strangers(names.map(str::to_owned));
        let found: Vec<_> = found.iter().map(|stranger| (stranger.name.as_str(), stranger.meant)).collect();
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
