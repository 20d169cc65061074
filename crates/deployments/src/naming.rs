//! Faults of one function among several.

use faas_types::{Fault, FunctionName};

/// Names the function that a fault of a group is about.
pub(crate) fn naming(name: &FunctionName, mut fault: Fault) -> Fault {
    if !fault.message.starts_with(&format!("`{name}`")) {
        fault.message = format!("`{name}`: {}", fault.message);
    }
    fault
}
