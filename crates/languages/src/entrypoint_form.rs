//! What entrypoints of a language look like.

use faas_types::Entrypoint;
use serde::Deserialize;

/// What an entrypoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum EntrypointForm {
    /// A file without its ending (`api/main`, or `api.main` as a dotted module), a colon, and a name in it.
    #[serde(rename = "file:name")]
    Symbol,
    /// A file of the bundle, as it is called there.
    #[serde(rename = "file")]
    File,
}

/// An entrypoint, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrypointParts<'e> {
    /// The file; never outside the bundle.
    pub file: &'e str,
    /// The name in it, where the form has one.
    pub symbol: Option<&'e str>,
}

/// Why a text is not an entrypoint of a language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid entrypoint: write it as {example}")]
pub struct InvalidEntrypoint {
    text: Entrypoint,
    example: &'static str,
}

// === impl EntrypointForm ===

impl EntrypointForm {
    /// How it is written, for people.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Symbol => "file:name, such as main:handler",
            Self::File => "the path of a file, such as bin/main",
        }
    }

    /// A regular expression for editors; the check is stricter.
    #[must_use]
    pub const fn pattern(self) -> &'static str {
        match self {
            Self::Symbol => "[^:]+:[^:]+",
            Self::File => "[^:]+",
        }
    }

    /// Takes an entrypoint apart.
    ///
    /// # Errors
    /// For one of another form.
    pub fn parts(self, entrypoint: &Entrypoint) -> Result<EntrypointParts<'_>, InvalidEntrypoint> {
        let text = entrypoint.as_str();
        let parts = match self {
            Self::Symbol => text.rsplit_once(':').map(|(file, symbol)| EntrypointParts { file, symbol: Some(symbol) }),
            Self::File => Some(EntrypointParts { file: text, symbol: None }),
        };
        let is_good = |parts: &EntrypointParts<'_>| {
            is_path(parts.file) && parts.symbol.is_none_or(|symbol| symbol.split('.').all(is_identifier))
        };
        parts.filter(is_good).ok_or_else(|| InvalidEntrypoint { text: entrypoint.clone(), example: self.example() })
    }

    /// The entrypoint that a file is, whose name without its ending is `stem`, where something in it is called `symbol`.
    #[must_use]
    pub fn of_file(self, file: &str, stem: &str, symbol: &str) -> String {
        match self {
            Self::Symbol => format!("{stem}:{symbol}"),
            Self::File => file.to_owned(),
        }
    }
}

fn is_path(text: &str) -> bool {
    text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(form: EntrypointForm, text: &str) -> Result<(String, Option<String>), InvalidEntrypoint> {
        let entrypoint = text.parse().expect("a text");
        let parts = form.parts(&entrypoint)?;
        Ok((parts.file.to_owned(), parts.symbol.map(str::to_owned)))
    }

    #[test]
    fn a_file_and_a_name_stay_inside_the_bundle() {
        let good = parts(EntrypointForm::Symbol, "api/main:app.handler");
        assert_eq!(good, Ok(("api/main".to_owned(), Some("app.handler".to_owned()))));
        for bad in ["main", "main:", ":x", "../main:x", "/etc/x:y", "a//b:c", "main:1x", "a:b:c"] {
            let told = parts(EntrypointForm::Symbol, bad).expect_err(bad).to_string();
            assert!(told.ends_with("is not a valid entrypoint: write it as file:name, such as main:handler"), "{told}");
        }
    }

    #[test]
    fn a_file_alone_is_an_entrypoint_where_the_language_says_so() {
        assert_eq!(parts(EntrypointForm::File, "bin/main.wasm"), Ok(("bin/main.wasm".to_owned(), None)));
        for bad in ["main:handler", "/bin/main", "a/../b", "a b"] {
            assert!(parts(EntrypointForm::File, bad).is_err(), "{bad}");
        }
        assert_eq!(EntrypointForm::File.of_file("main.wasm", "main", "handler"), "main.wasm");
        assert_eq!(EntrypointForm::Symbol.of_file("main.py", "main", "handler"), "main:handler");
    }
}
