//! Posts messages to the outside world, and to nobody inside.
//!
//! Whoever may set a callback's URL could otherwise use the server to reach what only the server can: itself, its
//! neighbours, the machine's metadata. So an address must be of the public internet, or allowed by the operator. A name is
//! looked up once, and the connection goes to an address of that answer which was checked; redirections are not followed
//! and no proxy is used.

mod egress;
mod guard;
mod poster;

pub use egress::{IndexEgress, Operator, Remedy};
pub use guard::Guard;
pub use poster::HttpOutbound;
