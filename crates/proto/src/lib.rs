//! The wire: REST bodies, and the frames between server and instance.

pub mod frame;
pub mod frame_heads;
pub mod rest;
