//! Bounds on stored bytes.

/// Bytes that a function, and all functions of a project together, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteBounds {
    /// One function.
    pub function: u64,
    /// One project.
    pub project: u64,
}

// === impl ByteBounds ===

impl ByteBounds {
    /// No bound.
    pub const NONE: Self = Self { function: u64::MAX, project: u64::MAX };
}
