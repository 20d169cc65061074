//! The edge: what is done to every request before a door sees it, whichever door that is.
//!
//! A request that could be read in two ways is refused. Fields that only the platform or a trusted proxy may say are
//! dropped, and the caller's address, scheme and host are worked out once.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use faas_types::{AllowedTarget, Code, Fault, RequestField};
use http::header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use parking_lot::Mutex;

use crate::auth::holds_key;
use crate::request_id::ServerUrl;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// What is done to every request. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    proxies: Arc<[AllowedTarget]>,
    server: ServerUrl,
}

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    address: String,
    is_proxy: bool,
    /// What the last request came on behalf of: mostly the next one's too.
    last: Mutex<Option<Arc<RequestOrigin>>>,
}

/// On whose behalf a request comes, and by which address the caller knows the server. In the extensions of each request
/// that goes through a router.
#[derive(Clone, Debug)]
pub struct RequestOrigin {
    /// The caller's address, and behind it those of the trusted proxies in between, with commas.
    addresses: String,
    /// `http` or `https`.
    scheme: &'static str,
    host: HeaderValue,
    /// The same as RFC 7239 writes it.
    standard: String,
}

// === impl Edge ===

impl Edge {
    /// An edge that trusts these proxies, and no other peer, about their callers.
    #[must_use]
    pub fn new(proxies: Vec<AllowedTarget>, server: ServerUrl) -> Self {
        Self { proxies: proxies.into(), server }
    }

    /// Where clients reach the server.
    #[must_use]
    pub fn server(&self) -> ServerUrl {
        self.server
    }

    /// Who is at the other end of a connection.
    #[must_use]
    pub fn peer(&self, address: SocketAddr) -> Peer {
        let address = address.ip().to_canonical();
        Peer { address: address.to_string(), is_proxy: self.is_proxy(address), last: Mutex::default() }
    }

    /// Makes a request what the doors expect, and says on whose behalf it comes.
    ///
    /// # Errors
    /// `FN_012` for a request without a single host, with a length in two forms or with an API key in its URL, `FN_021` for
    /// a transfer coding or an upgrade that is not served. The connection cannot be used again then.
    pub fn admit(&self, head: &mut Parts, peer: &Peer) -> Result<Arc<RequestOrigin>, Fault> {
        check_method(head)?;
        check_framing(head)?;
        check_target(head)?;
        check_host(head)?;
        check_upgrade(&head.headers)?;
        let origin = self.origin(head, peer);
        drop_reserved(&mut head.headers, peer.is_proxy);
        join_cookies(&mut head.headers);
        Ok(origin)
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|proxy| proxy.has_address(address))
    }

    fn origin(&self, head: &Parts, peer: &Peer) -> Arc<RequestOrigin> {
        let host = head.headers.get(HOST).cloned();
        let host = host.or_else(|| HeaderValue::from_str(head.uri.authority()?.as_str()).ok());
        let host = host.unwrap_or(HeaderValue::from_static("localhost"));
        if peer.is_proxy {
            return Arc::new(self.forwarded(head, peer, host));
        }
        let mut last = peer.last.lock();
        match &*last {
            Some(last) if last.host == host => Arc::clone(last),
            _ => Arc::clone(last.insert(Arc::new(RequestOrigin::new(peer.address.clone(), "http", host)))),
        }
    }

    /// What a proxy says of its caller, which differs from request to request.
    fn forwarded(&self, head: &Parts, peer: &Peer, host: HeaderValue) -> RequestOrigin {
        let first = |name: &str| {
            let text = head.headers.get(name)?.to_str().ok()?;
            text.split(',').next().map(str::trim).filter(|word| !word.is_empty())
        };
        let is_https = first(FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let named = first(FORWARDED_HOST).filter(|host| is_host(host));
        let host = named.and_then(|host| HeaderValue::from_str(host).ok()).unwrap_or(host);
        let scheme = if is_https { "https" } else { "http" };
        RequestOrigin::new(self.addresses(&head.headers, &peer.address), scheme, host)
    }

    /// The addresses that can be believed, from the right: each proxy says who asked it, and the first that is no proxy of
    /// ours is the caller. What stands before it is only the caller's word.
    fn addresses(&self, headers: &HeaderMap, peer: &str) -> String {
        let mut chain = vec![peer.to_owned()];
        let fields = headers.get_all(FORWARDED_FOR).iter().rev().filter_map(|value| value.to_str().ok());
        for word in fields.flat_map(|field| field.rsplit(',')) {
            let Some(address) = address_of(word.trim()) else { break };
            chain.push(address.to_string());
            if !self.is_proxy(address) {
                break;
            }
        }
        chain.reverse();
        chain.join(", ")
    }
}

