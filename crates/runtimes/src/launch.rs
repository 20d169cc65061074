//! One launch: from a sealed runtime to a ready instance, or to nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use faas_ports::{
    Assignment, Clock, InstanceLogs, InstanceSpec, LaunchTimings, Launched, NetworkDevice, Networks, PortError,
    SandboxExit, StartPath,
};
use faas_proto::frame::{self, FrameKind, PROTOCOL_VERSION};
use faas_proto::frame_heads::{self, DebuggerHead, InitHead, ReadyHead};
use faas_types::limits::{ASYNC_CONCURRENCY, BODY_MAX, BUNDLE_PATH_MAX, LOG_BYTES_PER_RUN, LOG_LINE_MAX};
use faas_types::{
    Allowance, Code, Executed, Fault, Feature, FunctionError, IsolationLevel, IsolationReport, NetworkMode, Reason, cut,
};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::channel::detached;
use crate::debugger::{door, led_away};
use crate::driver::Driver;
use crate::instance::LiveInstance;
use crate::link::Stopped;
use crate::network::InstanceNetwork;
use crate::outbox::Queued;
use crate::runtime_profile::RuntimeProfile;
use crate::warm_instance::{WarmInstance, hello};
use crate::warm_pool::WarmPool;

/// Prefix of variables that the platform owns.
const RESERVED: &str = "FAAS_";
/// Lines of raw output that explain an instance's end before it was ready.
const LAST_WORDS: usize = 12;
/// Bytes of them together.
const LAST_WORDS_MAX: usize = 4 << 10;

/// Compiled files that are taken over, and their bytes; more are left to be compiled at each start.
const BYTECODE_FILES: usize = 5_000;
const BYTECODE_BYTES: usize = 64 << 20;

/// What a launch needs.
pub(crate) struct Launch {
    pub(crate) profile: Arc<RuntimeProfile>,
    pub(crate) spec: InstanceSpec,
    /// The layer with the debugger's package.
    pub(crate) debugger: Option<PathBuf>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) networks: Arc<dyn Networks>,
}

/// Why an opened sandbox did not become an instance.
enum NotReady {
    Failed(Box<FunctionError>),
    Stopped(Stopped),
    Late,
    /// Debuggers are led to a newer version, or the end has come.
    Superseded,
}

/// A sandbox with the runtime in it.
struct Started {
    driver: Driver,
    logs: InstanceLogs,
    path: StartPath,
    /// Before the function's code is there, it is unused.
    device: Option<NetworkDevice>,
}

/// A runtime that has loaded its function.
struct Handshaken {
    ready: ReadyHead,
    timings: LaunchTimings,
    bytecode: Vec<(String, Bytes)>,
}

// === impl Launch ===

impl Launch {
    pub(crate) async fn run(self, pool: &WarmPool) -> Result<Launched, Fault> {
        let _start = pool.begin();
        let begun = Instant::now();
        let deadline = tokio::time::Instant::now() + self.spec.init_timeout;
        let starting = tokio::time::timeout_at(deadline, self.start(pool));
        let Started { mut driver, mut logs, path, device } = starting.await.map_err(|_| self.late())??;
        if let Some(device) = device {
            let attaching = InstanceNetwork::attach(&*self.networks, device, &self.spec);
            let network = tokio::time::timeout_at(deadline, attaching).await.map_err(|_| self.late_network())??;
            driver.join(network);
        }
        let timings = LaunchTimings { path, sandbox: begun.elapsed(), ..LaunchTimings::default() };
        let handshake = tokio::time::timeout_at(deadline, self.handshake(&mut driver, timings));
        let outcome = tokio::select! {
            outcome = handshake => outcome,
            () = led_away(&self.spec) => Ok(Err(NotReady::Superseded)),
        };
        match outcome.unwrap_or(Err(NotReady::Late)) {
            Ok(Handshaken { ready, timings, bytecode }) => {
                pool.counters.started(path);
                let concurrency = ready.concurrency.clamp(1, concurrency_max(&self.spec));
                let (id, streams_bodies, link) = (self.spec.id, ready.streams, driver.link().clone());
                let instance = LiveInstance { id, concurrency, streams_bodies, link };
                tracing::debug!(instance = %self.spec.id, contract = ready.contract, ?timings, "instance ready");
                // Ends with the sandbox, which the instance's drop kills.
                tokio::spawn(driver.serve());
                Ok(Launched { instance: Arc::new(instance), logs, timings, bytecode })
            }
            Err(reason) => {
                let patience = match &reason {
                    NotReady::Stopped(stopped) => stopped.patience(),
                    NotReady::Failed(_) | NotReady::Late | NotReady::Superseded => Duration::ZERO,
                };
                let exit = driver.link().end(patience).await;
                driver.drain_pipes().await;
                driver.end_lines();
                let exit = driver.link().judged(exit);
                drop(driver);
                Err(self.fault(reason, exit, &mut logs))
            }
        }
    }

