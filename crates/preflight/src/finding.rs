//! Results of the checks.

use std::fmt;

use faas_types::{Code, Fault};
use serde::Serialize;

use crate::rule_owner::RuleOwner;
use crate::secrets::SecretMatch;

/// Findings that a refusal lists.
const LISTED_MAX: usize = 10;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Refuses the upload.
    Error,
    /// Reported only.
    Warning,
}

/// One result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, such as `aws-access-key` or `syntax`.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The error code that the upload is refused with.
    pub code: Code,
    /// Whose rule it is; absent for rules of the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<RuleOwner>,
    /// The file in the upload.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// What is wrong, in one lowercase sentence. Never shows a secret.
    pub message: String,
    /// For syntax errors: the source line with a caret under the position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
    /// How to fix it.
    pub fix: Option<String>,
}

/// The error that refuses an upload; `None` when no finding is an error.
#[must_use]
pub fn refusal(findings: &[Finding]) -> Option<Fault> {
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let first = errors.first()?;
    let mut message = errors.iter().take(LISTED_MAX).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if errors.len() > LISTED_MAX {
        message.push_str(&format!("; and {} more", errors.len() - LISTED_MAX));
    }
    let fault = Fault::new(first.code, message);
    Some(match &first.fix {
        Some(fix) => fault.with_hint(fix.clone()),
        None => fault,
    })
}

// === impl Finding ===

impl Finding {
    /// A finding of an upload that is refused with [`Code::UploadRefused`].
    pub fn new(rule: impl Into<String>, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            severity,
            code: Code::UploadRefused,
            owner: None,
            file: None,
            line: None,
            column: None,
            message: message.into(),
            snippet: None,
            fix: None,
        }
    }

    /// Sets the error code.
    #[must_use]
    pub fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// Sets whose rule it is.
    #[must_use]
    pub fn owned_by(self, owner: RuleOwner) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Sets the file.
    #[must_use]
    pub fn in_file(self, file: impl Into<String>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// Sets line and column.
    #[must_use]
    pub fn at(self, line: Option<u32>, column: Option<u32>) -> Self {
        Self { line, column, ..self }
    }

    /// Sets the fix.
    #[must_use]
    pub fn with_fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    pub(crate) fn of_secret(path: &str, secret: &SecretMatch) -> Self {
        let SecretMatch { rule, what, line, column, masked } = secret;
        Self::new(*rule, Severity::Error, format!("{what} (`{masked}`)")).in_file(path).at(Some(*line), Some(*column)).with_fix(
            format!(
                "take it out, replace it where it is used, and revoke it if it was ever shared; if it is no secret, write \
                 `faas:allow-secret` on its line or allow_secrets = [\"{path}:{rule}\"] below [preflight] in the manifest"
            ),
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            f.write_str(file)?;
            for part in [self.line, self.column].into_iter().flatten() {
                write!(f, ":{part}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}
