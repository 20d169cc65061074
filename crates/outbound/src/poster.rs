//! Posting over HTTP.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Outbound, OutboundError, OutboundMessage, UrlRefusal, Wire};
use faas_types::limits;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::lookup_host;
use url::Url;

use crate::tls::Tls;
use crate::{Dialer, Guard};

/// How long a look-up and a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a look-up may take: less, so that an unknown name looks like one that is not allowed.
const LOOK_UP: Duration = Duration::from_secs(4);
/// How long a message may take from the look-up to the answer.
const WHOLE: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read, so that its sender sees it arrive; they are dropped.
const ANSWER_READ: usize = 4 << 10;

/// Posts over HTTP, one connection for each message.
pub struct HttpOutbound {
    guard: Guard,
    dialer: Arc<Dialer>,
    tls: Tls,
}

// === impl HttpOutbound ===

impl HttpOutbound {
    /// Posts to where a guard lets it.
    #[must_use]
    pub fn new(guard: Guard, dialer: Arc<Dialer>) -> Self {
        Self { guard, dialer, tls: Tls::default() }
    }

    /// A connection to an address that was checked, which the host of the URL is or leads to.
    async fn connect(&self, url: &Url, host: &str) -> Result<Box<dyn Wire>, OutboundError> {
        let port = url.port_or_known_default().unwrap_or(80);
        self.guard.refresh().await;
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let (found, name): (Vec<SocketAddr>, _) = match address {
            Ok(address) => (vec![SocketAddr::new(address, port)], None),
            Err(_) => {
                let found = tokio::time::timeout(LOOK_UP, lookup_host((host, port))).await;
                (found.ok().and_then(Result::ok).map(Iterator::collect).unwrap_or_default(), Some(host))
            }
        };
        let lets = |found: &SocketAddr| self.guard.rule(found.ip(), port, name).allowed;
        let good: Vec<SocketAddr> = found.into_iter().filter(lets).collect();
        if good.is_empty() {
            return Err(OutboundError::Failed(unreachable(host)));
        }
        let failed = |error: io::Error| OutboundError::Failed(chain(&error));
        let stream = self.dialer.tcp_to_any(&good).await.map_err(failed)?;
        if url.scheme() == "https" { self.tls.over(stream, host).await.map_err(failed) } else { Ok(Box::new(stream)) }
    }

    async fn send(&self, url: &Url, host: &str, message: OutboundMessage) -> Result<u16, OutboundError> {
        let connecting = tokio::time::timeout(CONNECT, self.connect(url, host));
        let stream = connecting.await.map_err(|_| OutboundError::Failed("no connection in time".to_owned()))??;
        let failed = |error: hyper::Error| OutboundError::Failed(chain(&error));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let request = request(url, host, message)?;
        let answering = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            drain(response).await;
            Ok(status)
        };
        tokio::pin!(answering);
        tokio::select! {
            biased;
            answer = &mut answering => answer.map_err(failed),
            // It carries the response, or its error ends the other future.
            _ = connection => answering.await.map_err(failed),
        }
    }

    /// A URL that may be tried, with its host. Addresses are checked here, since the client looks only names up.
    fn read(&self, text: &str) -> Result<(Url, String), UrlRefusal> {
        let refuse = |why: &str| UrlRefusal(why.to_owned());
        if text.len() > limits::CALLBACK_URL_MAX {
            return Err(UrlRefusal(format!("it has {} bytes, more than {}", text.len(), limits::CALLBACK_URL_MAX)));
        }
        let url = Url::parse(text).map_err(|error| UrlRefusal(format!("it is no URL: {error}")))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(refuse("only http:// and https:// can be called back"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("it holds a user or a password; put a token into its path or query instead"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| refuse("it has no host"))?.to_owned();
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>()
            && !self.guard.might_let(address, url.port_or_known_default().unwrap_or(80))
        {
            return Err(UrlRefusal(not_allowed(&host)));
        }
        Ok((url, host))
    }
}

#[async_trait]
impl Outbound for HttpOutbound {
    fn check(&self, url: &str) -> Result<String, UrlRefusal> {
        self.read(url).map(|(_, host)| host)
    }

    async fn post(&self, message: OutboundMessage) -> Result<u16, OutboundError> {
        let (url, host) = self.read(&message.url).map_err(|refusal| OutboundError::Refused(refusal.0))?;
        let sending = tokio::time::timeout(WHOLE, self.send(&url, &host, message));
        sending.await.unwrap_or_else(|_| Err(OutboundError::Failed("no answer in time".to_owned())))
    }
}

fn request(url: &Url, host: &str, message: OutboundMessage) -> Result<Request<Full<Bytes>>, OutboundError> {
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, authority)
        .header(CONNECTION, "close")
        .header(USER_AGENT, concat!("faas/", env!("CARGO_PKG_VERSION")));
    for (name, value) in message.headers {
        request = request.header(name, value);
    }
    // The URL is not repeated: it may hold a token.
    request.body(Full::new(message.body)).map_err(|_| OutboundError::Failed("the request cannot be written".to_owned()))
}