    /// The quickest way to a sandbox of this function's with the runtime in it.
    async fn start(&self, pool: &WarmPool) -> Result<Started, Fault> {
        // What waits has the ordinary allowance and lets no debugger in. What cannot be had is refused by the ordinary way,
        // with its reason.
        if self.spec.inspection.is_none()
            && self.spec.settings.limits == Allowance::default()
            && can_have(self.spec.settings.network, pool.sandboxes.report())
            && let Some(started) = self.start_warm(pool).await
        {
            return Ok(started);
        }
        let spec = match &self.spec.inspection {
            Some(_) => self.profile.inspected_spec(self.spec.sandbox, &self.spec, self.debugger.as_deref()),
            None => self.profile.spec_of(self.spec.sandbox, &self.spec),
        };
        let mut sandbox = pool.sandboxes.open(spec).await?;
        let device = sandbox.network.take();
        let starving = self.profile.found.recipe.start.out_of_memory.clone();
        let (driver, logs) = Driver::new(sandbox, self.clock.clone(), starving)?;
        Ok(Started { driver, logs, path: StartPath::Exec, device })
    }

    async fn start_warm(&self, pool: &WarmPool) -> Option<Started> {
        while let Some(waiting) = pool.take(&self.profile.key) {
            if let Some(started) = self.assign(pool, waiting, StartPath::Parked).await {
                return Some(started);
            }
            if self.spec.settings.network == NetworkMode::Egress {
                // What keeps one from its network keeps all others from theirs, and each try uses one up.
                return None;
            }
        }
        match pool.fork(&self.profile).await? {
            Ok(waiting) => self.assign(pool, waiting, StartPath::Zygote).await,
            Err(error) => {
                self.note_fallback(pool, "fork", &error);
                None
            }
        }
    }

    async fn assign(&self, pool: &WarmPool, waiting: WarmInstance, path: StartPath) -> Option<Started> {
        match waiting.assign(self.assignment()).await {
            Ok((driver, logs, device)) => Some(Started { driver, logs, path, device }),
            Err(error) => {
                self.note_fallback(pool, "assign", &error);
                None
            }
        }
    }

    fn assignment(&self) -> Assignment {
        let settings = &self.spec.settings;
        Assignment {
            mounts: self.profile.mounts_of(&self.spec),
            memory_bytes: settings.memory.bytes(),
            cpu_millis: settings.cpu_millis,
            network: settings.network,
            min_isolation: settings.min_isolation,
        }
    }

    fn note_fallback(&self, pool: &WarmPool, reason: &'static str, error: &PortError) {
        tracing::debug!(runtime = %self.profile.key.runtime, reason, %error, "an instance starts by a longer way");
        pool.counters.fell_back(reason);
    }

