//! Our numbers and ids as SQLite's.

use faas_types::{Id, IdKind, Timestamp};

/// An id as 16 bytes, big-endian, so that bytes sort as ids do.
pub(crate) fn id_blob<K: IdKind>(id: Id<K>) -> [u8; 16] {
    id.as_u128().to_be_bytes()
}

/// The inverse of [`id_blob`].
pub(crate) fn id<K: IdKind>(blob: [u8; 16]) -> Id<K> {
    Id::from_u128(u128::from_be_bytes(blob))
}

/// A time as milliseconds; times past what SQLite counts are its last.
pub(crate) fn millis(time: Timestamp) -> i64 {
    integer(time.as_millis())
}

/// The inverse of [`millis`].
pub(crate) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(unsigned(millis))
}

/// A count as SQLite's; saturates.
pub(crate) fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The inverse of [`integer`]; negative numbers, which we never write, become 0.
pub(crate) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
