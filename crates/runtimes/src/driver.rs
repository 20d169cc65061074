//! The task that reads what an instance sends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use faas_ports::{
    Clock, ExchangeEnd, ExchangeItem, LogEntry, OpenSandbox, PortError, PortResult, Publishing, ReplyHead,
    SandboxControl, SandboxExit, UnfinishedLines,
};
use faas_proto::frame::{Frame, FrameKind};
use faas_proto::frame_heads::{self, EndHead, LogHead};
use faas_types::limits::{BODY_MAX, LOG_LINE_MAX};
use faas_types::{FunctionError, LogStream};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, watch};

use crate::outbox::Outbox;
use crate::pipes::Pipe;
use crate::publication;
use crate::streams::{Admission, Finished, Streams};

/// Bytes asked of the socket at once.
const READ_LEN: usize = 64 << 10;
/// Room in the buffer below which it is given more.
const READ_MIN: usize = 4 << 10;
/// Reads of a pipe before an end is handed over: four times what a pipe holds.
const DRAIN_READS: usize = 8;
/// Log entries outside runs that may wait for the engine; more are dropped.
const LOGS_CAPACITY: usize = 256;

/// Reads one instance's socket and pipes until they end.
pub(crate) struct Driver {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    pipes: [Pipe; 2],
    exit: Pin<Box<dyn Future<Output = SandboxExit> + Send>>,
    link: Link,
    logs: mpsc::Sender<LogEntry>,
    clock: Arc<dyn Clock>,
    lines: Vec<LogEntry>,
    /// Lines outside runs whose end has not come.
    unfinished: UnfinishedLines,
    /// Raw output that tells of an end for want of memory.
    starving: Option<String>,
}

/// What an instance's handle and its driver share.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) control: Arc<dyn SandboxControl>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) streams: Arc<Streams>,
    /// The program wrote that it has no memory left.
    starved: Arc<AtomicBool>,
    /// The number of the last ping that was answered.
    pub(crate) pongs: Arc<watch::Sender<u64>>,
}

/// Why there is no further frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The program ended or closed its socket.
    Gone,
    /// The shim broke the protocol.
    Breach(String),
}

// === impl Stopped ===

impl Stopped {
    /// How long to wait before the sandbox is killed. A program whose socket has closed is usually about to be gone,
    /// and killing it at once would hide the status that it ends with.
    pub(crate) const fn patience(&self) -> Duration {
        match self {
            Self::Gone => Duration::from_millis(500),
            Self::Breach(_) => Duration::ZERO,
        }
    }
}

// === impl Link ===

impl Link {
    /// Waits until nothing is left of the sandbox, killing it after `patience`.
    pub(crate) async fn end(&self, patience: Duration) -> SandboxExit {
        if !patience.is_zero()
            && let Ok(exit) = tokio::time::timeout(patience, self.control.wait()).await
        {
            return self.judged(exit);
        }
        self.control.kill();
        self.judged(self.control.wait().await)
    }

    /// Puts a line into the log of its run.
    async fn file(&self, stream: u32, line: ExchangeItem, len: usize) -> Result<(), Stopped> {
        match self.streams.admit_log(stream, len) {
            (Admission::Deliver(inbox), headed) => {
                if inbox.push_line(line, headed).await.is_err() {
                    self.streams.drop_line(stream);
                }
                Ok(())
            }
            (Admission::Ignore, _) => Ok(()),
            (Admission::Breach(reason), _) => Err(breach(reason)),
        }
    }

    /// An exit with what the program said about it. Complete once its pipes have been drained.
    pub(crate) fn judged(&self, exit: SandboxExit) -> SandboxExit {
        let starved = exit.signal.is_some() && self.starved.load(Ordering::Acquire);
        SandboxExit { out_of_memory: exit.out_of_memory || starved, ..exit }
    }
}

// === impl Driver ===

