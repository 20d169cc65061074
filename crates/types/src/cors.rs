//! Which pages of other origins may call a function from a browser.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{HttpMethod, Span};

/// Which pages of other origins may call a function, as the Fetch standard has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsSettings {
    /// The pages' origins; never empty.
    pub origins: Vec<CorsOrigin>,
    /// Methods that they may use; empty allows all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<HttpMethod>,
    /// Request headers that they may send, in lower case; empty allows those that they ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Headers of answers that scripts may read besides those of every answer, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Whether browsers send cookies along.
    #[serde(default)]
    pub credentials: bool,
    /// How long browsers remember the answer.
    pub max_age: Span,
}

/// The origin of pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CorsOrigin {
    /// Every page.
    Any,
    /// Pages of this scheme, host and port, as browsers write them: `https://app.example`.
    Exactly(String),
}

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin: write a scheme and a host such as https://app.example, or *")]
pub struct InvalidOriginOfPages(String);

// === impl CorsSettings ===

impl CorsSettings {
    /// How long browsers remember the answer when the manifest is silent.
    pub const MAX_AGE: Span = Span::from_secs(600);

    /// What `Access-Control-Allow-Origin` says to a page of `origin`; nothing where it may not call.
    #[must_use]
    pub fn allowed<'o>(&self, origin: &'o str) -> Option<&'o str> {
        let is_named = |own: &CorsOrigin| matches!(own, CorsOrigin::Exactly(own) if own == origin);
        if self.origins.iter().any(is_named) {
            return Some(origin);
        }
        self.origins.contains(&CorsOrigin::Any).then_some("*")
    }

    /// Whether pages may use a method.
    #[must_use]
    pub fn allows_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|own| own.as_str() == method)
    }

    /// Whether pages may send a header of this name, in lower case.
    #[must_use]
    pub fn allows_header(&self, name: &str) -> bool {
        self.headers.is_empty() || self.headers.iter().any(|own| own == name)
    }
}

// === impl CorsOrigin ===

impl FromStr for CorsOrigin {
    type Err = InvalidOriginOfPages;

    fn from_str(text: &str) -> Result<Self, InvalidOriginOfPages> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let invalid = || InvalidOriginOfPages(text.chars().take(100).collect());
        let (scheme, host) = text.split_once("://").ok_or_else(invalid)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
        // Browsers write hosts in lower case, without a path and without the scheme's own port.
        let port = host.rsplit_once(':').map(|(_, port)| port);
        let is_usual = matches!((scheme, port), ("https", Some("443")) | ("http", Some("80")));
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]_".contains(&byte);
        let is_host = !host.is_empty() && !is_usual && host.bytes().all(is_part);
        if is_scheme && is_host { Ok(Self::Exactly(text.to_owned())) } else { Err(invalid()) }
    }
}

impl std::fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exactly(origin) => f.write_str(origin),
        }
    }
}

impl TryFrom<String> for CorsOrigin {
    type Error = InvalidOriginOfPages;

    fn try_from(text: String) -> Result<Self, InvalidOriginOfPages> {
        text.parse()
    }
}

impl From<CorsOrigin> for String {
    fn from(origin: CorsOrigin) -> Self {
        origin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_write() {
        for good in ["*", "https://app.example", "http://localhost:5173", "https://[::1]:8443", "capacitor://localhost"]
        {
            assert_eq!(good.parse::<CorsOrigin>().map(|origin| origin.to_string()), Ok(good.to_owned()));
        }
        for bad in
            ["", "app.example", "https://App.example", "https://a/", "https://a/x", "null", "https://a:443", "//a"]
        {
            assert!(bad.parse::<CorsOrigin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_named_origin_wins_over_any() {
        let origins = ["*", "https://a.example"].map(|text| text.parse().expect("an origin")).to_vec();
        let (methods, headers) = (Vec::new(), vec!["x-a".to_owned()]);
        let settings = CorsSettings {
            origins,
            methods,
            headers,
            expose_headers: Vec::new(),
            credentials: false,
            max_age: CorsSettings::MAX_AGE,
        };
        assert_eq!(settings.allowed("https://a.example"), Some("https://a.example"));
        assert_eq!(settings.allowed("https://b.example"), Some("*"));
        assert!(settings.allows_method("DELETE") && settings.allows_header("x-a") && !settings.allows_header("x-b"));
    }
}
