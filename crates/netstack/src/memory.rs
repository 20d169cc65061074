//! Memory of connections: bounded for each, for each sandbox and for all together.

use std::io;

use memmap2::MmapMut;

use crate::budget::{Budget, Reservation};

/// Bytes of both rings of a connection, by how many the sandbox has: a few get windows for fast transfers, and a
/// thousand still fit into some 60 MB.
const SIZES: [(usize, usize); 3] = [(32, 512 << 10), (128, 128 << 10), (usize::MAX, 32 << 10)];

/// What a connection receives into and sends from. Pages are taken when they are first written, and given back with the
/// connection.
pub(crate) struct Rings {
    pub(crate) receiving: MmapMut,
    pub(crate) sending: MmapMut,
    _reservation: Reservation,
}

// === impl Budget ===

impl Budget {
    /// Rings for one more connection of a sandbox that has `connections`; `spare` are some that it has left. Fails when
    /// there is no memory left for it.
    pub(crate) fn rings(&self, connections: usize, spare: Option<Rings>) -> io::Result<Rings> {
        match spare {
            Some(rings) if rings.bytes() == self.ring_bytes(connections) => return Ok(rings),
            other => drop(other),
        }
        let bytes = self.ring_bytes(connections);
        let reservation = self.memory.take(bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Rings {
            receiving: MmapMut::map_anon(bytes / 2)?,
            sending: MmapMut::map_anon(bytes / 2)?,
            _reservation: reservation,
        })
    }

    fn ring_bytes(&self, connections: usize) -> usize {
        // What is scarce is shared in small parts.
        let plenty = self.memory.room() / 4;
        let fits = |(below, bytes): &&(usize, usize)| connections < *below && *bytes <= plenty;
        SIZES.iter().find(fits).unwrap_or(&SIZES[2]).1
    }
}

// === impl Rings ===

impl Rings {
    fn bytes(&self) -> usize {
        self.receiving.len() + self.sending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Amounts;

    fn budget(memory: usize) -> Budget {
        Budget::new(Amounts { memory, flows: 0, udp_flows: 0 })
    }

    #[test]
    fn rings_get_smaller_as_connections_and_reservations_grow_and_end_with_the_budget() {
        let budget = budget(4 << 20);
        let sizes: Vec<_> = [0, 32, 128, 5_000]
            .map(|connections| budget.rings(connections, None).expect("memory").receiving.len())
            .to_vec();
        assert_eq!(sizes, [256 << 10, 64 << 10, 16 << 10, 16 << 10]);
        assert_eq!(budget.used().memory, 0);
        let mut held = Vec::new();
        while let Ok(rings) = budget.rings(0, None) {
            held.push(rings);
        }
        assert_eq!(budget.used().memory, 4 << 20);
        assert!(held.len() > 20, "{}", held.len());
        held.clear();
        assert_eq!(budget.used().memory, 0);
    }

    #[test]
    fn spare_rings_are_used_again_where_they_have_the_right_size() {
        let budget = budget(64 << 20);
        let first = budget.rings(0, None).expect("memory");
        let at = first.receiving.as_ptr();
        let again = budget.rings(0, Some(first)).expect("memory");
        assert_eq!((again.receiving.as_ptr(), budget.used().memory), (at, 512 << 10));
        let smaller = budget.rings(32, Some(again)).expect("memory");
        assert_eq!((smaller.receiving.len(), budget.used().memory), (64 << 10, 128 << 10));
    }

    #[test]
    fn idle_connections_of_one_project_leave_another_its_transfers() {
        let budget = budget(64 << 20);
        let greedy = budget.part();
        let mut held = Vec::new();
        for _ in 0..100 {
            let sandbox = greedy.part();
            held.extend(std::iter::from_fn(|| sandbox.rings(0, None).ok()).take(2_048));
        }
        let neighbour = budget.part().part();
        let rings = neighbour.rings(0, None).expect("memory");
        assert_eq!(rings.receiving.len(), 256 << 10, "{} bytes are taken", greedy.used().memory);
    }
}
