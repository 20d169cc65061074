//! The task that reads what an instance sends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use faas_ports::{
    Clock, ExchangeEnd, ExchangeItem, InstanceLogs, LogEntry, NetworkEvent, OpenSandbox, PortError, PortResult,
    Publishing, SandboxExit,
};
use faas_proto::frame::{Frame, FrameKind};
use faas_proto::frame_heads::{self, EndHead, LogHead};
use faas_types::limits::{BODY_MAX, ERROR_MESSAGE_MAX, LOG_LINE_MAX};
use faas_types::{FunctionError, LogStream, Timestamp, cut};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::channel::{self, detached};
use crate::frame_budget::{self, FrameBudget};
use crate::idle_log::IdleLog;
use crate::link::{Link, Stopped};
use crate::network::{self, InstanceNetwork};
use crate::outbox::Outbox;
use crate::pipes::Pipe;
use crate::publication;
use crate::reply_head::{self, ReplyHeads};
use crate::streams::{Admission, Finished, Standing, Streams};

/// Bytes asked of the socket at once.
const READ_LEN: usize = 64 << 10;
/// Room in the buffer below which it is given more.
const READ_MIN: usize = 4 << 10;
/// Reads of a pipe before an end is handed over: four times what a pipe holds.
const DRAIN_READS: usize = 8;
/// Bytes of the JSON that begins a reply or a publication.
const HEAD_MAX: usize = 64 << 10;
/// Bytes of the JSON that ends a call: shims cut what was raised to less.
const END_MAX: usize = 256 << 10;
/// What a caller gets whose reply's head is longer.
const HEAD_TOO_LARGE: &str = "the headers of the reply are larger than 64 KB";
/// Log lines that an end can tell of.
const DROPPED_MAX: u64 = u32::MAX as u64;
/// The longest that a line can have been under way.
const LINE_DELAY: Duration = Duration::from_secs(60);

/// Reads one instance's socket and pipes until they end.
pub(crate) struct Driver {
    socket: pipe::Receiver,
    budget: FrameBudget,
    /// What it writes outside of runs.
    idle_log: IdleLog,
    buffer: BytesMut,
    pipes: [Pipe; 2],
    exit: Pin<Box<dyn Future<Output = SandboxExit> + Send>>,
    link: Link,
    clock: Arc<dyn Clock>,
    began: Timestamp,
    lines: Vec<LogEntry>,
    heads: ReplyHeads,
    /// Raw output that shows an end for want of memory.
    starving: Option<String>,
    network: Option<InstanceNetwork>,
}

// === impl Driver ===

impl Driver {
    /// Takes over a sandbox that was just opened. Also gives the receiver of log entries outside runs.
    pub(crate) fn new(
        sandbox: OpenSandbox,
        clock: Arc<dyn Clock>,
        starving: Option<String>,
    ) -> PortResult<(Self, InstanceLogs)> {
        let failed = |error: std::io::Error| PortError::failed("taking over a sandbox's channels", error);
        let (socket, writing) = channel::split(sandbox.channel).map_err(failed)?;
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
        let buffer = BytesMut::with_capacity(READ_LEN);
        let (budget, (idle_log, logs), began) = (FrameBudget::new(), IdleLog::new(), clock.now());
        let (lines, heads, network) = (Vec::new(), ReplyHeads::default(), None);
        let driver =
            Self { socket, budget, idle_log, buffer, pipes, exit, link, clock, began, lines, heads, starving, network };
        Ok((driver, logs))
    }

