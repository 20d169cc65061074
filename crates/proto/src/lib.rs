//! The wire: worker frames and REST bodies.

pub mod frame;
pub mod frame_heads;
