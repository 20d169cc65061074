//! What all stacks of a process may hold together, and how it is shared out.
//!
//! A budget has parts: a project's, and within it a sandbox's. A part may take no more than half of what the others leave
//! free, so that no part can take everything however many connections its programs leave idle: a project alone gets half
//! of all, two get a third each, and one that comes late always finds something.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Amounts of what is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Bytes of connections on their way.
    pub memory: usize,
    /// Flows that exist.
    pub flows: usize,
    /// Of these, the ones of datagrams.
    pub udp_flows: usize,
}

/// A budget or a part of one. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    pub(crate) memory: Purse,
    pub(crate) flows: Purse,
    pub(crate) udp_flows: Purse,
}

/// One kind of thing that a budget shares out.
#[derive(Clone, Debug)]
pub(crate) struct Purse(Arc<Account>);

#[derive(Debug)]
struct Account {
    source: Source,
    used: AtomicUsize,
}

#[derive(Debug)]
enum Source {
    Limit(usize),
    PartOf(Purse),
}

/// What was taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    purse: Purse,
    amount: usize,
}

// === impl Budget ===

impl Budget {
    /// A budget of so much.
    pub fn new(limits: Amounts) -> Self {
        let purse = |limit| Purse::new(Source::Limit(limit));
        Self { memory: purse(limits.memory), flows: purse(limits.flows), udp_flows: purse(limits.udp_flows) }
    }

    /// A part of it, for one of those who share it.
    #[must_use]
    pub fn part(&self) -> Self {
        let part = |purse: &Purse| Purse::new(Source::PartOf(purse.clone()));
        Self { memory: part(&self.memory), flows: part(&self.flows), udp_flows: part(&self.udp_flows) }
    }

    /// What was taken of all that it is a part of.
    pub fn all(&self) -> Amounts {
        let used = |purse: &Purse| purse.whole().used();
        Amounts { memory: used(&self.memory), flows: used(&self.flows), udp_flows: used(&self.udp_flows) }
    }

    /// What was taken of it.
    pub fn used(&self) -> Amounts {
        Amounts { memory: self.memory.used(), flows: self.flows.used(), udp_flows: self.udp_flows.used() }
    }
}

// === impl Purse ===

impl Purse {
    fn new(source: Source) -> Self {
        Self(Arc::new(Account { source, used: AtomicUsize::new(0) }))
    }

    fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// How much may be taken now.
    pub(crate) fn room(&self) -> usize {
        match &self.0.source {
            Source::Limit(limit) => limit.saturating_sub(self.used()),
            Source::PartOf(whole) => whole.room().saturating_sub(self.used()) / 2,
        }
    }

    fn whole(&self) -> &Self {
        let mut purse = self;
        while let Source::PartOf(whole) = &purse.0.source {
            purse = whole;
        }
        purse
    }

    /// Takes the whole amount, or nothing. Stacks of one budget run on one thread, so nothing changes between the check and
    /// the update.
    pub(crate) fn take(&self, amount: usize) -> Option<Reservation> {
        if amount > self.room() {
            return None;
        }
        self.each(|used| {
            used.fetch_add(amount, Ordering::Relaxed);
        });
        Some(Reservation { purse: self.clone(), amount })
    }

    /// Does something to its account and to those that it is part of.
    fn each(&self, work: impl Fn(&AtomicUsize)) {
        let mut purse = self;
        loop {
            work(&purse.0.used);
            match &purse.0.source {
                Source::Limit(_) => return,
                Source::PartOf(whole) => purse = whole,
            }
        }
    }
}

// === impl Reservation ===

impl Drop for Reservation {
    fn drop(&mut self) {
        self.purse.each(|used| {
            used.fetch_sub(self.amount, Ordering::Relaxed);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(Amounts { memory: 1_000, flows: 1_000, udp_flows: 1_000 })
    }

    fn take_all(purse: &Purse) -> Vec<Reservation> {
        std::iter::from_fn(|| purse.take(1)).collect()
    }

    #[test]
    fn a_part_leaves_something_to_others_however_much_it_takes() {
        let budget = budget();
        let (greedy, late) = (budget.part(), budget.part());
        let held = take_all(&greedy.memory);
        assert!((490..=500).contains(&held.len()), "{}", held.len());
        let others = take_all(&late.memory);
        assert!((240..=250).contains(&others.len()), "{}", others.len());
        // One more still gets something, and so does a part of a part.
        assert!(take_all(&budget.part().part().memory).len() > 50);
        drop(held);
        assert!(take_all(&late.memory).len() > 100, "what others gave back can be taken");
        drop(others);
        assert_eq!((budget.used().memory, greedy.used().memory, late.used().memory), (0, 0, 0));
    }

    #[test]
    fn parts_of_a_part_share_what_it_may_have() {
        let budget = budget();
        let project = budget.part();
        let sandboxes: Vec<_> = (0..8).map(|_| project.part()).collect();
        let held: Vec<_> = sandboxes.iter().map(|sandbox| take_all(&sandbox.flows)).collect();
        assert!(held.iter().all(|held| !held.is_empty()), "{held:?}");
        assert!(project.used().flows <= 500, "{}", project.used().flows);
        assert_eq!(sandboxes[3].all(), budget.used());
        assert_eq!(project.used().flows, budget.used().flows);
        assert_eq!((budget.used().memory, budget.used().udp_flows), (0, 0));
        assert!(!take_all(&budget.part().part().flows).is_empty());
    }

    #[test]
    fn a_budget_without_parts_is_used_up_to_its_last_piece() {
        let budget = budget();
        assert_eq!(take_all(&budget.flows).len(), 1_000);
        let held = budget.udp_flows.take(1_000);
        assert!(held.is_some() && budget.udp_flows.take(1).is_none());
    }
}
