//! Connections to the outside world, never to this machine or its private networks.
//!
//! The owner of a callback, or code in a sandbox, could otherwise use the server to reach what only the server can: itself,
//! its neighbours, the machine's metadata. One [`Ruling`] decides on every connection, of functions, builds and callbacks
//! alike, by the address that it really goes to. A name is looked up once, and the connection goes to an address of that
//! answer which was checked, by the [`Dialer`]; redirections are not followed, and no proxy is used that the operator did
//! not name.

mod broker;
mod dialer;
mod egress;
mod guard;
mod host_addresses;
mod host_view;
mod local_routes;
mod names;
mod poster;
mod proxy;
mod resolver;
mod ruling;
mod seldom;
mod shut;
mod source_addresses;
mod tls;

pub use broker::{Broker, BrokerConfig, connecting_max};
pub use dialer::Dialer;
pub use egress::{IndexEgress, Operator, Remedy};
pub use guard::Guard;
pub use host_addresses::{HostAddresses, Nat64Prefix};
pub use host_view::HostView;
pub use local_routes::LocalNetwork;
pub use poster::HttpOutbound;
pub use ruling::{Attempt, GrantedNetwork, OpenKey, OperatorRules, Rule, Rules, Ruling};
pub use source_addresses::SourceAddresses;
