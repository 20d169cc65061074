//! What the epoll set is asked about.

use faas_netstack::FlowId;
use rustix::event::epoll::EventData;

/// What is waited for, as the epoll set knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Control,
    Device(u64),
    Process(u64),
    Flow(FlowId),
}

// === impl Token ===

impl Token {
    /// Flows have the sandbox's index above these bits.
    pub(crate) const INDEX: u32 = 40;
    /// More sandboxes than these are not attached at a time.
    pub(crate) const INDEX_MAX: u64 = 1 << 22;
    const KIND: u32 = 62;

    pub(crate) fn data(self) -> EventData {
        EventData::new_u64(match self {
            Self::Control => 0,
            Self::Flow(flow) => flow.0,
            Self::Device(index) => 1 << Self::KIND | index,
            Self::Process(index) => 2 << Self::KIND | index,
        })
    }

    pub(crate) fn from_data(data: EventData) -> Self {
        let index = data.u64() & (Self::INDEX_MAX - 1);
        match data.u64() >> Self::KIND {
            1 => Self::Device(index),
            2 => Self::Process(index),
            _ if data.u64() == 0 => Self::Control,
            _ => Self::Flow(FlowId(data.u64())),
        }
    }
}
