//! Accepts connections and ends them in order.

use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Doors;

/// Connections at the most; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 16_384;
/// How every HTTP/2 connection starts. No HTTP/1 request starts with more than its first letters.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause before another look at the first bytes, when those so far could become either protocol.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Headers of one request at the most.
const HEADERS_MAX: usize = 128;
/// How long to wait after a failed accept, which is mostly a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then lets requests under way end within `drain`.
pub(crate) async fn serve(listener: TcpListener, doors: Doors, stop: CancellationToken, drain: Duration) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = converse(stream, doors.clone(), graceful.watcher(), stop.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain");
    }
}

/// Speaks with one client until either side ends it.
async fn converse(stream: TcpStream, doors: Doors, watcher: Watcher, stop: CancellationToken) {
    // Small answers must not wait for a full packet.
    let _ = stream.set_nodelay(true);
    let is_http2 = tokio::select! {
        () = stop.cancelled() => return,
        told = tokio::time::timeout(HEAD_TIMEOUT, speaks_http2(&stream)) => told,
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_headers(HEADERS_MAX);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(HEAD_TIMEOUT));
    let builder = match is_http2 {
        Ok(Ok(true)) => builder.http2_only(),
        Ok(Ok(false)) => builder.http1_only(),
        // Silent for too long, or gone.
        Ok(Err(_)) | Err(_) => return,
    };
    let service = service_fn(move |request| {
        let doors = doors.clone();
        async move { Ok::<_, std::convert::Infallible>(doors.answer(request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, "a connection ended badly");
    }
}

/// Which protocol the client's first bytes are of; they stay unread. The builder could tell too, but waits for them
/// without a limit.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if first[..length] != HTTP2_PREFACE[..length] {
            return Ok(false);
        }
        if length == first.len() {
            return Ok(true);
        }
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}
