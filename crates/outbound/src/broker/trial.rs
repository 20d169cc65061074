//! Tries a connection in a function's place, through what decides on those of its instances.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{NetworkDecision, NetworkTarget, NetworkTrial, PortError, PortResult, TrialOutcome};
use faas_types::{EgressPolicy, ProjectId, Transport};
use parking_lot::Mutex;

use super::Shared;
use super::advice::{advice, in_words, no_datagrams};
use super::bucket::Bucket;
use super::destination::Destination;
use super::underway::{Turn, Underway};
use crate::resolver::Leads;
use crate::{HostAddresses, Rule, Rules, Ruling};

/// Tries of one project a second.
const RATE: u32 = 5;
/// Tries under way, of all projects; one may have as many as are left over.
const AT_ONCE: u32 = 32;
/// How long far ends may take together. The caller waits for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Projects whose tries are remembered.
const PROJECTS_MAX: usize = 1_024;

/// Bounds how often connections are tried.
pub(super) struct Trials {
    rates: Mutex<HashMap<ProjectId, Bucket>>,
    under_way: Arc<Underway>,
}

// === impl Trials ===

impl Default for Trials {
    fn default() -> Self {
        Self { rates: Mutex::default(), under_way: Underway::new(AT_ONCE) }
    }
}

impl Trials {
    /// Room for one more try of a project.
    pub(super) fn begin(&self, project: ProjectId, now: Instant) -> PortResult<Turn> {
        let full = || PortError::Full { what: format!("the allowance of {RATE} network tests a second") };
        let mut rates = self.rates.lock();
        if rates.len() >= PROJECTS_MAX && !rates.contains_key(&project) {
            // Whose bucket is full again loses nothing by a new one.
            rates.retain(|_, bucket| !bucket.is_full(now));
            if rates.len() >= PROJECTS_MAX {
                return Err(full());
            }
        }
        if !rates.entry(project).or_insert_with(|| Bucket::new(RATE, now)).take(now) {
            return Err(full());
        }
        self.under_way.begin(project).ok_or_else(|| PortError::Full {
            what: "the number of network tests that wait for their far ends".to_owned(),
        })
    }
}

// === impl Shared ===

impl Shared {
    pub(super) async fn try_connection(
        &self,
        project: ProjectId,
        policy: &EgressPolicy,
        target: &NetworkTarget,
    ) -> NetworkTrial {
        self.host.refresh().await;
        let host = self.host.known();
        let rules = Rules { operator: &self.operator, policy, project: Some(project), host: &host };
        match target.host.parse::<IpAddr>() {
            Ok(address) => self.try_addresses(target, None, vec![address], &rules).await,
            Err(_) => self.try_name(target, &host, &rules).await,
        }
    }

    async fn try_name(&self, target: &NetworkTarget, host: &HostAddresses, rules: &Rules<'_>) -> NetworkTrial {
        let name = target.host.as_str();
        let ruling = rules.rule_on_name(name, None);
        if !ruling.allowed {
            return refused(name, &ruling, None);
        }
        let began = Instant::now();
        let v6 = async { if host.has_ipv6 { self.names.leads(name, false, rules).await } else { Ok(Leads::Nowhere) } };
        let (v4, v6) = tokio::join!(self.names.leads(name, true, rules), v6);
        let look_up = Some(began.elapsed());
        let (mut addresses, mut is_unknown) = (Vec::new(), false);
        for leads in [v4, v6] {
            match leads {
                Ok(Leads::To(more)) => addresses.extend(more),
                Ok(Leads::Nowhere) => {}
                Ok(Leads::Unknown) => is_unknown = true,
                Err(ruling) => return refused(name, &ruling, look_up),
            }
        }
        let tried = self.try_addresses(target, Some(name), addresses, rules).await;
        if tried.addresses.is_empty() {
            let outcome = if is_unknown { TrialOutcome::LookUpFailed } else { TrialOutcome::NoAddress };
            return NetworkTrial { addresses: Vec::new(), decision: decision(&ruling), outcome, look_up };
        }
        NetworkTrial { look_up, ..tried }
    }

