//! File descriptors: as many as the system allows, and how many of them are for connections.

use faas_outbound::connecting_max;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that one instance needs: its socket, its output, its counters and its process.
const FOR_INSTANCE: u64 = 8;
/// Descriptors for the store, the listener and everything else.
const FOR_THE_HOUSE: u64 = 256;
/// So few connections that clients may be refused.
const FEW: u64 = 1_000;

/// Raises the limit as far as it goes, and tells how many connections fit into it beside the instances.
pub(crate) fn connections_max(wanted: u32, instances_max: u32) -> usize {
    let limit = raised();
    let most = shared(limit, wanted, instances_max);
    if most < u64::from(wanted) {
        let advice = "fewer connections than configured: raise the limit of open files (ulimit -n, LimitNOFILE)";
        // The usual limit of a shell leaves thousands: worth a word to who looks for it, and none at each start.
        if most < FEW {
            tracing::warn!(connections_max = most, open_files = limit, wanted, "{advice}");
        } else {
            tracing::debug!(connections_max = most, open_files = limit, wanted, "{advice}");
        }
    }
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Instances get at most half, so that a machine with few descriptors still takes connections.
fn shared(limit: u64, wanted: u32, instances_max: u32) -> u64 {
    let instances = (u64::from(instances_max) * FOR_INSTANCE).min(limit / 2);
    let connecting = u64::from(connecting_max(limit));
    limit.saturating_sub(instances + connecting + FOR_THE_HOUSE).max(16).min(u64::from(wanted))
}

/// How many this process may have once it has raised its limit.
pub(crate) fn limit() -> u64 {
    // None means that there is no limit.
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

fn raised() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_instances_leave() {
        assert_eq!(shared(1 << 20, 16_384, 1_000), 16_384);
        assert_eq!(shared(20_000, 16_384, 1_000), 9_696);
        assert_eq!(shared(1_024, 16_384, 1_000), 128);
        assert_eq!(shared(4_096, 16_384, 1_000), 1_280);
    }
}
