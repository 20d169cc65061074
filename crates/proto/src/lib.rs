//! The wire: REST bodies, and the frames between server and instance.

pub mod rest;
