//! How runs that are accepted for later are treated.

use serde::{Deserialize, Serialize};

use crate::{Code, FunctionTarget, Span, limits};

/// Which calls a function takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvocationMode {
    /// Callers choose.
    #[default]
    Both,
    /// Only callers that wait for the answer.
    Sync,
    /// Every call is accepted for later.
    Async,
}

/// A kind of failure that another attempt may mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RetryClass {
    /// The function raised, answered with a status of 500 or more or with 429, or its process ended.
    Error,
    /// It ran past its timeout.
    Timeout,
    /// It used more memory than its limit.
    Memory,
    /// No instance of it could be started.
    Start,
}

/// When a failed attempt is followed by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RetryPolicy {
    /// Attempts in all; at least 1.
    pub max_attempts: u32,
    /// The pause before the second attempt is a random part of this; it doubles with each attempt.
    #[schema(value_type = String)]
    pub backoff: Span,
    /// What the doubling ends at.
    #[schema(value_type = String)]
    pub backoff_max: Span,
    /// No attempt begins later than this after acceptance.
    #[schema(value_type = String)]
    pub max_age: Span,
    /// The failures that are followed by another attempt.
    pub on: Vec<RetryClass>,
}

/// What a caller can want of a run besides that it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOption {
    /// That it begins later.
    Delay,
    /// How long after its acceptance an attempt may begin.
    MaxAge,
    /// That it goes before others.
    Priority,
    /// That it waits for others with the same key.
    OrderingKey,
    /// That its end is posted to a URL.
    Callback,
}

/// How runs that are accepted for later are treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Background {
    /// Which calls the function takes.
    pub mode: InvocationMode,
    /// Runs that may wait; more are refused.
    pub backlog_max: u32,
    /// What callers without a key may want of a run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keyless_options: Vec<RunOption>,
    /// When a failed attempt is followed by another.
    pub retry: RetryPolicy,
    /// The function of the same project that goes on when a run has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub on_success: Option<FunctionTarget>,
    /// The function that goes on when a run has failed for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub on_failure: Option<FunctionTarget>,
}

// === impl RetryClass ===

impl RetryClass {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Error, Self::Timeout, Self::Memory, Self::Start];

    /// The class of a failed attempt; `None` for what another attempt cannot mend.
    #[must_use]
    pub const fn of(code: Code) -> Option<Self> {
        match code {
            Code::RuntimeError | Code::Internal => Some(Self::Error),
            Code::TimeoutExceeded => Some(Self::Timeout),
            Code::MemoryExceeded => Some(Self::Memory),
            Code::ColdStartTimeout | Code::IsolationUnavailable | Code::RuntimeMissing => Some(Self::Start),
            _ => None,
        }
    }

    /// The class as text, as in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Start => "start",
        }
    }
}

// === impl RunOption ===

impl RunOption {
    /// Every option.
    pub const ALL: [Self; 5] = [Self::Delay, Self::MaxAge, Self::Priority, Self::OrderingKey, Self::Callback];

    /// The option as text, as in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::MaxAge => "max_age",
            Self::Priority => "priority",
            Self::OrderingKey => "ordering_key",
            Self::Callback => "callback",
        }
    }
}

// === impl RetryPolicy ===

impl Default for RetryPolicy {
    fn default() -> Self {
        let span = |time: std::time::Duration| Span::from_secs(time.as_secs());
        Self {
            max_attempts: limits::ATTEMPTS_DEFAULT,
            backoff: span(limits::BACKOFF_DEFAULT),
            backoff_max: span(limits::BACKOFF_CAP_DEFAULT),
            max_age: span(limits::RUN_AGE_DEFAULT),
            on: RetryClass::ALL.to_vec(),
        }
    }
}

// === impl Background ===

impl Default for Background {
    fn default() -> Self {
        Self {
            mode: InvocationMode::default(),
            backlog_max: limits::BACKLOG_DEFAULT,
            keyless_options: Vec::new(),
            retry: RetryPolicy::default(),
            on_success: None,
            on_failure: None,
        }
    }
}
