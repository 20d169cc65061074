//! One launch: from a sealed runtime to a ready instance, or to nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use faas_ports::{
    Clock, InstanceLogs, InstanceSpec, LaunchTimings, Launched, LayerMount, SandboxExit, SandboxLimits, SandboxSpec,
    Sandboxes,
};
use faas_proto::frame::{self, FrameKind, PROTOCOL_VERSION};
use faas_proto::frame_heads::{HelloHead, InitHead, ReadyHead};
use faas_types::limits::{
    ASYNC_CONCURRENCY, BODY_MAX, LOG_BYTES_PER_RUN, LOG_LINE_MAX, OPEN_FILES_MAX, PIDS_MAX, TMP_BYTES,
};
use faas_types::{Code, Fault, FunctionError};
use serde::de::DeserializeOwned;

use crate::discovery::Found;
use crate::driver::{Driver, Stopped};
use crate::instance::LiveInstance;
use crate::seal::SealedRuntime;

/// Prefix of variables that the platform owns.
const RESERVED: &str = "FAAS_";
/// Lines of raw output that explain an instance's end before it was ready.
const LAST_WORDS: usize = 12;

/// What a launch needs.
pub(crate) struct Launch<'a> {
    pub(crate) found: &'a Found,
    pub(crate) sealed: SealedRuntime,
    pub(crate) spec: InstanceSpec,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Why an opened sandbox did not become an instance.
enum NotReady {
    Failed(Box<FunctionError>),
    Stopped(Stopped),
    Late,
}

// === impl Launch ===

