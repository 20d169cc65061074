//! What a stack may hold, and what it counts.

use std::time::Duration;

/// Bounds of one sandbox's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackLimits {
    /// TCP connections, half-open ones included.
    pub connections: usize,
    /// TCP connections that are not yet established.
    pub half_open: usize,
    /// Pairs of endpoints that exchange UDP datagrams. One more takes the place of the longest idle.
    pub udp_flows: usize,
    /// DNS queries that wait for their answers.
    pub queries: usize,
    /// New connections and UDP flows a second, and as many more at once as there may be connections.
    pub flows_a_second: u32,
    /// DNS queries a second, and as many more at once.
    pub queries_a_second: u32,
    /// How long a connection may take until it is established.
    pub half_open_timeout: Duration,
    /// How long an established connection may be without data.
    pub idle_timeout: Duration,
    /// The same once one side has finished.
    pub half_closed_timeout: Duration,
    /// How long a UDP flow may be without datagrams.
    pub udp_timeout: Duration,
}

/// Totals since a stack was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that programs in the sandbox sent to far ends.
    pub up: u64,
    /// Bytes that programs in the sandbox received from far ends.
    pub down: u64,
    /// Flows that were asked for.
    pub flows: u64,
    /// DNS queries.
    pub queries: u64,
    /// Packets that are malformed, or of a kind that is not served.
    pub malformed: u64,
    /// Fragments of IP packets, which are not put together.
    pub fragments: u64,
    /// Packets that found a limit reached.
    pub over_limit: u64,
    /// Connections that ended because the name in their greeting was not clear.
    pub unclear_names: u64,
    /// Connections that ended because the engine panicked.
    pub panics: u64,
}

/// A number of things a second, with some at once.
#[derive(Debug)]
pub(crate) struct Rate {
    a_second: u32,
    burst: u32,
    left: f64,
    since: Duration,
}

// === impl Rate ===

impl Rate {
    pub(crate) fn new(a_second: u32, burst: u32) -> Self {
        Self { a_second, burst, left: f64::from(burst), since: Duration::ZERO }
    }

    /// Whether there may be one more now.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.since).as_secs_f64();
        self.since = now.max(self.since);
        self.left = (self.left + passed * f64::from(self.a_second)).min(f64::from(self.burst));
        let one = self.left >= 1.0;
        if one {
            self.left -= 1.0;
        }
        one
    }
}

// === impl StackLimits ===

impl Default for StackLimits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            half_open: 128,
            udp_flows: 256,
            queries: 64,
            flows_a_second: 256,
            queries_a_second: 128,
            half_open_timeout: Duration::from_secs(150),
            idle_timeout: Duration::from_secs(24 * 3_600),
            half_closed_timeout: Duration::from_secs(900),
            udp_timeout: Duration::from_secs(120),
        }
    }
}

// === impl Counters ===

impl Counters {
    /// Packets that were dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.malformed + self.fragments + self.over_limit
    }
}
