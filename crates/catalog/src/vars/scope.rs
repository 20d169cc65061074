//! The environment of an instance: the vars of its stage, manifest and function merged, with secrets filled in.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use faas_ports::{InstanceVars, PortError, Vault};
use faas_telemetry::Redactor;
use faas_types::{
    Code, Fault, FunctionRecord, FunctionSettings, ProjectId, SecretName, Stage, VarPart, VersionRecord, limits,
    secret_refs, var_parts,
};
use zeroize::Zeroizing;

use super::project_vars::ProjectVars;
use super::secret_record::SecretId;
use crate::fingerprint::VarsFingerprint;

/// Where a var comes from, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VarSource {
    /// The project, for all its functions in this stage and those that inherit from it.
    Project(Stage),
    /// The manifest of the version.
    Manifest,
    /// The function, in this stage and those that inherit from it.
    Function(Stage),
}

/// A var as it was written, with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EffectiveVar {
    /// Its value, in which references stand for secrets.
    pub value: String,
    /// Where it comes from.
    pub source: VarSource,
}

/// The sources that the environment of an instance is merged from.
#[derive(Clone, Copy)]
pub struct VarScope<'a> {
    /// The project.
    pub project: ProjectId,
    /// The stage of the instance.
    pub stage: Stage,
    /// The project's vars and secrets.
    pub vars: &'a ProjectVars,
    /// The manifest of the version, if there is one.
    pub settings: Option<&'a FunctionSettings>,
    /// The function's record, if there is one.
    pub record: Option<&'a FunctionRecord>,
}

/// The environment of an instance.
pub struct ResolvedVars {
    /// Vars with secrets in the clear.
    pub vars: InstanceVars,
    /// Removes these secrets from what is kept of the function's output; `None` without secrets.
    pub redactor: Option<Arc<Redactor>>,
}

// === impl VarScope ===

impl<'a> VarScope<'a> {
    /// The sources for a version of a function.
    pub fn of(vars: &'a ProjectVars, record: &'a FunctionRecord, version: &'a VersionRecord, stage: Stage) -> Self {
        Self { project: record.project, stage, vars, settings: Some(&version.settings), record: Some(record) }
    }

    /// The merged vars by name, with references in place of secrets.
    pub fn effective(&self) -> BTreeMap<String, EffectiveVar> {
        let mut vars = BTreeMap::new();
        let mut lay = |layer: Option<&BTreeMap<String, String>>, source: VarSource| {
            for (key, value) in layer.into_iter().flatten() {
                vars.insert(key.clone(), EffectiveVar { value: value.clone(), source });
            }
        };
        let mut chain: Vec<Stage> = self.stage.chain().collect();
        chain.reverse();
        chain.iter().for_each(|stage| lay(self.vars.vars(*stage), VarSource::Project(*stage)));
        lay(self.settings.map(|settings| &settings.vars), VarSource::Manifest);
        for stage in chain {
            lay(self.record.and_then(|record| record.vars_of(stage)), VarSource::Function(stage));
        }
        vars
    }

    /// Identifies the environment: other vars or other secrets have another fingerprint.
    pub fn fingerprint(&self) -> VarsFingerprint {
        let mut hasher = DefaultHasher::new();
        self.stage.hash(&mut hasher);
        for (key, EffectiveVar { value, .. }) in self.effective() {
            (&key, &value).hash(&mut hasher);
            for name in secret_refs(&value) {
                let found = self.vars.secret(self.stage, &name);
                found.map(|(stage, record)| (stage, record.created_at, record.made)).hash(&mut hasher);
            }
        }
        VarsFingerprint::new(hasher.finish())
    }

    /// The first reference to a secret that the stage does not see, with its var.
    fn missing(&self) -> Option<(String, SecretName)> {
        self.effective().into_iter().find_map(|(key, var)| {
            let missing = secret_refs(&var.value).find(|name| self.vars.secret(self.stage, name).is_none())?;
            Some((key, missing))
        })
    }

