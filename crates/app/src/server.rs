//! A server from its configuration to its last breath.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use faas_api::{ApiState, GitRemote, GitSettings};
use faas_config::{HttpSection, SandboxSection, ServerConfig, StoreSection};
use faas_devloop::{Debugger, LocalServer, ReloadGate};
use faas_engine::{CallbackPolicy, Engine, EngineSettings, GcPolicy, Ports, Quotas};
use faas_http::ConnectionServer;
use faas_ingress::{Audience, Ingress, ResponseCache};
use faas_outbound::{Guard, HttpOutbound, Operator};
use faas_ports::{ByteBounds, Inspection, Networks, Sandboxes, SystemClock};
use faas_preflight::Policy;
use faas_runtimes::{LauncherRouter, PROCESS, ProcessLauncher, RuntimesConfig, RuntimesPorts};
use faas_sandbox::{LinuxSandboxes, SandboxConfig, SpawnerCommand, give_way_to_calls};
use faas_store::{Store, StoreConfig};
use faas_terminal::profile::Profile;
use faas_types::{ByteSize, Feature, IsolationLevel, IsolationReport, Probe};
use faas_web::{ConnectionStats, Edge, ServerUrl};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::debuggers::Debuggers;
use crate::networks::Outside;
use crate::plane_router::PlaneRouter;
use crate::{NETWORK, SPAWNER, admin_key, builds, descriptors, memory, networks};

/// Connections that the kernel keeps until they are accepted. Where it is full, clients try again after a second.
const BACKLOG: u32 = 4_096;

/// Everything that runs, from the bottom up.
struct Server {
    store: Store,
    sandboxes: Arc<LinuxSandboxes>,
    launcher: Arc<ProcessLauncher>,
    engine: Engine,
    connections: ConnectionServer<PlaneRouter>,
    listener: TcpListener,
    address: String,
}

/// Serves until SIGINT or SIGTERM, then drains.
pub(crate) async fn run(config: ServerConfig) -> Result<()> {
    let began = Instant::now();
    forbid_core_dumps();
    let server = Server::start(&config, began, None, None).await?;
    let is_first = admin_key::ensure(&server.engine, &config.store.data, server.listener.local_addr()?).await?;
    tracing::info!(url = server.address, ready_ms = began.elapsed().as_millis(), "ready");
    if is_first {
        tracing::info!("next, in another terminal: faas init hello && faas deploy hello && faas invoke hello");
    }
    server.serve(&config, wait_for_signal()).await
}

/// Serves for as long as `work` takes, then drains. `None` when a signal came first. This alone can let debuggers in.
pub(crate) async fn host<T, W>(config: ServerConfig, debugger: Option<Debugger>, work: W) -> Result<Option<T>>
where
    W: AsyncFnOnce(LocalServer) -> Result<T>,
{
    forbid_core_dumps();
    let (gate, calls) = ReloadGate::new();
    let (debuggers, inspection, debuggee) = match debugger {
        Some(debugger) => {
            let (debuggers, inspection, debuggee) = Debuggers::start(debugger)?;
            (Some(debuggers), Some(inspection), Some(debuggee))
        }
        None => (None, None, None),
    };
    let server = Server::start(&config, Instant::now(), Some(Arc::clone(&gate)), inspection).await?;
    let key = admin_key::of_directory(&server.engine, &config.store.data).await?;
    let endpoint = Profile::endpoint_of(server.listener.local_addr()?);
    let local = LocalServer { endpoint, key, gate, calls, debuggee };
    let (finish, finished) = oneshot::channel();
    let working = async {
        let outcome = tokio::select! {
            outcome = work(local) => outcome.map(Some),
            told = wait_for_signal() => told.map(|()| None),
        };
        let _ = finish.send(());
        outcome
    };
    let until = async {
        let _ = finished.await;
        Ok(())
    };
    let (served, outcome) = tokio::join!(Box::pin(server.serve(&config, until)), working);
    drop(debuggers);
    served?;
    outcome
}

// === impl Server ===

