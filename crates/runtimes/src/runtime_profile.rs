//! What instances of a runtime share before they are assigned to a function: its layers and how it is started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_ports::{InstanceSpec, LayerMount, LayerStack, SandboxLimits, SandboxSpec};
use faas_types::limits::{MEMORY_MIN, OPEN_FILES_MAX, PIDS_MAX, TMP_BYTES};
use faas_types::{ByteSize, IsolationLevel, NetworkMode, RuntimeName, SandboxId};

use crate::discovery::Found;
use crate::seal::SealedRuntime;

/// Where the function's code appears inside.
const CODE: &str = "/function";
/// Where named layers appear.
const LAYERS: &str = "/opt/layers";
/// Tells a shim, as its last argument, that no call waits for it yet.
const WAIT: &str = "--wait";
/// CPU share of what waits, in thousandths of a core: starting is not to be throttled.
const WAITING_CPU_MILLIS: u32 = 1000;
/// Memory that a zygote may use: many times what one needs.
const ZYGOTE_MEMORY: u64 = 256 << 20;
/// So that its forks may use all cores on their way out.
const ZYGOTE_CPU_MILLIS: u32 = 64_000;
/// What a debugger may use of memory and of processes and threads, so that the function has what it has without one.
const DEBUGGER_MEMORY: u64 = 256 << 20;
const DEBUGGER_PIDS: u32 = 32;

/// One way to start one runtime.
#[derive(Debug)]
pub(crate) struct RuntimeProfile {
    pub(crate) key: ProfileKey,
    pub(crate) found: Arc<Found>,
    pub(crate) sealed: SealedRuntime,
}

/// Identifies a profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProfileKey {
    pub(crate) runtime: RuntimeName,
    /// What `{heap_mb}` stands for; zero for runtimes whose arguments do not depend on the function's memory.
    heap_mb: u64,
}

// === impl ProfileKey ===

impl ProfileKey {
    pub(crate) fn new(found: &Found, memory: ByteSize) -> Self {
        let heap_mb = (memory.bytes() >> 20) * found.recipe.start.heap_percent / 100;
        Self { runtime: found.description.name.clone(), heap_mb }
    }
}

// === impl RuntimeProfile ===

impl RuntimeProfile {
    /// The sandbox of one function.
    pub(crate) fn spec_of(&self, id: SandboxId, of: &InstanceSpec) -> SandboxSpec {
        let settings = &of.settings;
        let mut spec = self.spec(id, &self.found.recipe.start.argv);
        spec.mounts.extend(self.mounts_of(of));
        spec.cwd = CODE.into();
        spec.limits.memory_bytes = settings.memory.bytes();
        spec.limits.cpu_millis = settings.cpu_millis;
        spec.limits.pids = settings.limits.pids;
        spec.limits.tmp_bytes = settings.limits.tmp.bytes();
        // A plain process does not find layers where they were promised.
        let needed = if of.layers.is_some() { IsolationLevel::Partial } else { IsolationLevel::Process };
        SandboxSpec { network: settings.network, min_isolation: settings.min_isolation.max(needed), ..spec }
    }

    /// The sandbox of one function that lets a debugger in, whose package is the layer `package`.
    pub(crate) fn inspected_spec(&self, id: SandboxId, of: &InstanceSpec, package: Option<&Path>) -> SandboxSpec {
        let mut spec = self.spec_of(id, of);
        let debugger = self.found.recipe.debugger.as_ref();
        spec.argv.splice(1..1, debugger.iter().flat_map(|debugger| debugger.flags.iter().cloned()));
        let mount = package.zip(self.found.recipe.debugger_target());
        spec.mounts.extend(mount.map(|(source, target)| LayerMount { source: source.into(), target: target.into() }));
        spec.limits.memory_bytes += DEBUGGER_MEMORY;
        spec.limits.pids += DEBUGGER_PIDS;
        if spec.network == NetworkMode::None {
            spec.network = NetworkMode::Loopback;
        }
        SandboxSpec { port_forward: true, ..spec }
    }

    /// The layers of one function. A mount comes behind those that it lies in.
    pub(crate) fn mounts_of(&self, spec: &InstanceSpec) -> Vec<LayerMount> {
        let recipe = &self.found.recipe;
        let mount = |source: PathBuf, target: &str| LayerMount { source, target: target.into() };
        let mut mounts = vec![mount(spec.code.clone(), CODE)];
        let mut packages = recipe.build.as_ref().map(|build| build.target.clone());
        if let Some(LayerStack { base, layers }) = &spec.layers {
            mounts.push(mount(base.join("names"), LAYERS));
            mounts.extend(layers.iter().map(|(name, source)| mount(source.clone(), &format!("{LAYERS}/{name}"))));
            if let Some(layered) = &recipe.layers {
                mounts.push(mount(base.join("packages"), &layered.packages));
                packages = Some(format!("{LAYERS}/{}", layered.installed));
            }
        }
        mounts.extend(spec.dependencies.clone().zip(packages).map(|(source, target)| mount(source, &target)));
        mounts
    }

    /// A sandbox for any function, which is needed at once.
    pub(crate) fn blank_spec(&self, id: SandboxId) -> SandboxSpec {
        self.spec(id, &self.found.recipe.start.argv)
    }

    /// The same for a runtime that will wait for its function.
    pub(crate) fn parked_spec(&self, id: SandboxId) -> SandboxSpec {
        let mut spec = self.blank_spec(id);
        spec.argv.push(WAIT.to_owned());
        spec
    }

    /// The process that is forked for this runtime, if it has one.
    pub(crate) fn zygote_spec(&self, id: SandboxId) -> Option<SandboxSpec> {
        let mut spec = self.spec(id, self.found.recipe.start.zygote.as_ref()?);
        spec.limits.memory_bytes = ZYGOTE_MEMORY;
        spec.limits.cpu_millis = ZYGOTE_CPU_MILLIS;
        Some(spec)
    }

    fn spec(&self, id: SandboxId, argv: &[String]) -> SandboxSpec {
        let start = &self.found.recipe.start;
        SandboxSpec {
            id,
            root: self.sealed.root.clone(),
            mounts: vec![LayerMount { source: self.sealed.shim.clone(), target: "/opt/faas".into() }],
            argv: argv.iter().map(|text| argument(text, &self.found, self.key.heap_mb)).collect(),
            env: start.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            cwd: "/".into(),
            limits: SandboxLimits {
                memory_bytes: MEMORY_MIN.bytes(),
                cpu_millis: WAITING_CPU_MILLIS,
                pids: PIDS_MAX,
                tmp_bytes: TMP_BYTES,
                open_files: OPEN_FILES_MAX,
            },
            network: NetworkMode::None,
            port_forward: false,
            min_isolation: IsolationLevel::Full,
        }
    }
}

/// An argument of a recipe with its placeholders filled.
pub(crate) fn argument(template: &str, found: &Found, heap_mb: u64) -> String {
    template.replace("{release}", &found.release).replace("{heap_mb}", &heap_mb.to_string())
}
