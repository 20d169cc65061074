//! What a function may connect to: shown, changed while it runs, and tried.

use std::collections::BTreeSet;
use std::sync::Arc;

use faas_ports::{Clock, NetworkTarget, NetworkTrial, NetworkUsage, Networks};
use faas_telemetry::Stats;
use faas_types::{
    Author, Code, ConnectionLog, EgressPolicy, EgressTarget, Fault, FunctionRecord, NetworkMode, NetworkName,
    PolicyOverride, ProjectId, Reason, VersionRecord, limits,
};

use crate::catalog::Catalog;
use crate::function_entry::FunctionEntry;
use crate::functions::Functions;

/// Ports and services that network policies need.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct NetworkDeps {
    pub networks: Arc<dyn Networks>,
    pub clock: Arc<dyn Clock>,
    pub catalog: Arc<Catalog>,
    pub functions: Arc<Functions>,
    pub stats: Arc<Stats>,
}

/// What functions may connect to.
pub struct NetworkPolicies {
    deps: NetworkDeps,
}

/// What a function may connect to now.
#[derive(Clone, Debug)]
pub struct NetworkState {
    /// The version that `live` points to.
    pub version: Option<Arc<VersionRecord>>,
    /// What was set by hand, which counts; else the version's own policy does.
    pub set: Option<PolicyOverride>,
    /// Private networks that the project may ask for.
    pub granted: BTreeSet<NetworkName>,
    /// What instances have done since the server started.
    pub usage: NetworkUsage,
}

/// What to change of a policy; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct PolicyChange {
    /// The list of what may be reached; `Some(None)` stands for the public internet.
    pub allow: Option<Option<Vec<EgressTarget>>>,
    /// What may not be reached.
    pub deny: Option<Vec<EgressTarget>>,
    /// Private networks.
    pub networks: Option<Vec<NetworkName>>,
    /// What the log shows.
    pub log: Option<ConnectionLog>,
}

// === impl NetworkState ===

impl NetworkState {
    /// Whether instances of the version have a network at all.
    #[must_use]
    pub fn mode(&self) -> Option<NetworkMode> {
        self.version.as_ref().map(|version| version.settings.network)
    }

    /// The policy that counts.
    #[must_use]
    pub fn effective(&self) -> Option<EgressPolicy> {
        let own = || self.version.as_ref().map(|version| version.settings.egress.clone());
        self.set.as_ref().map(PolicyOverride::in_force).or_else(own)
    }
}

// === impl NetworkPolicies ===

impl NetworkPolicies {
    /// The service on its ports.
    pub fn new(deps: NetworkDeps) -> Self {
        Self { deps }
    }

