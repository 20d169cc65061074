//! Vars that are set through the API for one function.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_catalog::{FunctionEntry, check_vars};
use faas_types::{Code, Fault, Stage};

use crate::engine::Engine;

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
        self.core.vars.check(entry.record.project, stage, &vars)?;
        self.deployments
            .update(entry, move |record| {
                let all = record.vars_of_mut(stage);
                all.extend(vars.clone());
                check_vars(all)?;
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
