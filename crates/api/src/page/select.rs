//! The first rows of many in an order, without sorting the others.

/// Keeps the `wanted` first ones of what is pushed, and holds at most twice as many.
pub(super) struct Selection<R> {
    wanted: usize,
    descends: bool,
    rows: Vec<(String, R)>,
}

// === impl Selection ===

impl<R> Selection<R> {
    pub(super) fn new(wanted: usize, descends: bool) -> Self {
        Self { wanted, descends, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, key: String, row: R) {
        self.rows.push((key, row));
        if self.rows.len() >= self.wanted * 2 {
            let descends = self.descends;
            self.rows.select_nth_unstable_by(self.wanted - 1, |a, b| compare(descends, &a.0, &b.0));
            self.rows.truncate(self.wanted);
        }
    }

    /// The first rows, in order.
    pub(super) fn finish(mut self) -> Vec<(String, R)> {
        self.rows.sort_unstable_by(|a, b| compare(self.descends, &a.0, &b.0));
        self.rows.truncate(self.wanted);
        self.rows
    }
}

fn compare(descends: bool, a: &str, b: &str) -> std::cmp::Ordering {
    if descends { b.cmp(a) } else { a.cmp(b) }
}
