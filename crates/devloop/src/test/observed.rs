//! What a case got back.

use faas_client::Reply;
use faas_types::RunState;
use serde_json::{Value, json};

/// Characters of a reason in a message.
const REASON_MAX: usize = 300;

/// What came back.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    pub(super) status: Option<u16>,
    pub(super) state: Option<RunState>,
    pub(super) headers: Vec<(String, String)>,
    /// JSON as it is, other text as text.
    pub(super) body: Value,
    /// The body where it is text.
    pub(super) text: Option<String>,
}

// === impl Observed ===

impl Observed {
    pub(super) fn of_reply(reply: Reply) -> Self {
        let text = String::from_utf8(reply.body.to_vec()).ok();
        let json = text.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Self {
            status: Some(reply.status),
            state: None,
            headers: reply.headers,
            body: json.unwrap_or_else(|| json!(text)),
            text,
        }
    }

    /// Why it failed, where it did and says so.
    pub(super) fn reason(&self) -> String {
        let said = ["detail", "message"].iter().find_map(|key| self.body.get(key)?.as_str());
        said.map_or_else(String::new, |text| format!(": {}", text.chars().take(REASON_MAX).collect::<String>()))
    }
}