    /// From a running runtime to a ready instance. One that was parked has said hello before.
    async fn handshake(&self, driver: &mut Driver, started: LaunchTimings) -> Result<Handshaken, NotReady> {
        let opened = Instant::now();
        let level = driver.link().control.level();
        driver.link().outbox.send([Queued::invocation(0, self.init_frames(level).freeze())]);
        if started.path == StartPath::Exec {
            hello(driver).await.map_err(NotReady::Stopped)?;
        }
        let runtime = if started.path == StartPath::Exec { opened.elapsed() } else { Duration::ZERO };
        let (mut bytecode, mut bytecode_bytes) = (Vec::new(), 0);
        loop {
            let frame = driver.next_frame().await.map_err(NotReady::Stopped)?;
            match frame.kind {
                FrameKind::Chunk if self.spec.bytecode && frame.stream == 0 => {
                    let (path, content) =
                        frame_heads::split_file(&frame.payload).ok_or_else(|| breach("malformed file"))?;
                    bytecode_bytes += frame.payload.len();
                    let fits = bytecode.len() < BYTECODE_FILES && bytecode_bytes <= BYTECODE_BYTES;
                    if fits && path.len() <= BUNDLE_PATH_MAX {
                        bytecode.push((path, detached(content)));
                    }
                }
                FrameKind::Debugger if frame.stream == 0 => self.open_door(driver, &frame.payload)?,
                FrameKind::Log if frame.stream == 0 => driver.on_log(&frame).await.map_err(NotReady::Stopped)?,
                FrameKind::Ready => {
                    driver.drain_pipes().await;
                    let import = opened.elapsed() - runtime;
                    let timings = LaunchTimings { runtime, import, ..started };
                    return Ok(Handshaken { ready: head(&frame.payload)?, timings, bytecode });
                }
                FrameKind::Failed => {
                    let error: FunctionError = head(&frame.payload)?;
                    // What the sandbox says of refusals counts for nothing.
                    let error = FunctionError { denial: None, ..error };
                    return Err(NotReady::Failed(Box::new(error.bounded())));
                }
                other => return Err(breach(&format!("{other:?} frame before ready"))),
            }
        }
    }

    /// Tells where a debugger can attach, where one is to be let in.
    fn open_door(&self, driver: &Driver, payload: &[u8]) -> Result<(), NotReady> {
        let inspection = self.spec.inspection.as_ref().ok_or_else(|| breach("a debugger that nobody asked for"))?;
        let port = payload.try_into().map(u16::from_le_bytes).map_err(|_| breach("malformed port of a debugger"))?;
        inspection.newest.send_replace(Some(door(&driver.link().control, &self.spec, port)));
        Ok(())
    }

    /// The directory with the debugger's package as the program sees it.
    fn debugger_place(&self, level: IsolationLevel) -> Option<&str> {
        match level {
            IsolationLevel::Process => self.debugger.as_ref()?.to_str(),
            _ => self.debugger.as_ref().and(self.profile.found.recipe.debugger_target()),
        }
    }

    fn init_frames(&self, level: IsolationLevel) -> BytesMut {
        let spec = &self.spec;
        let version = spec.version.to_string();
        let mut vars: BTreeMap<&str, &str> = spec.vars.iter().filter(|(name, _)| !name.starts_with(RESERVED)).collect();
        vars.insert("FAAS_FUNCTION", spec.function.as_str());
        vars.insert("FAAS_VERSION", &version);
        vars.insert("FAAS_RUNTIME", self.profile.found.description.name.as_str());
        let init = InitHead {
            protocol: PROTOCOL_VERSION,
            entrypoint: spec.settings.entrypoint.as_str(),
            function: spec.function.as_str(),
            version: spec.version,
            memory_mb: spec.settings.memory.bytes() >> 20,
            concurrency: concurrency_max(spec),
            vars,
            log_bytes: LOG_BYTES_PER_RUN,
            log_line: LOG_LINE_MAX,
            body_max: BODY_MAX,
            layers: spec.layers.iter().flat_map(|stack| &stack.layers).map(|(name, _)| name.as_str()).collect(),
            bytecode: spec.bytecode,
            debugger: spec
                .inspection
                .as_ref()
                .map(|inspection| DebuggerHead { waits: inspection.waits, package: self.debugger_place(level) }),
        };
        let content = Zeroizing::new(serde_json::to_vec(&init).expect("strings and numbers always serialise"));
        let mut frames = BytesMut::new();
        frame::encode_spread(&mut frames, FrameKind::Init, 0, &content);
        frames
    }

