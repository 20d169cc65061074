//! The written form of runs for later.

use faas_types::{Background, InvocationMode, RetryClass, RetryPolicy, RunOption};
use schemars::JsonSchema;
use serde::Serialize;

use super::TextOrNumber;

/// A function, or one of its aliases behind a colon.
const TARGET_PATTERN: &str = "^[a-z]([a-z0-9-]*[a-z0-9])?(:[a-z]([a-z0-9-]*[a-z0-9])?)?$";

/// Runs that are accepted for later.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, default, deny_unknown_fields)]
pub(super) struct BackgroundDocument {
    /// Which calls the function takes: those that wait for the answer (sync), those for later (async), or both.
    mode: Mode,
    /// Runs that may wait; more are refused with 429.
    #[schemars(range(min = 1, max = 1_000_000))]
    backlog_max: u32,
    /// What callers without a key may want of a run: a delay, an age, a priority, an ordering key, a callback.
    keyless_options: Vec<RunOptionName>,
    /// When a failed attempt is followed by another.
    retry: RetryDocument,
    /// The function of the same project that goes on when a run has succeeded, or one of its aliases (name:alias); it gets
    /// a report of that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 127), regex(pattern = TARGET_PATTERN))]
    on_success: Option<String>,
    /// The function, or its alias, that goes on when a run has failed and is not tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 127), regex(pattern = TARGET_PATTERN))]
    on_failure: Option<String>,
}

/// When a failed attempt is followed by another.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, default, deny_unknown_fields)]
pub(super) struct RetryDocument {
    /// Attempts in all.
    #[schemars(range(min = 1, max = 20))]
    max_attempts: u32,
    /// The pause before the second attempt is a random part of this; it doubles with each attempt.
    backoff: TextOrNumber,
    /// What the doubling ends at.
    backoff_max: TextOrNumber,
    /// No attempt begins later than this after acceptance.
    max_age: TextOrNumber,
    /// The failures that are followed by another attempt.
    on: Vec<RetryClassName>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Mode {
    Both,
    Sync,
    Async,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum RetryClassName {
    Error,
    Timeout,
    Memory,
    Start,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum RunOptionName {
    Delay,
    MaxAge,
    Priority,
    OrderingKey,
    Callback,
}

impl Default for BackgroundDocument {
    fn default() -> Self {
        Self::from(&Background::default())
    }
}

impl Default for RetryDocument {
    fn default() -> Self {
        Self::from(&RetryPolicy::default())
    }
}

impl From<&Background> for BackgroundDocument {
    fn from(background: &Background) -> Self {
        let mode = match background.mode {
            InvocationMode::Both => Mode::Both,
            InvocationMode::Sync => Mode::Sync,
            InvocationMode::Async => Mode::Async,
        };
        let option = |option: &RunOption| match option {
            RunOption::Delay => RunOptionName::Delay,
            RunOption::MaxAge => RunOptionName::MaxAge,
            RunOption::Priority => RunOptionName::Priority,
            RunOption::OrderingKey => RunOptionName::OrderingKey,
            RunOption::Callback => RunOptionName::Callback,
        };
        Self {
            mode,
            backlog_max: background.backlog_max,
            keyless_options: background.keyless_options.iter().map(option).collect(),
            retry: (&background.retry).into(),
            on_success: background.on_success.as_ref().map(ToString::to_string),
            on_failure: background.on_failure.as_ref().map(ToString::to_string),
        }
    }
}

impl From<&RetryPolicy> for RetryDocument {
    fn from(policy: &RetryPolicy) -> Self {
        let text = |span: faas_types::Span| TextOrNumber::Text(span.to_string());
        let name = |class: &RetryClass| match class {
            RetryClass::Error => RetryClassName::Error,
            RetryClass::Timeout => RetryClassName::Timeout,
            RetryClass::Memory => RetryClassName::Memory,
            RetryClass::Start => RetryClassName::Start,
        };
        Self {
            max_attempts: policy.max_attempts,
            backoff: text(policy.backoff),
            backoff_max: text(policy.backoff_max),
            max_age: text(policy.max_age),
            on: policy.on.iter().map(name).collect(),
        }
    }
}
