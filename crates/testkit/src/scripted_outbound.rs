//! An outbound port with scripted answers.

use std::collections::VecDeque;

use async_trait::async_trait;
use faas_ports::{Outbound, OutboundError, OutboundMessage, UrlRefusal};
use parking_lot::Mutex;

/// Keeps what is posted. Answers what was [told](Self::answer), in that order, then 200.
#[derive(Debug, Default)]
pub struct ScriptedOutbound {
    posted: Mutex<Vec<OutboundMessage>>,
    answers: Mutex<VecDeque<Result<u16, OutboundError>>>,
}

// === impl ScriptedOutbound ===

impl ScriptedOutbound {
    /// Answers the next messages so.
    pub fn answer(&self, answers: impl IntoIterator<Item = Result<u16, OutboundError>>) {
        self.answers.lock().extend(answers);
    }

    /// What was posted so far.
    #[must_use]
    pub fn posted(&self) -> Vec<OutboundMessage> {
        self.posted.lock().clone()
    }
}

#[async_trait]
impl Outbound for ScriptedOutbound {
    fn check(&self, url: &str) -> Result<String, UrlRefusal> {
        let rest = url.strip_prefix("https://").ok_or_else(|| UrlRefusal("only https://".to_owned()))?;
        Ok(rest.split('/').next().unwrap_or_default().to_owned())
    }

    async fn post(&self, message: OutboundMessage) -> Result<u16, OutboundError> {
        self.posted.lock().push(message);
        self.answers.lock().pop_front().unwrap_or(Ok(200))
    }
}