// === impl Peer ===

impl Peer {
    /// Whether it is a trusted proxy, which speaks for many clients.
    #[must_use]
    pub fn is_proxy(&self) -> bool {
        self.is_proxy
    }
}

// === impl RequestOrigin ===

impl RequestOrigin {
    fn new(addresses: String, scheme: &'static str, host: HeaderValue) -> Self {
        let caller = addresses.split(',').next().unwrap_or_default();
        let caller = if caller.contains(':') { format!("\"[{caller}]\"") } else { caller.to_owned() };
        let standard = format!("for={caller};host=\"{}\";proto={scheme}", text_of(&host));
        Self { addresses, scheme, host, standard }
    }

    /// The host that the caller asked for.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The header fields that a function gets of it.
    #[must_use]
    pub fn fields(&self) -> [(String, String); 4] {
        [
            (FORWARDED_FOR.to_owned(), self.addresses.clone()),
            (FORWARDED_PROTO.to_owned(), self.scheme.to_owned()),
            (FORWARDED_HOST.to_owned(), text_of(&self.host).to_owned()),
            ("forwarded".to_owned(), self.standard.clone()),
        ]
    }
}

fn text_of(host: &HeaderValue) -> &str {
    host.to_str().unwrap_or("localhost")
}

/// An address, with or without brackets and a port.
fn address_of(word: &str) -> Option<IpAddr> {
    let word = word.trim_matches('"');
    let address = word.parse::<IpAddr>().ok().or_else(|| Some(word.parse::<SocketAddr>().ok()?.ip()));
    let bracketed = || word.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    address.or_else(bracketed).map(|address| address.to_canonical())
}

/// `CONNECT` asks for a tunnel, and a success would begin one.
fn check_method(head: &Parts) -> Result<(), Fault> {
    if head.method != Method::CONNECT {
        return Ok(());
    }
    Err(Fault::new(Code::MethodNotAllowed, "the server is no proxy: it takes no CONNECT")
        .with_hint("ask for the path itself; a client that is told to use this server as a proxy sends CONNECT"))
}

/// A body has one length: what two servers in a row read differently becomes a request that one of them never saw.
fn check_framing(head: &Parts) -> Result<(), Fault> {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if head.version != Version::HTTP_11 {
        return Err(Fault::new(Code::BadRequest, "`Transfer-Encoding` is of HTTP/1.1 alone"));
    }
    if head.headers.contains_key(CONTENT_LENGTH) {
        return Err(Fault::new(Code::BadRequest, "the request has both `Content-Length` and `Transfer-Encoding`")
            .with_hint("send one of them"));
    }
    if codings.next().is_some() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
        return Err(Fault::new(Code::NotImplemented, "a transfer coding other than `chunked` is not served")
            .with_hint("send `Transfer-Encoding: chunked`, and say how the content is coded in `Content-Encoding`"));
    }
    Ok(())
}

/// One host, as RFC 9112 demands. The one in the request line wins, as it does for proxies.
fn check_host(head: &mut Parts) -> Result<(), Fault> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let wrong = |message: &str| Err(Fault::new(Code::BadRequest, message).with_hint("send one `Host` header"));
    if second.is_some() {
        return wrong("the request has more than one `Host`");
    }
    let is_named = |host: &HeaderValue| host.is_empty() || host.to_str().is_ok_and(is_host);
    match first {
        None if head.version == Version::HTTP_11 => return wrong("the request has no `Host`"),
        None if head.version == Version::HTTP_2 && head.uri.authority().is_none() => {
            return wrong("the request has neither `:authority` nor `Host`");
        }
        Some(host) if !is_named(host) => return wrong("the request's `Host` is not a host"),
        _ => {}
    }
    let Some(asked) = head.uri.authority().map(Authority::as_str) else { return Ok(()) };
    if !is_host(asked) {
        return Err(Fault::new(Code::BadRequest, "the request's URL names no host")
            .with_hint("a host is a name or an address, with or without a port; credentials go into `Authorization`"));
    }
    match first {
        Some(host) if host.as_bytes().eq_ignore_ascii_case(asked.as_bytes()) => {}
        Some(_) if head.version >= Version::HTTP_2 => return wrong("the request names two hosts"),
        _ => {
            let Ok(host) = HeaderValue::from_str(asked) else { return wrong("the request's host is not a host") };
            head.headers.insert(HOST, host);
        }
    }
    Ok(())
}

