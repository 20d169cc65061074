//! One zygote for each runtime in use that has one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{Clock, IdSource, PortError, Sandboxes, Zygote};
use faas_types::RuntimeName;
use parking_lot::Mutex;

use crate::runtime_profile::RuntimeProfile;

/// Forks of one zygote share its address layout and hash seed: after this many it is made anew.
const FORKS_MAX: u32 = 2_000;
/// The same by age.
const AGE_MAX: Duration = Duration::from_secs(15 * 60);
/// After the first failure; doubled with each further one.
const BACKOFF: Duration = Duration::from_secs(1);
/// One that ends within this time has failed to start.
const TRIAL: Duration = Duration::from_secs(60);
/// The longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Keeps them alive.
pub(crate) struct Zygotes {
    sandboxes: Arc<dyn Sandboxes>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    states: Mutex<HashMap<RuntimeName, State>>,
}

enum State {
    Running {
        zygote: Arc<dyn Zygote>,
        since: Instant,
        forks: u32,
        /// In a row before this one.
        failures: u32,
    },
    Failed {
        times: u32,
        until: Instant,
    },
}

// === impl Zygotes ===

impl Zygotes {
    pub(crate) fn new(sandboxes: Arc<dyn Sandboxes>, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        Self { sandboxes, clock, ids, states: Mutex::default() }
    }

    /// The zygote that runs for a profile. Counts a fork of it.
    pub(crate) fn running(&self, profile: &RuntimeProfile) -> Option<Arc<dyn Zygote>> {
        match self.states.lock().get_mut(&profile.key.runtime)? {
            State::Running { zygote, forks, .. } => {
                *forks += 1;
                Some(Arc::clone(zygote))
            }
            State::Failed { .. } => None,
        }
    }

    /// Starts the zygote of a profile that has one, unless a fresh one runs or the last failure is too recent.
    pub(crate) async fn ensure(&self, profile: &RuntimeProfile) {
        let now = Instant::now();
        let (is_wanted, failures) = match self.states.lock().get(&profile.key.runtime) {
            Some(State::Running { since, forks, .. }) => (*forks >= FORKS_MAX || now - *since >= AGE_MAX, 0),
            Some(State::Failed { until, times }) => (now >= *until, *times),
            None => (true, 0),
        };
        let spec = profile.zygote_spec(self.ids.mint(self.clock.now()));
        let (true, Some(spec)) = (is_wanted, spec) else { return };
        match self.sandboxes.zygote(spec).await {
            Ok(zygote) => {
                let running = State::Running { zygote, since: now, forks: 0, failures };
                self.states.lock().insert(profile.key.runtime.clone(), running);
            }
            Err(error) => self.note_failure(profile, &error),
        }
    }

    /// Whether the profile's runtime has a zygote at all.
    pub(crate) fn is_forked(profile: &RuntimeProfile) -> bool {
        profile.found.recipe.start.zygote.is_some()
    }

    /// Keeps a zygote that did not do what it was asked for from being asked again.
    pub(crate) async fn judge(&self, profile: &RuntimeProfile, zygote: &Arc<dyn Zygote>, error: &PortError) {
        // One that is alive may be innocent: the machine, or the sandbox, may be at fault.
        let dead = tokio::time::timeout(Duration::from_millis(100), zygote.exited()).await.is_ok();
        let is_current = match self.states.lock().get(&profile.key.runtime) {
            Some(State::Running { zygote: current, .. }) => Arc::ptr_eq(current, zygote),
            _ => false,
        };
        if dead && is_current {
            self.note_failure(profile, error);
        }
    }

    /// Ends the zygotes of runtimes that are not wanted any more.
    pub(crate) fn retain(&self, wanted: impl Fn(&RuntimeName) -> bool) {
        self.states.lock().retain(|runtime, _| wanted(runtime));
    }

    fn note_failure(&self, profile: &RuntimeProfile, error: &PortError) {
        let mut states = self.states.lock();
        let times = match states.get(&profile.key.runtime) {
            Some(State::Failed { times, .. }) => times.saturating_add(1),
            // One that has served for a while has not failed to start.
            Some(State::Running { since, failures, .. }) if since.elapsed() < TRIAL => failures.saturating_add(1),
            _ => 1,
        };
        let pause = BACKOFF.saturating_mul(1 << times.min(10)).min(BACKOFF_MAX);
        if times == 1 {
            tracing::warn!(runtime = %profile.key.runtime, %error, "a zygote has failed; instances start by themselves");
        }
        states.insert(profile.key.runtime.clone(), State::Failed { times, until: Instant::now() + pause });
    }
}
