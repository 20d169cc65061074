//! Accepts connections, detects their protocol, and ends them in order.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use faas_config::HttpSection;
use faas_web::{ConnectionEnd, ConnectionStats, Edge};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::active_request::ActiveRequest;
use crate::connection_state::ConnectionState;
use crate::connection_table::{ConnectionPermit, ConnectionTable, ConnectionTimeouts};
use crate::drain_unread_body::UnreadBody;
use crate::request_context::{RequestContext, RequestHandler};
use crate::tracked_io::TrackedIo;

/// How every HTTP/2 connection starts. No HTTP/1 request starts with more than its first letters.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause before another look at the first bytes, when those so far could become either protocol.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);
/// How often an HTTP/2 client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 100;
/// Bytes of an HTTP/2 response that the protocol takes at once.
const HTTP2_SEND_BUFFER: usize = 64 << 10;
/// How long the shutdown of an idle connection may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait after a failed accept, which is mostly a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The response to a connection that is refused. Complete, since its request is not read.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Length: 0\r\n\r\n";

/// Serves the connections of one listener.
pub struct ConnectionServer<H> {
    builder: Builder<TokioExecutor>,
    connections: Arc<ConnectionTable>,
    edge: Edge,
    handler: Arc<H>,
}

// === impl ConnectionServer ===

impl<H: RequestHandler> ConnectionServer<H> {
    /// A server of at most `connections_max` connections, counted in `stats`. Requests that `edge` admits go to `handler`.
    #[must_use]
    pub fn new(
        config: &HttpSection,
        connections_max: usize,
        stats: Arc<ConnectionStats>,
        edge: Edge,
        handler: H,
    ) -> Self {
        let connections = ConnectionTable::new(connections_max, ConnectionTimeouts::new(config), stats);
        Self { builder: builder(config), connections, edge, handler: Arc::new(handler) }
    }

    /// Serves until `stop`, then lets requests under way end within `drain`.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken, drain: Duration) {
        let server = Arc::new(self);
        let timeouts = tokio::spawn(Arc::clone(&server.connections).enforce_timeouts(stop.clone()));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => match server.connections.admit().await {
                    Some(permit) => {
                        tokio::spawn(Arc::clone(&server).serve_connection(stream, address, permit, stop.clone()));
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
        if tokio::time::timeout(drain, server.connections.all_closed()).await.is_err() {
            tracing::warn!("connections were still open at the end of the drain");
        }
        timeouts.abort();
    }

    /// Serves one client until either side ends the connection.
    async fn serve_connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        permit: ConnectionPermit,
        stop: CancellationToken,
    ) {
        // Small responses must not wait for a full packet.
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&permit.state);
        let is_http2 = tokio::select! {
            () = stop.cancelled() => return permit.close(ConnectionEnd::Stopping),
            _ = state.end_requested() => return,
            detected = speaks_http2(&stream, &state) => detected,
        };
        let builder = match is_http2 {
            Ok(true) => {
                state.set_http2();
                self.builder.clone().http2_only()
            }
            Ok(false) => self.builder.clone().http1_only(),
            Err(_) => return permit.close(ConnectionEnd::Client),
        };
        let peer = self.edge.peer(address);
        let clients = if peer.is_proxy() { HTTP2_STREAMS_MAX } else { 1 };
        let budget = Arc::clone(&permit.table.responses);
        let context =
            Arc::new(RequestContext { edge: self.edge.clone(), handler: Arc::clone(&self.handler), peer, budget });
        drop(self);
        let service = service_fn(|request| {
            // At once: the connection reads on before it looks at what follows.
            let active = ActiveRequest::begin(&state);
            let (request, unread) = UnreadBody::lend(request);
            // Boxed: the connection moves the futures of its requests, which are large.
            Box::pin(Arc::clone(&context).answer(active, Box::new(request.into()), unread))
        });
        let io = TokioIo::new(TrackedIo::new(stream, Arc::clone(&state), clients));
        let mut connection = pin!(builder.serve_connection(io, service));
        let why = tokio::select! {
            ended = connection.as_mut() => return permit.close(reason_of(ended)),
            why = state.end_requested() => why,
            () = stop.cancelled() => ConnectionEnd::Stopping,
        };
        match why {
            // Requests under way end first; the client has to send those that it has just sent elsewhere.
            ConnectionEnd::Stopping => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
            ConnectionEnd::Idle => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, connection).await;
            }
            _ => {}
        }
        permit.close(why);
    }
}

/// Both protocols within the limits. Waits are bounded by [`ConnectionTable`], which sees all of them.
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
    let _ = stream.try_write(REFUSAL);
}

/// Why a connection ended that the server did not end.
fn reason_of(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) -> ConnectionEnd {
    match ended {
        Ok(()) => ConnectionEnd::Client,
        Err(error) => {
            tracing::debug!(error, "a connection ended badly");
            ConnectionEnd::Broken
        }
    }
}

/// Which protocol the client's first bytes are of; they stay unread. The builder could detect it too, but does not tell a silent
/// client from one that sends its head slowly.
async fn speaks_http2(stream: &TcpStream, state: &ConnectionState) -> std::io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        state.received();
        if first[..length] != HTTP2_PREFACE[..length] {
            return Ok(false);
        }
        if length == first.len() {
            return Ok(true);
        }
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}