impl Server {
    async fn start(
        config: &ServerConfig,
        began: Instant,
        gate: Option<Arc<ReloadGate>>,
        inspection: Option<Inspection>,
    ) -> Result<Self> {
        // The port first: a second server on it must fail before it touches the data directory.
        let listener = listen(&config.http, gate.is_some())?;
        let address = public_url(&config.http, &listener)?;
        let store = open_store(&config.store)?;
        let sandboxes = Arc::new(open_sandboxes(&config.store.data, &config.sandbox).await?);
        warn_of_weakness(sandboxes.report(), config.sandbox.unsafe_no_isolation);
        let isolation = Arc::new(sandboxes.report().clone());
        let outside = Outside::new(&config.egress);
        let networks: Arc<dyn Networks> = Arc::new(networks::broker(&config.egress, outside.clone()));
        let launcher = Arc::new(launcher(config, &store, &sandboxes, Arc::clone(&networks)));
        let discovering = Arc::clone(&launcher);
        // Answers nothing anybody waits for: who needs a runtime before waits for the same discovery.
        tokio::task::spawn_blocking(move || discovering.discover());
        let operator = if gate.is_some() { Operator::OfCommand } else { Operator::OfServer };
        let guard = Guard::new(&config.callbacks.allow, config.egress.deny.clone(), Arc::clone(&outside.host));
        let ports = Ports {
            registry: store.registry(),
            history: store.history(),
            queue: store.queue(),
            dead_letters: store.dead_letters(),
            claims: store.claims(),
            callbacks: store.callbacks(),
            topics: store.topics(),
            blobs: store.blobs(),
            layers: store.layers(),
            events: store.events(),
            vault: store.vault(),
            outbound: Arc::new(HttpOutbound::new(guard, Arc::clone(&outside.dialer))),
            networks,
            launcher: Arc::new(LauncherRouter::new([(PROCESS, Arc::clone(&launcher) as _)])),
            builder: Arc::new(builds::builder(
                &config.build,
                (&config.egress.deny, outside),
                &launcher,
                &store,
                &sandboxes,
                operator,
            )),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemClock),
        };
        let settings = EngineSettings {
            idle_timeout: config.engine.idle.get(),
            lease: config.engine.lease.get(),
            instances_max: config.engine.instances_max,
            memory_max: config.engine.memory_max.unwrap_or_else(memory::share).bytes(),
            builds_max: config.build.at_once as usize,
            metric_labels_max: config.metrics.functions_max as usize,
            retention: config.retention.into(),
            versions_kept: config.engine.versions_kept,
            callbacks: CallbackPolicy {
                attempts_max: config.callbacks.attempts_max,
                backoff: config.callbacks.backoff.get(),
            },
            preflight: Arc::new(Policy::of_operator(&config.preflight.rules())?),
            inspection,
            gc: GcPolicy { every: config.engine.gc_every.get(), grace: config.engine.gc_grace.get() },
            quotas: quotas(config),
            give_way: || give_way_to_calls(true),
            ..EngineSettings::default()
        };
        launcher.tend();
        let engine = Engine::start(ports, settings).await?;
        let counts = Arc::new(ConnectionStats::default());
        let cache = ResponseCache::new(config.cache.memory);
        let state = ApiState {
            engine: engine.clone(),
            public_url: address.as_str().into(),
            isolation,
            started: began,
            connections: Arc::clone(&counts),
            open_metrics: config.metrics.open,
            cache: cache.clone(),
            git: Arc::new(git_remote(config, &store, &listener)?),
        };
        let most = descriptors::connections_max(config.http.connections_max, config.engine.instances_max);
        let audience = if gate.is_some() { Audience::Author } else { Audience::World };
        let url = ServerUrl::new(&address);
        let ingress = Ingress::new(engine.clone(), cache, audience, url);
        let router = PlaneRouter { ingress, api: faas_api::router(state, url), gate };
        let edge = Edge::new(config.server.trusted_proxies.clone(), url);
        let connections = ConnectionServer::new(&config.http, most, counts, edge, router);
        Ok(Self { store, sandboxes, launcher, engine, connections, listener, address })
    }

    async fn serve(self, config: &ServerConfig, until: impl Future<Output = Result<()>>) -> Result<()> {
        let stop = CancellationToken::new();
        let drain = config.engine.drain.get();
        let serving = tokio::spawn(self.connections.serve(self.listener, stop.clone(), drain));
        until.await?;
        tracing::info!("stopping; a second signal ends at once");
        stop.cancel();
        let orderly = async {
            self.engine.stop(drain).await;
            serving.await
        };
        tokio::select! {
            ended = orderly => ended.context("the listener failed")?,
            again = wait_for_signal() => {
                again?;
                return Err(anyhow!("stopped before the drain was over"));
            }
        }
        self.launcher.stop().await;
        self.sandboxes.stop().await;
        let store = self.store;
        tokio::task::spawn_blocking(move || store.close()).await.context("the store did not close")?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// How much callers can make the server keep.
fn quotas(config: &ServerConfig) -> Quotas {
    let bytes =
        |function: ByteSize, project: ByteSize| ByteBounds { function: function.bytes(), project: project.bytes() };
    let (background, names) = (&config.background, &config.idempotency);
    Quotas {
        waiting: bytes(background.waiting_bytes, background.project_waiting_bytes),
        inputs: bytes(background.input_bytes, background.project_input_bytes),
        function_keys: names.keys_max,
        project_keys: names.project_keys_max,
        answers: bytes(names.answer_bytes, names.project_answer_bytes),
        callbacks: config.callbacks.waiting_bytes.bytes(),
        keyless_percent: background.keyless_percent,
    }
}

/// The server's memory holds secrets while they are in use: a crash must not write it to disk, nor may others of this user
/// read it. What it starts is not concerned: that ends with `execve`.
fn forbid_core_dumps() {
    let behavior = rustix::process::DumpableBehavior::NotDumpable;
    if let Err(error) = rustix::process::set_dumpable_behavior(behavior) {
        tracing::warn!(%error, "a crash of the server may leave its memory on disk");
    }
}

fn listen(config: &HttpSection, is_private: bool) -> Result<TcpListener> {
    let bind = || {
        let socket = if config.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(config.listen)?;
        socket.listen(BACKLOG)
    };
    bind().with_context(|| {
        let option =
            if is_private { "port with --port" } else { "address with --listen, such as --listen 127.0.0.1:8081" };
        let who = if is_private { "" } else { "; `faas status` tells whether it is a server of yours" };
        format!("cannot listen on {}; choose another {option}, or stop what holds it{who}", config.listen)
    })
}

fn public_url(config: &HttpSection, listener: &TcpListener) -> Result<String> {
    match &config.public_url {
        Some(url) => Ok(url.trim_end_matches('/').to_owned()),
        None => Ok(format!("http://{}", listener.local_addr()?)),
    }
}

fn git_remote(config: &ServerConfig, store: &Store, listener: &TcpListener) -> Result<GitRemote> {
    Ok(GitRemote::new(GitSettings {
        dir: config.store.data.join("git"),
        program: std::env::current_exe().context("cannot name this program")?,
        endpoint: Profile::endpoint_of(listener.local_addr()?),
        repository_max: config.git.repository_max,
        project_max: config.git.project_max,
        admit: Box::new(store.admission()),
    }))
}

fn open_store(section: &StoreSection) -> Result<Store> {
    let mut config = StoreConfig::new(&section.data);
    config.give_way = give_way_to_calls;
    config.runtimes.clone_from(&section.runtimes);
    config.on_fatal = Arc::new(|message| {
        // A disk that failed once may claim success the next time: only a restart tells what is really stored.
        tracing::error!(message, "the store has failed; the server ends");
        std::process::abort();
    });
    Ok(Store::open(&config)?)
}

async fn open_sandboxes(data: &PathBuf, section: &SandboxSection) -> Result<LinuxSandboxes> {
    let mut config = SandboxConfig::new(data, SpawnerCommand::this_program(SPAWNER));
    config.network = Some(SpawnerCommand::this_program(NETWORK));
    config.unsafe_no_isolation = section.unsafe_no_isolation;
    Ok(LinuxSandboxes::start(config).await?)
}

fn launcher(
    config: &ServerConfig,
    store: &Store,
    sandboxes: &Arc<LinuxSandboxes>,
    networks: Arc<dyn Networks>,
) -> ProcessLauncher {
    let clock = Arc::new(SystemClock);
    let ports = RuntimesPorts {
        sandboxes: Arc::clone(sandboxes) as _,
        networks,
        layers: store.runtimes(),
        clock: Arc::clone(&clock) as _,
        ids: clock,
    };
    let settings = RuntimesConfig {
        search: config.sandbox.interpreters.clone(),
        cache: config.store.runtimes.as_ref().unwrap_or(&config.store.data).join("runtimes.json"),
        parked: config.engine.parked as usize,
    };
    ProcessLauncher::new(ports, settings)
}

fn warn_of_weakness(report: &IsolationReport, unsafe_no_isolation: bool) {
    if report.probes.iter().any(|probe| probe.feature == Feature::Landlock && !probe.enforced) {
        tracing::warn!("without Landlock, git can read what the server can; see faas doctor");
    }
    if let Some(Probe { detail, fix, .. }) =
        report.probes.iter().find(|probe| probe.feature == Feature::Egress && !probe.enforced)
    {
        let fix = fix.as_deref().unwrap_or_default();
        tracing::warn!(detail, fix, "no function can have a network here: deployments that ask for one are refused");
    }
    match report.level {
        IsolationLevel::Full => tracing::info!(level = 2, "sandboxes are fully isolated"),
        IsolationLevel::Partial => {
            tracing::warn!(level = 1, "some limits cannot be enforced on this machine; see faas doctor");
        }
        IsolationLevel::Process if unsafe_no_isolation => {
            tracing::warn!(level = 0, "functions run as plain processes, without isolation");
        }
        IsolationLevel::Process => {
            tracing::error!(level = 0, "this machine cannot confine functions, so none is started; see faas doctor");
        }
    }
}

async fn wait_for_signal() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
