//! What installs packages, put together from its configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_config::BuildSection;
use faas_languages::{Language, PackageIndex};
use faas_outbound::{IndexEgress, Operator, Remedy};
use faas_ports::SystemClock;
use faas_runtimes::{BuildConfig, BuilderPorts, PackageIndexes, ProcessLauncher, RuntimesBuilder};
use faas_sandbox::LinuxSandboxes;
use faas_store::Store;
use faas_types::{EgressTarget, IndexHost};

use crate::networks::Outside;

/// CPU share of one build: two cores.
const BUILD_CPU_MILLIS: u32 = 2_000;

/// The builder of the launcher's runtimes.
pub(crate) fn builder(
    section: &BuildSection,
    (deny, outside): (&[EgressTarget], Outside),
    launcher: &ProcessLauncher,
    store: &Store,
    sandboxes: &Arc<LinuxSandboxes>,
    operator: Operator,
) -> RuntimesBuilder {
    let indexes = indexes(section);
    let is_public = |of: &&PackageIndex| indexes.get(&of.kind).is_none_or(|of| of.index.is_none());
    let hosts = |of: &PackageIndex| of.hosts.iter().map(|host| IndexHost { host: host.clone(), port: None }).collect();
    let public =
        Language::all().iter().filter_map(|language| language.index.as_ref()).filter(is_public).map(hosts).collect();
    let named = section.named_indexes().map(|url| url.host().clone());
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
        indexes,
        ca_file: section.ca_file.clone(),
        memory: section.memory,
        disk: section.disk,
        cpu_millis: BUILD_CPU_MILLIS,
        timeout: section.timeout.get(),
    };
    launcher.builder(ports, config)
}

/// The configured indexes of each kind that a language installs from.
fn indexes(section: &BuildSection) -> BTreeMap<String, PackageIndexes> {
    let of = |kind: &String| PackageIndexes {
        installer: section.installer(kind).map(str::to_owned),
        index: section.indexes.get(kind).cloned(),
        extra: section.extra_indexes.get(kind).cloned().unwrap_or_default(),
        find_links: section.find_links.get(kind).cloned().unwrap_or_default(),
    };
    let kinds = Language::all().iter().filter_map(|language| Some(&language.index.as_ref()?.kind));
    kinds.map(|kind| (kind.clone(), of(kind))).collect()
}
