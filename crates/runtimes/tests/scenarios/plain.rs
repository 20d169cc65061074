//! A sandbox that confines nothing: a plain process, its paths translated to where the layers lie.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use async_trait::async_trait;
use faas_ports::{
    OpenSandbox, PortError, PortResult, SandboxControl, SandboxExit, SandboxSpec, SandboxUsage, Sandboxes,
};
use faas_types::{IsolationLevel, IsolationReport};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::sync::watch;

pub(crate) struct PlainSandboxes {
    report: IsolationReport,
}

struct PlainControl {
    group: Pid,
    exit: watch::Receiver<Option<SandboxExit>>,
}

// === impl PlainSandboxes ===

impl PlainSandboxes {
    pub(crate) fn new() -> Self {
        Self { report: IsolationReport::from_probes(Vec::new()) }
    }

    fn start(spec: &SandboxSpec) -> io::Result<OpenSandbox> {
        let (ours, theirs) = UnixStream::pair()?;
        let (stdout, stdout_writer) = io::pipe()?;
        let (stderr, stderr_writer) = io::pipe()?;
        let argv: Vec<String> = spec.argv.iter().map(|argument| translate(spec, argument)).collect();
        // A shell moves the socket from standard input to descriptor 3.
        let mut child = tokio::process::Command::new("/bin/sh")
            .args(["-c", "exec 3<&0 0</dev/null; exec \"$@\"", "sh"])
            .args(argv)
            .env_clear()
            .envs(spec.env.iter().cloned())
            .current_dir(translate(spec, &spec.cwd.to_string_lossy()))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(stdout_writer)
            .stderr(stderr_writer)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).ok_or_else(|| io::Error::other("ended at once"))?;
        let group = Pid::from_raw(id);
        let (sender, exit) = watch::channel(None);
        tokio::spawn(async move {
            let status = child.wait().await.expect("a child can be waited for");
            let _ = killpg(group, Signal::SIGKILL);
            let usage = SandboxUsage::default();
            let exit = SandboxExit { code: status.code(), signal: status.signal(), out_of_memory: false, usage };
            sender.send_replace(Some(exit));
        });
        let control = Box::new(PlainControl { group, exit });
        Ok(OpenSandbox { channel: ours.into(), stdout: stdout.into(), stderr: stderr.into(), control, network: None })
    }
}

#[async_trait]
impl Sandboxes for PlainSandboxes {
    async fn open(&self, spec: SandboxSpec) -> PortResult<OpenSandbox> {
        Self::start(&spec).map_err(|error| PortError::io("starting a plain process", error))
    }

    fn report(&self) -> &IsolationReport {
        &self.report
    }
}

// === impl PlainControl ===

#[async_trait]
impl SandboxControl for PlainControl {
    fn level(&self) -> IsolationLevel {
        IsolationLevel::Process
    }

    fn usage(&self) -> SandboxUsage {
        SandboxUsage::default()
    }

    fn kill(&self) {
        if self.exit.borrow().is_none() {
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }

    async fn wait(&self) -> SandboxExit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.expect("the waiting task sends before it ends");
        ended.expect("waited for")
    }
}

impl Drop for PlainControl {
    fn drop(&mut self) {
        self.kill();
    }
}

fn translate(spec: &SandboxSpec, text: &str) -> String {
    let path = Path::new(text);
    let mounted =
        spec.mounts.iter().find_map(|mount| Some(join(&mount.source, path.strip_prefix(&mount.target).ok()?)));
    let in_root = || Some(join(&spec.root, path.strip_prefix("/").ok()?));
    mounted.or_else(in_root).map_or_else(|| text.to_owned(), |path| path.to_string_lossy().into_owned())
}

fn join(base: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { base.to_owned() } else { base.join(below) }
}
