//! Checks a version: loads its entrypoint in a sandbox, as an instance would.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use faas_catalog::{ResolvedVars, VarScope};
use faas_packages::ecosystem;
use faas_ports::{InstanceLogs, InstanceSpec, Launched, LayerStack, LogEntry, NetworkAccess};
use faas_scheduler::PoolSpec;
use faas_telemetry::Redactor;
use faas_types::{BuildLine, BuildLog, Code, Fault, FunctionRecord, PolicyOverride, ProjectId, limits};

use crate::deployments::Deployments;
use crate::new_deployment::NewDeployment;

/// The hint for a version that does not load while an older one serves.
const SERVES_ON: &str = "the version before serves on; fix the error and deploy again";

/// Where the parts of a version are laid out on this machine.
pub(crate) struct Layout {
    pub(crate) code: PathBuf,
    pub(crate) packages: Option<PathBuf>,
    pub(crate) layers: Option<LayerStack>,
}

// === impl Deployments ===

impl Deployments {
    /// Loads the entrypoint in a sandbox, as an instance would, and stops the instance. Secrets are removed from its log.
    pub(crate) async fn load_once(
        &self,
        project: ProjectId,
        new: &NewDeployment,
        Layout { code, packages, layers }: Layout,
        record: Option<&FunctionRecord>,
    ) -> Result<(Launched, BuildLog), Fault> {
        let vars = self.deps.vars.of(project);
        let stage = new.target.stage();
        let scope = VarScope { project, stage, vars: &vars, settings: Some(&new.settings), record };
        scope.check()?;
        let ResolvedVars { vars, redactor } = scope.resolve(&*self.deps.vault)?;
        let now = self.deps.clock.now();
        let set = record.and_then(|record| record.egress.as_deref());
        let policy = set.map_or_else(|| new.settings.egress.clone(), PolicyOverride::in_force);
        let spec = PoolSpec {
            project,
            function: self.deps.ids.mint(now),
            name: new.name.clone(),
            version: 0,
            settings: Arc::new(new.settings.clone()),
            network: NetworkAccess::constant(policy),
            vars,
            redactor: redactor.clone(),
            concurrency: 1,
            inspection: None,
            code,
            dependencies: packages,
            layers,
        };
        let instance = InstanceSpec { bytecode: true, ..spec.instance(&*self.deps.clock, &*self.deps.ids) };
        let launched = self.deps.launcher.launch(instance).await;
        let mut launched = launched.map_err(|fault| {
            let fault = match &redactor {
                Some(redactor) => redactor.fault(fault),
                None => fault,
            };
            let is_first = record.is_none();
            not_loaded(new, is_first, fault)
        })?;
        launched.instance.stop(Duration::from_millis(200)).await;
        let log = build_log(&mut launched.logs, redactor.as_deref());
        Ok((launched, log))
    }
}

/// What an instance wrote until now, within the limits of a stored log.
fn build_log(logs: &mut InstanceLogs, redactor: Option<&Redactor>) -> BuildLog {
    let (mut log, mut bytes) = (BuildLog::default(), 0);
    while let Ok(LogEntry { at, level, stream, mut message }) = logs.try_recv() {
        redactor.iter().for_each(|redactor| redactor.clean_in_place(&mut message));
        bytes += message.len();
        if log.lines.len() < limits::BUILD_LOG_LINES && bytes <= limits::BUILD_LOG_BYTES {
            log.lines.push(BuildLine { at, level, stream, message });
        } else {
            log.dropped += 1;
        }
    }
    log
}

fn not_loaded(new: &NewDeployment, is_first: bool, fault: Fault) -> Fault {
    let unfit = matches!(
        fault.code,
        Code::RuntimeError | Code::MemoryExceeded | Code::ColdStartTimeout | Code::TimeoutExceeded
    );
    if !unfit {
        return fault;
    }
    let mut failed = Fault::new(Code::DeploymentFailed, format!("`{}` does not load: {}", new.name, fault.message));
    let kind = fault.function_error.as_ref().map(|error| error.kind.as_str());
    let runtime = &new.settings.runtime;
    let packages = ecosystem(runtime.language());
    let packages = packages.filter(|packages| kind.is_some_and(|kind| packages.is_failed_import(kind)));
    let compiled = packages.and_then(|packages| packages.incompatibility(&new.bundle, runtime));
    let usual = if is_first { "fix the error and deploy again" } else { SERVES_ON };
    failed.function_error = fault.function_error;
    if let (Some(error), Some(_)) = (&mut failed.function_error, &compiled) {
        // The runtime's hint considers the error alone.
        error.hint = None;
    }
    failed.hint = compiled.or(fault.hint).or_else(|| Some(usual.to_owned()));
    failed
}
