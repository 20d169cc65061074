//! Whether a call is served at once, waits or is refused, and how many instances to start. Pure.

/// What a pool looks like when a call arrives or something changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Calls that instances could take right now.
    pub free: u32,
    /// Instances that serve.
    pub live: u32,
    /// Instances that are being started.
    pub starting: u32,
    /// Calls that wait.
    pub waiting: u32,
    /// Instances at the most.
    pub max: u32,
    /// Calls that may wait at the most.
    pub queue_max: u32,
    /// Calls that one instance takes at once.
    pub concurrency: u32,
}

/// What becomes of an arriving call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// An instance takes it now.
    Take,
    /// It waits in the queue.
    Wait,
    /// The queue is full.
    Refuse,
}

/// Decides about one arriving call. Those who wait already go first.
pub(crate) fn admit(load: Load) -> Admission {
    if load.free > load.waiting {
        Admission::Take
    } else if load.waiting < load.queue_max {
        Admission::Wait
    } else {
        Admission::Refuse
    }
}

/// How many instances to start now, so that each waiting call has a place under way, within the maximum.
pub(crate) fn starts_wanted(load: Load) -> u32 {
    let needed = load.waiting.div_ceil(load.concurrency.max(1));
    let room = load.max.saturating_sub(load.live + load.starting);
    needed.saturating_sub(load.starting).min(room)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load() -> impl Strategy<Value = Load> {
        (0..50_u32, 0..20_u32, 0..20_u32, 0..100_u32, 1..20_u32, 0..100_u32, 1..10_u32).prop_map(
            |(free, live, starting, waiting, max, queue_max, concurrency)| Load {
                free,
                live,
                starting,
                waiting,
                max,
                queue_max,
                concurrency,
            },
        )
    }

    proptest! {
        #[test]
        fn starts_never_pass_the_maximum(load in load()) {
            let starts = starts_wanted(load);
            prop_assert!(starts == 0 || load.live + load.starting + starts <= load.max);
        }

        #[test]
        fn a_waiting_call_has_a_start_or_an_instance_to_wait_for(mut load in load()) {
            load.waiting = load.waiting.max(1);
            prop_assert!(load.live + load.starting + starts_wanted(load) > 0);
        }

        #[test]
        fn nobody_overtakes_those_who_wait(load in load()) {
            if admit(load) == Admission::Take {
                prop_assert!(load.free > load.waiting);
            }
        }

        #[test]
        fn the_queue_is_bounded(load in load()) {
            if admit(load) == Admission::Wait {
                prop_assert!(load.waiting < load.queue_max);
            }
        }
    }
}
