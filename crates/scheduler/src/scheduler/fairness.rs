//! Max-min fairness when capacity is scarce: over projects, then over the pools of each project.
//!
//! A share is the larger of two parts: of the node's instances and of its memory (dominant resource fairness). The
//! smallest share is served first, and the largest gives up capacity first. Every operation is O(log n).

use std::collections::{BTreeSet, HashMap};

use faas_types::ProjectId;

use super::capacity::Resources;
use super::queue::Urgency;

/// The whole node; shares are parts of it.
const WHOLE: u128 = 1 << 32;
/// The factor by which a share counts more for background runs.
const BACKGROUND_WEIGHT: u64 = 4;

/// Identifies a pool while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PoolId(pub u64);

/// The share of each project and pool in the node.
pub(crate) struct FairShares {
    capacity: Resources,
    projects: HashMap<ProjectId, ProjectShare>,
    pools: HashMap<PoolId, PoolShare>,
    ranks: Ranks<ProjectId>,
    gains: u64,
}

struct ProjectShare {
    holds: Resources,
    /// The number of its latest gain. Equal shares take turns by it.
    gained: u64,
    pools: u32,
    /// Pools that claim capacity for a caller.
    callers: u32,
    ranks: Ranks<PoolId>,
}

struct PoolShare {
    project: ProjectId,
    holds: Resources,
    gained: u64,
    /// It wants an instance, for this kind of call.
    claim: Option<Urgency>,
    /// It may have an idle instance. Cleared only when a search found none, so that a busy function, whose instances fall
    /// idle thousands of times a second, costs nothing here.
    may_idle: bool,
}

/// Claims and possibly idle instances, ordered by share.
struct Ranks<K> {
    claims: BTreeSet<(Rank, K)>,
    idle: BTreeSet<(u64, K)>,
}

/// Lower is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    share: u64,
    gained: u64,
}

/// The ranks of one project or pool.
#[derive(Clone, Copy, PartialEq, Eq)]
struct OwnRanks {
    claim: Option<Rank>,
    idle: Option<u64>,
}

fn share(holds: Resources, capacity: Resources) -> u64 {
    let part = |held: u64, of: u64| u128::from(held) * WHOLE / u128::from(of.max(1));
    let instances = part(holds.instances.into(), capacity.instances.into());
    u64::try_from(instances.max(part(holds.memory, capacity.memory))).unwrap_or(u64::MAX)
}

fn claim_rank(share: u64, gained: u64, urgency: Urgency) -> Rank {
    let share = match urgency {
        Urgency::Caller => share,
        // Plus one, so that empty shares differ too.
        Urgency::Background => (share + 1).saturating_mul(BACKGROUND_WEIGHT),
    };
    Rank { share, gained }
}

// === impl Ranks ===

impl<K: Ord + Copy> Ranks<K> {
    fn new() -> Self {
        Self { claims: BTreeSet::new(), idle: BTreeSet::new() }
    }

    fn enter(&mut self, key: K, at: OwnRanks) {
        self.claims.extend(at.claim.map(|rank| (rank, key)));
        self.idle.extend(at.idle.map(|rank| (rank, key)));
    }

    fn leave(&mut self, key: K, at: OwnRanks) {
        at.claim.map(|rank| self.claims.remove(&(rank, key)));
        at.idle.map(|rank| self.idle.remove(&(rank, key)));
    }
}

// === impl ProjectShare ===

impl ProjectShare {
    fn own_ranks(&self, capacity: Resources) -> OwnRanks {
        let share = share(self.holds, capacity);
        let urgency = if self.callers > 0 { Urgency::Caller } else { Urgency::Background };
        OwnRanks {
            claim: (!self.ranks.claims.is_empty()).then(|| claim_rank(share, self.gained, urgency)),
            idle: (!self.ranks.idle.is_empty()).then_some(share),
        }
    }
}

// === impl PoolShare ===

impl PoolShare {
    fn own_ranks(&self, capacity: Resources) -> OwnRanks {
        let share = share(self.holds, capacity);
        OwnRanks {
            claim: self.claim.map(|urgency| claim_rank(share, self.gained, urgency)),
            idle: self.may_idle.then_some(share),
        }
    }
}

// === impl FairShares ===

impl FairShares {
    pub(crate) fn new(capacity: Resources) -> Self {
        Self { capacity, projects: HashMap::new(), pools: HashMap::new(), ranks: Ranks::new(), gains: 0 }
    }

