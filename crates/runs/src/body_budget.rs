//! Memory for bodies that the server holds for calls: requests that are collected before their handler runs, and replies
//! that are taken in to free an instance.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use faas_types::{Code, Fault, FunctionId, ProjectId, limits};
use parking_lot::Mutex;

/// The reciprocal of the share that is left to functions which hold little.
const SPARED: u64 = 8;
/// The reciprocal of the share that such a function may hold: 1 MB of the usual budget.
const LITTLE: u64 = 512;
/// A project may hold the free bytes times this.
const PROJECT_WEIGHT: u64 = 3;

/// Memory for bodies of all calls together. Taken as bytes come, never for what is only announced.
///
/// What a function and a project may hold follows what is left: a function as much as is free, a project three times
/// as much. So one function alone gets half of the budget and one project three quarters, and however many share it, there
/// is room for one more. A part is kept for functions that hold little.
#[derive(Debug)]
pub struct BodyBudget {
    max: u64,
    held: Mutex<Held>,
    used: AtomicU64,
    refused: AtomicU64,
}

/// Bytes by holder. Who holds nothing has no entry.
#[derive(Debug, Default)]
struct Held {
    functions: HashMap<FunctionId, u64>,
    projects: HashMap<ProjectId, u64>,
    total: u64,
}

/// Whose bodies they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyOwner {
    /// The tenant.
    pub project: ProjectId,
    /// The function that is called.
    pub function: FunctionId,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<BodyBudget>,
    owner: BodyOwner,
    bytes: u64,
}

/// A body with the memory that was reserved for it.
struct Reserved {
    body: Bytes,
    _reservation: Reservation,
}

// === impl BodyBudget ===

impl Default for BodyBudget {
    fn default() -> Self {
        Self::new(limits::BODIES_MAX)
    }
}