/// The body is ignored; failing to read it does not fail the delivery.
async fn drain(response: Response<Incoming>) {
    let (mut body, mut left) = (response.into_body(), ANSWER_READ);
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(read) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

fn not_allowed(host: &str) -> String {
    format!("{host} is no address of the public internet; the server's `callbacks.allow` can allow it")
}

/// The same whether a name leads nowhere or to an address inside: callers must not learn which names there are inside.
fn unreachable(host: &str) -> String {
    format!("{host} has no address that callbacks may go to; the server's `callbacks.allow` can allow one")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn allowing(allowed: &[&str]) -> HttpOutbound {
        let allowed: Vec<faas_types::AllowedTarget> = allowed.iter().map(|text| text.parse().expect(text)).collect();
        HttpOutbound::new(Guard::new(&allowed, Vec::new(), Arc::default()), Arc::default())
    }

    async fn post(outbound: &HttpOutbound, url: &str) -> Result<u16, OutboundError> {
        let headers = vec![("webhook-id", "run_1".to_owned())];
        outbound.post(OutboundMessage { url: url.to_owned(), headers, body: Bytes::from_static(b"{}") }).await
    }

    /// Answers every connection with `answer`, and tells how many there were.
    async fn server(answer: &'static str) -> (u16, Arc<std::sync::atomic::AtomicU32>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (port, count)
    }

    #[test]
    fn urls_are_refused_by_what_they_say() {
        let outbound = allowing(&[]);
        let long = format!("http://example.com/{}", "x".repeat(3_000));
        for (url, why) in [
            ("", "no URL"),
            ("example.com", "no URL"),
            ("ftp://example.com/", "only http"),
            ("file:///etc/passwd", "only http"),
            ("http://u:p@example.com/", "password"),
            ("http://u@example.com/", "user"),
            ("http://127.0.0.1:8080/", "no address of the public internet"),
            ("http://2130706433/", "no address of the public internet"),
            ("http://0x7f.1/", "no address of the public internet"),
            ("http://0177.0.0.1/", "no address of the public internet"),
            ("http://[::1]/", "no address of the public internet"),
            ("http://[::ffff:7f00:1]/", "no address of the public internet"),
            ("http://[64:ff9b::a9fe:a9fe]/", "no address of the public internet"),
            ("http://169.254.169.254/latest/meta-data/", "no address of the public internet"),
            (&long, "more than 2048"),
        ] {
            let refusal = outbound.check(url).expect_err(url);
            assert!(refusal.0.contains(why), "{url}: {refusal}");
        }
        assert_eq!(outbound.check("https://example.com:8443/a?b=c").as_deref(), Ok("example.com"));
        assert_eq!(outbound.check("https://[2606:4700::1]/").as_deref(), Ok("[2606:4700::1]"));
        assert!(allowing(&["127.0.0.0/8"]).check("http://127.0.0.1/").is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_at_the_connection() {
        let (port, connections) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
        let url = format!("http://localhost:{port}/");
        assert!(allowing(&[]).check(&url).is_ok(), "a name is not looked up before");
        let refused = post(&allowing(&[]), &url).await;
        assert!(matches!(&refused, Err(OutboundError::Failed(why)) if *why == unreachable("localhost")), "{refused:?}");
        assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 0);
        assert_eq!(post(&allowing(&["localhost"]), &url).await, Ok(204));
        assert_eq!(post(&allowing(&["127.0.0.1", "::1"]), &url).await, Ok(204));
    }

    #[tokio::test]
    async fn redirections_are_answers() {
        let (inside, connections) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{inside}/\r\ncontent-length: 0\r\n\r\n");
        let (port, _) = server(Box::leak(answer.into_boxed_str())).await;
        assert_eq!(post(&allowing(&["127.0.0.1"]), &format!("http://127.0.0.1:{port}/")).await, Ok(302));
        assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn an_endless_answer_is_left() {
        let huge = format!("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{}", "x".repeat(100_000));
        let (port, _) = server(Box::leak(huge.into_boxed_str())).await;
        assert_eq!(post(&allowing(&["127.0.0.1"]), &format!("http://127.0.0.1:{port}/")).await, Ok(200));
    }

    #[tokio::test]
    async fn failures_do_not_name_the_url() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let Err(OutboundError::Failed(message)) =
            post(&allowing(&["127.0.0.1"]), &format!("http://127.0.0.1:{port}/?token=secret")).await
        else {
            panic!("nobody listens there");
        };
        assert!(!message.contains("secret"), "{message}");
    }
}
