//! Rules as text. A message says what to write instead.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::{EgressHost, EgressTarget, PortRange, Transport};

/// Bytes of a rule: a name of 253 with protocol and ports.
const TEXT_MAX: usize = 280;
/// Characters of a text that a message repeats.
const SHOWN: usize = 100;
/// Schemes of URLs that people write, with their ports.
const SCHEMES: [(&str, u16); 12] = [
    ("https", 443),
    ("http", 80),
    ("wss", 443),
    ("ws", 80),
    ("postgresql", 5432),
    ("postgres", 5432),
    ("mysql", 3306),
    ("redis", 6379),
    ("rediss", 6379),
    ("mongodb", 27017),
    ("amqp", 5672),
    ("smtp", 25),
];

/// Why a text is not a rule, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}")]
pub struct InvalidEgressTarget {
    text: String,
    why: String,
}

impl FromStr for EgressTarget {
    type Err = InvalidEgressTarget;

    fn from_str(text: &str) -> Result<Self, InvalidEgressTarget> {
        read(text).map_err(|why| InvalidEgressTarget { text: text.chars().take(SHOWN).collect(), why })
    }
}

fn read(text: &str) -> Result<EgressTarget, String> {
    let forms = "is not a rule; write a host, *.host, an address or a network, each with an optional port, such as \
                 api.example.com:443 or 10.1.0.0/16:5432";
    if text.is_empty() || text.len() > TEXT_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(forms.to_owned());
    }
    let (transport, rest) = match text.split_once("://") {
        None => (None, text),
        Some(("tcp", rest)) => (Some(Transport::Tcp), rest),
        Some(("udp", rest)) => (Some(Transport::Udp), rest),
        Some((scheme, rest)) => return Err(instead_of_url(scheme, rest)),
    };
    without_slashes(rest)?;
    if rest.contains('%') {
        return Err("has a zone; rules name addresses without one, since link-local addresses cannot be reached".into());
    }
    let (host, ports) = split(rest)?;
    if host.is_empty() {
        return Err(forms.to_owned());
    }
    let ports = ports.map(|ports| read_ports(host, ports)).transpose()?;
    Ok(EgressTarget { transport, host: read_host(host)?, ports })
}

/// Refuses `tcp:HOST`; `tcp:443` is a host of that name.
fn without_slashes(text: &str) -> Result<(), String> {
    let Some((protocol @ ("tcp" | "udp"), target)) = text.split_once(':') else { return Ok(()) };
    let is_target = split(target).is_ok_and(|(host, _)| read_host(host).is_ok());
    if is_target && read_ports(protocol, target).is_err() {
        return Err(format!("needs two slashes after its protocol; write {protocol}://{target}"));
    }
    Ok(())
}

fn instead_of_url(scheme: &str, rest: &str) -> String {
    let known = SCHEMES.iter().find(|(known, _)| scheme.eq_ignore_ascii_case(known));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case("mongodb+srv")
        && let Some((_, above)) = host.split_once('.')
    {
        return format!("is a URL whose name leads to other hosts; write two rules: {host} and *.{above}:27017");
    }
    let Some((_, port)) = known.filter(|_| !host.is_empty()) else {
        return "has an unknown protocol; write tcp:// or udp:// or none".to_owned();
    };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host: String = host.chars().take(SHOWN).collect();
    if has_port {
        format!("is a URL; a rule names host and port: write {host}")
    } else {
        format!("is a URL; a rule names host and port: write {host}:{port}")
    }
}

/// Host and ports. Addresses of IPv6 have colons themselves, so that ports need brackets before them.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(inside) = text.strip_prefix('[') {
        let Some((host, after)) = inside.split_once(']') else {
            return Err("has no closing bracket; write it as [2001:db8::7]:443".to_owned());
        };
        return match after {
            "" => Ok((host, None)),
            _ => match after.strip_prefix(':') {
                Some(ports) => Ok((host, Some(ports))),
                None => Err(format!("has `{after}` after the bracket; write it as [2001:db8::/32]:443")),
            },
        };
    }
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    if text.matches(':').count() < 2 {
        return Ok(text.split_once(':').map_or((text, None), |(host, ports)| (host, Some(ports))));
    }
    match (address.parse::<Ipv6Addr>(), text.rsplit_once(':')) {
        (Ok(_), Some((host, port))) if text.contains('/') && host.contains('/') => {
            Err(format!("needs brackets before its port; write [{host}]:{port}"))
        }
        (Ok(_), _) => Ok((text, None)),
        (Err(_), Some((host, port))) if host.parse::<Ipv6Addr>().is_ok() => {
            Err(format!("needs brackets before its port; write [{host}]:{port}"))
        }
        (Err(_), _) => {
            Err("is not an address of IPv6; such addresses with a port go in brackets, as in [2001:db8::7]:443".into())
        }
    }
}

