//! Memory for request bodies that are collected before their handler runs, of all calls together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use faas_types::{Code, Fault, limits};

/// Memory for request bodies that are collected before their handler runs, of all calls together.
#[derive(Debug)]
pub struct BodyBudget {
    max: u64,
    used: AtomicU64,
    refused: AtomicU64,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<BodyBudget>,
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
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(max: u64) -> Self {
        Self { max, used: AtomicU64::new(0), refused: AtomicU64::new(0) }
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
    pub fn open(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes: 0 }
    }
}

// === impl Reservation ===

impl Reservation {
    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// `FN_016` when the budget is used up.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Fault> {
        let BodyBudget { max, used, refused } = &*self.budget;
        let fits = |now: u64| now.checked_add(bytes).filter(|sum| sum <= max);
        if used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            refused.fetch_add(1, Ordering::Relaxed);
            return Err(Fault::new(Code::Unavailable, "the server holds as many request bodies as it may")
                .with_hint("try again, with smaller bodies or fewer at once")
                .with_retry_after(1));
        }
        self.bytes += bytes;
        Ok(())
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
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
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

    #[test]
    fn a_body_holds_its_room_until_its_last_copy_goes() {
        let budget = Arc::new(BodyBudget::new(10));
        let mut first = budget.open();
        first.grow(4).expect("room");
        first.grow(4).expect("room");
        let body = first.hold(Bytes::from_static(b"12345678"));
        let copy = body.slice(2..3);
        let refused = budget.open().grow(3).expect_err("no room");
        assert_eq!((refused.code, refused.retry_after), (Code::Unavailable, Some(1)));
        drop(body);
        assert_eq!((budget.used(), budget.refused()), (8, 1));
        drop(copy);
        assert_eq!(budget.used(), 0);
        budget.open().grow(10).expect("room again");
    }
}
