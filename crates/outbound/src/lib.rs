//! Connections to the outside world, and to nobody inside.
//!
//! The owner of a callback, or code in a sandbox, could otherwise use the server to reach what only the server
//! can: itself, its neighbours, the machine's metadata. One [`Ruling`] decides on every connection, of functions, builds and
//! callbacks alike, by the address that it really goes to. A name is looked up once, and the connection goes to an address of
//! that answer which was checked; redirections are not followed and no proxy is used.

mod broker;
mod egress;
mod guard;
mod host_addresses;
mod names;
mod poster;
mod resolver;
mod ruling;
mod shut;

pub use broker::{Broker, BrokerConfig, BrokerLimits, SourceAddresses};
pub use egress::{IndexEgress, Operator, Remedy};
pub use guard::Guard;
pub use host_addresses::{HostAddresses, HostView, Nat64Prefix};
pub use poster::HttpOutbound;
pub use ruling::{Attempt, GrantedNetwork, OpenKey, OperatorRules, Rule, Rules, Ruling};