    /// Connects to the first address that may be reached and answers, as programs do.
    async fn try_addresses(
        &self,
        target: &NetworkTarget,
        name: Option<&str>,
        addresses: Vec<IpAddr>,
        rules: &Rules<'_>,
    ) -> NetworkTrial {
        let mut ruled = Vec::with_capacity(addresses.len());
        for address in addresses {
            let to = Destination { transport: target.transport, address, port: target.port };
            let ruling = to.ruled(rules, name.as_slice());
            let decision = match ruling.allowed {
                true if target.transport == Transport::Udp && !self.dialer.has_datagrams() => {
                    let (rule, key) = no_datagrams();
                    NetworkDecision { allowed: false, rule, key }
                }
                true => decision(&ruling),
                false => {
                    let (rule, key) = in_words(name, to, &ruling);
                    NetworkDecision { allowed: false, rule, key }
                }
            };
            // What a name leads to inside is not told: names there must not be found out.
            if name.is_none() || !matches!(ruling.rule, Rule::Shut(_)) {
                ruled.push((address, decision));
            }
        }
        let until = tokio::time::Instant::now() + PATIENCE;
        let allowed = ruled.iter().filter(|(_, decision)| decision.allowed).take(ADDRESSES_MAX);
        let (mut outcome, mut on) = (TrialOutcome::Denied, None);
        for (address, decision) in allowed {
            outcome = self.reach(target, *address, until).await;
            on = Some(decision.clone());
            if matches!(outcome, TrialOutcome::Connected { .. }) {
                break;
            }
        }
        let first = ruled.first().map(|(_, decision)| decision.clone());
        let nothing = || NetworkDecision { allowed: false, rule: "there is no address".to_owned(), key: String::new() };
        NetworkTrial { decision: on.or(first).unwrap_or_else(nothing), addresses: ruled, outcome, look_up: None }
    }

    async fn reach(&self, target: &NetworkTarget, address: IpAddr, until: tokio::time::Instant) -> TrialOutcome {
        let began = Instant::now();
        let to = (address, target.port).into();
        let connecting = async {
            match target.transport {
                Transport::Tcp => self.dialer.tcp(to).await.map(drop),
                Transport::Udp => self.dialer.udp(to).map(drop),
            }
        };
        match tokio::time::timeout_at(until, connecting).await {
            Ok(Ok(())) => TrialOutcome::Connected { address, took: began.elapsed() },
            Ok(Err(error)) => match error.kind() {
                io::ErrorKind::ConnectionRefused => TrialOutcome::Refused,
                io::ErrorKind::TimedOut => TrialOutcome::TimedOut,
                _ => TrialOutcome::Unreachable,
            },
            Err(_) => TrialOutcome::TimedOut,
        }
    }
}

/// A name that is not looked up, or leads over one that may not be.
fn refused(name: &str, ruling: &Ruling, look_up: Option<Duration>) -> NetworkTrial {
    let decision = NetworkDecision { allowed: false, rule: ruling.rule.to_string(), key: advice(name, None, ruling) };
    NetworkTrial { addresses: Vec::new(), decision, outcome: TrialOutcome::Denied, look_up }
}

fn decision(ruling: &Ruling) -> NetworkDecision {
    NetworkDecision { allowed: ruling.allowed, rule: ruling.rule.to_string(), key: ruling.key.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_tries_a_few_times_a_second_and_takes_nothing_from_others() {
        let (trials, now) = (Trials::default(), Instant::now());
        let (one, other) = (ProjectId::from_u128(1), ProjectId::from_u128(2));
        let begun = (0..100).filter(|_| trials.begin(one, now).is_ok()).count();
        assert_eq!(begun, 2 * RATE as usize);
        assert!(trials.begin(other, now).is_ok());
        assert!(trials.begin(one, now + Duration::from_secs(1)).is_ok());
        let held: Vec<_> = (3..).map_while(|n| trials.begin(ProjectId::from_u128(n), now).ok()).collect();
        assert_eq!(held.len(), AT_ONCE as usize, "what is under way counts for all");
        drop(held);
        for n in 0..3 * PROJECTS_MAX as u128 {
            let _ = trials.begin(ProjectId::from_u128(n), now);
        }
        assert!(trials.rates.lock().len() <= PROJECTS_MAX);
        assert!(trials.begin(ProjectId::from_u128(9_999), now + Duration::from_secs(60)).is_ok());
    }
}
