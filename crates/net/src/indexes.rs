//! Which index each sandbox has, and which numbers its flows.

use std::collections::HashMap;

use crate::token::Token;

/// Indexes are used again, and numbers of flows are not: who has an index goes on counting where the one before stopped.
#[derive(Debug)]
pub(crate) struct Indexes {
    of: HashMap<u64, u64>,
    fresh: u64,
    free: Vec<Own>,
    /// Taken back in this turn, in which there may still be events for them.
    resting: Vec<Own>,
}

/// What a sandbox gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) index: u64,
    /// Its flows and queries have the numbers from here on.
    pub(crate) first_id: u64,
}

// === impl Indexes ===

impl Default for Indexes {
    fn default() -> Self {
        Self { of: HashMap::new(), fresh: 1, free: Vec::new(), resting: Vec::new() }
    }
}

impl Indexes {
    /// The index of a sandbox, by the server's number.
    pub(crate) fn of(&self, number: u64) -> Option<u64> {
        self.of.get(&number).copied()
    }

    /// An index for a sandbox that has none yet; `None` if it has one already, or if all are used.
    pub(crate) fn give(&mut self, number: u64) -> Option<Own> {
        if self.of.contains_key(&number) {
            return None;
        }
        let own = self.free.pop().or_else(|| {
            let index = self.fresh;
            (index < Token::INDEX_MAX).then(|| {
                self.fresh += 1;
                Own { index, first_id: index << Token::INDEX }
            })
        })?;
        self.of.insert(number, own.index);
        Some(own)
    }

    /// Takes an index back. `next_id` is the first number that was not used; without it none was.
    pub(crate) fn take_back(&mut self, index: u64, number: u64, next_id: Option<u64>) {
        self.of.remove(&number);
        let first_id = next_id.unwrap_or(index << Token::INDEX);
        // One whose numbers are half used up is not given again: a sandbox might need the rest.
        if first_id < (index << Token::INDEX) + (1 << (Token::INDEX - 1)) {
            self.resting.push(Own { index, first_id });
        }
    }

    /// A turn is over, and with it the events that had come for indexes that were taken back in it.
    pub(crate) fn turn(&mut self) {
        self.free.append(&mut self.resting);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn more_sandboxes_come_and_go_than_there_are_indexes_and_no_number_is_used_twice() {
        let mut indexes = Indexes::default();
        let (mut seen, mut most) = (HashSet::new(), 0);
        for number in 0..100_000 {
            let own = indexes.give(number).expect("an index");
            assert_eq!((indexes.of(number), indexes.give(number)), (Some(own.index), None));
            most = most.max(own.index);
            for id in own.first_id..own.first_id + 3 {
                assert_eq!(id >> Token::INDEX, own.index);
                assert!(seen.insert(id), "{id} is used twice");
            }
            indexes.take_back(own.index, number, Some(own.first_id + 3));
            assert_eq!(indexes.of(number), None);
            if number % 2 == 0 {
                indexes.turn();
            }
        }
        assert!(most < 4, "{most} indexes");
    }

    #[test]
    fn one_that_was_taken_back_rests_until_the_turn_is_over_and_ends_with_its_numbers() {
        let mut indexes = Indexes::default();
        let first = indexes.give(7).expect("an index");
        indexes.take_back(first.index, 7, None);
        let other = indexes.give(8).expect("an index");
        assert_ne!(first.index, other.index);
        indexes.turn();
        let again = indexes.give(9).expect("an index");
        assert_eq!((again, first.first_id), (first, first.index << Token::INDEX));
        indexes.take_back(again.index, 9, Some(again.first_id + (1 << (Token::INDEX - 1))));
        indexes.turn();
        assert_ne!(indexes.give(10).expect("an index").index, first.index);
    }
}
