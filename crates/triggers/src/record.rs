//! A trigger as the registry keeps it: its record, and its state apart from it.

use faas_ports::{Collection, Key};
use faas_signing::SealedSecret;
use faas_types::{AliasName, FunctionId, ProjectId, RunId, Timestamp, TriggerId, TriggerName, TriggerSettings};
use serde::{Deserialize, Serialize};

/// Where a trigger comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerOrigin {
    /// The manifest of the version that `live` points to. Deployments add, change and remove it.
    Manifest,
    /// Added through the API. Deployments leave it alone.
    Api,
}

/// A trigger of a function, as the registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerRecord {
    /// The id, which stays the same while function, name and type do.
    pub id: TriggerId,
    /// The project that owns it.
    pub project: ProjectId,
    /// The function that it calls.
    pub function: FunctionId,
    /// The alias that it calls. Triggers of the manifest call `live`.
    #[serde(default = "AliasName::live")]
    pub alias: AliasName,
    /// Whether the manifest or the API made it.
    pub origin: TriggerOrigin,
    /// What makes it fire.
    pub settings: TriggerSettings,
    /// Whether it makes runs.
    pub enabled: bool,
    /// Earlier ticks do not count. Set when it is made, switched on or given another schedule.
    pub active_since: Timestamp,
    /// Token and secrets of a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<WebhookCredentials>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything in this record last changed.
    pub updated_at: Timestamp,
}

/// The token in a webhook's URL and the secrets that verify deliveries. Stored hashed or sealed, never in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookCredentials {
    /// Hash of the token, by which a delivery finds the webhook.
    pub token_hash: String,
    /// The token, sealed and in base64, so that the owner can be shown the URL again.
    pub token: String,
    /// Live secrets, the current one first.
    pub secrets: Vec<SealedSecret>,
    /// How many secrets were made so far. Each is sealed for its number.
    pub secrets_made: u64,
}

/// What happened to a trigger since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TriggerState {
    /// Every tick of the schedule up to this time is decided.
    pub decided: Timestamp,
    /// The newest run that it made.
    pub last_run: Option<RunId>,
    /// When it last made a run.
    pub fired_at: Option<Timestamp>,
    /// How many runs it made.
    pub fired: u64,
    /// How many ticks its policies passed over.
    pub skipped: u64,
    /// When it last could not make a run, or refused a delivery.
    pub refused_at: Option<Timestamp>,
    /// How many runs could not be made and how many deliveries were refused.
    pub refused: u64,
    /// The reason of the last refusal.
    pub refusal: Option<String>,
}

// === impl TriggerRecord ===

impl TriggerRecord {
    /// The trigger's name.
    ///
    /// # Panics
    /// Never: records are made of triggers that have a name.
    #[must_use]
    pub fn name(&self) -> &TriggerName {
        self.settings.name().expect("a record is made of a trigger that has a name")
    }

    /// Its name, and the path at which it calls its function.
    pub(super) fn target(&self) -> (TriggerName, String) {
        (self.name().clone(), self.settings.path().to_owned())
    }

    pub(super) fn key(&self) -> Key {
        trigger_key(self.project, self.function, self.name())
    }
}

// === impl TriggerState ===

impl TriggerState {
    pub(super) fn note_run(&mut self, run: RunId, now: Timestamp) {
        self.last_run = Some(run);
        self.fired_at = Some(now);
        self.fired += 1;
    }

    pub(super) fn note_refusal(&mut self, why: &str, now: Timestamp) {
        self.refused_at = Some(now);
        self.refused += 1;
        self.refusal = Some(why.chars().take(200).collect());
    }
}

pub(super) fn trigger_key(project: ProjectId, function: FunctionId, name: &TriggerName) -> Key {
    Key::new(project, Collection::Triggers, format!("{function}/{name}"))
}

pub(super) fn state_key(project: ProjectId, id: TriggerId) -> Key {
    Key::new(project, Collection::TriggerStates, id.to_string())
}
