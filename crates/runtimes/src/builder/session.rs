//! One build, from the job to the tree.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faas_ports::{LogEntry, OpenSandbox, PortError, PortResult, SandboxControl, SandboxExit};
use faas_proto::build::{BuildFrame, BuildKind, DoneHead, JobHead, PAYLOAD_MAX, PackageHead, encode};
use faas_types::{Bundle, Code, Fault, InstalledPackage, LogStream, Timestamp};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::BuilderPorts;
use super::failed::Failed;
use super::file_collector::FileCollector;
use super::journal::Journal;
use super::tunnels::Tunnels;
use crate::channel::{self, detached};
use crate::frame_budget::{self, FrameBudget};
use crate::pipes::Pipe;

/// Bytes asked of the socket at once.
const READ_LEN: usize = 64 << 10;
/// The server's time for a line of the log, and for the other frames.
const LINE: Duration = Duration::from_micros(5);
const FRAME: Duration = Duration::from_micros(1);
/// Frames that wait for the program before their senders do.
const OUTBOX: usize = 64;
/// Packages that are named.
const PACKAGES_MAX: usize = 2_000;
/// Bytes of a package's name and version.
const NAME_MAX: usize = 200;

/// The server's side of one build. Dropping it kills the sandbox.
pub(super) struct Session {
    socket: pipe::Receiver,
    budget: FrameBudget,
    buffer: BytesMut,
    pipes: [Pipe; 2],
    control: Box<dyn SandboxControl>,
    outbox: mpsc::Sender<Bytes>,
    writer: JoinHandle<()>,
    tunnels: Tunnels,
    collector: FileCollector,
    pub(super) journal: Journal,
}

/// Installed packages.
pub(super) struct Outcome {
    pub(super) bundle: Bundle,
    pub(super) packages: Vec<InstalledPackage>,
    pub(super) skipped_install_scripts: Vec<String>,
}

// === impl Session ===

impl Session {
    pub(super) fn new(
        sandbox: OpenSandbox,
        ports: &BuilderPorts,
        secrets: Vec<String>,
        journal: Journal,
    ) -> PortResult<Self> {
        let failed = |error: io::Error| PortError::failed("taking over a build's channels", error);
        let (socket, writing) = channel::split(sandbox.channel).map_err(failed)?;
        let writing = UnixStream::from_std(writing).map_err(failed)?;
        let pipes = [
            Pipe::new(sandbox.stdout, LogStream::Stdout).map_err(failed)?,
            Pipe::new(sandbox.stderr, LogStream::Stderr).map_err(failed)?,
        ];
        let (outbox, frames) = mpsc::channel(OUTBOX);
        Ok(Self {
            socket,
            budget: FrameBudget::new(),
            buffer: BytesMut::new(),
            pipes,
            control: sandbox.control,
            tunnels: Tunnels::new(ports.egress.clone(), outbox.clone()),
            outbox,
            writer: tokio::spawn(write(writing, frames)),
            collector: FileCollector::new(ports.blobs.clone(), secrets),
            journal,
        })
    }

    /// Drives the build to its end.
    pub(super) async fn run(&mut self, job: &JobHead<'_>) -> Result<Outcome, Failed> {
        let content = serde_json::to_vec(job).map_err(|error| Failed::Breach(error.to_string()))?;
        if content.len() > PAYLOAD_MAX {
            let message = "the files that ask for packages are too large to be handed over";
            return Err(Failed::Fault(Box::new(Fault::new(Code::PayloadTooLarge, message))));
        }
        // Without a reader, the next frame is missed.
        let _ = self.outbox.send(encode(BuildKind::Job, 0, &content)).await;
        loop {
            let BuildFrame { kind, stream, payload } = self.next_frame().await?;
            let done = match kind {
                BuildKind::Open => self.tunnels.open(stream, head(&payload)?),
                BuildKind::Send => self.tunnels.send(stream, detached(payload)),
                BuildKind::Taken => self.tunnels.taken(stream, &payload),
                BuildKind::File => self.collector.begin(head(&payload)?).await.map(Ok)?,
                BuildKind::Content => self.collector.take(&payload).await.map(Ok)?,
                BuildKind::Closed => {
                    self.tunnels.close(stream);
                    Ok(())
                }
                BuildKind::Log => {
                    self.journal.line(&payload);
                    Ok(())
                }
                BuildKind::Done => {
                    let DoneHead { packages, skipped_install_scripts } = head(&payload)?;
                    let (packages, skipped_install_scripts) = (named(packages), fit(skipped_install_scripts));
                    return Ok(Outcome { bundle: self.collector.finish().await?, packages, skipped_install_scripts });
                }
                BuildKind::Failed => return Err(Failed::Told(self.journal.clean(&payload))),
                _ => Err("a frame of the server's"),
            };
            done.map_err(|why| Failed::Breach(why.to_owned()))?;
        }
    }

