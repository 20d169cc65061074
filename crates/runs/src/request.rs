//! What a run is made of: what caused it, and what its function is called with.

use bytes::Bytes;
use faas_ports::InvocationBody;
use faas_types::{TriggerKind, TriggerName};

use crate::payload::{HttpRequest, Payload};

/// A call: at once, with a body that may still be arriving, or for later, with one that is there.
#[derive(Clone, Debug)]
pub struct CallRequest<B = InvocationBody> {
    /// What created the run.
    pub trigger: TriggerKind,
    /// The trigger's name, where it has one.
    pub trigger_name: Option<TriggerName>,
    /// What the function is called with.
    pub payload: Payload,
    /// The body.
    pub body: B,
}

// === impl CallRequest ===

impl<B> CallRequest<B> {
    /// A caller's request.
    pub fn http(trigger: TriggerKind, request: HttpRequest, body: B) -> Self {
        Self { trigger, trigger_name: None, payload: Payload::Http(request), body }
    }
}

impl From<CallRequest<Bytes>> for CallRequest {
    fn from(CallRequest { trigger, trigger_name, payload, body }: CallRequest<Bytes>) -> Self {
        Self { trigger, trigger_name, payload, body: InvocationBody::Whole(body) }
    }
}