    /// Refuses references to secrets that the stage does not see.
    ///
    /// # Errors
    /// `FN_006` naming var, secret and the command that sets it.
    pub fn check(&self) -> Result<(), Fault> {
        match self.missing() {
            None => Ok(()),
            Some((key, name)) => Err(missing_secret(&key, &name, self.stage)),
        }
    }

    /// Opens the secrets and fills them in.
    ///
    /// # Errors
    /// `FN_029` for a secret that is missing or does not open, `FN_006` for a value that grew too large.
    pub fn resolve(&self, vault: &dyn Vault) -> Result<ResolvedVars, Fault> {
        let mut opened: BTreeMap<SecretName, Zeroizing<String>> = BTreeMap::new();
        let mut vars = Vec::new();
        for (key, EffectiveVar { value, .. }) in self.effective() {
            for name in secret_refs(&value) {
                if let Entry::Vacant(place) = opened.entry(name) {
                    let secret = self.secret(vault, &key, place.key())?;
                    place.insert(secret);
                }
            }
            vars.push((key.clone(), fill(&key, &value, &opened)?));
        }
        let secrets = opened.iter().map(|(name, value)| (name, value.as_str()));
        Ok(ResolvedVars { redactor: Redactor::new(secrets).map(Arc::new), vars: vars.into_iter().collect() })
    }

    fn secret(&self, vault: &dyn Vault, key: &str, name: &SecretName) -> Result<Zeroizing<String>, Fault> {
        let Some((stage, record)) = self.vars.secret(self.stage, name) else {
            let message = format!("the var `{key}` refers to the secret `{name}`, which stage {} lacks", self.stage);
            return Err(Fault::new(Code::SecretUnusable, message).with_command_hint(set_secret_hint(name, self.stage)));
        };
        let opened = record.open(vault, SecretId { project: self.project, stage, name }, record.made);
        opened.map_err(|error| match error {
            PortError::Corrupt { .. } => Fault::new(
                Code::SecretUnusable,
                format!(
                    "the secret `{name}` of stage {stage} does not open: it was changed on disk, or its key is gone"
                ),
            )
            .with_command_hint(set_secret_hint(name, stage)),
            other => other.into(),
        })
    }
}

/// A value with its secrets filled in.
fn fill(key: &str, value: &str, secrets: &BTreeMap<SecretName, Zeroizing<String>>) -> Result<Zeroizing<String>, Fault> {
    let invalid = |why: String| Fault::new(Code::InvalidConfiguration, format!("vars.{key}: {why}"));
    let parts = var_parts(value).map_err(|error| invalid(error.to_string()))?;
    let length = |part: &VarPart<'_>| match part {
        VarPart::Text(text) => text.len(),
        VarPart::Secret(name) => secrets.get(name).map_or(0, |secret| secret.len()),
    };
    let total: usize = parts.iter().map(length).sum();
    if total > limits::VAR_VALUE_MAX {
        return Err(invalid(format!("with its secrets it has {total} bytes, more than {}", limits::VAR_VALUE_MAX)));
    }
    // Of its whole size at once: growing would leave pieces of it behind in memory.
    let mut filled = Zeroizing::new(String::with_capacity(total));
    for part in &parts {
        match part {
            VarPart::Text(text) => filled.push_str(text),
            VarPart::Secret(name) => filled.push_str(secrets.get(name).map_or("", |secret| secret.as_str())),
        }
    }
    Ok(filled)
}

/// The error for a var that refers to a secret which the stage does not see.
pub(super) fn missing_secret(key: &str, name: &SecretName, stage: Stage) -> Fault {
    Fault::new(Code::InvalidConfiguration, format!("vars.{key}: stage {stage} has no secret `{name}`"))
        .with_command_hint(set_secret_hint(name, stage))
}

/// The command that sets a secret.
pub(crate) fn set_secret_hint(name: &SecretName, stage: Stage) -> String {
    let stage = if stage.is_default() { String::new() } else { format!(" --stage {stage}") };
    format!("set it: faas secrets set {name}{stage}")
}
