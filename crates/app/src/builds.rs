//! What installs packages, put together from its configuration.

use std::sync::Arc;

use faas_config::BuildSection;
use faas_outbound::{IndexEgress, Operator, Remedy};
use faas_ports::SystemClock;
use faas_runtimes::{BuildConfig, BuilderPorts, RuntimesBuilder, RuntimesLauncher};
use faas_sandbox::LinuxSandboxes;
use faas_store::Store;
use faas_types::{EgressTarget, IndexHost};

use crate::networks::Outside;

/// CPU share of one build: two cores.
const BUILD_CPU_MILLIS: u32 = 2_000;
/// What packages come from when the operator names no index.
const PYTHON_HOSTS: [&str; 2] = ["pypi.org", "files.pythonhosted.org"];
const NPM_HOSTS: [&str; 1] = ["registry.npmjs.org"];

/// The builder of the launcher's runtimes.
pub(crate) fn builder(
    section: &BuildSection,
    (deny, outside): (&[EgressTarget], Outside),
    launcher: &RuntimesLauncher,
    store: &Store,
    sandboxes: &Arc<LinuxSandboxes>,
    operator: Operator,
) -> RuntimesBuilder {
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| IndexHost { host: (*host).to_owned(), port: None }).collect();
    let python = section.python_index.is_none().then(|| hosts(&PYTHON_HOSTS));
    let npm = section.npm_registry.is_none().then(|| hosts(&NPM_HOSTS));
    let public = python.into_iter().chain(npm).collect();
    let named = section.indexes().map(|url| url.host().clone());
    let trusted: Vec<IndexHost> = named.chain(section.allow.iter().cloned()).collect();
    let remedy = Remedy { allowed: section.allow.clone(), operator };
    let ports = BuilderPorts {
        sandboxes: Arc::clone(sandboxes) as _,
        layers: store.runtimes(),
        blobs: store.blobs(),
        egress: Arc::new(IndexEgress::new(public, &trusted, deny.to_vec(), remedy, (outside.host, outside.dialer))),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemClock),
    };
    let config = BuildConfig {
        python_installer: section.python_installer,
        python_index: section.python_index.clone(),
        python_extra_indexes: section.python_extra_indexes.clone(),
        python_find_links: section.python_find_links.clone(),
        npm_registry: section.npm_registry.clone(),
        ca_file: section.ca_file.clone(),
        memory: section.memory,
        disk: section.disk,
        cpu_millis: BUILD_CPU_MILLIS,
        timeout: section.timeout.get(),
    };
    launcher.builder(ports, config)
}
