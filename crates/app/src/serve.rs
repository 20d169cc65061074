//! Accepts connections and ends them in order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use faas_config::HttpSection;
use faas_ports::{Clock, SystemClock};
use faas_types::{Code, Fault};
use faas_web::{ConnectionEnd, Inbound, Peer, RequestId, render};
use http::HeaderMap;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::answers::{AnswerBudget, Offered};
use crate::connections::{Connections, Place};
use crate::dispatch::Doors;
use crate::talk::Talk;
use crate::unread::Unread;
use crate::watched::{Held, UnderWay, Watched};

/// How every HTTP/2 connection starts. No HTTP/1 request starts with more than its first letters.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause before another look at the first bytes, when those so far could become either protocol.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);
/// How often an HTTP/2 client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 100;
/// An answer up to this size on HTTP/1.1 is not counted: the socket's buffer takes it.
const SMALL_ANSWER: u64 = 64 << 10;
/// Bytes of an HTTP/2 answer that the protocol takes at once.
const HTTP2_SEND_BUFFER: usize = 64 << 10;
/// How long an ended conversation may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long to wait after a failed accept, which is mostly a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The answer to a connection that no place can be made for. Whole, since nobody reads its request.
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Length: 0\r\n\r\n";

/// What a connection is spoken with.
#[derive(Clone)]
struct Manners {
    builder: Builder<TokioExecutor>,
    doors: Arc<Doors>,
    stop: CancellationToken,
}

/// What the requests of one connection have in common.
struct Line {
    doors: Arc<Doors>,
    peer: Peer,
    budget: Arc<AnswerBudget>,
}

/// Serves until `stop`, then lets requests under way end within `drain`.
pub(crate) async fn serve(
    listener: TcpListener,
    doors: Arc<Doors>,
    house: Arc<Connections>,
    http: HttpSection,
    stop: CancellationToken,
    drain: Duration,
) {
    let looking = tokio::spawn(Arc::clone(&house).look_after(stop.clone()));
    let manners = Manners { builder: builder(&http), doors, stop: stop.clone() };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => match house.admit().await {
                Some(place) => {
                    tokio::spawn(manners.clone().converse(stream, address, place));
                }
                None => refuse(&stream),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, house.all_left()).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain");
    }
    looking.abort();
}

/// Both protocols within the limits. Waits are bounded by [`Connections`], which sees all of them.
fn builder(http: &HttpSection) -> Builder<TokioExecutor> {
    let head_max = usize::try_from(http.head_max.bytes()).unwrap_or(usize::MAX);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None).max_headers(http.headers_max as usize).max_buf_size(head_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(PING_EVERY))
        .max_header_list_size(u32::try_from(head_max).unwrap_or(u32::MAX))
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .max_concurrent_streams(HTTP2_STREAMS_MAX);
    builder
}

fn refuse(stream: &TcpStream) {
    // A fresh socket has room for so little; a client that is gone already misses nothing.
    let _ = stream.try_write(NO_PLACE);
}

// === impl Manners ===

impl Manners {
    /// Speaks with one client until either side ends it.
    async fn converse(self, stream: TcpStream, address: SocketAddr, place: Place) {
        // Small answers must not wait for a full packet.
        let _ = stream.set_nodelay(true);
        let talk = Arc::clone(&place.talk);
        let is_http2 = tokio::select! {
            () = self.stop.cancelled() => return place.leave(ConnectionEnd::Stopping),
            _ = talk.told() => return,
            told = speaks_http2(&stream, &talk) => told,
        };
        let builder = match is_http2 {
            Ok(true) => {
                talk.set_http2();
                self.builder.http2_only()
            }
            Ok(false) => self.builder.http1_only(),
            Err(_) => return place.leave(ConnectionEnd::Client),
        };
        let peer = self.doors.edge.peer(address);
        let clients = if peer.is_proxy() { HTTP2_STREAMS_MAX } else { 1 };
        let line = Arc::new(Line { doors: self.doors, peer, budget: Arc::clone(&place.house.answers) });
        let service = service_fn(|request| {
            // At once: the connection reads on before it looks at what follows.
            let under_way = UnderWay::begin(&talk);
            let (request, unread) = Unread::lend(request);
            // Boxed: the connection moves its request's future about, and that is large.
            Box::pin(Arc::clone(&line).answer(under_way, Box::new(request.into()), unread))
        });
        let io = TokioIo::new(Watched::new(stream, Arc::clone(&talk), clients));
        let mut connection = pin!(builder.serve_connection(io, service));
        let why = tokio::select! {
            ended = connection.as_mut() => return place.leave(said(ended)),
            why = talk.told() => why,
            () = self.stop.cancelled() => ConnectionEnd::Stopping,
        };
        match why {
            // Requests under way end first; those that the client has just sent are told to come again elsewhere.
            ConnectionEnd::Stopping => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
            ConnectionEnd::Idle => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(GOODBYE, connection).await;
            }
            _ => {}
        }
        place.leave(why);
    }
}

/// How a conversation ended that nobody asked to end.
fn said(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) -> ConnectionEnd {
    match ended {
        Ok(()) => ConnectionEnd::Client,
        Err(error) => {
            tracing::debug!(error, "a connection ended badly");
            ConnectionEnd::Broken
        }
    }
}

// === impl Line ===

impl Line {
    /// Answers one request.
    async fn answer(
        self: Arc<Self>,
        under_way: UnderWay,
        inbound: Box<Inbound>,
        unread: Unread,
    ) -> Result<Response, Infallible> {
        let response = self.doors.answer(inbound, unread, &self.peer).await;
        Ok(handed_over(response, under_way, &self.budget))
    }
}

/// An answer as the connection takes it. On HTTP/1.1 one of known length is hyper's as soon as it is given; a stream is under
/// way until its end, and so is every answer on HTTP/2.
fn handed_over(response: Response, under_way: UnderWay, budget: &Arc<AnswerBudget>) -> Response {
    let talk = Arc::clone(under_way.talk());
    let length = response.body().size_hint().exact();
    if length == Some(0) || length.is_some_and(|length| length <= SMALL_ANSWER) && !talk.is_http2() {
        return response;
    }
    let reservation = match length {
        Some(length) => match budget.reserve(&talk, length) {
            Some(reservation) => Some(reservation),
            None => return no_room(response.headers()),
        },
        None => None,
    };
    if talk.is_http2() {
        return response.map(|body| Body::new(Offered::in_pieces(body, talk, reservation)));
    }
    match reservation {
        Some(reservation) => response.map(|body| Body::new(Offered::whole(body, talk, reservation))),
        None => response.map(|body| Body::new(Held::new(body, under_way))),
    }
}

/// In place of an answer that there is no memory for, since others read theirs too slowly.
fn no_room(answer: &HeaderMap) -> Response {
    let fault = Fault::new(Code::Unavailable, "the server holds as many answers as it may that nobody reads")
        .with_hint("try again; what is not read goes within seconds")
        .with_retry_after(1);
    render(&fault, &RequestId::of(answer, SystemClock.now()), None)
}

/// Which protocol the client's first bytes are of; they stay unread. The builder could tell too, but counts a client
/// that is silent no differently from one that sends its head slowly.
async fn speaks_http2(stream: &TcpStream, talk: &Talk) -> std::io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        talk.received();
        if first[..length] != HTTP2_PREFACE[..length] {
            return Ok(false);
        }
        if length == first.len() {
            return Ok(true);
        }
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}
