//! Fakes, a manual clock and the conformance suites of the ports.
