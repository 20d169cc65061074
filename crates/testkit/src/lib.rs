//! Fakes, a manual clock and the conformance suites of the ports. For tests only.

pub mod fixture;
pub mod suite;
