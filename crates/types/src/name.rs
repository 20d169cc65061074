//! Names that people choose, checked once where they enter.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::text_form::text_form;

const LABEL_RULE: &str = "use 1 to 63 of a-z, 0-9 and -, starting with a letter";

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {rule}{}", self.meant())]
pub struct InvalidName {
    what: &'static str,
    rule: &'static str,
    text: String,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { what: $what, rule: $rule, text: text.chars().take(80).collect() })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        text_form!($name);
    )*};
}

names! {
    /// A function's name, unique in its project: 1 to 63 of `a-z 0-9 -`, starting with a letter and not
    /// ending in a dash, so that it can be a host name label.
    FunctionName, "function name", LABEL_RULE, is_label;
    /// An alias of a function; same form as a function's name, so that it never looks like a version number.
    AliasName, "alias name", LABEL_RULE, is_label;
    /// A trigger's name, unique within its function; same form as a function's name.
    TriggerName, "trigger name", LABEL_RULE, is_label;
    /// A topic's name, unique in its project; same form as a function's name.
    TopicName, "topic name", LABEL_RULE, is_label;
    /// A layer's name, unique in its project; same form as a function's name.
    LayerName, "layer name", LABEL_RULE, is_label;
    /// A private network of the operator that functions may ask for; same form as a function's name.
    NetworkName, "network name", LABEL_RULE, is_label;
    /// A secret's name, unique in its project and stage: what references and environment variables are made of.
    SecretName, "secret name", "use letters, digits and _, not starting with a digit, at most 100", is_secret;
    /// A runtime as a manifest names it: a language, with or without a version (`python`, `python3.12`).
    RuntimeName, "runtime name", "use a language with or without a version, such as python or python3.12", is_runtime;
    /// Where a function's code starts. What it looks like is the language's choice (`main:handler`).
    Entrypoint, "entrypoint", "use 1 to 200 visible characters", is_entrypoint;
}

// === impl InvalidName ===

impl InvalidName {
    /// A label that is close to the text, such as a branch's name, where a label is wanted.
    fn meant(&self) -> String {
        let label = if self.rule == LABEL_RULE { label_of(&self.text) } else { None };
        label.map(|label| format!("; such as {label}")).unwrap_or_default()
    }
}

// === impl AliasName ===

impl AliasName {
    /// The name of [`live`](Self::live).
    pub const LIVE: &str = "live";

    /// The alias that a function's plain URL follows.
    #[must_use]
    pub fn live() -> Self {
        Self(Self::LIVE.into())
    }
}

// === impl RuntimeName ===

impl RuntimeName {
    /// The language: the letters before the version.
    #[must_use]
    pub fn language(&self) -> &str {
        let end = self.0.find(|c: char| c.is_ascii_digit()).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// The version, such as `3.12`; `None` takes the newest.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let version = &self.0[self.language().len()..];
        (!version.is_empty()).then_some(version)
    }
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A text in small letters, with dashes for what labels do not have.
fn label_of(text: &str) -> Option<String> {
    let plain = text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let joined = words.join("-");
    let start = joined.find(|c: char| c.is_ascii_lowercase())?;
    let label = joined[start..].chars().take(63).collect::<String>();
    let label = label.trim_end_matches('-');
    is_label(label).then(|| label.to_owned())
}

fn is_runtime(text: &str) -> bool {
    let digits = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (language, version) = text.split_at(digits);
    text.len() <= 32
        && !language.is_empty()
        && language.bytes().all(|b| b.is_ascii_lowercase())
        && (version.is_empty()
            || version.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())))
}

fn is_entrypoint(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
}

fn is_secret(text: &str) -> bool {
    text.len() <= 100 && is_identifier(text)
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_names_are_host_labels() {
        for good in ["a", "hello", "a-b-1"] {
            assert!(good.parse::<FunctionName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "1a", "A", "a_b", "a.b", "é", "../x", &"a".repeat(64)] {
            assert!(bad.parse::<FunctionName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_is_near_is_told() {
        for (text, near) in [
            ("Feature/Fix Login", Some("feature-fix-login")),
            ("_hello_", Some("hello")),
            ("2024_Report", Some("report")),
            ("é", None),
            ("", None),
            ("../..", None),
        ] {
            let error = text.parse::<AliasName>().expect_err(text).to_string();
            assert_eq!(error.split_once("; such as ").map(|(_, near)| near), near, "{text}");
        }
        let long = "a-".repeat(60).parse::<FunctionName>().expect_err("too long").to_string();
        assert!(long.ends_with("a-a-a"), "{long}");
    }

    #[test]
    fn runtime_names_split() {
        let name: RuntimeName = "python3.12".parse().expect("valid");
        assert_eq!((name.language(), name.version()), ("python", Some("3.12")));
        assert!("python3.".parse::<RuntimeName>().is_err());
        assert!("3.12".parse::<RuntimeName>().is_err());
    }

    #[test]
    fn entrypoints_are_short_and_visible() {
        for good in ["api/main:app.handler", "bin/main", "main.wasm"] {
            assert!(good.parse::<Entrypoint>().is_ok(), "{good}");
        }
        for bad in ["", " main:x", "main:x\n", "a\u{7}b:c", &"a".repeat(201)] {
            assert!(bad.parse::<Entrypoint>().is_err(), "{bad:?}");
        }
    }
}
