//! Keys that more than one part of a manifest's reader knows.

/// The key that holds several functions.
pub(super) const FUNCTIONS: &str = "functions";
/// Keys of `[egress]`.
pub(super) const EGRESS_KEYS: &[&str] = &["allow", "deny", "log", "networks"];
