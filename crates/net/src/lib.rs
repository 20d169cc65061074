//! The network process: reads the packets of sandboxes from their TUN devices and carries them to sockets.
//!
//! It parses what untrusted programs send, so it has no right to open sockets: the server decides about each connection,
//! opens the socket and hands it over. [`protocol`] holds the messages between the two.

pub mod protocol;
