//! Where a call goes: a function, the version of it that is meant, and whose vars it runs with.

use std::sync::Arc;

use faas_catalog::FunctionEntry;
use faas_types::{
    Affinity, AliasName, AuthMode, Code, ErrorDetail, Fault, FunctionName, FunctionVersion, Lot, Reason, RunId,
    RunRecord, RunSubject, Stage, Timestamp, TriggerKind, VersionRecord,
};

/// Which version of a function is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Where an alias points.
    Alias(AliasName),
    /// This one.
    Version(u32),
}

/// A function and the version that a call goes to.
#[derive(Clone)]
pub struct Route {
    /// The function.
    pub entry: Arc<FunctionEntry>,
    /// The version.
    pub version: Arc<VersionRecord>,
    /// What named the version, so that a call that waits can follow a deployment.
    pub selector: Selector,
    /// Its place among the calls of an alias that splits them: it keeps it whatever becomes of the alias meanwhile.
    pub(crate) lot: Option<Lot>,
    /// Whose vars and secrets it runs with.
    pub stage: Stage,
}

// === impl Selector ===

impl std::str::FromStr for Selector {
    type Err = Fault;

    /// A version's number or an alias's name, as after the colon in `hello:3` and `hello:live`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            let unknown = |_| Fault::new(Reason::VersionNotFound, "no version has so large a number");
            return text.parse().map(Self::Version).map_err(unknown);
        }
        text.parse()
            .map(Self::Alias)
            .map_err(|error: faas_types::InvalidName| Fault::new(Code::BadRequest, error.to_string()))
    }
}

// === impl Route ===

impl Route {
    /// Whether anybody may call: what the version's settings say, but never for a preview, by its name or by its number.
    #[must_use]
    pub fn is_public(&self) -> bool {
        let is_preview = match &self.selector {
            Selector::Alias(name) => {
                self.entry.record.aliases.get(name).is_some_and(|alias| alias.expires_at.is_some())
            }
            Selector::Version(_) => self.version.preview,
        };
        self.version.settings.auth == AuthMode::Public && !is_preview
    }

    /// A record of a run of it that was just accepted.
    #[must_use]
    pub fn queued(&self, id: RunId, trigger: TriggerKind, now: Timestamp) -> RunRecord {
        let record = &self.entry.record;
        let function = FunctionVersion { id: record.id, name: record.name.clone(), version: self.version.number };
        let mut run = RunRecord::queued(id, record.project, RunSubject::Function(function), trigger, now);
        run.stage = self.stage;
        run
    }

    /// Whether everybody who calls may know why it failed.
    #[must_use]
    pub fn tells_all(&self) -> bool {
        self.version.settings.errors == ErrorDetail::Full
    }
}

/// The place of a caller who is told apart by `mark`: the same for the same mark as long as the function lives.
fn lot_of(entry: &FunctionEntry, alias: &AliasName, mark: &[u8]) -> Lot {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&entry.record.id.as_u128().to_be_bytes());
    hasher.update(alias.as_str().as_bytes());
    // No name holds a zero byte, so that name and mark cannot run into each other.
    hasher.update(&[0]);
    hasher.update(mark);
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    Lot::of_bits(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// The part of a request that keeps its caller with a version, where the alias asks for one and the request has it.
pub(crate) fn kept_lot<'r>(
    entry: &FunctionEntry,
    selector: &Selector,
    mark: impl Fn(&Affinity) -> Option<&'r [u8]>,
) -> Option<Lot> {
    let Selector::Alias(name) = selector else { return None };
    let alias = entry.record.aliases.get(name).filter(|alias| alias.split.is_some())?;
    let mark = mark(alias.sticky.as_ref()?).filter(|mark| !mark.is_empty())?;
    Some(lot_of(entry, name, mark))
}

/// `FN_013` for an alias that the function does not have.
pub fn no_alias(name: &FunctionName, alias: &AliasName) -> Fault {
    if *alias == AliasName::live() {
        return Fault::new(Reason::FunctionNotDeployed, format!("`{name}` has no deployed version yet"))
            .with_command_hint(format!("deploy it: faas deploy --name {name}"));
    }
    Fault::new(Reason::AliasNotFound, format!("`{name}` has no alias `{alias}`"))
        .with_command_hint(format!("its aliases are listed by `faas aliases list {name}`"))
}
