//! Memory of connections: bounded for each, for each sandbox and for all together.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::MmapMut;

/// Bytes of both rings of a connection, by how many the sandbox has: a few get windows for fast transfers, and a
/// thousand still fit into some 60 MB.
const SIZES: [(usize, usize); 3] = [(32, 512 << 10), (128, 128 << 10), (usize::MAX, 32 << 10)];

/// What all stacks of a process may hold together. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
}

/// What a connection receives into and sends from. Pages are taken when they are first written, and given back with the
/// connection.
pub(crate) struct Rings {
    pub(crate) receiving: MmapMut,
    pub(crate) sending: MmapMut,
    _reservation: Reservation,
}

struct Reservation {
    budget: Budget,
    bytes: usize,
}

// === impl Budget ===

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { limit, used: AtomicUsize::new(0) }))
    }

    /// Bytes that connections have reserved.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Rings for one more connection of a sandbox that has so many. Fails when there is no memory left.
    pub(crate) fn rings(&self, connections: usize) -> io::Result<Rings> {
        let (_, wanted) = *SIZES.iter().find(|(below, _)| connections < *below).unwrap_or(&SIZES[2]);
        // What is scarce is shared in small parts.
        let free = self.0.limit.saturating_sub(self.used());
        let bytes = if free < self.0.limit / 4 { SIZES[2].1 } else { wanted };
        let reservation = self.reserve(bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Rings {
            receiving: MmapMut::map_anon(bytes / 2)?,
            sending: MmapMut::map_anon(bytes / 2)?,
            _reservation: reservation,
        })
    }

    fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let within = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.0.limit);
        self.0.used.try_update(Ordering::Relaxed, Ordering::Relaxed, within).ok()?;
        Some(Reservation { budget: self.clone(), bytes })
    }
}

// === impl Reservation ===

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_get_smaller_as_connections_and_reservations_grow_and_end_with_the_budget() {
        let budget = Budget::new(4 << 20);
        let sizes: Vec<_> =
            [0, 32, 128, 5_000].map(|connections| budget.rings(connections).expect("memory").receiving.len()).to_vec();
        assert_eq!(sizes, [256 << 10, 64 << 10, 16 << 10, 16 << 10]);
        assert_eq!(budget.used(), 0);
        let mut held = Vec::new();
        while let Ok(rings) = budget.rings(0) {
            held.push(rings);
        }
        assert_eq!(budget.used(), 4 << 20);
        assert!(held.len() > 20, "{}", held.len());
        held.clear();
        assert_eq!(budget.used(), 0);
    }
}