fn read_ports(host: &str, text: &str) -> Result<PortRange, String> {
    let wrong = || match text {
        "*" | "" => "has no port; leave the colon out for every port".to_owned(),
        _ if text.contains(',') => {
            let rules: Vec<String> = text.split(',').take(2).map(|port| format!("{host}:{port}")).collect();
            format!("has a list of ports; write a rule for each: {}", rules.join(" and "))
        }
        _ => match text.split_once('/') {
            Some((port, bits)) if bits.parse::<u8>().is_ok() && port.parse::<u16>().is_ok() => {
                format!("has its port before its bits; write {host}/{bits}:{port}")
            }
            Some((port, _)) if port.parse::<u16>().is_ok() => {
                format!("has a path; a rule names host and port: write {host}:{port}")
            }
            _ => "has no such port; a port is 1 to 65535, or two with a dash such as 8000-8100".to_owned(),
        },
    };
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0).ok_or_else(wrong)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("has its ports the wrong way round; write {last}-{first}"));
    }
    Ok(PortRange { first, last })
}

fn read_host(text: &str) -> Result<EgressHost, String> {
    if let Some((address, bits)) = text.split_once('/') {
        return read_network(address, bits);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        not_mapped(address)?;
        return Ok(EgressHost::network(address, u8::MAX));
    }
    if text == "*" {
        return Err("is every host; leave `allow` out for the whole public internet, or write networks such as \
                    0.0.0.0/0:443"
            .to_owned());
    }
    let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    check_name(&name)?;
    Ok(if below { EgressHost::Below(name) } else { EgressHost::Name(name) })
}

fn read_network(address: &str, bits: &str) -> Result<EgressHost, String> {
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(match read_host(address) {
            Ok(host) => format!("has a path; a rule names a host and ports: write {host}"),
            Err(_) => "is not a network; write it as 10.1.0.0/16".to_owned(),
        });
    };
    not_mapped(address)?;
    let most: u8 = if address.is_ipv4() { 32 } else { 128 };
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let Some(bits) = bits.parse::<u8>().ok().filter(|bits| digits && *bits <= most) else {
        return Err(format!("has no such length; a network such as {address}/24 has 0 to {most} bits"));
    };
    let network = EgressHost::network(address, bits);
    match network {
        EgressHost::Network { address: first, .. } if first != address => Err(format!(
            "has bits set behind its length; write {network} for the network, or {address} for the address"
        )),
        network => Ok(network),
    }
}

