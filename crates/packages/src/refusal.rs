//! The error for files that ask for what cannot be installed.

use faas_types::{Code, Fault};

/// Characters of a file's text that an error shows.
const SHOWN_MAX: usize = 80;

/// The beginning of a text, escaped.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

/// A file that asks for what cannot be installed.
pub(crate) fn refused(place: &str, why: &str) -> Fault {
    Fault::new(Code::InvalidConfiguration, format!("{place} {why}"))
        .with_hint("fix it, or set dependencies = \"none\" in [build] of the manifest to install nothing")
}

/// The error for a planning that ended without an answer.
#[must_use]
pub fn unplanned() -> Fault {
    refused("the files that ask for packages", "cannot be read")
}
