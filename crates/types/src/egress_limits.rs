//! How much of the outside world functions may have at once.

use std::num::NonZeroU64;

/// What each instance, and all of a project together, may have. It is said once here: the server's configuration has these
/// defaults, and the broker holds these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressLimits {
    /// Connections of one instance at a time.
    pub connections: u32,
    /// Connections of one project at a time.
    pub project_connections: u32,
    /// New connections of one instance a second.
    pub connect_rate: u32,
    /// New connections of one project a second.
    pub project_connect_rate: u32,
    /// Look-ups of one instance a second.
    pub query_rate: u32,
    /// Look-ups of one project a second.
    pub project_query_rate: u32,
    /// Bytes of one instance a second, both directions together.
    pub bandwidth: Option<NonZeroU64>,
    /// Bytes of one project a second.
    pub project_bandwidth: Option<NonZeroU64>,
}

// === impl EgressLimits ===

impl EgressLimits {
    /// What a server has that says nothing else.
    pub const DEFAULT: Self = Self {
        connections: 2_048,
        project_connections: 16_384,
        connect_rate: 500,
        project_connect_rate: 2_000,
        query_rate: 200,
        project_query_rate: 1_000,
        bandwidth: None,
        project_bandwidth: None,
    };
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
