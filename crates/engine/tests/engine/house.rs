//! An engine over the in-memory adapters.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_engine::{
    Call, CallBody, CallFailure, CallRequest, Deployed, Engine, EngineSettings, HttpRequest, NewDeployment, Ports,
    Route, Selector, Target,
};
use faas_ports::{Blobs, Clock, NoNetworks, Registry, SystemClock};
use faas_testkit::{
    MemoryBlobs, MemoryEvents, MemoryHistory, MemoryLayers, MemoryQueue, MemoryRegistry, MemoryVault, ScriptedBuilder,
    ScriptedOutbound,
};
use faas_types::{
    AliasName, Bundle, BundleFile, Fault, FunctionSettings, RunRecord, Scaling, Span, TriggerKind, TriggerSettings,
};
use futures_util::StreamExt;

use crate::script::ScriptedLauncher;

pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) launcher: Arc<ScriptedLauncher>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) ports: Ports,
    pub(crate) outbound: Arc<ScriptedOutbound>,
}

pub(crate) fn quick() -> EngineSettings {
    let tick = Duration::from_millis(10);
    EngineSettings { tend_every: tick, look_every: tick, ..EngineSettings::default() }
}

fn ports(clock: Arc<dyn Clock>) -> Ports {
    Ports { clock, ..ports_over(Arc::new(MemoryBlobs::default())) }
}

