//! Vars that are set through the API for one function.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_types::{Code, Fault, Stage, limits, var_parts};

use crate::catalog::FunctionEntry;
use crate::engine::Engine;

/// Checks names, values and references as manifests and the API both take them.
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
        if let Err(error) = var_parts(value) {
            return refuse(format!("var `{shown}`: {error}"));
        }
    }
    Ok(())
}

impl Engine {
    /// Sets vars of a function in a stage; others stay. Instances with other vars are replaced.
    ///
    /// # Errors
    /// `FN_006` naming the var that is wrong or refers to a secret that the stage lacks.
    pub async fn set_vars(
        &self,
        entry: &FunctionEntry,
        stage: Stage,
        vars: BTreeMap<String, String>,
    ) -> Result<Arc<FunctionEntry>, Fault> {
        self.core.check_refs(entry.record.project, stage, &vars)?;
        self.deployments
            .update(entry, move |record| {
                let all = record.vars_of_mut(stage);
                all.extend(vars.clone());
                check(all)?;
                Ok(None)
            })
            .await
    }

    /// Removes a var that was set through the API for a stage.
    ///
    /// # Errors
    /// `FN_013` when it was not.
    pub async fn unset_var(&self, entry: &FunctionEntry, stage: Stage, key: &str) -> Result<Arc<FunctionEntry>, Fault> {
        self.deployments
            .update(entry, |record| match record.vars_of_mut(stage).remove(key) {
                Some(_) => {
                    record.stage_vars.retain(|_, vars| !vars.is_empty());
                    Ok(None)
                }
                None => {
                    let shown: String = key.chars().take(80).collect();
                    let message = format!("no var `{shown}` was set for `{}` in stage {stage}", record.name);
                    Err(Fault::new(Code::NotFound, message).with_hint(
                        "vars of the manifest are changed there and deployed, inherited ones where they were set",
                    ))
                }
            })
            .await
    }
}
