//! What is handed to the enqueuer and to the committer.

use faas_ports::{Enqueued, Footprint, NewItem, Settlement};
use faas_types::{Fault, FunctionId};
use tokio::sync::oneshot;

/// A run on its way into the queue, with its caller.
pub(crate) struct Pending {
    pub(crate) item: NewItem,
    pub(crate) reply: oneshot::Sender<Result<Enqueued, Fault>>,
}

/// What the committer is told.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
pub(crate) enum CommitRequest {
    /// A lease ends.
    Lease {
        /// How.
        settlement: Settlement,
        /// The run's function.
        function: FunctionId,
        /// What the run takes.
        footprint: Footprint,
        /// Whether the next run of its ordering key may go on.
        ordered: bool,
    },
    /// Answers when everything before it is committed.
    Flush(oneshot::Sender<()>),
}
