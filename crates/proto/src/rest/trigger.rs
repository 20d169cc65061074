//! Triggers and events.

use faas_types::TriggerSettings;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ListPage;
use super::merge_patch::given;

/// A trigger of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggerView {
    /// Its id.
    #[schema(example = "trg_01JD2Z7Y5T0000000000000000")]
    pub id: String,
    /// The function's name.
    pub function: String,
    /// The function's id.
    #[schema(example = "fn_01JD2Z7Y5T0000000000000000")]
    pub function_id: String,
    /// Its name, unique within the function.
    pub name: String,
    /// The alias by which it calls the function.
    pub alias: String,
    /// `manifest`, or `api` for one that was added by hand.
    #[schema(pattern = "^(manifest|api)$")]
    pub origin: String,
    /// Whether it makes runs.
    pub enabled: bool,
    /// What it reacts to.
    pub settings: TriggerSettings,
    /// Where a webhook's deliveries go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A webhook's live secrets; 0 lets nobody in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<u32>,
    /// When a schedule fires next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The run that it made last.
    pub last_run: Option<String>,
    /// When it last made a run.
    pub fired_at: Option<String>,
    /// Runs that it made.
    pub fired: u64,
    /// Ticks of a schedule that were passed over, as its policies say.
    pub skipped: u64,
    /// Runs that could not be made, and deliveries refused.
    pub refused: u64,
    /// When that last happened.
    pub refused_at: Option<String>,
    /// Why.
    pub refusal: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// The triggers of a function, by name.
pub type TriggerList = ListPage<TriggerView>;

/// A trigger to add: the keys that it has in a manifest, and a webhook's secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddTrigger {
    /// The trigger with the keys of a manifest, such as `{"type": "cron", "schedule": "@daily"}`.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>, example = json!({"type": "cron", "schedule": "0 9 * * 1-5"}))]
    pub trigger: serde_json::Map<String, serde_json::Value>,
    /// A webhook's secret, where the sender chose it; a fresh one is made when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    pub secret: Option<String>,
    /// The alias by which it calls the function; `live` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 63)]
    pub alias: Option<String>,
}

/// A trigger with the secret that was made for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggerWithSecret {
    /// The fresh secret; keep it, it is not shown again. Absent where the caller brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The trigger.
    pub trigger: TriggerView,
}

/// What to change of a trigger: what is absent stays, `null` resets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchTrigger {
    /// Switches it on or off; it is on where nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    pub enabled: Option<Option<bool>>,
    /// The alias that it calls; `live` where nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub alias: Option<Option<String>>,
    /// Its other keys, as in a manifest and merged in the same way; name and type stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settings: Option<serde_json::Map<String, serde_json::Value>>,
}

/// How to change a webhook's secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSecret {
    /// The new secret, where the sender chose it; a fresh one is made when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    pub secret: Option<String>,
    /// How long the one before stays good, such as `24h`, which is the default; at most 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40)]
    pub keep: Option<String>,
}

/// A time at which a schedule fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextFireView {
    /// The time.
    pub fires_at: String,
}

/// The next times that a schedule fires, in order.
pub type NextFires = ListPage<NextFireView>;

/// The run that a test made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestedTrigger {
    /// The run.
    pub run_id: String,
}

/// What became of a delivery at a webhook that does not wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedDelivery {
    /// The run.
    pub run_id: String,
    /// Whether an earlier delivery with the same id had made it.
    pub repeated: bool,
}

/// What became of published events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedEvents {
    /// Events in the request.
    pub events: u32,
    /// The runs that they made.
    pub runs: Vec<EventRun>,
}

/// A run that an event made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventRun {
    /// Which of the request's events, from 0.
    pub event: u32,
    /// The function.
    pub function: String,
    /// Its trigger.
    pub trigger: String,
    /// The run.
    pub run_id: String,
    /// Whether the same event had made it before.
    pub repeated: bool,
}