impl Driver {
    /// Takes over a sandbox that was just opened. Also gives the receiver of log entries outside runs.
    pub(crate) fn new(
        sandbox: OpenSandbox,
        clock: Arc<dyn Clock>,
        starving: Option<String>,
    ) -> PortResult<(Self, mpsc::Receiver<LogEntry>)> {
        let failed = |error: std::io::Error| PortError::failed("taking over a sandbox's channels", error);
        let channel = std::os::unix::net::UnixStream::from(sandbox.channel);
        channel.set_nonblocking(true).map_err(failed)?;
        let (socket, writing) = UnixStream::from_std(channel).map_err(failed)?.into_split();
        let pipes = [
            Pipe::new(sandbox.stdout, LogStream::Stdout).map_err(failed)?,
            Pipe::new(sandbox.stderr, LogStream::Stderr).map_err(failed)?,
        ];
        let outbox = Arc::new(Outbox::new(writing));
        let streams = Arc::new(Streams::default());
        let starved = Arc::default();
        let pongs = Arc::new(watch::Sender::new(0));
        let link = Link { control: Arc::from(sandbox.control), outbox, streams, starved, pongs };
        let control = link.control.clone();
        let exit = Box::pin(async move { control.wait().await });
        let (logs, receiver) = mpsc::channel(LOGS_CAPACITY);
        let buffer = BytesMut::with_capacity(READ_LEN);
        let (lines, unfinished) = (Vec::new(), UnfinishedLines::default());
        Ok((Self { socket, buffer, pipes, exit, link, logs, clock, lines, unfinished, starving }, receiver))
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The next frame from the shim. Keeps the pipes and the outbox going meanwhile.
    pub(crate) async fn next_frame(&mut self) -> Result<Frame, Stopped> {
        loop {
            match Frame::decode(&mut self.buffer) {
                Ok(Some(frame)) if frame.kind.is_from_shim() => return Ok(frame),
                Ok(Some(frame)) => return Err(Stopped::Breach(format!("{:?} frame from a shim", frame.kind))),
                Ok(None) => {}
                Err(error) => return Err(Stopped::Breach(error.to_string())),
            }
            if self.buffer.capacity() - self.buffer.len() < READ_MIN {
                self.buffer.reserve(READ_LEN);
            }
            let [stdout, stderr] = &self.pipes;
            tokio::select! {
                // In this order, so that a reply is looked for first and costs no look at the rest.
                biased;
                _ = self.link.outbox.drive() => return Err(Stopped::Gone),
                count = self.socket.read_buf(&mut self.buffer) => {
                    if !count.is_ok_and(|count| count > 0) {
                        return Err(Stopped::Gone);
                    }
                }
                () = stdout.readable() => self.read_pipe(0).await,
                () = stderr.readable() => self.read_pipe(1).await,
                _ = &mut self.exit => self.read_rest()?,
            }
        }
    }

    /// After the program's end: what it had sent is still in the socket, and nothing more will come.
    fn read_rest(&mut self) -> Result<(), Stopped> {
        self.exit = Box::pin(std::future::pending());
        let before = self.buffer.len();
        while self.socket.try_read_buf(&mut self.buffer).is_ok_and(|count| count > 0) {
            self.buffer.reserve(READ_LEN);
        }
        if self.buffer.len() == before { Err(Stopped::Gone) } else { Ok(()) }
    }

    /// Serves until the instance ends, then ends every stream that is left as lost.
    pub(crate) async fn serve(mut self) {
        let stopped = loop {
            let step = match self.next_frame().await {
                Ok(frame) => self.dispatch(frame).await,
                Err(stopped) => Err(stopped),
            };
            if let Err(stopped) = step {
                break stopped;
            }
        };
        if let Stopped::Breach(reason) = &stopped {
            tracing::warn!(reason, "instance broke its protocol");
        }
        self.link.end(stopped.patience()).await;
        self.drain_pipes().await;
        self.end_lines();
        self.link.streams.close();
    }

    async fn dispatch(&mut self, frame: Frame) -> Result<(), Stopped> {
        match frame.kind {
            FrameKind::Log => self.on_log(&frame).await,
            FrameKind::Reply => self.on_reply(&frame).await,
            FrameKind::Head => self.on_head(&frame),
            FrameKind::Chunk => self.on_chunk(frame),
            FrameKind::End => self.on_end(&frame).await,
            FrameKind::Credit => self.on_credit(&frame),
            FrameKind::Publish => self.on_publish(&frame),
            FrameKind::Pong => self.on_pong(&frame),
            other => Err(breach(format!("{other:?} frame from a ready instance"))),
        }
    }

    /// Also used before ready, where stream 0 is the only one.
    pub(crate) async fn on_log(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let head = LogHead::decode(&frame.payload).map_err(|error| breach(error.to_string()))?;
        let mut message = head.text.into_owned();
        if message.len() > LOG_LINE_MAX {
            message.truncate(message.floor_char_boundary(LOG_LINE_MAX));
        }
        let entry = LogEntry { at: head.at, level: head.level, stream: head.stream, message };
        let len = entry.message.len();
        match (frame.stream, head.unfinished) {
            (0, true) => self.unfinished.extend(entry),
            (0, false) => drop(self.logs.try_send(self.unfinished.complete(entry))),
            (stream, true) => self.link.file(stream, ExchangeItem::Unfinished(entry), len).await?,
            (stream, false) => self.link.file(stream, ExchangeItem::Log(entry), len).await?,
        }
        Ok(())
    }

    /// Ends the instance's unfinished lines: nothing comes any more.
    pub(crate) fn end_lines(&mut self) {
        for line in self.unfinished.take() {
            let _ = self.logs.try_send(line);
        }
    }

    fn on_head(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let head = reply_head(&frame.payload)?;
        match self.link.streams.admit_head(frame.stream) {
            Admission::Deliver(inbox) => inbox.push(ExchangeItem::Head(head)),
            Admission::Ignore => {}
            Admission::Breach(reason) => return Err(breach(reason)),
        }
        Ok(())
    }

    /// A reply that came in one piece, together with its end.
    async fn on_reply(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let (head, body) = frame_heads::split_reply(&frame.payload).ok_or_else(|| breach("malformed reply"))?;
        let head = reply_head(&head)?;
        // The kernel tells of the pipes before it tells of a socket that was written to after them, so what the run
        // wrote there is known by now, and asking again would cost two system calls.
        for index in 0..self.pipes.len() {
            self.pipes[index].read(self.clock.now(), &mut self.lines);
            self.pipes[index].flush(self.clock.now(), &mut self.lines);
        }
        self.forward_lines().await;
        match self.link.streams.finish(frame.stream).map_err(breach)? {
            Some(Finished { headed: true, .. }) => Err(breach("second reply head on a stream")),
            Some(Finished { inbox, dropped, .. }) => {
                inbox.push(ExchangeItem::Reply { head, body, dropped_log_lines: dropped });
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn on_pong(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let number = frame.payload.as_ref().try_into().map_err(|_| breach("malformed pong"))?;
        self.link.pongs.send_replace(u64::from_le_bytes(number));
        Ok(())
    }

    fn on_chunk(&mut self, frame: Frame) -> Result<(), Stopped> {
        match self.link.streams.admit_chunk(frame.stream, frame.payload.len()) {
            Ok(Admission::Deliver(inbox)) => inbox.push(ExchangeItem::Body(frame.payload)),
            Ok(Admission::Ignore) => {}
            Ok(Admission::Breach(reason)) => return Err(breach(reason)),
            Err(inbox) => {
                self.link.outbox.send_cancel(frame.stream);
                let error = FunctionError {
                    kind: "BadReply".into(),
                    message: format!("the reply is larger than {} MB", BODY_MAX >> 20),
                    ..FunctionError::default()
                };
                inbox.push(ExchangeItem::End(ExchangeEnd::Raised { error, dropped_log_lines: 0 }));
            }
        }
        Ok(())
    }

    /// The shim takes more of a request's body.
    fn on_credit(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let bytes = frame_heads::window(&frame.payload).ok_or_else(|| breach("malformed credit"))?;
        match self.link.streams.admit_credit(frame.stream) {
            Admission::Deliver(inbox) => inbox.add_credit(u64::from(bytes)),
            Admission::Ignore => {}
            Admission::Breach(reason) => return Err(breach(reason)),
        }
        Ok(())
    }

    /// The user's code publishes or sends something.
    fn on_publish(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let publication = publication::read(&frame.payload).ok_or_else(|| breach("malformed publication"))?;
        match self.link.streams.admit_publication(frame.stream) {
            Admission::Deliver(inbox) => {
                let reply = publication::reply(&self.link, frame.stream);
                inbox.push(ExchangeItem::Publish(Box::new(Publishing { publication, reply })));
            }
            Admission::Ignore => {}
            Admission::Breach(reason) => return Err(breach(reason)),
        }
        Ok(())
    }

    async fn on_end(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let end: EndHead = match &*frame.payload {
            [] => EndHead::default(),
            json => serde_json::from_slice(json).map_err(|_| breach("malformed end"))?,
        };
        // What the run wrote to a pipe was written before this end.
        self.drain_pipes().await;
        let Some(Finished { inbox, dropped, .. }) = self.link.streams.finish(frame.stream).map_err(breach)? else {
            return Ok(());
        };
        let dropped_log_lines = dropped.saturating_add(end.dropped);
        let end = match (end.rejected, end.raised) {
            (Some(message), _) => ExchangeEnd::Rejected { message },
            (None, Some(error)) => ExchangeEnd::Raised { error, dropped_log_lines },
            (None, None) => ExchangeEnd::Complete { dropped_log_lines },
        };
        inbox.push(ExchangeItem::End(end));
        Ok(())
    }

    async fn read_pipe(&mut self, index: usize) {
        self.pipes[index].read(self.clock.now(), &mut self.lines);
        self.forward_lines().await;
        // When the run's time is over, nobody asks the pipe for what it has of a line.
        if let Some(run) = self.link.streams.sole()
            && let Some(part) = self.pipes[index].take_unfinished(self.clock.now())
        {
            let len = part.message.len();
            drop(self.link.file(run, ExchangeItem::Unfinished(part), len).await);
        }
    }

    /// Reads what the pipes hold now, unfinished lines included.
    pub(crate) async fn drain_pipes(&mut self) {
        for index in 0..self.pipes.len() {
            for _ in 0..DRAIN_READS {
                if !self.pipes[index].read_now(self.clock.now(), &mut self.lines) {
                    break;
                }
                self.forward_lines().await;
            }
            self.pipes[index].flush(self.clock.now(), &mut self.lines);
        }
        self.forward_lines().await;
    }

    async fn forward_lines(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        if let Some(words) = &self.starving
            && self.lines.iter().any(|line| line.stream == LogStream::Stderr && line.message.contains(words.as_str()))
        {
            self.link.starved.store(true, Ordering::Release);
        }
        let run = self.link.streams.sole();
        for entry in std::mem::take(&mut self.lines) {
            match run {
                // It ends only by what this task reads, so it is still open.
                Some(id) => {
                    let len = entry.message.len();
                    drop(self.link.file(id, ExchangeItem::Log(entry), len).await);
                }
                None => drop(self.logs.try_send(entry)),
            }
        }
    }
}

fn reply_head(payload: &[u8]) -> Result<ReplyHead, Stopped> {
    let head: frame_heads::ReplyHead = serde_json::from_slice(payload).map_err(|_| breach("malformed reply head"))?;
    if !(100..600).contains(&head.status) {
        return Err(breach("reply status out of range"));
    }
    if !head.headers.iter().all(|(name, value)| is_header(name, value)) {
        return Err(breach("malformed reply header"));
    }
    Ok(ReplyHead { status: head.status, headers: head.headers, length: head.length })
}

/// Whether a header field can go out as it is: shims check what handlers return, so this is a forged frame.
fn is_header(name: &str, value: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b':';
    let is_text = |character: char| character <= '\u{ff}' && !matches!(character, '\r' | '\n' | '\0');
    !name.is_empty() && name.bytes().all(is_token) && value.chars().all(is_text)
}

fn breach(reason: impl Into<String>) -> Stopped {
    Stopped::Breach(reason.into())
}
