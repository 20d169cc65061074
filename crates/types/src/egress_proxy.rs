//! A proxy that a server's connections are made through, which may hold credentials.

use std::fmt;
use std::str::FromStr;

use crate::IndexHost;
use crate::text_form::text_form;

/// Bytes of a URL.
const URL_MAX: usize = 2_048;
/// Bytes of a user and of a password: what SOCKS has room for.
const CREDENTIAL_MAX: usize = 255;

/// A proxy, as `socks5://USER:PASSWORD@HOST:PORT` or `http://…`. Shows itself without its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct EgressProxy {
    kind: ProxyKind,
    host: String,
    port: u16,
    credentials: Option<ProxyCredentials>,
}

/// How a proxy is asked for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// SOCKS, version 5.
    Socks5,
    /// `CONNECT` of HTTP.
    Http,
}

/// Who may use a proxy. Cannot be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyCredentials {
    /// The user.
    pub user: String,
    /// The password, which may be empty.
    pub password: String,
}

/// A text that is no URL of a proxy. Never repeats the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEgressProxy(&'static str);

// === impl EgressProxy ===

impl EgressProxy {
    /// How it is asked.
    #[must_use]
    pub fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Where it is: a name or an address, and a port.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Who uses it.
    #[must_use]
    pub fn credentials(&self) -> Option<&ProxyCredentials> {
        self.credentials.as_ref()
    }
}

impl FromStr for EgressProxy {
    type Err = InvalidEgressProxy;

    fn from_str(text: &str) -> Result<Self, InvalidEgressProxy> {
        let forms = InvalidEgressProxy(
            "a proxy is written as socks5://HOST:PORT or http://HOST:PORT, with USER:PASSWORD@ before the host where it \
             asks for them",
        );
        if text.len() > URL_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(forms);
        }
        let kinds = [("socks5://", ProxyKind::Socks5), ("http://", ProxyKind::Http)];
        let Some((scheme, kind)) = kinds.into_iter().find(|(scheme, _)| text.starts_with(scheme)) else {
            return Err(forms);
        };
        let rest = text[scheme.len()..].trim_end_matches('/');
        let (credentials, host) = rest.rsplit_once('@').map_or((None, rest), |(before, host)| (Some(before), host));
        let credentials = credentials.map(ProxyCredentials::read).transpose()?;
        let IndexHost { host, port: Some(port @ 1..) } = host.parse().map_err(|_| forms.clone())? else {
            return Err(forms);
        };
        Ok(Self { kind, host, port, credentials })
    }
}

impl fmt::Display for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.scheme())?;
        if self.credentials.is_some() {
            f.write_str("****@")?;
        }
        IndexHost { host: self.host.clone(), port: Some(self.port) }.fmt(f)
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(EgressProxy);

// === impl ProxyKind ===

impl ProxyKind {
    const fn scheme(self) -> &'static str {
        match self {
            Self::Socks5 => "socks5://",
            Self::Http => "http://",
        }
    }
}

// === impl ProxyCredentials ===

impl ProxyCredentials {
    fn read(text: &str) -> Result<Self, InvalidEgressProxy> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let refused = InvalidEgressProxy(
            "user and password of a proxy have 1 to 255 bytes each; write what is not a letter or a digit as %XX",
        );
        let [user, password] = [user, password].map(decoded);
        match (user, password) {
            (Some(user), Some(password)) if !user.is_empty() && user.len().max(password.len()) <= CREDENTIAL_MAX => {
                Ok(Self { user, password })
            }
            _ => Err(refused),
        }
    }
}

impl fmt::Debug for ProxyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// A part of a URL with its escapes undone; `None` where there are bad ones.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(bytes.next()?)? << 4 | digit(bytes.next()?)?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_shown_without_its_credentials() {
        let read = |text: &str| text.parse::<EgressProxy>().expect(text);
        let proxy = read("socks5://us%40er:p:a%3as@10.0.0.9:1080");
        let credentials = proxy.credentials().expect("some");
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("us@er", "p:a:s"));
        assert_eq!((proxy.kind(), proxy.address()), (ProxyKind::Socks5, ("10.0.0.9", 1080)));
        let json = serde_json::to_string(&proxy).expect("text");
        for shown in [proxy.to_string(), format!("{proxy:?}"), json.trim_matches('"').to_owned()] {
            assert_eq!(shown, "socks5://****@10.0.0.9:1080");
        }
        assert_eq!(format!("{credentials:?}"), "****");
        assert_eq!(read("http://proxy.example:3128/").to_string(), "http://proxy.example:3128");
        assert_eq!(read("http://[2001:db8::1]:3128").address(), ("2001:db8::1", 3128));
    }

    #[test]
    fn a_refusal_says_what_to_write_and_never_the_password() {
        for text in [
            "",
            "10.0.0.9:1080",
            "https://hunter2:hunter2@10.0.0.9:1",
            "socks4://hunter2@10.0.0.9:1",
            "socks5://10.0.0.9",
            "socks5://a:hunter2@:1080",
            "http://a:hunter2%@10.0.0.9:1",
            "http://:hunter2@10.0.0.9:1",
            "http://10.0.0.9:1/path",
            &format!("http://a:{}@10.0.0.9:1", "hunter2".repeat(40)),
        ] {
            let message = text.parse::<EgressProxy>().expect_err(text).to_string();
            assert!(message.contains("proxy") && !message.contains("hunter2"), "{text}: {message}");
        }
    }
}