    /// Ends the sandbox, by force after `patience`. Nothing is left of it then.
    pub(super) async fn end(&mut self, patience: Duration) -> SandboxExit {
        if tokio::time::timeout(patience, self.control.wait()).await.is_err() {
            self.control.kill();
        }
        let exit = self.control.wait().await;
        for index in 0..self.pipes.len() {
            self.read_pipe(index);
        }
        exit
    }

    /// The next frame from the program. Keeps pipes and connections going meanwhile.
    async fn next_frame(&mut self) -> Result<BuildFrame, Failed> {
        loop {
            let pause = self.budget.pause();
            if pause.is_none() {
                match BuildFrame::decode(&mut self.buffer) {
                    Ok(Some(frame)) => {
                        self.budget.charge(price(frame.kind, frame.payload.len()));
                        return Ok(frame);
                    }
                    Ok(None) => {}
                    Err(error) => return Err(Failed::Breach(error.to_string())),
                }
                self.buffer.reserve(READ_LEN);
            }
            let [stdout, stderr] = &self.pipes;
            tokio::select! {
                count = self.socket.read_buf(&mut self.buffer), if pause.is_none() => {
                    if !count.is_ok_and(|count| count > 0) {
                        return Err(Failed::Gone);
                    }
                }
                () = stdout.readable(), if pause.is_none() => self.read_pipe(0),
                () = stderr.readable(), if pause.is_none() => self.read_pipe(1),
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
                why = self.tunnels.ended() => why.into_iter().for_each(|why| self.journal.note(why)),
            }
        }
    }

    fn read_pipe(&mut self, index: usize) {
        let mut lines: Vec<LogEntry> = Vec::new();
        self.pipes[index].read(Timestamp::default(), &mut lines);
        lines.iter().for_each(|_| self.budget.charge(LINE));
        lines.iter().for_each(|entry| self.journal.line(entry.message.as_bytes()));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.writer.abort();
        self.control.kill();
    }
}

/// The server time that a frame costs; contents of files are what a build is for.
fn price(kind: BuildKind, length: usize) -> Duration {
    match kind {
        BuildKind::Log => LINE,
        BuildKind::Content | BuildKind::Send => FRAME,
        _ => FRAME + frame_budget::price_of_json(length),
    }
}

async fn write(mut socket: UnixStream, mut frames: mpsc::Receiver<Bytes>) {
    while let Some(frame) = frames.recv().await {
        // A broken socket is seen by the reader.
        if socket.write_all(&frame).await.is_err() {
            return;
        }
    }
}

fn head<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failed> {
    // The parser's own words quote what the sandbox sent, at any length.
    let malformed = |error: serde_json::Error| Failed::Breach(format!("malformed head at byte {}", error.column()));
    serde_json::from_slice(payload).map_err(malformed)
}

fn is_fit(text: &str) -> bool {
    text.len() <= NAME_MAX && !text.chars().any(char::is_control)
}

/// Names, as far as they are names.
fn fit(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| is_fit(name)).take(PACKAGES_MAX).collect()
}

/// The largest first, as far as their names are names.
fn named(heads: Vec<PackageHead>) -> Vec<InstalledPackage> {
    let fit = heads.into_iter().filter(|head| is_fit(&head.name) && is_fit(&head.version)).take(PACKAGES_MAX);
    let mut packages: Vec<InstalledPackage> =
        fit.map(|PackageHead { name, version, size }| InstalledPackage { name, version, size }).collect();
    packages.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    packages
}
