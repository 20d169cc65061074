//! Keys as they are stored, made and changed.

use faas_types::{Fault, FieldError, FieldRule, FunctionRef, KeyId, Reason, Scope, Timestamp};
use serde::{Deserialize, Serialize};

/// Functions that a key can be restricted to.
const FUNCTIONS_MAX: usize = 100;

/// A key as the registry keeps it, under the hash of its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// The first characters of its text.
    pub prefix: String,
    /// What people choose of it.
    #[serde(flatten)]
    pub settings: KeySettings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to some minutes. Kept apart: every use would be another revision.
    #[serde(skip)]
    pub last_used_at: Option<Timestamp>,
}

/// What people choose of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySettings {
    /// What they call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// The functions that it is restricted to; empty for all.
    pub functions: Vec<FunctionRef>,
}

// === impl KeySettings ===

impl KeySettings {
    /// A key of all functions that does not end by itself.
    #[must_use]
    pub fn new(name: &str, scopes: Vec<Scope>) -> Self {
        Self { name: name.to_owned(), scopes, expires_at: None, functions: Vec::new() }
    }

    /// The settings, with each scope and function once.
    ///
    /// # Errors
    /// `FN_006` naming every field that is wrong.
    pub fn checked(mut self, now: Timestamp) -> Result<Self, Fault> {
        let mut errors = Vec::new();
        let mut refuse = |pointer: &str, rule, message: String| {
            errors.push(FieldError { pointer: pointer.to_owned(), rule, message, value: None });
        };
        if !(1..=64).contains(&self.name.chars().count()) || self.name.chars().any(char::is_control) {
            refuse("/name", FieldRule::Range, "name: use 1 to 64 characters".to_owned());
        }
        if self.scopes.is_empty() {
            refuse("/scopes", FieldRule::Range, "scopes: name at least one, such as invoke".to_owned());
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            refuse("/expires_at", FieldRule::Range, "expires_at: it is in the past".to_owned());
        }
        if self.functions.len() > FUNCTIONS_MAX {
            refuse("/functions", FieldRule::Range, format!("functions: name {FUNCTIONS_MAX} at most"));
        }
        let all = [Scope::Admin, Scope::ProjectAdmin];
        if let Some(scope) = self.scopes.iter().find(|scope| all.contains(scope)).filter(|_| !self.functions.is_empty())
        {
            let message = format!(
                "functions: a key with the scope {scope} can make keys for all functions, so it cannot be restricted"
            );
            refuse("/functions", FieldRule::Invalid, message);
        }
        self.scopes.sort_unstable();
        self.scopes.dedup();
        self.functions.sort_unstable();
        self.functions.dedup();
        match errors.as_slice() {
            [] => Ok(self),
            [first, ..] => Err(Fault::new(Reason::InvalidBody, first.message.clone()).with_errors(errors)),
        }
    }
}
