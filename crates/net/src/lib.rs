//! The network process: reads the packets of sandboxes from their TUN devices and carries them to sockets.
//!
//! It parses what untrusted programs send, so it has no right to open sockets: the server decides about each connection,
//! opens the socket and hands it over. [`protocol`] holds the messages between the two. [`NetProcess`] is the process: one
//! thread that waits for everything at once.

mod bandwidth;
mod host;
mod indexes;
mod outbox;
mod process;
pub mod protocol;
mod sandbox;
mod surroundings;
mod token;

pub use host::keep_alive;
pub use process::{NetProcess, main_loop};
