//! Serves HTTP/1.1 and HTTP/2 connections: accepts, bounds, evicts and drains them.
//!
//! Every request passes the [`Edge`](faas_web::Edge) here, before the [`RequestHandler`] sees it.

mod active_request;
mod connection_server;
mod connection_state;
mod connection_table;
mod drain_unread_body;
mod http1_framing;
mod http2_frames;
mod request_context;
mod response_body;
mod tracked_io;
mod write_progress;

pub use connection_server::ConnectionServer;
pub use request_context::RequestHandler;
