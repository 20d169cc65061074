//! Addresses to listen on, as people write them.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// An IP address with a port. What lacks a part is refused with the address that was probably meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(pub SocketAddr);

// === impl ListenAddress ===

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let meant = match (host, port.parse::<u16>()) {
            ("" | "localhost", Ok(port)) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            ("*", Ok(port)) => Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            _ => None,
        };
        let advice = match meant {
            Some(address) => format!("did you mean {address}?"),
            None => "such as 127.0.0.1:8080".to_owned(),
        };
        Err(format!("an address is an IP and a port; {advice}"))
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_or_what_was_meant_is_said() {
        assert_eq!("[::1]:80".parse::<ListenAddress>().map(|read| read.0.port()), Ok(80));
        for (text, meant) in [
            ("8081", "did you mean 127.0.0.1:8081?"),
            (":8081", "did you mean 127.0.0.1:8081?"),
            ("localhost:1", "did you mean 127.0.0.1:1?"),
            ("*:80", "did you mean 0.0.0.0:80?"),
            ("here", "such as 127.0.0.1:8080"),
            ("127.0.0.1", "such as 127.0.0.1:8080"),
            ("127.0.0.1:99999", "such as 127.0.0.1:8080"),
        ] {
            let error = text.parse::<ListenAddress>().expect_err(text);
            assert!(error.contains(meant), "{text}: {error}");
        }
    }
}
