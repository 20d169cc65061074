//! What an instance gets: the vars of its stage, its manifest and its function laid over each other, with secrets put in.

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
use parking_lot::RwLock;
use zeroize::Zeroizing;

use super::book::{ProjectStages, StageBook};
use crate::catalog::FunctionEntry;

/// Marks that one function keeps; versions times stages that are called at the same time.
const MARKS_MAX: usize = 32;

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

/// What is laid over each other.
#[derive(Clone, Copy)]
pub(crate) struct Outfit<'a> {
    pub project: ProjectId,
    pub stage: Stage,
    pub stages: &'a ProjectStages,
    pub settings: Option<&'a FunctionSettings>,
    pub record: Option<&'a FunctionRecord>,
}

/// What was worked out of the vars of a function's versions, so that a warm call costs a look only.
#[derive(Debug, Default)]
pub(crate) struct Marks(RwLock<Vec<Mark>>);

#[derive(Clone, Copy, Debug)]
struct Mark {
    version: u32,
    stage: Stage,
    generation: u64,
    mark: u64,
}

// === impl Outfit ===

impl Outfit<'_> {
    /// The vars as they were written, by name.
    pub(crate) fn written(&self) -> BTreeMap<String, EffectiveVar> {
        let mut vars = BTreeMap::new();
        let mut lay = |layer: Option<&BTreeMap<String, String>>, source: VarSource| {
            for (key, value) in layer.into_iter().flatten() {
                vars.insert(key.clone(), EffectiveVar { value: value.clone(), source });
            }
        };
        let mut chain: Vec<Stage> = self.stage.chain().collect();
        chain.reverse();
        chain.iter().for_each(|stage| lay(self.stages.vars(*stage), VarSource::Project(*stage)));
        lay(self.settings.map(|settings| &settings.vars), VarSource::Manifest);
        for stage in chain {
            lay(self.record.and_then(|record| record.vars_of(stage)), VarSource::Function(stage));
        }
        vars
    }

    /// Identifies what instances get: other vars or other secrets have another mark.
    pub(crate) fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.stage.hash(&mut hasher);
        for (key, EffectiveVar { value, .. }) in self.written() {
            (&key, &value).hash(&mut hasher);
            for name in secret_refs(&value) {
                let found = self.stages.secret(self.stage, &name);
                found.map(|(stage, record)| (stage, record.created_at, record.made)).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// The first reference to a secret that the stage does not see, with its var.
    pub(crate) fn missing(&self) -> Option<(String, SecretName)> {
        self.written().into_iter().find_map(|(key, var)| {
            let missing = secret_refs(&var.value).find(|name| self.stages.secret(self.stage, name).is_none())?;
            Some((key, missing))
        })
    }

    /// Refuses what refers to a secret that the stage does not see.
    ///
    /// # Errors
    /// `FN_006` naming var, secret and the command that sets it.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match self.missing() {
            None => Ok(()),
            Some((key, name)) => Err(Fault::new(
                Code::InvalidConfiguration,
                format!("vars.{key}: stage {} has no secret `{name}`", self.stage),
            )
            .with_hint(set_it(&name, self.stage))),
        }
    }

    /// The environment of an instance, with secrets in the clear, and what keeps them out of logs.
    ///
    /// # Errors
    /// `FN_029` where a secret is not there or does not open, `FN_006` for a value that grew too large.
    pub(crate) fn open(&self, vault: &dyn Vault) -> Result<(InstanceVars, Option<Arc<Redactor>>), Fault> {
        let mut opened: BTreeMap<SecretName, Zeroizing<String>> = BTreeMap::new();
        let mut vars = Vec::new();
        for (key, EffectiveVar { value, .. }) in self.written() {
            for name in secret_refs(&value) {
                if let Entry::Vacant(place) = opened.entry(name) {
                    let secret = self.secret(vault, &key, place.key())?;
                    place.insert(secret);
                }
            }
            vars.push((key.clone(), fill(&key, &value, &opened)?));
        }
        let secrets = opened.iter().map(|(name, value)| (name, value.as_str()));
        Ok((vars.into_iter().collect(), Redactor::new(secrets).map(Arc::new)))
    }

    fn secret(&self, vault: &dyn Vault, key: &str, name: &SecretName) -> Result<Zeroizing<String>, Fault> {
        let Some((stage, record)) = self.stages.secret(self.stage, name) else {
            let message = format!("the var `{key}` refers to the secret `{name}`, which stage {} lacks", self.stage);
            return Err(Fault::new(Code::SecretUnusable, message).with_hint(set_it(name, self.stage)));
        };
        let opened = record.open(vault, self.project, stage, name, record.made);
        opened.map_err(|error| match error {
            PortError::Corrupt { .. } => Fault::new(
                Code::SecretUnusable,
                format!(
                    "the secret `{name}` of stage {stage} does not open: it was changed on disk, or its key is gone"
                ),
            )
            .with_hint(set_it(name, stage)),
            other => other.into(),
        })
    }
}

// === impl Marks ===

impl Marks {
    fn get(&self, version: u32, stage: Stage, generation: u64) -> Option<u64> {
        let marks = self.0.read();
        let found = marks.iter().find(|mark| mark.version == version && mark.stage == stage)?;
        (found.generation == generation).then_some(found.mark)
    }

    fn put(&self, mark: Mark) {
        let mut marks = self.0.write();
        marks.retain(|known| (known.version, known.stage) != (mark.version, mark.stage));
        if marks.len() >= MARKS_MAX {
            marks.remove(0);
        }
        marks.push(mark);
    }
}

// === impl StageBook ===

impl StageBook {
    /// Identifies what the instances of a version get in a stage. Costs a look where nothing has changed since the last time.
    pub(crate) fn mark(&self, entry: &FunctionEntry, version: &VersionRecord, stage: Stage) -> u64 {
        let generation = self.generation();
        if let Some(mark) = entry.marks.get(version.number, stage, generation) {
            return mark;
        }
        let project = entry.record.project;
        let stages = self.of(project);
        let (settings, record) = (Some(&version.settings), Some(&entry.record));
        let mark = Outfit { project, stage, stages: &stages, settings, record }.mark();
        entry.marks.put(Mark { version: version.number, stage, generation, mark });
        mark
    }

    /// The vars of an instance, secrets in the clear, and what takes these secrets out of texts.
    pub(crate) fn outfit(
        &self,
        vault: &dyn Vault,
        entry: &FunctionEntry,
        version: &VersionRecord,
        stage: Stage,
    ) -> Result<(InstanceVars, Option<Arc<Redactor>>), Fault> {
        let record = &entry.record;
        let (project, settings) = (record.project, Some(&version.settings));
        Outfit { project, stage, stages: &self.of(project), settings, record: Some(record) }.open(vault)
    }
}

/// A value with its secrets put in.
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

pub(super) fn set_it(name: &SecretName, stage: Stage) -> String {
    let stage = if stage.is_default() { String::new() } else { format!(" --stage {stage}") };
    format!("set it: faas secrets set {name}{stage}")
}
