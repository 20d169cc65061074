//! The wire: REST bodies, CloudEvents, and the frames between server and instance.

pub mod build;
pub mod cloud_event;
pub mod frame;
pub mod frame_heads;
pub mod invoke_head;
pub mod rest;
