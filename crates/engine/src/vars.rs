//! Vars: those of the manifest, overlaid by those set through the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_types::{Code, Fault, FunctionSettings, limits};

use crate::catalog::FunctionEntry;
use crate::engine::Engine;

/// The variables that instances get, by name.
pub(crate) fn effective(settings: &FunctionSettings, set: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut vars = settings.vars.clone();
    vars.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
    vars.into_iter().collect()
}

pub(crate) fn check(vars: &BTreeMap<String, String>) -> Result<(), Fault> {
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
    }
    Ok(())
}

impl Engine {
    /// Sets vars; others stay. Instances with other vars are replaced.
    ///
    /// # Errors
    /// `FN_006` naming the var that is wrong.
    pub async fn set_vars(
        &self,
        entry: &FunctionEntry,
        vars: BTreeMap<String, String>,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        check(&vars)?;
        self.update(entry, move |record| {
            let mut all = record.vars.clone();
            all.extend(vars.clone());
            check(&all)?;
            record.vars = all;
            Ok(None)
        })
        .await
    }

    /// Removes a var that was set through the API.
    ///
    /// # Errors
    /// `FN_013` when it was not.
    pub async fn unset_var(&self, entry: &FunctionEntry, key: &str) -> Result<Arc<FunctionEntry>, Fault> {
        self.update(entry, |record| match record.vars.remove(key) {
            Some(_) => Ok(None),
            None => {
                let shown: String = key.chars().take(80).collect();
                Err(Fault::new(Code::NotFound, format!("no var `{shown}` was set for `{}`", record.name))
                    .with_hint("vars of the manifest are changed there and deployed"))
            }
        })
        .await
    }
}
