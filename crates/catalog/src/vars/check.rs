//! What vars may be.

use std::collections::BTreeMap;

use faas_types::{Code, Fault, limits, var_parts};

/// Checks names, values and references, by the rules of manifests and the API alike.
///
/// # Errors
/// `FN_006`, naming the var.
pub fn check_vars(vars: &BTreeMap<String, String>) -> Result<(), Fault> {
    let refuse = |message: String| Err(Fault::new(Code::InvalidConfiguration, message));
    if vars.len() > limits::VARS_MAX {
        return refuse(format!("{} vars are more than the limit of {}", vars.len(), limits::VARS_MAX));
    }
    for (key, value) in vars {
        let well_formed = key.len() <= 128
            && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let shown: String = key.chars().take(80).collect();
        if !well_formed {
            return refuse(format!("var `{shown}`: use A-Z, a-z, 0-9 and _, not starting with a digit"));
        }
        if key.starts_with("FAAS_") {
            return refuse(format!("var `{shown}`: names that start with FAAS_ belong to the platform"));
        }
        if value.len() > limits::VAR_VALUE_MAX || value.contains('\0') {
            return refuse(format!("var `{shown}`: a value has at most {} bytes and no NUL", limits::VAR_VALUE_MAX));
        }
        if let Err(error) = var_parts(value) {
            return refuse(format!("var `{shown}`: {error}"));
        }
    }
    Ok(())
}
