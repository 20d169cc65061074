//! Triggers, and the events that some wait for.

use bytes::Bytes;
use faas_proto::rest::{
    AddTrigger, NextFires, PatchTrigger, PublishedEvents, RotateSecret, TestedTrigger, TriggerList, TriggerView,
    TriggerWithSecret,
};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::client::segment;
use crate::functions::path;
use crate::{Client, ClientError, Rows};

// === impl Client ===

impl Client {
    /// The triggers of a function, by name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn triggers(&self, function: &str, rows: &Rows) -> Result<TriggerList, ClientError> {
        self.rows(&path(function, "/triggers")?, &(), rows).await
    }

    /// The triggers of all functions.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn all_triggers(&self, rows: &Rows) -> Result<TriggerList, ClientError> {
        self.rows("api/v1/triggers", &(), rows).await
    }

    /// A trigger of a function.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn trigger(&self, function: &str, name: &str) -> Result<TriggerView, ClientError> {
        self.get(&trigger(function, name, "")?, &()).await
    }

    /// Adds a trigger. A webhook's fresh secret is in this answer and nowhere else.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn add_trigger(&self, function: &str, body: &AddTrigger) -> Result<TriggerWithSecret, ClientError> {
        self.send(Method::POST, &path(function, "/triggers")?, body).await
    }

    /// Removes a trigger that was added by hand.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_trigger(&self, function: &str, name: &str) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &trigger(function, name, "")?)?).await
    }

    /// Switches a trigger on or off.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn enable_trigger(&self, function: &str, name: &str, enabled: bool) -> Result<TriggerView, ClientError> {
        self.send(
            Method::PATCH,
            &trigger(function, name, "")?,
            &PatchTrigger { enabled: Some(Some(enabled)), ..PatchTrigger::default() },
        )
        .await
    }

    /// Gives a webhook another secret.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_secret(
        &self,
        function: &str,
        name: &str,
        body: &RotateSecret,
    ) -> Result<TriggerWithSecret, ClientError> {
        self.send(Method::POST, &trigger(function, name, "/rotate-secret")?, body).await
    }

    /// Fires a trigger once, now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn test_trigger(&self, function: &str, name: &str, body: Bytes) -> Result<TestedTrigger, ClientError> {
        self.read(self.request(Method::POST, &trigger(function, name, "/test")?)?.body(body)).await
    }

    /// The next times that a schedule fires.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next_fires(&self, function: &str, name: &str, rows: &Rows) -> Result<NextFires, ClientError> {
        self.rows(&trigger(function, name, "/next")?, &(), rows).await
    }

    /// Publishes events: `body` is one as JSON, or a list of them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn publish_events(&self, body: Bytes) -> Result<PublishedEvents, ClientError> {
        let is_batch = body.trim_ascii_start().first() == Some(&b'[');
        let media_type = if is_batch { "application/cloudevents-batch+json" } else { "application/cloudevents+json" };
        self.read(self.request(Method::POST, "api/v1/events")?.header(CONTENT_TYPE, media_type).body(body)).await
    }
}

fn trigger(function: &str, name: &str, rest: &str) -> Result<String, ClientError> {
    path(function, &format!("/triggers/{}{rest}", segment(name)?))
}