    fn fault(&self, reason: NotReady, exit: SandboxExit, logs: &mut InstanceLogs) -> Fault {
        if exit.out_of_memory {
            let message =
                format!("the function used more than its {} of memory while it loaded", self.spec.settings.memory);
            return Fault::new(Code::MemoryExceeded, message)
                .with_hint("raise `memory` in the manifest")
                .with_executed(Executed::No);
        }
        match reason {
            NotReady::Late => self.late(),
            NotReady::Superseded => {
                Fault::new(Code::Unavailable, "a newer version took over before this one was loaded")
                    .with_retry_after(1)
            }
            NotReady::Failed(error) => {
                let message = format!("the function did not load: {}: {}", error.kind, error.message);
                let words = if error.hint.is_none() { last_words(logs) } else { String::new() };
                let fault = Fault::new(Reason::FunctionError, message).with_function_error(*error);
                let fault = fault.with_executed(Executed::No);
                if words.is_empty() { fault } else { fault.with_hint(format!("it last wrote: {words}")) }
            }
            NotReady::Stopped(stopped) => {
                let how = match (&stopped, exit.signal, exit.code) {
                    (Stopped::Breach(reason), ..) => format!("broke the instance protocol: {reason}"),
                    // After a closed socket the tree was killed by us, which tells nothing.
                    (Stopped::Gone, Some(signal), _) if signal != 9 => format!("was ended by signal {signal}"),
                    (Stopped::Gone, _, Some(code)) => format!("exited with status {code}"),
                    (Stopped::Gone, ..) => "ended".to_owned(),
                };
                let words = last_words(logs);
                let fault = Fault::new(Code::RuntimeError, format!("the function {how} while it loaded"));
                let fault = fault.with_executed(Executed::No);
                if words.is_empty() { fault } else { fault.with_hint(format!("it last wrote: {words}")) }
            }
        }
    }

    fn late_network(&self) -> Fault {
        let seconds = self.spec.init_timeout.as_secs();
        Fault::new(Code::ColdStartTimeout, format!("the function's network was not there within {seconds} s"))
            .with_command_hint("see the server's log for the process of functions' network, and `faas doctor`")
    }

    fn late(&self) -> Fault {
        let seconds = self.spec.init_timeout.as_secs();
        Fault::new(Code::ColdStartTimeout, format!("the function was not ready within {seconds} s"))
            .with_hint("move slow work out of the module's top level")
    }
}

/// Whether a sandbox that waits can be given this network. Where this machine has none for functions, trying would throw a
/// runtime away.
fn can_have(network: NetworkMode, report: &IsolationReport) -> bool {
    let has_network = || report.probes.iter().any(|probe| probe.feature == Feature::Egress && probe.enforced);
    network != NetworkMode::Egress || has_network()
}

fn head<T: DeserializeOwned>(payload: &[u8]) -> Result<T, NotReady> {
    // The parser's own words quote what the sandbox sent, at any length.
    serde_json::from_slice(payload).map_err(|error| breach(&format!("malformed head at byte {}", error.column())))
}

fn breach(reason: &str) -> NotReady {
    NotReady::Stopped(Stopped::Breach(reason.to_owned()))
}

fn last_words(logs: &mut InstanceLogs) -> String {
    let mut lines = Vec::new();
    while let Ok(entry) = logs.try_recv() {
        lines.push(entry.message);
    }
    cut(lines.split_off(lines.len().saturating_sub(LAST_WORDS)).join("\n"), LAST_WORDS_MAX)
}

/// Calls that the shim may take at once: what the manifest says, or what suits a handler that does not block. A shim
/// whose handler blocks answers with one.
fn concurrency_max(spec: &InstanceSpec) -> u32 {
    spec.settings.scaling.concurrency.unwrap_or(ASYNC_CONCURRENCY).max(1)
}

#[cfg(test)]
mod tests {
    use faas_types::Probe;

    use super::*;

    #[test]
    fn what_waits_is_not_used_up_by_a_network_that_cannot_be_had() {
        let report = |enforced| {
            let probe = Probe { feature: Feature::Egress, enforced, detail: String::new(), fix: None };
            IsolationReport::from_probes(vec![probe])
        };
        assert!(!can_have(NetworkMode::Egress, &report(false)) && can_have(NetworkMode::Egress, &report(true)));
        assert!(can_have(NetworkMode::None, &report(false)) && can_have(NetworkMode::Loopback, &report(false)));
    }
}