impl BodyBudget {
    /// A budget of `max` bytes.
    #[must_use]
    pub fn new(max: u64) -> Self {
        Self { max, held: Mutex::default(), used: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// Bytes that are held now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bodies that found no room since the server started.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Nothing yet, to grow with a body.
    #[must_use]
    pub fn open(self: &Arc<Self>, owner: BodyOwner) -> Reservation {
        Reservation { budget: Arc::clone(self), owner, bytes: 0 }
    }
}

// === impl Held ===

impl Held {
    fn fits(&self, owner: BodyOwner, bytes: u64, max: u64) -> bool {
        let Some(total) = self.total.checked_add(bytes).filter(|total| *total <= max) else { return false };
        let of = |held: Option<&u64>| held.copied().unwrap_or(0) + bytes;
        let (function, project) = (of(self.functions.get(&owner.function)), of(self.projects.get(&owner.project)));
        if function <= max / LITTLE {
            return project <= (max - total).saturating_mul(PROJECT_WEIGHT);
        }
        let left = (max - max / SPARED).saturating_sub(total);
        function <= left && project <= left.saturating_mul(PROJECT_WEIGHT)
    }

    fn add(&mut self, owner: BodyOwner, bytes: u64) {
        self.total += bytes;
        *self.functions.entry(owner.function).or_default() += bytes;
        *self.projects.entry(owner.project).or_default() += bytes;
    }

    fn remove(&mut self, owner: BodyOwner, bytes: u64) {
        self.total -= bytes;
        remove_from(&mut self.functions, owner.function, bytes);
        remove_from(&mut self.projects, owner.project, bytes);
    }
}

fn remove_from<K: Eq + Hash>(held: &mut HashMap<K, u64>, key: K, bytes: u64) {
    if let Entry::Occupied(mut entry) = held.entry(key) {
        *entry.get_mut() = entry.get().saturating_sub(bytes);
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

// === impl Reservation ===

impl Reservation {
    /// Takes room for bytes that have come.
    ///
    /// # Errors
    /// `FN_016` when the function, its project or all together hold as much as they may.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Fault> {
        let BodyBudget { max, held, used, refused } = &*self.budget;
        {
            let mut held = held.lock();
            if held.fits(self.owner, bytes, *max) {
                held.add(self.owner, bytes);
                used.store(held.total, Ordering::Relaxed);
                self.bytes += bytes;
                return Ok(());
            }
        }
        refused.fetch_add(1, Ordering::Relaxed);
        Err(Fault::new(Code::Unavailable, "the server holds as many bodies as it may for this function")
            .with_hint("try again, with smaller bodies or fewer at once")
            .with_retry_after(1))
    }

    /// The body, whose memory goes back to the budget with the last copy of it.
    #[must_use]
    pub fn hold(self, body: Bytes) -> Bytes {
        if body.is_empty() {
            return body;
        }
        Bytes::from_owner(Reserved { body, _reservation: self })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let mut held = self.budget.held.lock();
            held.remove(self.owner, self.bytes);
            self.budget.used.store(held.total, Ordering::Relaxed);
        }
    }
}

// === impl Reserved ===

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 512 << 20;
    const LARGE: u64 = 1 << 20;

    fn owner(project: u128, function: u128) -> BodyOwner {
        BodyOwner { project: ProjectId::from_u128(project), function: FunctionId::from_u128(function) }
    }

    /// Takes as much as there is, in parts of a megabyte.
    fn fill(budget: &Arc<BodyBudget>, owner: BodyOwner) -> (Reservation, u64) {
        let mut reservation = budget.open(owner);
        while reservation.grow(LARGE).is_ok() {}
        let bytes = reservation.bytes;
        (reservation, bytes)
    }

    #[test]
    fn a_body_holds_its_room_until_its_last_copy_goes() {
        let budget = Arc::new(BodyBudget::new(MAX));
        let mut first = budget.open(owner(1, 1));
        first.grow(4).expect("room");
        first.grow(4).expect("room");
        let body = first.hold(Bytes::from_static(b"12345678"));
        let copy = body.slice(2..3);
        let refused = budget.open(owner(1, 1)).grow(MAX).expect_err("no room");
        assert_eq!((refused.code, refused.retry_after), (Code::Unavailable, Some(1)));
        drop(body);
        assert_eq!((budget.used(), budget.refused()), (8, 1));
        drop(copy);
        assert_eq!(budget.used(), 0);
        let held = budget.held.lock();
        assert!(held.functions.is_empty() && held.projects.is_empty(), "nothing is kept of who holds nothing");
    }

    #[test]
    fn one_function_leaves_room_for_the_bodies_of_others() {
        let budget = Arc::new(BodyBudget::new(MAX));
        let (_greedy, bytes) = fill(&budget, owner(1, 1));
        assert!((200 << 20..=MAX / 2).contains(&bytes), "about half is one function's: {bytes}");
        budget.open(owner(1, 2)).grow(10 << 20).expect("room for the largest body of a neighbour");
        budget.open(owner(2, 3)).grow(10 << 20).expect("room for the largest body of another project");
        budget.open(owner(1, 1)).grow(8).expect_err("its own next body has to wait");
    }

    #[test]
    fn one_project_leaves_room_for_others_however_many_functions_it_has() {
        let budget = Arc::new(BodyBudget::new(MAX));
        let held: Vec<_> = (0..200).map(|function| fill(&budget, owner(1, function))).collect();
        let bytes: u64 = held.iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes < MAX * 4 / 5, "{bytes}");
        budget.open(owner(2, 1_000)).grow(10 << 20).expect("room for the largest body of another project");
    }

    #[test]
    fn small_bodies_find_room_whatever_the_large_ones_hold() {
        let budget = Arc::new(BodyBudget::new(MAX));
        let _held: Vec<_> = (0..12_u128).map(|n| fill(&budget, owner(n, n))).collect();
        let small: Vec<_> = (100..150_u128).map(|n| fill(&budget, owner(n, n))).collect();
        assert!(small.iter().all(|(_, bytes)| *bytes >= LARGE), "each holds a megabyte");
    }
}
