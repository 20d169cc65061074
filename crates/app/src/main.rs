//! The `faas` binary.
fn main() {}
