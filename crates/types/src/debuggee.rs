//! What a debugger is led to.

use crate::FunctionName;

/// The function that debuggers are led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debuggee {
    /// Its name.
    pub function: FunctionName,
    /// The version that serves; absent until it is known.
    pub version: Option<u32>,
}
