//! What instances may connect to, kept current while they run.

use std::collections::HashMap;
use std::sync::Arc;

use faas_types::{EgressPolicy, FunctionId};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Fewer functions than this are not looked through.
const SWEEP_MIN: usize = 64;

/// The policies that pools watch, by function and version.
#[derive(Debug, Default)]
pub(crate) struct LivePolicies(Mutex<Policies>);

#[derive(Debug, Default)]
struct Policies {
    functions: HashMap<FunctionId, HashMap<u32, LivePolicy>>,
    /// How many functions are known when those that no pool watches any more are looked for.
    sweep_at: usize,
}

#[derive(Debug)]
struct LivePolicy {
    /// What the version's manifest says.
    manifest: Arc<EgressPolicy>,
    effective: watch::Sender<Arc<EgressPolicy>>,
}

// === impl LivePolicies ===

impl LivePolicies {
    /// The policy of a version's instances, as it is and as it becomes. `set` gives what was set by hand, and is asked
    /// while no change can come between.
    pub(crate) fn watch(
        &self,
        (function, version): (FunctionId, u32),
        manifest: &EgressPolicy,
        set: impl FnOnce() -> Option<Arc<EgressPolicy>>,
    ) -> watch::Receiver<Arc<EgressPolicy>> {
        let mut all = self.0.lock();
        if let Some(live) = all.functions.get(&function).and_then(|versions| versions.get(&version)) {
            return live.effective.subscribe();
        }
        all.sweep();
        let manifest = Arc::new(manifest.clone());
        let (effective, policy) = watch::channel(set().unwrap_or_else(|| Arc::clone(&manifest)));
        let versions = all.functions.entry(function).or_default();
        versions.retain(|_, live| live.is_watched());
        versions.insert(version, LivePolicy { manifest, effective });
        policy
    }

    /// Takes in that a function's record changed; `set` gives what is set by hand now. Who knows its policy already is not
    /// woken.
    pub(crate) fn changed(&self, function: FunctionId, set: impl FnOnce() -> Option<Arc<EgressPolicy>>) {
        let all = self.0.lock();
        let Some(versions) = all.functions.get(&function) else { return };
        let set = set();
        for live in versions.values() {
            let now = set.as_ref().unwrap_or(&live.manifest);
            live.effective.send_if_modified(|policy| {
                let is_other = policy != now;
                if is_other {
                    *policy = Arc::clone(now);
                }
                is_other
            });
        }
    }
}

// === impl Policies ===

impl Policies {
    /// Drops what no pool watches, each time that twice as many functions are known as were left the last time.
    fn sweep(&mut self) {
        if self.functions.len() < self.sweep_at {
            return;
        }
        self.functions.retain(|_, versions| versions.values().any(LivePolicy::is_watched));
        self.sweep_at = (self.functions.len() * 2).max(SWEEP_MIN);
    }
}

// === impl LivePolicy ===

impl LivePolicy {
    fn is_watched(&self) -> bool {
        self.effective.receiver_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denying(host: &str) -> Arc<EgressPolicy> {
        Arc::new(EgressPolicy { deny: vec![host.parse().expect(host)], ..EgressPolicy::default() })
    }

    #[test]
    fn what_is_set_reaches_every_version_and_its_reset_gives_each_its_own_back() {
        let (policies, function) = (LivePolicies::default(), FunctionId::from_u128(1));
        let manifests = [denying("a.example"), denying("b.example")];
        let mut watched = [0, 1].map(|at| policies.watch((function, at), &manifests[at as usize], || None));
        let mut other = policies.watch((FunctionId::from_u128(2), 0), &manifests[0], || None);
        policies.changed(function, || Some(denying("c.example")));
        assert!(watched.iter_mut().all(|one| *one.borrow_and_update() == denying("c.example")));
        policies.changed(function, || Some(denying("c.example")));
        assert!(watched.iter().all(|one| !one.has_changed().expect("it is watched")), "nothing new wakes nobody");
        policies.changed(function, || None);
        assert_eq!(watched.map(|mut one| one.borrow_and_update().clone()), manifests);
        assert!(!other.has_changed().expect("it is watched") && *other.borrow_and_update() == manifests[0]);
    }

    #[test]
    fn a_pool_that_opens_later_begins_with_what_is_set() {
        let (policies, function) = (LivePolicies::default(), FunctionId::from_u128(1));
        policies.changed(function, || panic!("nobody watches"));
        let first = policies.watch((function, 1), &EgressPolicy::default(), || Some(denying("a.example")));
        assert_eq!(*first.borrow(), denying("a.example"));
        drop(first);
        policies.watch((function, 2), &EgressPolicy::default(), || None);
        assert_eq!(policies.0.lock().functions[&function].len(), 1, "what nobody watches is dropped");
        for other in 2..1_000 {
            policies.watch((FunctionId::from_u128(other), 1), &EgressPolicy::default(), || None);
            assert!(policies.0.lock().functions.len() <= SWEEP_MIN);
        }
    }
}