    pub(crate) fn add(&mut self, id: PoolId, project: ProjectId) {
        let new = || ProjectShare { holds: Resources::default(), gained: 0, pools: 0, callers: 0, ranks: Ranks::new() };
        self.projects.entry(project).or_insert_with(new).pools += 1;
        self.pools
            .insert(id, PoolShare { project, holds: Resources::default(), gained: 0, claim: None, may_idle: false });
    }

    /// Removes a pool, which must hold nothing.
    pub(crate) fn remove(&mut self, id: PoolId) {
        self.change(id, |pool| (pool.claim, pool.may_idle) = (None, false));
        let Some(pool) = self.pools.remove(&id) else { return };
        if let Some(project) = self.projects.get_mut(&pool.project) {
            project.pools -= 1;
            if project.pools == 0 {
                self.projects.remove(&pool.project);
            }
        }
    }

    fn change(&mut self, id: PoolId, change: impl FnOnce(&mut PoolShare)) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        let Some(project) = self.projects.get_mut(&pool.project) else { return };
        self.ranks.leave(pool.project, project.own_ranks(self.capacity));
        project.ranks.leave(id, pool.own_ranks(self.capacity));
        let (held, called) = (pool.holds, pool.claim == Some(Urgency::Caller));
        change(pool);
        project.holds.subtract(held);
        project.holds.add(pool.holds);
        project.gained = project.gained.max(pool.gained);
        project.callers -= u32::from(called);
        project.callers += u32::from(pool.claim == Some(Urgency::Caller));
        project.ranks.enter(id, pool.own_ranks(self.capacity));
        self.ranks.enter(pool.project, project.own_ranks(self.capacity));
    }

    pub(crate) fn gain(&mut self, id: PoolId, memory: u64) {
        self.gains += 1;
        let gained = self.gains;
        self.change(id, |pool| {
            pool.holds.add(Resources::one(memory));
            pool.gained = gained;
        });
    }

    pub(crate) fn lose(&mut self, id: PoolId, memory: u64) {
        self.change(id, |pool| pool.holds.subtract(Resources::one(memory)));
    }

    pub(crate) fn remeasure(&mut self, id: PoolId, from: u64, to: u64) {
        self.change(id, |pool| pool.holds.memory = pool.holds.memory.saturating_sub(from) + to);
    }

    /// Sets whether a pool wants one more instance, and for whom.
    pub(crate) fn claim(&mut self, id: PoolId, claim: Option<Urgency>) {
        if self.pools.get(&id).is_some_and(|pool| pool.claim != claim) {
            self.change(id, |pool| pool.claim = claim);
        }
    }

    /// Sets whether a pool may have an idle instance.
    pub(crate) fn may_idle(&mut self, id: PoolId, may_idle: bool) {
        if self.pools.get(&id).is_some_and(|pool| pool.may_idle != may_idle) {
            self.change(id, |pool| pool.may_idle = may_idle);
        }
    }

    pub(crate) fn has_claims(&self) -> bool {
        !self.ranks.claims.is_empty()
    }

    /// The pool whose claim is served next.
    pub(crate) fn next_claim(&self) -> Option<PoolId> {
        let (_, project) = self.ranks.claims.first()?;
        self.projects.get(project)?.ranks.claims.first().map(|(_, id)| *id)
    }

    /// The pool with the largest share among those that may have an idle instance.
    pub(crate) fn largest(&self) -> Option<PoolId> {
        let (_, project) = self.ranks.idle.last()?;
        self.projects.get(project)?.ranks.idle.last().map(|(_, id)| *id)
    }

    /// A pool with a larger share than the claimant that may have an idle instance: the largest pool of a project with a
    /// larger share, else a larger pool of the claimant's project.
    pub(crate) fn larger_than(&self, claimant: PoolId) -> Option<PoolId> {
        let own = self.pools.get(&claimant)?;
        let home = self.projects.get(&own.project)?;
        let above = share(home.holds, self.capacity);
        let other = self.ranks.idle.iter().rev().find(|(_, project)| *project != own.project);
        if let Some((rank, project)) = other
            && *rank > above
        {
            return self.projects.get(project)?.ranks.idle.last().map(|(_, id)| *id);
        }
        let (rank, id) = home.ranks.idle.last()?;
        (*rank > share(own.holds, self.capacity)).then_some(*id)
    }

    /// Whether it is fair to preempt one instance of `memory` of a busy pool for a claimant that needs `needs`: the
    /// claimant has nothing, or its share stays at most as large as that of the pool.
    pub(crate) fn should_preempt(&self, giver: PoolId, memory: u64, claimant: PoolId, needs: u64) -> bool {
        let (Some(from), Some(to)) = (self.pools.get(&giver), self.pools.get(&claimant)) else { return false };
        let (mut less, mut more) = if from.project == to.project {
            (from.holds, to.holds)
        } else {
            let holds = |project| self.projects.get(project).map(|project| project.holds).unwrap_or_default();
            (holds(&from.project), holds(&to.project))
        };
        if more.instances == 0 {
            return true;
        }
        less.subtract(Resources::one(memory));
        more.add(Resources::one(needs));
        share(less, self.capacity) >= share(more, self.capacity)
    }

    pub(crate) fn holds(&self, id: PoolId) -> Resources {
        self.pools.get(&id).map(|pool| pool.holds).unwrap_or_default()
    }

    /// Whether the pool's project holds at least an equal part of the node while other projects have pools.
    pub(crate) fn has_its_share(&self, id: PoolId) -> bool {
        let project = self.pools.get(&id).and_then(|pool| self.projects.get(&pool.project));
        let even = u64::try_from(WHOLE).unwrap_or(u64::MAX) / self.projects.len().max(1) as u64;
        self.projects.len() > 1 && project.is_some_and(|project| share(project.holds, self.capacity) >= even)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(pools: &[(u64, u128, u32)]) -> FairShares {
        let mut shares = FairShares::new(Resources { instances: 10, memory: 1000 });
        for (id, project, instances) in pools {
            shares.add(PoolId(*id), ProjectId::from_u128(*project));
            (0..*instances).for_each(|_| shares.gain(PoolId(*id), 10));
        }
        shares
    }

    #[test]
    fn the_smallest_pool_of_the_smallest_project_is_next() {
        let mut shares = shares(&[(1, 1, 1), (2, 1, 3), (3, 2, 3), (4, 2, 0)]);
        for id in 1..=4 {
            shares.claim(PoolId(id), Some(Urgency::Caller));
        }
        assert_eq!(shares.next_claim(), Some(PoolId(4)), "project 2 has three, project 1 four");
        shares.claim(PoolId(4), None);
        assert_eq!(shares.next_claim(), Some(PoolId(3)));
        shares.claim(PoolId(3), Some(Urgency::Background));
        assert_eq!(shares.next_claim(), Some(PoolId(1)), "callers before background");
    }

    #[test]
    fn the_largest_gives_and_only_to_a_smaller_one() {
        let mut shares = shares(&[(1, 1, 2), (2, 1, 4), (3, 2, 3), (4, 3, 9)]);
        for id in 1..=3 {
            shares.may_idle(PoolId(id), true);
        }
        assert_eq!(shares.largest(), Some(PoolId(2)));
        assert_eq!(shares.larger_than(PoolId(3)), Some(PoolId(2)));
        assert_eq!(shares.larger_than(PoolId(4)), None, "no share is larger");
        assert_eq!(shares.larger_than(PoolId(1)), Some(PoolId(2)), "the larger pool of its project");
    }

    #[test]
    fn memory_counts_where_it_is_the_larger_part() {
        let mut shares = shares(&[(1, 1, 2), (2, 2, 1)]);
        shares.remeasure(PoolId(2), 10, 900);
        shares.claim(PoolId(1), Some(Urgency::Caller));
        shares.claim(PoolId(2), Some(Urgency::Caller));
        assert_eq!(shares.next_claim(), Some(PoolId(1)));
        assert!(shares.has_its_share(PoolId(2)) && !shares.has_its_share(PoolId(1)));
    }

    #[test]
    fn a_busy_pool_is_preempted_for_one_that_has_nothing_or_stays_smaller() {
        let shares = shares(&[(1, 1, 3), (2, 2, 1), (3, 3, 0), (4, 4, 2)]);
        let preempts = |from, to| shares.should_preempt(PoolId(from), 10, PoolId(to), 10);
        assert!(preempts(1, 2) && preempts(2, 3));
        assert!(!preempts(1, 4), "it would only be reversed");
    }
}
