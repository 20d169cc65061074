//! Who is next when room is scarce, and who gives it up: max-min over projects, then over the pools of a project.
//!
//! A share is the larger of two parts: of the node's instances and of its memory. The one that holds least is served
//! first, and the one that holds most gives first. Every step is O(log n).

use std::collections::{BTreeSet, HashMap};

use faas_types::ProjectId;

use super::queue::Urgency;
use super::room::Holding;

/// The whole node; shares are parts of it.
const WHOLE: u128 = 1 << 32;
/// A share weighs so many times more for work that nobody waits for.
const BACKGROUND_WEIGHT: u64 = 4;

/// One pool, for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PoolId(pub u64);

/// Everybody's share of the node.
pub(crate) struct Shares {
    capacity: Holding,
    projects: HashMap<ProjectId, Project>,
    pools: HashMap<PoolId, Member>,
    ranks: Ranks<ProjectId>,
    gains: u64,
}

struct Project {
    holds: Holding,
    /// When it last gained an instance, by count: among those who hold the same, the turn goes round.
    gained: u64,
    pools: u32,
    /// Pools that claim room for a caller.
    callers: u32,
    ranks: Ranks<PoolId>,
}

struct Member {
    project: ProjectId,
    holds: Holding,
    gained: u64,
    /// It wants an instance, for whom.
    claim: Option<Urgency>,
    /// It may have an idle instance. Cleared only when somebody looked and found none, so that a busy function, whose
    /// instances fall idle thousands of times a second, costs nothing here.
    may_idle: bool,
}

/// Who claims and who may give, by share.
struct Ranks<K> {
    claims: BTreeSet<(Rank, K)>,
    idle: BTreeSet<(u64, K)>,
}

/// Lower is sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    share: u64,
    gained: u64,
}

/// Where one stands in the ranks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Standing {
    claim: Option<Rank>,
    idle: Option<u64>,
}

fn share(holds: Holding, capacity: Holding) -> u64 {
    let part = |held: u64, of: u64| u128::from(held) * WHOLE / u128::from(of.max(1));
    let instances = part(holds.instances.into(), capacity.instances.into());
    u64::try_from(instances.max(part(holds.memory, capacity.memory))).unwrap_or(u64::MAX)
}

fn claim_rank(share: u64, gained: u64, urgency: Urgency) -> Rank {
    let share = match urgency {
        Urgency::Caller => share,
        // One more, so that those who have nothing differ too.
        Urgency::Background => (share + 1).saturating_mul(BACKGROUND_WEIGHT),
    };
    Rank { share, gained }
}

// === impl Ranks ===

impl<K: Ord + Copy> Ranks<K> {
    fn new() -> Self {
        Self { claims: BTreeSet::new(), idle: BTreeSet::new() }
    }

    fn enter(&mut self, key: K, at: Standing) {
        self.claims.extend(at.claim.map(|rank| (rank, key)));
        self.idle.extend(at.idle.map(|rank| (rank, key)));
    }

    fn leave(&mut self, key: K, at: Standing) {
        at.claim.map(|rank| self.claims.remove(&(rank, key)));
        at.idle.map(|rank| self.idle.remove(&(rank, key)));
    }
}

// === impl Project ===

impl Project {
    fn standing(&self, capacity: Holding) -> Standing {
        let share = share(self.holds, capacity);
        let urgency = if self.callers > 0 { Urgency::Caller } else { Urgency::Background };
        Standing {
            claim: (!self.ranks.claims.is_empty()).then(|| claim_rank(share, self.gained, urgency)),
            idle: (!self.ranks.idle.is_empty()).then_some(share),
        }
    }
}

// === impl Member ===

impl Member {
    fn standing(&self, capacity: Holding) -> Standing {
        let share = share(self.holds, capacity);
        Standing {
            claim: self.claim.map(|urgency| claim_rank(share, self.gained, urgency)),
            idle: self.may_idle.then_some(share),
        }
    }
}

// === impl Shares ===

impl Shares {
    pub(crate) fn new(capacity: Holding) -> Self {
        Self { capacity, projects: HashMap::new(), pools: HashMap::new(), ranks: Ranks::new(), gains: 0 }
    }

    pub(crate) fn join(&mut self, id: PoolId, project: ProjectId) {
        let new = || Project { holds: Holding::default(), gained: 0, pools: 0, callers: 0, ranks: Ranks::new() };
        self.projects.entry(project).or_insert_with(new).pools += 1;
        self.pools.insert(id, Member { project, holds: Holding::default(), gained: 0, claim: None, may_idle: false });
    }

    /// The pool must hold nothing.
    pub(crate) fn quit(&mut self, id: PoolId) {
        self.change(id, |member| (member.claim, member.may_idle) = (None, false));
        let Some(member) = self.pools.remove(&id) else { return };
        if let Some(project) = self.projects.get_mut(&member.project) {
            project.pools -= 1;
            if project.pools == 0 {
                self.projects.remove(&member.project);
            }
        }
    }