/// In-memory adapters around a store of bytes.
pub(crate) fn ports_over(blobs: Arc<dyn Blobs>) -> Ports {
    let history = Arc::new(MemoryHistory::default());
    let queue = Arc::new(MemoryQueue::new(Arc::clone(&history)));
    Ports {
        registry: Arc::new(MemoryRegistry::default()),
        history,
        queue: Arc::clone(&queue) as _,
        dead_letters: Arc::clone(&queue) as _,
        claims: Arc::clone(&queue) as _,
        callbacks: Arc::clone(&queue) as _,
        topics: queue,
        blobs: Arc::clone(&blobs),
        layers: Arc::new(MemoryLayers::new().expect("a temporary directory")),
        events: Arc::new(MemoryEvents::default()),
        vault: Arc::new(MemoryVault::default()),
        outbound: Arc::new(ScriptedOutbound::default()),
        networks: Arc::new(NoNetworks),
        launcher: Arc::new(ScriptedLauncher::default()),
        builder: Arc::new(ScriptedBuilder::new(blobs)),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemClock),
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(EngineSettings { tend_every: Duration::from_millis(10), ..EngineSettings::default() }).await
    }

    pub(crate) async fn with(settings: EngineSettings) -> Self {
        Self::over(ports(Arc::new(SystemClock)), settings).await
    }

    /// One whose time a test tells, with settings of its own.
    pub(crate) async fn timed(clock: Arc<dyn Clock>, change: impl FnOnce(&mut EngineSettings)) -> Self {
        let mut settings = quick();
        change(&mut settings);
        Self::over(ports(clock), settings).await
    }

    /// One whose time a test tells, and whose schedules notice within milliseconds.
    pub(crate) async fn at(clock: Arc<dyn Clock>) -> Self {
        Self::over(ports(clock), quick()).await
    }

    /// One over adapters of a test's own.
    pub(crate) async fn of(ports: Ports) -> Self {
        Self::over(ports, quick()).await
    }

    /// Another engine over the state of this one, as after a restart.
    pub(crate) async fn reopened(&self) -> Self {
        Self::over(self.ports.clone(), quick()).await
    }

    /// One over adapters and with settings of a test's own.
    pub(crate) async fn over(ports: Ports, settings: EngineSettings) -> Self {
        let launcher = Arc::new(ScriptedLauncher::default());
        let outbound = Arc::new(ScriptedOutbound::default());
        let ports = Ports { launcher: Arc::clone(&launcher) as _, outbound: Arc::clone(&outbound) as _, ..ports };
        let engine = Engine::start(ports.clone(), settings).await.expect("the engine starts");
        let (registry, blobs) = (Arc::clone(&ports.registry), Arc::clone(&ports.blobs));
        Self { engine, launcher, registry, blobs, ports, outbound }
    }

    pub(crate) async fn deploy(&self, name: &str, scaling: Scaling) -> Result<Deployed, Fault> {
        self.deploy_with(name, scaling, Span::from_secs(30)).await
    }

    pub(crate) async fn deploy_with(&self, name: &str, scaling: Scaling, timeout: Span) -> Result<Deployed, Fault> {
        self.deploy_as(name, |settings| {
            settings.scaling = scaling;
            settings.timeout = timeout;
        })
        .await
    }

    /// Deploys with triggers besides the one for requests.
    pub(crate) async fn deploy_triggers(&self, name: &str, triggers: Vec<TriggerSettings>) -> Result<Deployed, Fault> {
        self.deploy_as(name, |settings| settings.triggers.extend(triggers)).await
    }

    pub(crate) async fn deploy_as(
        &self,
        name: &str,
        change: impl FnOnce(&mut FunctionSettings),
    ) -> Result<Deployed, Fault> {
        self.deploy_to(name, Target::live(), change).await
    }

    pub(crate) async fn deploy_to(
        &self,
        name: &str,
        target: Target,
        change: impl FnOnce(&mut FunctionSettings),
    ) -> Result<Deployed, Fault> {
        let code = Bytes::from_static(b"def handler(): pass");
        let digest = self.blobs.put(code.clone()).await?;
        let file = BundleFile { path: "main.py".into(), digest, size: code.len() as u64, executable: false };
        let mut settings = FunctionSettings::new(parse("python3.12"), parse("main:handler"));
        change(&mut settings);
        let bundle = Bundle { files: vec![file] };
        let new = NewDeployment { target, ..NewDeployment::new(parse(name), settings, bundle) };
        self.engine.deployments.deploy(self.engine.default_project(), new).await
    }

    /// Calls and reads the whole reply.
    pub(crate) async fn text(&self, name: &str, path: &str) -> Result<String, CallFailure> {
        read(self.call(name, path).await?).await
    }

    pub(crate) async fn call(&self, name: &str, path: &str) -> Result<Call, CallFailure> {
        let live = Selector::Alias(AliasName::live());
        self.send(self.engine.runs.route(self.engine.default_project(), name, &live).await?, path).await
    }

    pub(crate) async fn route(&self, name: &str) -> Route {
        let live = Selector::Alias(AliasName::live());
        self.engine.runs.route(self.engine.default_project(), name, &live).await.expect("the function is deployed")
    }

    pub(crate) async fn send(&self, route: Route, path: &str) -> Result<Call, CallFailure> {
        let request = CallRequest::http(
            TriggerKind::Http,
            HttpRequest { method: "GET".into(), path: path.into(), ..HttpRequest::default() },
            Bytes::new(),
        );
        self.engine.runs.call(route, request.into()).await
    }

    /// A run, once it is recorded: one whose caller has gone ends in a task apart.
    pub(crate) async fn run(&self, id: faas_types::RunId) -> RunRecord {
        let recorded = async {
            loop {
                match self.engine.history().run(self.engine.default_project(), id).await {
                    Ok(run) => return run,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), recorded).await.expect("the run is recorded")
    }

    /// Waits until as many instances live, for at most 5 s.
    pub(crate) async fn alive(&self, wanted: u32) {
        let alive = || self.launcher.alive.load(std::sync::atomic::Ordering::Acquire);
        for _ in 0..500 {
            if alive() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} instances live instead of {wanted}", alive());
    }
}

pub(crate) async fn read(call: Call) -> Result<String, CallFailure> {
    let mut text = Vec::new();
    let mut body: CallBody = call.body;
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk?);
    }
    Ok(String::from_utf8(text).expect("scripted replies are text"))
}

pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a valid name")
}

pub(crate) fn scaling(max: u32, concurrency: u32) -> Scaling {
    Scaling { min: 0, max, concurrency: Some(concurrency) }
}

/// Waits until something is so, for at most 30 s.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still not so: {what}");
}
