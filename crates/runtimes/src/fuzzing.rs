//! Feeds a driver with whatever a sandbox might send, and says what that has cost.
//!
//! The fuzzer below `fuzz/` and the tests call the same function. An input is a list of steps, so that frames that pass the
//! first checks are as likely as noise; every input means something.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use faas_ports::{
    ExchangeItem, Invocation, InvocationBody, OpenSandbox, SandboxControl, SandboxExit, SandboxUsage, SystemClock,
};
use faas_proto::frame::{self, FrameKind};
use faas_types::{IsolationLevel, RunId, Timestamp};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::driver::Driver;
use crate::exchange::Exchange;

/// Streams that are open: one is read, one up to its head, one was given up, and one has a body under way.
const STREAMS: u8 = 4;
/// Bytes that one input sends.
const SENT_MAX: usize = 8 << 20;
/// Bytes of one payload.
const PAYLOAD_MAX: usize = 70_000;
/// Heads that parse, beside the input's own bytes.
const HEADS: [&str; 8] = [
    r#"{"status":200,"headers":[]}"#,
    r#"{"status":200,"headers":[["x-a","b"]],"length":10485760}"#,
    r#"{"dropped":18446744073709551615,"raised":{"type":"E","message":"m","stack":["a"]}}"#,
    r#"{"rejected":"no"}"#,
    "\u{2}\0\0\0{}",
    "\u{1b}\0\0\0{\"status\":200,\"headers\":[]}body",
    "\u{19}\0\0\0{\"kind\":\"event\",\"type\":\"t\"}data",
    "\u{1}\u{1}\0\0\u{ff}\u{ff}\u{ff}\u{ff}\0\0\0\0line",
];

/// What an input has cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Bytes that the sandbox sent.
    pub sent: usize,
    /// Processor time of the thread that drove it and sent the bytes.
    pub processor: Duration,
    /// Time that passed for the driver, pauses included.
    pub passed: Duration,
    /// The most memory that the process has held so far, in bytes.
    pub peak_memory: u64,
}

/// A sandbox that lives until its input is over or the driver kills it.
struct Fed(watch::Sender<bool>);

/// Reads an input as steps.
struct Steps<'a>(&'a [u8]);

/// What the sandbox does next.
enum Step {
    Channel(Vec<u8>, usize),
    Output(Vec<u8>, usize),
}

// === impl Fed ===

#[async_trait]
impl SandboxControl for Fed {
    fn level(&self) -> IsolationLevel {
        IsolationLevel::Process
    }

    fn usage(&self) -> SandboxUsage {
        SandboxUsage::default()
    }

    fn kill(&self) {
        self.0.send_replace(true);
    }

    async fn wait(&self) -> SandboxExit {
        let mut over = self.0.subscribe();
        // The sender is here.
        let _ = over.wait_for(|over| *over).await;
        SandboxExit { code: Some(0), signal: None, out_of_memory: false, usage: SandboxUsage::default() }
    }
}

// === impl Steps ===

impl Steps<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }

    fn payload(&mut self) -> Option<Vec<u8>> {
        let choice = self.byte()?;
        Some(match choice % 16 {
            head @ 0..8 => HEADS[usize::from(head)].as_bytes().to_vec(),
            8 => Vec::new(),
            9..=11 => {
                let length = usize::from(self.byte()?);
                self.bytes(length)
            }
            12 => u32::from(self.byte()?).wrapping_mul(0x0101_0101).to_le_bytes().to_vec(),
            13 => u64::from(self.byte()?).to_le_bytes().to_vec(),
            _ => vec![self.byte()?; usize::from(self.byte()?) * PAYLOAD_MAX / 256],
        })
    }

    fn times(&mut self) -> Option<usize> {
        Some(match self.byte()? {
            few @ 0..192 => usize::from(few % 4) + 1,
            many => usize::from(many - 191) * 200,
        })
    }

    fn step(&mut self) -> Option<Step> {
        let choice = self.byte()?;
        if choice < 200 {
            let kind = FrameKind::ALL[usize::from(choice) % FrameKind::ALL.len()];
            let place = self.byte()?;
            let (stream, payload) = (u32::from(place % (STREAMS + 2)), self.payload()?);
            let mut wire = BytesMut::new();
            frame::encode(&mut wire, kind, place >= 128, stream, &payload);
            return Some(Step::Channel(wire.to_vec(), self.times()?));
        }
        let payload = self.payload()?;
        let times = self.times()?;
        Some(if choice < 210 { Step::Channel(payload, times) } else { Step::Output(payload, times) })
    }
}

