//! The broker with a made-up process at the other end, real sockets and a name server of the test's own.

#![expect(clippy::unwrap_used, reason = "a test says by panicking that something is wrong")]

mod connections;
mod dns;
mod lab;
mod matrix;
mod processes;
mod proxies;
mod trials;
