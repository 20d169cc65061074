//! Webhook triggers: signed deliveries at their own URL.

use faas_types::{Redelivery, TriggerKind, WebhookReply, WebhookScheme, WebhookTrigger};

use super::reader::{Reader, Table};
use super::trigger_fields::{Ordinals, path};

/// Keys of a webhook trigger.
pub(super) const WEBHOOK_KEYS: &[&str] = &["type", "name", "scheme", "respond", "redelivery", "path"];

pub(super) fn webhook(reader: &mut Reader, table: &Table<'_>, ordinals: &mut Ordinals) -> WebhookTrigger {
    reader.refuse_unknown(table, WEBHOOK_KEYS);
    let schemes = WebhookScheme::ALL.map(|scheme| (scheme.as_str(), scheme));
    let replies = [("accepted", WebhookReply::Accepted), ("answer", WebhookReply::Answer)];
    let redeliveries = [("once", Redelivery::Once), ("retry", Redelivery::Retry)];
    WebhookTrigger {
        name: ordinals.name(reader, table, TriggerKind::Webhook),
        scheme: reader.one_of(table, "scheme", &schemes).unwrap_or_default(),
        respond: reader.one_of(table, "respond", &replies).unwrap_or_default(),
        redelivery: reader.one_of(table, "redelivery", &redeliveries).unwrap_or_default(),
        path: path(reader, table).unwrap_or_else(|| "/".to_owned()),
    }
}
