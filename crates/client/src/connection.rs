//! Where a server is and with which key it is spoken to.

use std::fmt;

use reqwest::Url;

use crate::ClientError;

/// The default address of a server.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8080";

/// An endpoint and the key for it.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(crate) endpoint: Url,
    pub(crate) key: Option<ApiKey>,
}

/// A key's text, which never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

// === impl Connection ===

impl Connection {
    /// Checks the endpoint: `http://` or `https://`, a host, and perhaps a path that a proxy adds.
    ///
    /// # Errors
    /// [`ClientError::InvalidEndpoint`].
    pub fn new(endpoint: &str, key: Option<ApiKey>) -> Result<Self, ClientError> {
        let invalid =
            |reason: &str| ClientError::InvalidEndpoint { endpoint: endpoint.to_owned(), reason: reason.into() };
        let mut url = Url::parse(endpoint.trim()).map_err(|error| {
            invalid(&match endpoint.trim() {
                text if text.contains("://") => error.to_string(),
                text => without_scheme(text),
            })
        })?;
        match url.scheme() {
            "http" => {}
            "https" if cfg!(feature = "tls") => {}
            "https" => return Err(invalid("this build of faas has no TLS")),
            _ => return Err(invalid(&without_scheme(endpoint.trim()))),
        }
        if url.host().is_none() || !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it must be a host, without a user or password; keys go into FAAS_API_KEY"));
        }
        url.set_query(None);
        url.set_fragment(None);
        // A base without a final slash would lose its last path part when routes are joined to it.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self { endpoint: url, key })
    }

    /// The endpoint without a final slash.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// Whether there is a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether the server is on this machine, where no proxy may come between.
    pub(crate) fn is_local(&self) -> bool {
        match self.endpoint.host_str() {
            Some("localhost") => true,
            Some(host) => {
                host.trim_matches(['[', ']']).parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
            None => false,
        }
    }
}

/// What an endpoint of another scheme, or of none, should be; of none when it is a host with its port.
fn without_scheme(endpoint: &str) -> String {
    let rule = "it must start with http:// or https://";
    match endpoint.split_once(':') {
        Some((host, rest)) if !host.is_empty() && rest.starts_with(|letter: char| letter.is_ascii_digit()) => {
            format!("{rule}; did you mean http://{endpoint}?")
        }
        _ => rule.to_owned(),
    }
}

// === impl ApiKey ===

impl ApiKey {
    /// Checks that the text can travel in a header.
    ///
    /// # Errors
    /// [`ClientError::InvalidKey`] when it is empty, long or holds anything but visible ASCII.
    pub fn new(text: &str) -> Result<Self, ClientError> {
        let text = text.trim();
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > 512 || !visible {
            Err(ClientError::InvalidKey)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The text, for a header or a profile file.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked() {
        let connection = Connection::new("http://127.0.0.1:8080", None).expect("good");
        assert_eq!((connection.endpoint(), connection.is_local()), ("http://127.0.0.1:8080", true));
        let connection = Connection::new("http://faas.example/base?x=1", None).expect("good");
        assert_eq!((connection.endpoint(), connection.is_local()), ("http://faas.example/base", false));
        assert!(Connection::new("http://[::1]:9", None).expect("good").is_local());
        for bad in ["", "localhost:8080", "ftp://x", "http://u:p@x", "http://"] {
            assert!(Connection::new(bad, None).is_err(), "{bad}");
        }
        for bad in ["localhost:8080", "127.0.0.1:8080", "faas.example:80/x"] {
            let error = Connection::new(bad, None).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("did you mean http://{bad}?")), "{bad}: {error}");
        }
    }

    #[test]
    fn keys_do_not_print() {
        let key = ApiKey::new(" faas_secret\n").expect("good");
        assert_eq!((key.expose(), format!("{key:?}").contains("secret")), ("faas_secret", false));
        assert!(ApiKey::new("a b").is_err() && ApiKey::new("").is_err() && ApiKey::new("é").is_err());
    }
}