    /// What a function may connect to.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn of(&self, entry: &FunctionEntry) -> Result<NetworkState, Fault> {
        let version = match entry.live_version() {
            Some(number) => Some(self.deps.catalog.version(entry, number).await?),
            None => None,
        };
        let granted = self.deps.networks.granted(entry.record.project);
        let usage = self.deps.stats.network_of(entry.record.id);
        Ok(NetworkState { version, set: entry.record.egress.as_deref().cloned(), granted, usage })
    }

    /// Changes what a function may connect to, without a deployment. Running instances follow at once, and connections
    /// that are not allowed any more are closed. It stands in place of every version's own policy until it is reset.
    ///
    /// # Errors
    /// `FN_006` for a policy that cannot hold, and for a function without a network; `FN_014` when others change it.
    pub async fn set(
        &self,
        entry: &FunctionEntry,
        change: &PolicyChange,
        by: &Author,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        let state = self.of(entry).await?;
        let Some(version) = state.version.filter(|version| version.settings.network == NetworkMode::Egress) else {
            return Err(no_network(&entry.record));
        };
        change.check()?;
        if let Some(networks) = &change.networks {
            self.check_granted(entry.record.project, networks, "networks")?;
        }
        let changed = self
            .deps
            .functions
            .update(entry, |record| {
                let now = record.egress.as_ref().map_or(&version.settings.egress, |set| &set.policy);
                let policy = change.applied_to(now);
                record.egress = Some(Box::new(PolicyOverride { policy, by: by.clone(), at: self.deps.clock.now() }));
                Ok(())
            })
            .await?;
        tracing::info!(function = %changed.record.name, by = %by.name, "network policy set");
        Ok(changed)
    }

    /// Gives a function back what the manifests of its versions say.
    ///
    /// # Errors
    /// `FN_013` when none was set; `FN_014` when others change it.
    pub async fn reset(&self, entry: &FunctionEntry, by: &Author) -> Result<Arc<FunctionEntry>, Fault> {
        let changed = self
            .deps
            .functions
            .update(entry, |record| match record.egress.take() {
                Some(_) => Ok(()),
                None => {
                    let message = format!("no network policy was set for `{}`: its manifest's holds", record.name);
                    Err(Fault::new(Reason::NotFound, message))
                }
            })
            .await?;
        tracing::info!(function = %changed.record.name, by = %by.name, "network policy reset");
        Ok(changed)
    }

    /// Tries a connection as one of a function's instances would make it.
    ///
    /// # Errors
    /// `FN_006` for a function without a network, and for the instance itself; `FN_002` when too many were tried.
    pub async fn try_connection(&self, entry: &FunctionEntry, target: &NetworkTarget) -> Result<NetworkTrial, Fault> {
        let state = self.of(entry).await?;
        if state.mode() != Some(NetworkMode::Egress) {
            return Err(no_network(&entry.record));
        }
        let is_own = target.host == "localhost"
            || target.host.ends_with(".localhost")
            || target.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if is_own {
            let message = format!("host: {} is the instance itself, which no rule is about", target.host);
            return Err(Fault::new(Code::InvalidConfiguration, message).with_hint("name another machine"));
        }
        let policy = state.effective().unwrap_or_default();
        Ok(self.deps.networks.try_connection(entry.record.project, &policy, target).await?)
    }

    /// Whether a project may ask for these private networks.
    ///
    /// # Errors
    /// `FN_006`, naming the field.
    pub fn check_granted(&self, project: ProjectId, asked: &[NetworkName], field: &str) -> Result<(), Fault> {
        if asked.is_empty() {
            return Ok(());
        }
        let granted = self.deps.networks.granted(project);
        let Some(name) = asked.iter().find(|name| !granted.contains(*name)) else { return Ok(()) };
        let hint = if granted.is_empty() {
            format!(
                "remove it, or have the server's operator add {name} to egress.networks in the server's configuration"
            )
        } else {
            let names: Vec<&str> = granted.iter().map(NetworkName::as_str).collect();
            let (names, more) = (names.join(", "), "under egress.networks in the server's configuration");
            format!("this project may ask for: {names}; the server's operator names others {more}")
        };
        let message = format!("{field}: there is no private network `{name}` for this project");
        Err(Fault::new(Code::InvalidConfiguration, message).with_hint(hint))
    }
}

fn no_network(record: &FunctionRecord) -> Fault {
    let name = &record.name;
    let message = format!(
        "`{name}` has no network to other machines: its live version was not deployed with network = \"egress\""
    );
    Fault::new(Code::InvalidConfiguration, message)
        .with_hint("write network = \"egress\" into faas.toml and deploy; a sandbox gets its device when it starts")
}

// === impl PolicyChange ===

impl PolicyChange {
    fn check(&self) -> Result<(), Fault> {
        let refuse = |message: String| Err(Fault::new(Code::InvalidConfiguration, message));
        for (field, rules) in [("allow", self.allow.as_ref().and_then(Option::as_ref)), ("deny", self.deny.as_ref())] {
            let Some(rules) = rules else { continue };
            if rules.len() > limits::EGRESS_RULES_MAX {
                return refuse(format!("{field}: at most {} rules", limits::EGRESS_RULES_MAX));
            }
            if let Some(own) = rules.iter().find(|rule| rule.host.is_loopback()) {
                return refuse(format!("{field}: {} is the instance itself, which no rule is about", own.host));
            }
        }
        if self.networks.as_ref().is_some_and(|networks| networks.len() > limits::EGRESS_NETWORKS_MAX) {
            return refuse(format!("networks: at most {} networks", limits::EGRESS_NETWORKS_MAX));
        }
        Ok(())
    }

    fn applied_to(&self, policy: &EgressPolicy) -> EgressPolicy {
        let Self { allow, deny, networks, log } = self.clone();
        EgressPolicy {
            allow: allow.unwrap_or_else(|| policy.allow.clone()),
            deny: deny.unwrap_or_else(|| policy.deny.clone()),
            networks: networks.unwrap_or_else(|| policy.networks.clone()),
            log: log.unwrap_or(policy.log),
            source: policy.source,
        }
    }
}