/// A name or an address, with or without a port. Whatever else a URL may have there, a user or an escape, the servers and
/// functions behind read in different ways.
fn is_host(text: &str) -> bool {
    let (name, rest) = match text.strip_prefix('[') {
        Some(literal) => {
            let Some((address, rest)) = literal.split_once(']') else { return false };
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            ("", rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok());
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (text.starts_with('[') || !name.is_empty() && name.bytes().all(is_of_names))
        && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// A URL is written down on its way and here: in logs, histories, run records. A key in it would be too.
fn check_target(head: &Parts) -> Result<(), Fault> {
    match head.uri.path_and_query() {
        Some(target) if holds_key(target.as_str().as_bytes()) => {
            Err(Fault::new(Code::BadRequest, "the request's URL holds an API key, which is not looked at there").with_hint(
                "send it as `Authorization: Bearer KEY`; revoke this one by DELETE /api/v1/keys/{id}, since URLs end up in logs",
            ))
        }
        _ => Ok(()),
    }
}

fn check_upgrade(headers: &HeaderMap) -> Result<(), Fault> {
    let mut protocols = headers.get_all(UPGRADE).iter().filter_map(|value| value.to_str().ok());
    if protocols.any(|text| text.split(',').any(|word| word.trim().eq_ignore_ascii_case("websocket"))) {
        return Err(Fault::new(Code::NotImplemented, "WebSockets are not served")
            .with_hint("stream the reply instead, as Server-Sent Events do, and send by requests of their own"));
    }
    Ok(())
}

fn drop_reserved(headers: &mut HeaderMap, from_proxy: bool) {
    let is_dropped = |name: &&HeaderName| match RequestField::of(name.as_str()) {
        RequestField::Passed => false,
        RequestField::Platform | RequestField::Connection => true,
        // Rewritten from what can be believed of them.
        RequestField::Forwarding if from_proxy => {
            [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, "forwarded"].contains(&name.as_str())
        }
        RequestField::Forwarding => true,
    };
    let dropped: Vec<HeaderName> = headers.keys().filter(is_dropped).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// HTTP/2 lets clients send each cookie apart; applications expect one field (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    type Admitted = (Parts, Arc<RequestOrigin>);

    fn admitted(edge: &Edge, peer: &str, version: Version, headers: &[(&str, &str)]) -> Result<Admitted, Fault> {
        let mut head = Request::get("/fn/x").version(version).body(()).expect("a request").into_parts().0;
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            head.headers.append(name, value.parse().expect("a value"));
        }
        let peer = edge.peer(SocketAddr::new(peer.parse().expect("an address"), 4_000));
        edge.admit(&mut head, &peer).map(|origin| (head, origin))
    }

    fn stranger(headers: &[(&str, &str)]) -> Result<Admitted, Fault> {
        admitted(&Edge::default(), "203.0.113.7", Version::HTTP_11, headers)
    }

    fn told(origin: &RequestOrigin) -> [String; 4] {
        origin.fields().map(|(_, value)| value)
    }

    #[test]
    fn requests_have_one_host_and_one_length() {
        let code = |headers: &[(&str, &str)]| stranger(headers).err().map(|fault| fault.code);
        let host = ("host", "a.example");
        assert_eq!(code(&[host]), None);
        for wrong in [&[][..], &[host, host], &[("host", "a.example, b.example")], &[("host", "u@a")]] {
            assert_eq!(code(wrong), Some(Code::BadRequest), "{wrong:?}");
        }
        assert_eq!(code(&[host, ("transfer-encoding", "chunked")]), None);
        assert_eq!(code(&[host, ("transfer-encoding", "gzip, chunked")]), Some(Code::NotImplemented));
        let chunked = ("transfer-encoding", "chunked");
        assert_eq!(code(&[host, chunked, chunked]), Some(Code::NotImplemented));
        assert_eq!(code(&[host, chunked, ("content-length", "3")]), Some(Code::BadRequest));
        assert_eq!(code(&[host, ("upgrade", "h2c")]), None);
        assert_eq!(code(&[host, ("upgrade", "WebSocket")]), Some(Code::NotImplemented));
        assert!(admitted(&Edge::default(), "::1", Version::HTTP_10, &[]).is_ok());
    }

    #[test]
    fn a_stranger_says_nothing_for_the_platform_or_for_others() {
        let (head, origin) = stranger(&[
            ("host", "a.example"),
            ("x-faas-trigger", "webhook"),
            ("x_faas_trigger", "webhook"),
            ("x-forwarded-for", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-original-url", "/admin"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ])
        .expect("it is a good request");
        let names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["host", "accept"]);
        let standard = "for=203.0.113.7;host=\"a.example\";proto=http";
        assert_eq!(told(&origin), ["203.0.113.7", "http", "a.example", standard]);
    }

    #[test]
    fn a_proxy_is_believed_as_far_as_its_own_word_goes() {
        let edge = Edge::new(vec!["10.0.0.0/8".parse().expect("a network")], ServerUrl::default());
        let by = |peer, headers: &[(&str, &str)]| {
            let headers = [&[("host", "inner")], headers].concat();
            told(&admitted(&edge, peer, Version::HTTP_11, &headers).expect("a good request").1)
        };
        let chain = ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2");
        let outer = [chain, ("x-forwarded-proto", "https, http"), ("x-forwarded-host", "a.example")];
        let [addresses, scheme, host, _] = by("10.0.0.1", &outer);
        assert_eq!(
            (addresses.as_str(), scheme.as_str(), host.as_str()),
            ("203.0.113.9, 10.0.0.2, 10.0.0.1", "https", "a.example")
        );
        assert_eq!(by("203.0.113.7", &outer)[0], "203.0.113.7", "not a proxy of ours");
        assert_eq!(by("::ffff:10.0.0.1", &[])[0], "10.0.0.1", "a mapped address");
        assert_eq!(by("10.0.0.1", &[("x-forwarded-for", "unknown")])[0], "10.0.0.1");
        assert_eq!(by("10.0.0.1", &[("x-forwarded-for", "[2001:db8::1]:99")])[0], "2001:db8::1, 10.0.0.1");
        assert_eq!(by("10.0.0.1", &[("x-forwarded-proto", "javascript")])[1], "http");
    }

    #[test]
    fn each_request_of_a_connection_has_its_own_host() {
        let (edge, address) = (Edge::default(), SocketAddr::from(([203, 0, 113, 7], 1)));
        let peer = edge.peer(address);
        let hosts = ["a.example", "a.example", "b.example", "a.example"].map(|host| {
            let mut head = Request::get("/").header(HOST, host).body(()).expect("a request").into_parts().0;
            told(&edge.admit(&mut head, &peer).expect("allowed"))
        });
        let standard = |host: &str| format!("for=203.0.113.7;host=\"{host}\";proto=http");
        let expected = |host: &str| ["203.0.113.7".to_owned(), "http".to_owned(), host.to_owned(), standard(host)];
        assert_eq!(hosts, ["a.example", "a.example", "b.example", "a.example"].map(expected));
    }

    #[test]
    fn cookies_are_one_field() {
        let cookies = [("host", "a"), ("cookie", "a=1"), ("cookie", "b=2")];
        let (head, _) = admitted(&Edge::default(), "::1", Version::HTTP_2, &cookies).expect("a good request");
        assert_eq!(head.headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn the_host_of_the_request_line_wins() {
        let edge = Edge::default();
        let peer = edge.peer(([127, 0, 0, 1], 1).into());
        let request = |version| {
            let request = Request::get("http://a.example/x").version(version).header("host", "b.example");
            request.body(()).expect("a request").into_parts().0
        };
        let mut head = request(Version::HTTP_11);
        edge.admit(&mut head, &peer).expect("allowed");
        assert_eq!(head.headers[HOST], "a.example");
        assert!(edge.admit(&mut request(Version::HTTP_2), &peer).is_err());
    }
}
