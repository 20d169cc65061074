//! What every HTTP door shares: the edge, keys, request ids, problem answers, bodies, the route table.

mod auth;
mod body;
mod byte_range;
mod connection_stats;
mod deprecation;
mod edge;
mod idempotency;
mod inbound;
mod json;
mod json_objects;
mod key_functions;
mod preconditions;
mod problem;
mod request_id;
mod route_table;

pub use auth::{Authorized, authenticate, authenticate_key, carries_key, key_of};
pub use body::{announced_length, body_too_large, collect_body, read_body};
pub use byte_range::bytes_or_part;
pub use connection_stats::{ConnectionEnd, ConnectionStats};
pub use deprecation::Retirement;
pub use edge::{Edge, Peer, RequestOrigin};
pub use idempotency::{IDEMPOTENCY_KEY, Named, WithSecret, idempotency_key, replay, single};
pub use inbound::Inbound;
pub use json::{Created, Json, PathParams, QueryParams};
pub use key_functions::check_named;
pub use preconditions::{Precondition, StateTag, Tagged};
pub use problem::{ERROR_SOURCE, HandlerError, problem, render, render_bare, render_problems};
pub use request_id::{RequestId, ServerUrl};
pub use route_table::{Access, RouteTable, TablePurpose};
