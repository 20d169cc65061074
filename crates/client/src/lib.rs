//! The Rust SDK: everything the CLI does goes through it.
