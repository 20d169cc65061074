//! What is remembered of a trigger.

use faas_ports::{Collection, Key};
use faas_signing::SealedSecret;
use faas_types::{AliasName, FunctionId, ProjectId, RunId, Timestamp, TriggerId, TriggerName, TriggerSettings};
use serde::{Deserialize, Serialize};

/// Where a trigger comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerOrigin {
    /// The manifest of the version that `live` points to; it comes and goes with it.
    Manifest,
    /// Added by hand; deployments leave it alone.
    Api,
}

/// A trigger of a function, as the registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerRecord {
    /// Its id; the same for as long as function, name and type are.
    pub id: TriggerId,
    /// The owner.
    pub project: ProjectId,
    /// The function that it calls.
    pub function: FunctionId,
    /// The alias by which it calls it; one of the manifest knows `live` alone.
    #[serde(default = "AliasName::live")]
    pub alias: AliasName,
    /// Where it comes from.
    pub origin: TriggerOrigin,
    /// What it reacts to.
    pub settings: TriggerSettings,
    /// Whether it makes runs.
    pub enabled: bool,
    /// Ticks before this are none of it: when it was made, switched on or given its schedule.
    pub active_since: Timestamp,
    /// What a webhook is reached by and verified with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<WebhookCredentials>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything in this record last changed.
    pub updated_at: Timestamp,
}

/// What a webhook is reached by and verified with. The disk holds nothing of it in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookCredentials {
    /// The hash of the path's token, to find the webhook by.
    pub token_hash: String,
    /// The token, sealed and in base64, so that the owner can see the URL again.
    pub token: String,
    /// Live secrets, the current one first.
    pub secrets: Vec<SealedSecret>,
    /// Counts the secrets that there were; each is sealed for its number.
    pub secrets_made: u64,
}

/// What happened to a trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TriggerState {
    /// Every tick of a schedule up to here is decided.
    pub decided: Timestamp,
    /// The run that it made last.
    pub last_run: Option<RunId>,
    /// When it last made a run.
    pub fired_at: Option<Timestamp>,
    /// Runs that it made.
    pub fired: u64,
    /// Ticks that were passed over, as its policies say.
    pub skipped: u64,
    /// When it last could not make a run, or refused a delivery.
    pub refused_at: Option<Timestamp>,
    /// Runs that could not be made, and deliveries refused.
    pub refused: u64,
    /// Why, the last time.
    pub refusal: Option<String>,
}

// === impl TriggerRecord ===

impl TriggerRecord {
    /// Its name.
    ///
    /// # Panics
    /// Never: records are made of triggers that have a name.
    #[must_use]
    pub fn name(&self) -> &TriggerName {
        self.settings.name().expect("a record is made of a trigger that has a name")
    }

    pub(crate) fn key(&self) -> Key {
        trigger_key(self.project, self.function, self.name())
    }
}

// === impl TriggerState ===

impl TriggerState {
    pub(crate) fn note_run(&mut self, run: RunId, now: Timestamp) {
        self.last_run = Some(run);
        self.fired_at = Some(now);
        self.fired += 1;
    }

    pub(crate) fn note_refusal(&mut self, why: &str, now: Timestamp) {
        self.refused_at = Some(now);
        self.refused += 1;
        self.refusal = Some(why.chars().take(200).collect());
    }
}

pub(crate) fn trigger_key(project: ProjectId, function: FunctionId, name: &TriggerName) -> Key {
    Key::new(project, Collection::Triggers, format!("{function}/{name}"))
}

pub(crate) fn state_key(project: ProjectId, id: TriggerId) -> Key {
    Key::new(project, Collection::TriggerStates, id.to_string())
}
