//! Why a build made nothing.

use faas_types::Fault;

/// Why a build made nothing.
pub(super) enum Failed {
    /// The program says so.
    Told(String),
    /// The program, or what runs beside it, broke the protocol.
    Breach(String),
    /// The program has ended.
    Gone,
    /// Time is over.
    Late,
    /// What was handed over cannot be taken.
    Fault(Box<Fault>),
}
