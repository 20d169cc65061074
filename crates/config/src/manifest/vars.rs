//! Vars: plain settings that a function sees as environment variables.

use std::collections::BTreeMap;

use faas_types::{limits, var_parts};

use super::node::{Node, Value};
use super::reader::{Reader, shorten};

/// Reads `[vars]`.
pub(super) fn vars(reader: &mut Reader, node: &Node) -> BTreeMap<String, String> {
    let Some(table) = reader.table("vars", node) else { return BTreeMap::new() };
    if table.rows().len() > limits::VARS_MAX {
        reader.problem("vars", node.at, format!("`vars` has more than {} entries; remove some", limits::VARS_MAX));
    }
    let mut vars = BTreeMap::new();
    let mut total = 0_u64;
    for (key, node) in table.rows() {
        let path = table.path_of(&shorten(&key.text));
        let Value::Text(value) = &node.value else {
            let message = format!("`{path}` must be text, not {}; put the value in quotes", node.value.kind());
            reader.problem(path, node.at, message);
            continue;
        };
        total += (key.text.len() + value.len()) as u64;
        if let Err(error) = var_parts(value) {
            let message = format!("`{path}`: {error}");
            reader.problem(path, node.at, message);
        } else if let Err(message) = check_var(&key.text, value) {
            reader.problem(path, key.at.or(node.at), message);
        } else {
            vars.insert(key.text.clone(), value.clone());
        }
    }
    if total > limits::MANIFEST_MAX {
        let most = limits::MANIFEST_MAX / 1024;
        reader.problem("vars", node.at, format!("`vars` together are larger than {most} KB; move data into a file"));
    }
    vars
}

/// Checks one var as manifests and the API both take it.
///
/// # Errors
/// One sentence that names the var, the rule it breaks and the way out.
pub fn check_var(name: &str, value: &str) -> Result<(), String> {
    let shown = shorten(name);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || name.len() > 128 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!(
            "var name `{shown}` is not valid; use letters, digits and _, not starting with a digit, at most 128"
        ));
    }
    if name.starts_with("FAAS_") {
        return Err(format!(
            "var name `{shown}` is reserved for the platform; choose one that does not start with FAAS_"
        ));
    }
    if value.len() > limits::VAR_VALUE_MAX {
        let most = limits::VAR_VALUE_MAX / 1024;
        return Err(format!("var `{shown}` is larger than {most} KB; put the data into a file of the bundle"));
    }
    if value.contains('\0') {
        return Err(format!("var `{shown}` holds a zero byte, which environment variables cannot; encode the value"));
    }
    Ok(())
}