    fn change(&mut self, id: PoolId, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.pools.get_mut(&id) else { return };
        let Some(project) = self.projects.get_mut(&member.project) else { return };
        self.ranks.leave(member.project, project.standing(self.capacity));
        project.ranks.leave(id, member.standing(self.capacity));
        let (held, called) = (member.holds, member.claim == Some(Urgency::Caller));
        change(member);
        project.holds.subtract(held);
        project.holds.add(member.holds);
        project.gained = project.gained.max(member.gained);
        project.callers -= u32::from(called);
        project.callers += u32::from(member.claim == Some(Urgency::Caller));
        project.ranks.enter(id, member.standing(self.capacity));
        self.ranks.enter(member.project, project.standing(self.capacity));
    }

    pub(crate) fn gain(&mut self, id: PoolId, memory: u64) {
        self.gains += 1;
        let gained = self.gains;
        self.change(id, |member| {
            member.holds.add(Holding::one(memory));
            member.gained = gained;
        });
    }

    pub(crate) fn lose(&mut self, id: PoolId, memory: u64) {
        self.change(id, |member| member.holds.subtract(Holding::one(memory)));
    }

    pub(crate) fn remeasure(&mut self, id: PoolId, from: u64, to: u64) {
        self.change(id, |member| member.holds.memory = member.holds.memory.saturating_sub(from) + to);
    }

    /// Whether a pool wants one more instance, and for whom.
    pub(crate) fn claim(&mut self, id: PoolId, claim: Option<Urgency>) {
        if self.pools.get(&id).is_some_and(|member| member.claim != claim) {
            self.change(id, |member| member.claim = claim);
        }
    }

    /// Whether a pool may have an idle instance.
    pub(crate) fn may_idle(&mut self, id: PoolId, may_idle: bool) {
        if self.pools.get(&id).is_some_and(|member| member.may_idle != may_idle) {
            self.change(id, |member| member.may_idle = may_idle);
        }
    }

    pub(crate) fn has_claims(&self) -> bool {
        !self.ranks.claims.is_empty()
    }

    /// Whose claim is next.
    pub(crate) fn next_claim(&self) -> Option<PoolId> {
        let (_, project) = self.ranks.claims.first()?;
        self.projects.get(project)?.ranks.claims.first().map(|(_, id)| *id)
    }

    /// Who holds most and may have an idle instance.
    pub(crate) fn richest(&self) -> Option<PoolId> {
        let (_, project) = self.ranks.idle.last()?;
        self.projects.get(project)?.ranks.idle.last().map(|(_, id)| *id)
    }

    /// Who holds more than a claimant and may have an idle instance for it: a richer project's richest pool, else a
    /// richer pool of the claimant's own project.
    pub(crate) fn richer_than(&self, claimant: PoolId) -> Option<PoolId> {
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

    /// Whether it is fair that a busy pool gives one instance of `memory` to a claimant that needs `needs`: the
    /// claimant has nothing, or holds no more than the giver afterwards.
    pub(crate) fn should_yield(&self, giver: PoolId, memory: u64, claimant: PoolId, needs: u64) -> bool {
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
        less.subtract(Holding::one(memory));
        more.add(Holding::one(needs));
        share(less, self.capacity) >= share(more, self.capacity)
    }

    pub(crate) fn holds(&self, id: PoolId) -> Holding {
        self.pools.get(&id).map(|member| member.holds).unwrap_or_default()
    }

    /// Whether the pool's project holds at least its even part of the node while others are there too.
    pub(crate) fn has_its_share(&self, id: PoolId) -> bool {
        let project = self.pools.get(&id).and_then(|member| self.projects.get(&member.project));
        let even = u64::try_from(WHOLE).unwrap_or(u64::MAX) / self.projects.len().max(1) as u64;
        self.projects.len() > 1 && project.is_some_and(|project| share(project.holds, self.capacity) >= even)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(pools: &[(u64, u128, u32)]) -> Shares {
        let mut shares = Shares::new(Holding { instances: 10, memory: 1000 });
        for (id, project, instances) in pools {
            shares.join(PoolId(*id), ProjectId::from_u128(*project));
            (0..*instances).for_each(|_| shares.gain(PoolId(*id), 10));
        }
        shares
    }

    #[test]
    fn the_poorest_project_and_in_it_the_poorest_pool_is_next() {
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
    fn the_richest_gives_and_only_to_the_poorer() {
        let mut shares = shares(&[(1, 1, 2), (2, 1, 4), (3, 2, 3), (4, 3, 9)]);
        for id in 1..=3 {
            shares.may_idle(PoolId(id), true);
        }
        assert_eq!(shares.richest(), Some(PoolId(2)));
        assert_eq!(shares.richer_than(PoolId(3)), Some(PoolId(2)));
        assert_eq!(shares.richer_than(PoolId(4)), None, "nobody is richer");
        assert_eq!(shares.richer_than(PoolId(1)), Some(PoolId(2)), "its own project's richer pool");
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
    fn a_busy_pool_yields_to_one_that_has_nothing_or_stays_poorer() {
        let shares = shares(&[(1, 1, 3), (2, 2, 1), (3, 3, 0), (4, 4, 2)]);
        let yields = |from, to| shares.should_yield(PoolId(from), 10, PoolId(to), 10);
        assert!(yields(1, 2) && yields(2, 3));
        assert!(!yields(1, 4), "it would only turn around");
    }
}
