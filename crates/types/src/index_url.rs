//! The address of a package index, which may hold credentials.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// Bytes of a URL.
const URL_MAX: usize = 2_048;

/// The URL of a package index. Shows itself without its credentials.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct IndexUrl {
    text: String,
    /// Where user and password stand, with the `@` behind them.
    credentials: std::ops::Range<usize>,
    host: IndexHost,
}

/// A host that packages may come from: `HOST` for the ports of HTTP and HTTPS, or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct IndexHost {
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// The port; 80 and 443 when absent.
    pub port: Option<u16>,
}

/// A text that is no URL of an index, or no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidIndex(&'static str);

// === impl IndexUrl ===

impl IndexUrl {
    /// The whole URL, for whoever connects.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The host that it leads to.
    #[must_use]
    pub fn host(&self) -> &IndexHost {
        &self.host
    }

    /// Whether it is spoken to without TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.text.starts_with("http://")
    }

    /// What must never be shown: user and password together, and the password, or the token in its place.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let both = self.text[self.credentials.clone()].trim_end_matches('@');
        let alone = both.split_once(':').map_or(both, |(_, password)| password);
        [both, alone].into_iter().filter(|text| !text.is_empty())
    }
}

impl FromStr for IndexUrl {
    type Err = InvalidIndex;

    fn from_str(text: &str) -> Result<Self, InvalidIndex> {
        let refuse = |why| Err(InvalidIndex(why));
        if text.len() > URL_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return refuse("a URL of an index has at most 2048 bytes and no spaces");
        }
        let Some((scheme, default_port)) =
            [("https://", 443), ("http://", 80)].into_iter().find(|(scheme, _)| text.starts_with(scheme))
        else {
            return refuse("a URL of an index begins with https:// or http://, such as https://pypi.org/simple");
        };
        let rest = &text[scheme.len()..];
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let credentials = authority.rfind('@').map_or(0, |at| at + 1);
        let host: IndexHost = authority[credentials..].parse()?;
        let host = IndexHost { port: Some(host.port.unwrap_or(default_port)), ..host };
        Ok(Self { text: text.to_owned(), credentials: scheme.len()..scheme.len() + credentials, host })
    }
}

impl TryFrom<String> for IndexUrl {
    type Error = InvalidIndex;

    fn try_from(text: String) -> Result<Self, InvalidIndex> {
        text.parse()
    }
}

impl fmt::Display for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text[..self.credentials.start])?;
        if !self.credentials.is_empty() {
            f.write_str("****@")?;
        }
        f.write_str(&self.text[self.credentials.end..])
    }
}

impl fmt::Debug for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for IndexUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl IndexHost ===

impl IndexHost {
    /// Whether it takes in a connection.
    #[must_use]
    pub fn has(&self, host: &str, port: u16) -> bool {
        let is_port = self.port.map_or(port == 80 || port == 443, |own| own == port);
        is_port && self.host.eq_ignore_ascii_case(host.trim_end_matches('.'))
    }
}

impl FromStr for IndexHost {
    type Err = InvalidIndex;

    fn from_str(text: &str) -> Result<Self, InvalidIndex> {
        let refuse = || InvalidIndex("a host is a name or an address, with or without a port, such as pypi.org");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(refuse)?;
                (host, after.strip_prefix(':').or((!after.is_empty()).then_some("?")))
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().map_err(|_| refuse())).transpose()?;
        let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
        if host.is_empty() || host.len() > 253 || !(is_name || is_address) {
            return Err(refuse());
        }
        Ok(Self { host: host.trim_end_matches('.').to_ascii_lowercase(), port })
    }
}

impl TryFrom<String> for IndexHost {
    type Error = InvalidIndex;

    fn try_from(text: String) -> Result<Self, InvalidIndex> {
        text.parse()
    }
}

impl From<IndexHost> for String {
    fn from(host: IndexHost) -> Self {
        host.to_string()
    }
}

impl fmt::Display for IndexHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match port {
            Some(port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Some(port) => write!(f, "{host}:{port}"),
            None => f.write_str(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let url: IndexUrl = "https://ci:s3:cret@pkgs.internal:8443/simple/?a@b".parse().expect("a URL");
        assert_eq!(url.to_string(), "https://****@pkgs.internal:8443/simple/?a@b");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert_eq!(url.host().to_string(), "pkgs.internal:8443");
        assert_eq!(url.secrets().collect::<Vec<_>>(), ["ci:s3:cret", "s3:cret"]);
        let url: IndexUrl = "http://127.0.0.1/simple".parse().expect("a URL");
        assert_eq!((url.host().to_string().as_str(), url.secrets().count()), ("127.0.0.1:80", 0));
    }

    #[test]
    fn hosts_hold_their_ports() {
        let host = |text: &str| text.parse::<IndexHost>().expect(text);
        assert!(host("PyPI.org").has("pypi.org.", 443) && !host("pypi.org").has("pypi.org", 22));
        assert!(host("10.0.0.5:8081").has("10.0.0.5", 8081) && !host("10.0.0.5:8081").has("10.0.0.5", 80));
        assert!(host("[::1]:99").has("::1", 99) && host("::1").has("::1", 80));
        for bad in ["", "a b", "host:port", "[::1", "[::1]x", "http://x", "user@host", "host:99999"] {
            assert!(bad.parse::<IndexHost>().is_err(), "{bad}");
        }
        for bad in ["ftp://x", "pypi.org", "https://", "https://a b/", "https://user@/"] {
            assert!(bad.parse::<IndexUrl>().is_err(), "{bad}");
        }
    }
}