fn not_mapped(address: IpAddr) -> Result<(), String> {
    match address {
        IpAddr::V6(own) => match own.to_ipv4_mapped() {
            Some(mapped) => Err(format!("is an address of IPv4 in the form of IPv6; write {mapped}")),
            None => Ok(()),
        },
        IpAddr::V4(_) => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.contains('*') {
        return Err(
            "has its star in the wrong place; it stands for whole labels in front, as in *.example.com".to_owned()
        );
    }
    if !name.is_ascii() {
        return Err("has letters outside of ASCII; write the name in its xn-- form".to_owned());
    }
    // What ends in a number is a mistyped address, in whatever base.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !last.is_empty() && is_number {
        return Err("is not an address; write four numbers, as in 10.1.0.5".to_owned());
    }
    if let Some(rest) = name.strip_prefix('.').filter(|rest| check_name(rest).is_ok()) {
        return Err(format!("begins with a dot; write *.{rest} for the names below it"));
    }
    if name.split_once('-').is_some_and(|(first, last)| first.parse::<u16>().is_ok() && last.parse::<u16>().is_ok()) {
        return Err(format!("is a range of ports without a host; write one before it, as in api.example.com:{name}"));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err("is not a host name; write one such as api.example.com, without user or path".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_shown_as_they_are_written() {
        for text in [
            "api.stripe.com",
            "api.stripe.com:443",
            "*.example.com",
            "*.example.com:8000-8100",
            "10.1.0.5",
            "10.1.0.0/16:5432",
            "tcp://db_1.internal:5432",
            "udp://192.0.2.7:53",
            "2001:db8::7",
            "2001:db8::7:443",
            "tcp:443",
            "2001:db8::/32",
            "[2001:db8::7]:443",
            "udp://[2001:db8::/32]:443",
        ] {
            let rule: EgressTarget = text.parse().expect(text);
            assert_eq!(rule.to_string(), text);
            let json = serde_json::to_string(&rule).expect("JSON");
            assert_eq!(serde_json::from_str::<EgressTarget>(&json).ok(), Some(rule), "{json}");
        }
        for (text, shown) in [("API.Example.COM.", "api.example.com"), ("[::1]", "::1"), ("10.0.0.1/32", "10.0.0.1")] {
            assert_eq!(text.parse::<EgressTarget>().map(|rule| rule.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn a_refusal_says_what_to_write() {
        for (text, fix) in [
            ("", "such as api.example.com:443"),
            ("a b", "such as api.example.com:443"),
            (":443", "such as api.example.com:443"),
            ("https://api.stripe.com/v1", "write api.stripe.com:443"),
            ("https://api.stripe.com:8443/v1", "write api.stripe.com:8443"),
            ("postgres://u:p@db.internal/x", "write db.internal:5432"),
            ("quic://x", "tcp:// or udp://"),
            ("api.stripe.com/v1", "write api.stripe.com"),
            ("api.stripe.com:443/v1", "write api.stripe.com:443"),
            ("10.1.0.0:5432/16", "write 10.1.0.0/16:5432"),
            ("10.1.0.5/16", "write 10.1.0.0/16 for the network, or 10.1.0.5 for the address"),
            ("10.1.0.0/33", "0 to 32 bits"),
            ("10.1.0.0/+8", "0 to 32 bits"),
            ("10.1.0/24", "10.1.0.0/16"),
            ("::/129", "0 to 128 bits"),
            ("10.1.0", "four numbers"),
            ("0x7f.0x1", "four numbers"),
            ("127.1:80", "four numbers"),
            ("*", "leave `allow` out"),
            ("*:443", "0.0.0.0/0:443"),
            ("api.*.com", "*.example.com"),
            ("*example.com", "*.example.com"),
            ("user@host", "without user"),
            ("münchen.example", "xn--"),
            ("host:0", "1 to 65535"),
            ("host:65536", "1 to 65535"),
            ("host:+1", "1 to 65535"),
            ("host:", "leave the colon out"),
            ("host:*", "leave the colon out"),
            ("host:9-8", "write 8-9"),
            ("host:http", "1 to 65535"),
            ("::ffff:10.0.0.1", "write 10.0.0.1"),
            ("fe80::1%eth0", "has a zone"),
            ("[::1", "no closing bracket"),
            ("[::1]443", "[2001:db8::/32]:443"),
            ("[2001:db8::]/32:443", "[2001:db8::/32]:443"),
            ("2001:db8::/32:443", "write [2001:db8::/32]:443"),
            ("1:2:3:4:5:6:7:8:443", "write [1:2:3:4:5:6:7:8]:443"),
            ("a:b:c", "in brackets"),
            (".example.com", "write *.example.com"),
            ("..example.com", "is not a host name"),
            ("mongodb+srv://u:p@cluster0.abc.example/x", "two rules: cluster0.abc.example and *.abc.example:27017"),
            ("mongodb+srv://", "tcp:// or udp://"),
            ("tcp:api.example.com:443", "write tcp://api.example.com:443"),
            ("udp:10.1.0.5", "write udp://10.1.0.5"),
            ("api.example.com:443,80", "write a rule for each: api.example.com:443 and api.example.com:80"),
            ("8000-8100", "as in api.example.com:8000-8100"),
        ] {
            let message = text.parse::<EgressTarget>().expect_err(text).to_string();
            assert!(message.contains(fix), "{text}: {message}");
        }
        let long = "x".repeat(10_000).parse::<EgressTarget>().expect_err("long").to_string();
        assert!(long.len() < 400, "{long}");
    }
}