/// Drives one instance through an input, to its end.
///
/// # Panics
/// When the process can have no sockets or pipes, and when the driver does not come to its end.
pub async fn drive(input: &[u8]) -> Cost {
    let (begun, work) = (tokio::time::Instant::now(), processor_time());
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("sockets");
    let ((stdout, out), (stderr, err)) = (io::pipe().expect("a pipe"), io::pipe().expect("a pipe"));
    let over = watch::Sender::new(false);
    let sandbox = OpenSandbox {
        channel: ours.into(),
        stdout: stdout.into(),
        stderr: stderr.into(),
        control: Box::new(Fed(over.clone())),
        network: None,
    };
    let (driver, mut logs) = Driver::new(sandbox, Arc::new(SystemClock), None).expect("registered");
    let link = driver.link().clone();
    let mut streams: Vec<Exchange> = (0..STREAMS)
        .map(|n| Exchange::begin(&link.streams, &link.outbox, invocation(n + 1 == STREAMS), true))
        .collect();
    let (mut uploading, mut idle, mut read) = (streams.remove(3), streams.remove(1), streams.remove(0));
    // The one that is given up.
    drop(streams);
    let serving = tokio::spawn(driver.serve());
    let reading = tokio::spawn(async move {
        while let Some(item) = futures_util::stream::select(&mut read, &mut uploading).next().await {
            if let ExchangeItem::Publish(publishing) = item {
                publishing.reply.answer(Ok("evt_1".to_owned()));
            }
        }
    });
    // A caller waits for the head and may then take nothing.
    let idling = tokio::spawn(async move {
        while let Some(item) = idle.next().await {
            if matches!(item, ExchangeItem::Head(_)) {
                break;
            }
        }
        idle
    });
    let listening = tokio::spawn(async move { while logs.recv().await.is_some() {} });
    let sent = send(input, theirs, out, &mut over.subscribe()).await;
    drop(err);
    over.send_replace(true);
    serving.await.expect("the driver does not panic");
    reading.await.expect("the callers see the end");
    listening.await.expect("the log ends with the instance");
    drop(idling.await.expect("the caller waits"));
    Cost { sent, processor: processor_time().saturating_sub(work), passed: begun.elapsed(), peak_memory: peak_memory() }
}

async fn send(
    input: &[u8],
    channel: std::os::unix::net::UnixStream,
    output: io::PipeWriter,
    over: &mut watch::Receiver<bool>,
) -> usize {
    channel.set_nonblocking(true).expect("a socket");
    let mut channel = UnixStream::from_std(channel).expect("registered");
    let mut output = pipe::Sender::from_owned_fd(output.into()).expect("registered");
    let (mut steps, mut sent) = (Steps(input), 0);
    while let Some(step) = steps.step() {
        let (Step::Channel(bytes, times) | Step::Output(bytes, times)) = &step;
        let all = bytes.repeat((*times).min((SENT_MAX - sent) / bytes.len().max(1)));
        sent += all.len();
        let writing = async {
            match &step {
                Step::Channel(..) => channel.write_all(&all).await,
                Step::Output(..) => output.write_all(&all).await,
            }
        };
        tokio::select! {
            written = writing => if written.is_err() { break },
            _ = over.wait_for(|over| *over) => break,
        }
    }
    sent
}

fn invocation(has_body: bool) -> Invocation {
    let body = if has_body {
        let parts: BoxStream<'static, _> = stream::repeat_with(|| Ok(Bytes::from_static(&[7; 64 << 10]))).boxed();
        InvocationBody::Stream(parts)
    } else {
        InvocationBody::Whole(Bytes::from_static(b"body"))
    };
    Invocation {
        run: RunId::from_u128(1),
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body,
        deadline: Timestamp::default(),
    }
}

fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("of this thread");
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() << 10
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Inputs that are made up for each run of the test, always the same.
    const MADE_UP: u64 = 300;
    /// What the process may hold on top of what it held at first: windows, lines and queues of four streams.
    const MEMORY: u64 = 48 << 20;
    /// How much more processor time an input may take than its time allows, since this build is not an optimised one and
    /// sending is part of it.
    const SLOWNESS: u32 = 6;

    /// A number from the one before.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    fn made_up(seed: u64) -> Vec<u8> {
        let mut state = seed;
        let length = next(&mut state) % 600;
        (0..length).map(|_| next(&mut state).to_le_bytes()[0]).collect()
    }

    fn stored() -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let mut found: Vec<_> = fs::read_dir(folder)
            .expect("a corpus")
            .map(|entry| entry.expect("readable").path())
            .map(|path| (path.display().to_string(), fs::read(path).expect("readable")))
            .collect();
        found.sort();
        found
    }

    async fn check(name: &str, input: &[u8], held_before: u64) {
        let driving = tokio::time::timeout(Duration::from_secs(24 * 3_600), drive(input));
        let cost = driving.await.unwrap_or_else(|_| panic!("{name}: no end"));
        let allowed = Duration::from_millis(50) + SLOWNESS * (cost.passed / 10 + Duration::from_millis(500));
        assert!(cost.processor < allowed, "{name}: {cost:?}");
        assert!(cost.peak_memory - held_before < MEMORY, "{name}: {cost:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_that_a_sandbox_sends_takes_more_than_its_share() {
        check("empty", &[], 0).await;
        let held = peak_memory();
        for (name, input) in stored() {
            check(&name, &input, held).await;
        }
        for seed in 0..MADE_UP {
            check(&format!("seed {seed}"), &made_up(seed), held).await;
        }
    }
}