    /// Gives the instance its network, which ends with this driver.
    pub(crate) fn join(&mut self, network: InstanceNetwork) {
        self.network = Some(network);
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The next frame from the shim. Keeps the pipes and the outbox going meanwhile. A sandbox that has used up its budget is
    /// not read until it has some again.
    pub(crate) async fn next_frame(&mut self) -> Result<Frame, Stopped> {
        loop {
            let pause = self.budget.pause();
            if pause.is_none() {
                match Frame::decode(&mut self.buffer) {
                    Ok(Some(frame)) if frame.kind.is_from_shim() => {
                        self.budget.charge(frame_budget::price(frame.kind));
                        return Ok(frame);
                    }
                    Ok(Some(frame)) => return Err(Stopped::Breach(format!("{:?} frame from a shim", frame.kind))),
                    Ok(None) => {}
                    Err(error) => return Err(Stopped::Breach(error.to_string())),
                }
                if self.buffer.capacity() - self.buffer.len() < READ_MIN {
                    self.buffer.reserve(READ_LEN);
                }
            }
            let [stdout, stderr] = &self.pipes;
            let network = self.network.as_mut();
            let is_networked = network.is_some();
            let event = async { network.expect("asked only where there is one").event().await };
            tokio::select! {
                // In this order, so that a reply is looked for first and costs no look at the rest.
                biased;
                _ = self.link.outbox.drive() => return Err(Stopped::Gone),
                count = self.socket.read_buf(&mut self.buffer), if pause.is_none() => {
                    if !count.is_ok_and(|count| count > 0) {
                        return Err(Stopped::Gone);
                    }
                }
                () = stdout.readable(), if pause.is_none() => self.read_pipe(0).await,
                () = stderr.readable(), if pause.is_none() => self.read_pipe(1).await,
                event = event, if is_networked && pause.is_none() => self.tell(event).await,
                _ = &mut self.exit => self.read_rest()?,
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    }

    /// Puts an event of the network into the log of the run that caused it, as far as that can be told.
    async fn tell(&mut self, event: NetworkEvent) {
        self.take_event(event);
        self.forward_lines().await;
    }

    /// What the network has told by now: a run that ends saw its denials before.
    fn read_network(&mut self) {
        while let Some(event) = self.network.as_mut().and_then(InstanceNetwork::event_now) {
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: NetworkEvent) {
        let run = self.link.streams.sole();
        if let Some(network) = &mut self.network {
            network.remember(&event, run);
        }
        self.lines.push(network::line_of(event, self.clock.now()));
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

    /// Looks at where a frame's stream stands before anything of it is parsed.
    async fn dispatch(&mut self, frame: Frame) -> Result<(), Stopped> {
        let is_instance = frame.stream == 0 && matches!(frame.kind, FrameKind::Log | FrameKind::Pong);
        match self.link.streams.standing(frame.stream) {
            _ if is_instance => {}
            Standing::Open => {}
            Standing::Ended => return self.on_late(frame.kind),
            Standing::Unknown => return Err(breach("frame of a stream that was never opened")),
        }
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

    /// A frame of a stream that has ended.
    fn on_late(&mut self, kind: FrameKind) -> Result<(), Stopped> {
        self.budget.charge(frame_budget::price_without_effect());
        match kind {
            // Any number of them may have been under way.
            FrameKind::Log | FrameKind::Chunk | FrameKind::Credit => Ok(()),
            _ => self.link.streams.admit_late().map_err(breach),
        }
    }

    /// Also used before ready, where stream 0 is the only one.
    pub(crate) async fn on_log(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let length = frame.payload.len().saturating_sub(frame_heads::LOG_FIXED_LEN).min(LOG_LINE_MAX);
        let is_part = frame_heads::is_part_of_line(&frame.payload);
        let room = frame_budget::room_of_line(length, is_part);
        let (inbox, headed) = match frame.stream {
            0 if self.idle_log.admits(room) => (None, false),
            0 => return Ok(()),
            id => match self.link.streams.admit_log(id, room) {
                (Admission::Deliver(inbox), headed) => (Some(inbox), headed),
                (Admission::Ignore | Admission::TooMuch, _) => return Ok(()),
                (Admission::Breach(reason), _) => return Err(breach(reason)),
            },
        };
        self.budget.charge(frame_budget::price_of_line(is_part));
        let entry = self.entry(LogHead::decode(&frame.payload).map_err(|error| breach(error.to_string()))?);
        match (inbox, is_part) {
            (Some(inbox), true) => {
                self.link.hand_over(frame.stream, &inbox, ExchangeItem::Unfinished(entry), headed).await;
            }
            (Some(inbox), false) => {
                self.link.hand_over(frame.stream, &inbox, ExchangeItem::Log(entry), headed).await;
            }
            (None, true) => self.idle_log.begin(entry),
            (None, false) => self.idle_log.keep(entry),
        }
        Ok(())
    }

    /// A line within its bounds. Its time is what the sandbox says, as far as it can be true: order and retention rely on it.
    fn entry(&self, head: LogHead<'_>) -> LogEntry {
        let now = self.clock.now();
        let late = u64::try_from(LINE_DELAY.as_millis()).unwrap_or(u64::MAX);
        let earliest = self.began.max(Timestamp::from_millis(now.as_millis().saturating_sub(late))).min(now);
        let mut message = head.text.into_owned();
        if message.len() > LOG_LINE_MAX {
            message.truncate(message.floor_char_boundary(LOG_LINE_MAX));
        }
        LogEntry { at: head.at.clamp(earliest, now), level: head.level, stream: head.stream, message }
    }

    /// Ends the instance's unfinished lines: nothing comes any more.
    pub(crate) fn end_lines(&mut self) {
        self.idle_log.end(self.clock.now());
    }

    fn on_head(&mut self, frame: &Frame) -> Result<(), Stopped> {
        if frame.payload.len() > HEAD_MAX {
            self.refuse(frame.stream, HEAD_TOO_LARGE);
            return Ok(());
        }
        let inbox = match self.link.streams.admit_head(frame.stream) {
            Admission::Deliver(inbox) => inbox,
            Admission::Ignore | Admission::TooMuch => return Ok(()),
            Admission::Breach(reason) => return Err(breach(reason)),
        };
        self.budget.charge(frame_budget::price_of_json(frame.payload.len()));
        inbox.push(ExchangeItem::Head(reply_head::read(&frame.payload).map_err(breach)?));
        Ok(())
    }

    /// A reply that came in one piece, together with its end.
    async fn on_reply(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let (head, body) = frame_heads::split_reply(&frame.payload).ok_or_else(|| breach("malformed reply"))?;
        if head.len() > HEAD_MAX {
            self.refuse(frame.stream, HEAD_TOO_LARGE);
            return Ok(());
        }
        self.budget.charge(frame_budget::price_of_json(head.len()));
        let head = self.heads.read(&head).map_err(breach)?;
        // The kernel reports the pipes before it reports a socket that was written to after them, so what the run
        // wrote there is known by now, and asking again would cost two system calls.
        let now = self.clock.now();
        for pipe in &mut self.pipes {
            pipe.read(now, &mut self.lines);
            pipe.flush(now, &mut self.lines);
        }
        self.read_network();
        self.forward_lines().await;
        match self.finish(frame.stream)? {
            Some(Finished { inbox, headed: true, .. }) => {
                inbox.close();
                Err(breach("second reply head on a stream"))
            }
            Some(Finished { inbox, dropped, .. }) => {
                let body = detached(body);
                inbox.push(ExchangeItem::Reply { head, body, dropped_log_lines: dropped });
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Ends a call whose reply is over a limit, and tells the shim that its reply is not read any more.
    fn refuse(&self, stream: u32, message: impl Into<String>) {
        if let Some(Finished { inbox, dropped, .. }) = self.link.streams.give_up(stream) {
            self.link.outbox.send_cancel(stream);
            let error = FunctionError { kind: "BadReply".into(), message: message.into(), ..FunctionError::default() };
            inbox.push(ExchangeItem::End(ExchangeEnd::Raised { error, dropped_log_lines: dropped }));
        }
    }

    fn on_pong(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let number = frame.payload.as_ref().try_into().map_err(|_| breach("malformed pong"))?;
        let number = u64::from_le_bytes(number);
        if number > self.link.outbox.pings() {
            return Err(breach("answer to a ping that was not sent"));
        }
        self.link.pongs.send_if_modified(|last| {
            let is_news = number > *last;
            *last = number.max(*last);
            is_news
        });
        Ok(())
    }

    fn on_chunk(&mut self, frame: Frame) -> Result<(), Stopped> {
        if frame.payload.is_empty() {
            return Ok(());
        }
        match self.link.streams.admit_chunk(frame.stream, frame.payload.len()) {
            Admission::Deliver(inbox) => inbox.push_body(detached(frame.payload)),
            Admission::TooMuch => {
                self.refuse(frame.stream, format!("the reply is larger than {} MB", BODY_MAX >> 20));
            }
            Admission::Ignore => {}
            Admission::Breach(reason) => return Err(breach(reason)),
        }
        self.answered()
    }

    /// What the server says to the shim waits in the server until the shim reads it.
    fn answered(&self) -> Result<(), Stopped> {
        if self.link.outbox.is_ignored() { Err(breach("answers of the server are not read")) } else { Ok(()) }
    }

    /// The shim takes more of a request's body.
    fn on_credit(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let bytes = frame_heads::window(&frame.payload).ok_or_else(|| breach("malformed credit"))?;
        match self.link.streams.admit_credit(frame.stream) {
            Admission::Deliver(inbox) => inbox.add_credit(u64::from(bytes)),
            Admission::Ignore | Admission::TooMuch => {}
            Admission::Breach(reason) => return Err(breach(reason)),
        }
        Ok(())
    }

    /// The user's code publishes or sends something.
    fn on_publish(&mut self, frame: &Frame) -> Result<(), Stopped> {
        let inbox = match self.link.streams.admit_publication(frame.stream) {
            Admission::Deliver(inbox) => inbox,
            Admission::Ignore | Admission::TooMuch => return Ok(()),
            Admission::Breach(reason) => return Err(breach(reason)),
        };
        let (head, data) = frame_heads::split_reply(&frame.payload).ok_or_else(|| breach("malformed publication"))?;
        self.budget.charge(frame_budget::price_of_json(head.len()));
        let reply = publication::reply(&self.link, frame.stream);
        if head.len() > HEAD_MAX {
            reply.answer(Err(publication::too_large(HEAD_MAX)));
        } else {
            let publication =
                publication::read(&head, detached(data)).ok_or_else(|| breach("malformed publication"))?;
            inbox.push(ExchangeItem::Publish(Box::new(Publishing { publication, reply })));
        }
        self.answered()
    }

    /// Takes a run that ends out of the streams.
    fn finish(&self, stream: u32) -> Result<Option<Finished>, Stopped> {
        if let Some(network) = &self.network {
            network.run_ended();
        }
        self.link.streams.finish(stream).map_err(breach)
    }

    async fn on_end(&mut self, frame: &Frame) -> Result<(), Stopped> {
        if frame.payload.len() > END_MAX {
            return Err(breach("an end that is too long"));
        }
        self.budget.charge(frame_budget::price_of_json(frame.payload.len()));
        let end: EndHead = match &*frame.payload {
            [] => EndHead::default(),
            json => serde_json::from_slice(json).map_err(|_| breach("malformed end"))?,
        };
        // What the run wrote to a pipe was written before this end.
        self.drain_pipes().await;
        let Some(Finished { inbox, dropped, .. }) = self.finish(frame.stream)? else {
            return Ok(());
        };
        let dropped_log_lines = dropped.saturating_add(end.dropped.min(DROPPED_MAX));
        let end = match (end.rejected, end.raised) {
            (Some(message), _) => ExchangeEnd::Rejected { message: cut(message, ERROR_MESSAGE_MAX) },
            (None, Some(error)) => {
                // What the sandbox says of this counts for nothing.
                let denial = self.network.as_ref().and_then(|network| network.cause_of(frame.stream, &error));
                ExchangeEnd::Raised { error: FunctionError { denial, ..error }.bounded(), dropped_log_lines }
            }
            (None, None) => ExchangeEnd::Complete { dropped_log_lines },
        };
        inbox.push(ExchangeItem::End(end));
        Ok(())
    }

    async fn read_pipe(&mut self, index: usize) {
        self.pipes[index].read(self.clock.now(), &mut self.lines);
        self.forward_lines().await;
        // When the run's time is over, the part of a line that is in the pipe is not read.
        if let Some(run) = self.link.streams.sole()
            && let Some(part) = self.pipes[index].take_unfinished(self.clock.now())
        {
            self.budget.charge(frame_budget::price_of_line(true));
            let room = frame_budget::room_of_line(part.message.len(), true);
            if let (Admission::Deliver(inbox), headed) = self.link.streams.admit_log(run, room) {
                self.link.hand_over(run, &inbox, ExchangeItem::Unfinished(part), headed).await;
            }
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
        self.read_network();
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
            let room = frame_budget::room_of_line(entry.message.len(), false);
            let admission = match run {
                Some(id) => self.link.streams.admit_log(id, room),
                None if self.idle_log.admits(room) => {
                    self.budget.charge(frame_budget::price_of_line(false));
                    self.idle_log.keep(entry);
                    continue;
                }
                None => (Admission::Ignore, false),
            };
            match (run, admission) {
                (Some(id), (Admission::Deliver(inbox), headed)) => {
                    self.budget.charge(frame_budget::price_of_line(false));
                    self.link.hand_over(id, &inbox, ExchangeItem::Log(entry), headed).await;
                }
                _ => self.budget.charge(frame_budget::price_of_dropped_line()),
            }
        }
    }
}

fn breach(reason: impl Into<String>) -> Stopped {
    Stopped::Breach(reason.into())
}
