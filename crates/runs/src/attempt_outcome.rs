//! How an attempt ended, whatever its function speaks.

use faas_types::Code;

/// How an attempt ended. The form in which the function was called says which answers count as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The function did its work. Answers that refuse the caller are among them: another attempt would refuse too.
    Completed,
    /// It failed with this code.
    Failed(Code),
    /// The server is stopping, so nothing that happened counts.
    Interrupted,
}
