//! Bounded reading of untrusted YAML.

use serde::de::DeserializeOwned;

use super::graph::Wrong;

/// Levels of nesting; locks have five.
const DEPTH_MAX: usize = 16;
/// Scalars, lists and tables.
const NODES_MAX: usize = 400_000;

/// Reads a text into a type. Aliases are refused: no lock has them, and they let a small text expand without end.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_aliases: 0, max_nodes: NODES_MAX },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or_else(String::new, |place| format!("line {}", place.line()));
        let message = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Wrong::at(line, format!("is not what such a lock says: {message}"))
    })
}