impl Launch<'_> {
    pub(crate) async fn run(self, sandboxes: &dyn Sandboxes) -> Result<Launched, Fault> {
        let begun = Instant::now();
        let deadline = tokio::time::Instant::now() + self.spec.init_timeout;
        let opening = tokio::time::timeout_at(deadline, sandboxes.open(self.sandbox_spec()));
        let sandbox = opening.await.map_err(|_| self.late())?.map_err(Fault::from)?;
        let opened = begun.elapsed();
        let (mut driver, mut logs) =
            Driver::new(sandbox, self.clock.clone(), self.found.recipe.start.out_of_memory.clone())?;
        let shaken = tokio::time::timeout_at(deadline, self.handshake(&mut driver, begun)).await;
        match shaken.unwrap_or(Err(NotReady::Late)) {
            Ok((ready, timings)) => {
                let concurrency = ready.concurrency.clamp(1, concurrency_max(&self.spec));
                let (id, streams_bodies, link) = (self.spec.id, ready.streams, driver.link().clone());
                let instance = LiveInstance { id, concurrency, streams_bodies, link };
                tracing::debug!(instance = %self.spec.id, contract = ready.contract, ?timings, "instance ready");
                // Ends with the sandbox, which the instance's drop kills.
                tokio::spawn(driver.serve());
                Ok(Launched {
                    instance: Arc::new(instance),
                    logs,
                    timings: LaunchTimings { sandbox: opened, ..timings },
                })
            }
            Err(reason) => {
                let patience = match &reason {
                    NotReady::Stopped(stopped) => stopped.patience(),
                    NotReady::Failed(_) | NotReady::Late => Duration::ZERO,
                };
                let exit = driver.link().end(patience).await;
                driver.drain_pipes().await;
                let exit = driver.link().judged(exit);
                drop(driver);
                Err(self.fault(reason, exit, &mut logs))
            }
        }
    }

    async fn handshake(&self, driver: &mut Driver, begun: Instant) -> Result<(ReadyHead, LaunchTimings), NotReady> {
        let opened = begun.elapsed();
        driver.link().outbox.send([self.init_frames().freeze()]);
        let hello = driver.next_frame().await.map_err(NotReady::Stopped)?;
        if hello.kind != FrameKind::Hello || head::<HelloHead>(&hello.payload)?.protocol != PROTOCOL_VERSION {
            return Err(breach("the shim did not say hello in this protocol's version"));
        }
        let greeted = begun.elapsed();
        loop {
            let frame = driver.next_frame().await.map_err(NotReady::Stopped)?;
            match frame.kind {
                FrameKind::Log if frame.stream == 0 => driver.on_log(&frame).await.map_err(NotReady::Stopped)?,
                FrameKind::Ready => {
                    driver.drain_pipes().await;
                    let ready = head(&frame.payload)?;
                    let (runtime, import) = (greeted - opened, begun.elapsed() - greeted);
                    return Ok((ready, LaunchTimings { sandbox: opened, runtime, import }));
                }
                FrameKind::Failed => return Err(NotReady::Failed(Box::new(head(&frame.payload)?))),
                other => return Err(breach(&format!("{other:?} frame before ready"))),
            }
        }
    }

    fn sandbox_spec(&self) -> SandboxSpec {
        let settings = &self.spec.settings;
        let start = &self.found.recipe.start;
        let mount = |source: &PathBuf, target: &str| LayerMount { source: source.clone(), target: target.into() };
        SandboxSpec {
            id: self.spec.sandbox,
            root: self.sealed.root.clone(),
            mounts: vec![mount(&self.sealed.shim, "/opt/faas"), mount(&self.spec.code, "/function")],
            argv: start.argv.iter().map(|argument| self.argument(argument)).collect(),
            env: start.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            cwd: "/function".into(),
            limits: SandboxLimits {
                memory_bytes: settings.memory.bytes(),
                cpu_millis: settings.cpu_millis,
                pids: PIDS_MAX,
                tmp_bytes: TMP_BYTES,
                open_files: OPEN_FILES_MAX,
            },
            network: settings.network,
            min_isolation: settings.min_isolation,
        }
    }

    /// An argument of the recipe with its placeholders filled.
    fn argument(&self, template: &str) -> String {
        let heap = (self.spec.settings.memory.bytes() >> 20) * self.found.recipe.start.heap_percent / 100;
        template.replace("{release}", &self.found.release).replace("{heap_mb}", &heap.to_string())
    }

    fn init_frames(&self) -> BytesMut {
        let spec = &self.spec;
        let version = spec.version.to_string();
        let mut vars: BTreeMap<&str, &str> = spec
            .vars
            .iter()
            .filter(|(name, _)| !name.starts_with(RESERVED))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        vars.insert("FAAS_FUNCTION", spec.function.as_str());
        vars.insert("FAAS_VERSION", &version);
        vars.insert("FAAS_RUNTIME", self.found.description.name.as_str());
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
        };
        let content = serde_json::to_vec(&init).expect("strings and numbers always serialise");
        let mut frames = BytesMut::new();
        frame::encode_spread(&mut frames, FrameKind::Init, 0, &content);
        frames
    }

    fn fault(&self, reason: NotReady, exit: SandboxExit, logs: &mut InstanceLogs) -> Fault {
        if exit.out_of_memory {
            let message =
                format!("the function used more than its {} of memory while it loaded", self.spec.settings.memory);
            return Fault::new(Code::MemoryExceeded, message).with_hint("raise `memory` in the manifest");
        }
        match reason {
            NotReady::Late => self.late(),
            NotReady::Failed(error) => {
                let message = format!("the function did not load: {}: {}", error.kind, error.message);
                Fault::new(Code::RuntimeError, message).with_function_error(*error)
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
                if words.is_empty() { fault } else { fault.with_hint(format!("it last wrote: {words}")) }
            }
        }
    }

    fn late(&self) -> Fault {
        let seconds = self.spec.init_timeout.as_secs();
        Fault::new(Code::ColdStartTimeout, format!("the function was not ready within {seconds} s"))
            .with_hint("move slow work out of the module's top level")
    }
}

fn head<T: DeserializeOwned>(payload: &[u8]) -> Result<T, NotReady> {
    serde_json::from_slice(payload).map_err(|error| breach(&format!("malformed head: {error}")))
}

fn breach(reason: &str) -> NotReady {
    NotReady::Stopped(Stopped::Breach(reason.to_owned()))
}

fn last_words(logs: &mut InstanceLogs) -> String {
    let mut lines = Vec::new();
    while let Ok(entry) = logs.try_recv() {
        lines.push(entry.message);
    }
    lines.split_off(lines.len().saturating_sub(LAST_WORDS)).join(" / ")
}

/// Calls that the shim may take at once: what the manifest says, or what suits a handler that does not block. A shim
/// whose handler blocks answers with one.
fn concurrency_max(spec: &InstanceSpec) -> u32 {
    spec.settings.scaling.concurrency.unwrap_or(ASYNC_CONCURRENCY).max(1)
}
