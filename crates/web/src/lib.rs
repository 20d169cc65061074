//! What every HTTP door shares: keys, request ids, problem answers, calls.

mod accept;
mod affinity;
mod auth;
mod body;
mod cache;
mod call;
mod connections;
mod cors;
mod edge;
mod hook;
mod inbound;
mod json;
mod once;
mod problem;
mod promised;
mod request_id;
mod route_table;
mod timing;

pub use accept::{prefers_async, serve_call};
pub use affinity::mark_of;
pub use auth::{Authorized, authenticate, authenticate_key, key_of};
pub use body::read_body;
pub use cache::AnswerCache;
pub use call::{CallTarget, answer_call};
pub use connections::{ConnectionEnd, ConnectionStats};
pub use cors::{allow_page, preflight};
pub use edge::{Edge, Origin, Peer};
pub use hook::answer_delivery;
pub use inbound::Inbound;
pub use json::{Json, PathParams, QueryParams};
pub use problem::{Failure, problem, render, render_problems};
pub use request_id::RequestId;
pub use route_table::{Access, RouteTable};
