//! A launcher whose instances do what the request's path says, so that the engine's own decisions can be driven to
//! every corner. What real instances do is tested with real sandboxes elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{
    Clock, ExchangeEnd, ExchangeItem, Instance, InstanceExit, InstanceSpec, InstanceUsage, InstanceVars, Invocation,
    LaunchTimings, Launched, Launcher, LogEntry, ReplyHead, RuntimeDescription, SandboxExit, SandboxUsage, SystemClock,
};
use faas_types::{Code, Fault, FunctionError, InstanceId, IsolationLevel, LogLevel, LogStream, RuntimeName, limits};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

/// Launches scripted instances and counts them.
#[derive(Default)]
pub(crate) struct ScriptedLauncher {
    pub(crate) alive: Arc<AtomicU32>,
    pub(crate) launched: AtomicU32,
    /// Launches that wait.
    pub(crate) waiting: AtomicU32,
    /// Calls that instances were given.
    pub(crate) invoked: Arc<AtomicU32>,
    /// While set, code does not load.
    pub(crate) broken: AtomicBool,
    /// While set, launches wait until it is cleared and `go` is notified.
    pub(crate) held: AtomicBool,
    pub(crate) go: Notify,
}

struct ScriptedInstance {
    id: InstanceId,
    version: u32,
    vars: InstanceVars,
    concurrency: u32,
    alive: Arc<AtomicU32>,
    invoked: Arc<AtomicU32>,
    ended: AtomicBool,
    end: Notify,
    /// Ends with the instance, as the port demands.
    logs: Mutex<Option<mpsc::Sender<faas_ports::LogEntry>>>,
}

const EXIT: SandboxExit = SandboxExit {
    code: Some(0),
    signal: None,
    out_of_memory: false,
    usage: SandboxUsage { peak_memory_bytes: None, cpu_us: None },
};

#[async_trait]
impl Launcher for ScriptedLauncher {
    fn runtimes(&self) -> Vec<RuntimeDescription> {
        let name: RuntimeName = "python3.12".parse().expect("a runtime name");
        vec![RuntimeDescription { name, exact: "3.12.1".into(), origin: "/usr/bin/python3.12".into() }]
    }

    fn resolve(&self, _: &RuntimeName) -> Result<RuntimeDescription, Fault> {
        Ok(self.runtimes().remove(0))
    }

    async fn launch(&self, spec: InstanceSpec) -> Result<Launched, Fault> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        while self.held.load(Ordering::Acquire) {
            self.go.notified().await;
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        if self.broken.load(Ordering::Acquire) {
            let error = FunctionError { kind: "SyntaxError".into(), ..FunctionError::default() };
            return Err(Fault::new(Code::RuntimeError, "the code does not load").with_function_error(error));
        }
        self.launched.fetch_add(1, Ordering::AcqRel);
        self.alive.fetch_add(1, Ordering::AcqRel);
        let (logs, receiver) = mpsc::channel(8);
        let instance = Arc::new(ScriptedInstance {
            id: spec.id,
            version: spec.version,
            vars: spec.vars,
            concurrency: spec.settings.scaling.concurrency.unwrap_or(1),
            alive: Arc::clone(&self.alive),
            invoked: Arc::clone(&self.invoked),
            ended: AtomicBool::new(false),
            end: Notify::new(),
            logs: Mutex::new(Some(logs)),
        });
        Ok(Launched { instance, logs: receiver, timings: LaunchTimings::default(), bytecode: Vec::new() })
    }
}

impl ScriptedInstance {
    fn finish(&self) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            self.alive.fetch_sub(1, Ordering::AcqRel);
            self.logs.lock().take();
            self.end.notify_waiters();
        }
    }
}

#[async_trait]
impl Instance for ScriptedInstance {
    fn id(&self) -> InstanceId {
        self.id
    }

    fn isolation(&self) -> IsolationLevel {
        IsolationLevel::Full
    }

    fn concurrency(&self) -> u32 {
        self.concurrency
    }

    fn streams_bodies(&self) -> bool {
        false
    }

    fn invoke(&self, invocation: Invocation) -> BoxStream<'static, ExchangeItem> {
        self.invoked.fetch_add(1, Ordering::AcqRel);
        let var = self.vars.iter().find(|(key, _)| *key == "COLOUR").map_or("none", |(_, value)| value);
        let text = format!("v{} {} {var}", self.version, self.id);
        let head = ExchangeItem::Head(ReplyHead { status: 200, headers: Vec::new(), length: None });
        let complete = ExchangeItem::End(ExchangeEnd::Complete { dropped_log_lines: 0 });
        let answer = vec![head, ExchangeItem::Body(Bytes::from(text)), complete];
        match invocation.path.as_str() {
            "/never" => stream::pending().boxed(),
            "/raise" => {
                let error = FunctionError { kind: "ValueError".into(), message: "no".into(), ..Default::default() };
                let end = ExchangeEnd::Raised { error, dropped_log_lines: 0 };
                stream::iter(vec![ExchangeItem::End(end)]).boxed()
            }
            "/leak" => {
                let message = format!("key is {var}");
                let (at, level, stream) = (SystemClock.now(), LogLevel::Info, LogStream::Stdout);
                let log = ExchangeItem::Log(LogEntry { at, level, stream, message });
                let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
                let head = ReplyHead { status: 200, headers, length: None };
                let body = Bytes::from(format!("{{\"key\":\"{var}\"}}"));
                stream::iter(vec![log, ExchangeItem::Reply { head, body, dropped_log_lines: 0 }]).boxed()
            }
            "/leak-raise" => {
                let stack = vec![format!("in pay: {var}")];
                let error = FunctionError { message: format!("bad {var}"), stack, ..FunctionError::default() };
                stream::iter(vec![ExchangeItem::End(ExchangeEnd::Raised { error, dropped_log_lines: 0 })]).boxed()
            }
            "/switch" => {
                let head = ReplyHead { status: 101, headers: Vec::new(), length: None };
                stream::iter(vec![ExchangeItem::Head(head)]).chain(stream::pending()).boxed()
            }
            "/crash" => {
                self.finish();
                stream::iter(vec![ExchangeItem::End(ExchangeEnd::Lost)]).boxed()
            }
            "/large" => {
                let head = ReplyHead { status: 200, headers: Vec::new(), length: None };
                let body = Bytes::from(vec![b'x'; limits::CLAIM_REPLY_MAX + 1]);
                stream::iter(vec![ExchangeItem::Reply { head, body, dropped_log_lines: 0 }]).boxed()
            }
            "/slow" => stream::once(tokio::time::sleep(Duration::from_millis(200)))
                .flat_map(move |()| stream::iter(answer.clone()))
                .boxed(),
            "/drip" => stream::iter(answer)
                .then(|item| async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    item
                })
                .boxed(),
            _ => stream::iter(answer).boxed(),
        }
    }

    /// As a handler that ignores that it was cancelled.
    async fn settle(&self, within: Duration) -> bool {
        tokio::time::sleep(within).await;
        false
    }

    fn usage(&self) -> InstanceUsage {
        SandboxUsage { peak_memory_bytes: Some(1 << 20), cpu_us: Some(1) }
    }

    async fn stop(&self, _: Duration) -> InstanceExit {
        self.finish();
        EXIT
    }

    async fn exited(&self) -> InstanceExit {
        loop {
            let ended = self.end.notified();
            if self.ended.load(Ordering::Acquire) {
                return EXIT;
            }
            ended.await;
        }
    }
}
