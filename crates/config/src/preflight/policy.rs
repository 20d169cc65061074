//! What an operator blocks, and what a manifest allows.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use regex::{Regex, RegexBuilder};

use super::finding::{Finding, Severity};
use super::{imports, secrets};
use crate::PreflightSection;
use crate::manifest::closest;

/// Patterns of one kind.
const PATTERNS_MAX: usize = 100;
/// Bytes of one pattern.
const PATTERN_MAX: usize = 1_000;
/// Bytes that a compiled pattern may take.
const COMPILED_MAX: usize = 1 << 20;
/// Matches of one pattern that are told of one file.
const MATCHES_MAX: usize = 5;

/// What an operator blocks, compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    secrets: bool,
    files: Gitignore,
    text: Vec<Regex>,
    imports: Vec<String>,
}

/// A pattern of the configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct InvalidPolicy {
    /// The key, such as `preflight.blocked_text`.
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
}

/// A secret that a manifest says is none: a file's path, or a pattern as in `.gitignore`, a colon and a rule or `*`.
#[derive(Clone, Debug)]
pub struct AllowedSecret {
    text: String,
    path: Gitignore,
    rule: Option<&'static str>,
}

/// Why a text allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAllowance(String);

// === impl Policy ===

impl Policy {
    /// Compiles what the configuration says.
    ///
    /// # Errors
    /// The first pattern that is not one, or is too large.
    pub fn new(section: &PreflightSection) -> Result<Self, InvalidPolicy> {
        let PreflightSection { secrets, blocked_files, blocked_text, blocked_imports } = section;
        bounded("preflight.blocked_files", blocked_files)?;
        bounded("preflight.blocked_text", blocked_text)?;
        bounded("preflight.blocked_imports", blocked_imports)?;
        let invalid = |message| InvalidPolicy { field: "preflight.blocked_files", message };
        let text = blocked_text.iter().map(|pattern| {
            let built = RegexBuilder::new(pattern).size_limit(COMPILED_MAX).multi_line(true).build();
            built.map_err(|error| {
                let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                InvalidPolicy { field: "preflight.blocked_text", message: format!("has `{pattern}`: {reason}") }
            })
        });
        let is_module = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./@:".contains(&b));
        if let Some(name) = blocked_imports.iter().find(|name| !is_module(name)) {
            let message =
                format!("has `{name}`, which is no module's name, such as \"ctypes\" or \"node:child_process\"");
            return Err(InvalidPolicy { field: "preflight.blocked_imports", message });
        }
        Ok(Self {
            secrets: *secrets,
            files: globs(blocked_files).map_err(invalid)?,
            text: text.collect::<Result<_, _>>()?,
            imports: blocked_imports.clone(),
        })
    }

    /// Whether files are searched for secrets.
    #[must_use]
    pub fn searches_secrets(&self) -> bool {
        self.secrets
    }

    pub(super) fn blocked_file(&self, path: &str) -> Option<Finding> {
        let found = self.files.matched_path_or_any_parents(Path::new(path), false);
        let pattern = found.is_ignore().then(|| found.inner().map(|glob| glob.original().to_owned())).flatten()?;
        let message = format!("this server takes no files that match `{pattern}`");
        let finding = Finding::new("blocked-file", Severity::Error, message).in_file(path);
        Some(finding.with_fix("leave it out with a line in .faasignore, or ask the server's operator"))
    }

    pub(super) fn blocked_text(&self, path: &str, text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for pattern in &self.text {
            for found in pattern.find_iter(text).take(MATCHES_MAX) {
                let message = format!("this server takes no text that matches `{pattern}`");
                let finding = Finding::new("blocked-text", Severity::Error, message).in_file(path);
                let (line, column) = place(text, found.start());
                findings.push(finding.at(Some(line), Some(column)).with_fix("change it, or ask the server's operator"));
            }
        }
        for (at, module) in imports::blocked(path, text, &self.imports) {
            let message = format!("this server takes no functions that import `{module}`");
            let (line, column) = place(text, at);
            let finding = Finding::new("blocked-import", Severity::Error, message).in_file(path);
            findings.push(finding.at(Some(line), Some(column)).with_fix("do without it, or ask the server's operator"));
        }
        findings
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { secrets: true, files: Gitignore::empty(), text: Vec::new(), imports: Vec::new() }
    }
}

fn place(text: &str, at: usize) -> (u32, u32) {
    let place = crate::Position::of(text, at);
    (place.line, place.column)
}

fn bounded(field: &'static str, patterns: &[String]) -> Result<(), InvalidPolicy> {
    if patterns.len() > PATTERNS_MAX {
        return Err(InvalidPolicy { field, message: format!("must have at most {PATTERNS_MAX} entries") });
    }
    match patterns.iter().find(|pattern| pattern.is_empty() || pattern.len() > PATTERN_MAX) {
        Some(_) => Err(InvalidPolicy { field, message: format!("must have entries of 1 to {PATTERN_MAX} bytes") }),
        None => Ok(()),
    }
}

fn globs(patterns: &[String]) -> Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|error| format!("has `{pattern}`: {error}"))?;
    }
    builder.build().map_err(|error| error.to_string())
}

// === impl AllowedSecret ===

impl AllowedSecret {
    pub(super) fn covers(&self, path: &str, rule: &str) -> bool {
        self.rule.is_none_or(|own| own == rule)
            && self.path.matched_path_or_any_parents(Path::new(path), false).is_ignore()
    }
}

impl PartialEq for AllowedSecret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for AllowedSecret {}

impl fmt::Display for AllowedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for AllowedSecret {
    type Err = InvalidAllowance;

    fn from_str(text: &str) -> Result<Self, InvalidAllowance> {
        let parts = text.rsplit_once(':').filter(|(path, rule)| !path.is_empty() && !rule.is_empty());
        let Some((path, rule)) = parts.filter(|_| text.len() <= PATTERN_MAX) else {
            let message = format!("`{}` is not a path, a colon and a rule, such as \"tests/keys.py:jwt\"", short(text));
            return Err(InvalidAllowance(message));
        };
        let rule = match rule {
            "*" => None,
            name => Some(secrets::rules().find(|known| *known == name).ok_or_else(|| {
                let advice = closest(name, secrets::rules()).map_or_else(
                    || "`faas validate -o json` names the rules".to_owned(),
                    |meant| format!("did you mean `{meant}`?"),
                );
                InvalidAllowance(format!("`{}` is no rule for secrets; {advice}", short(name)))
            })?),
        };
        // Anchored, so that `keys.py` means the one at the root; `**/keys.py` and `*.py` mean any.
        let anchored = if path.contains('*') || path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let path = globs(&[anchored]).map_err(|reason| InvalidAllowance(format!("`{}` {reason}", short(text))))?;
        Ok(Self { text: text.to_owned(), path, rule })
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Preflight;
    use super::*;

    fn policy(section: &PreflightSection) -> Policy {
        Policy::new(section).expect("a policy")
    }

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn blocked_files_are_named_with_their_pattern() {
        let policy = policy(&PreflightSection { blocked_files: list(&["*.pem", "/private/"]), ..Default::default() });
        let preflight = Preflight { policy: &policy, allowed: &[] };
        let found = preflight.listing(["main.py", "a/server.pem", "private/x.txt", "a/private/y.txt"]);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "a/server.pem: this server takes no files that match `*.pem`");
        assert!(told[1].starts_with("private/x.txt: "));
        assert!(super::super::refusal(&found).is_some_and(|fault| fault.code == faas_types::Code::UploadRefused));
    }

    #[test]
    fn blocked_text_and_imports_have_a_place() {
        let policy = policy(&PreflightSection {
            blocked_text: list(&[r"eval\("]),
            blocked_imports: list(&["ctypes", "node:child_process"]),
            ..Default::default()
        });
        let preflight = Preflight { policy: &policy, allowed: &[] };
        let python = b"import os\nimport json, ctypes.util\nx = eval(y)\n";
        let told: Vec<String> = preflight.file("a.py", python).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("a.py:3:5: ") && told[1].starts_with("a.py:2:"), "{told:?}");
        let script = b"import x from 'y'\nconst c = require(\"child_process\")\n";
        assert_eq!(preflight.file("a.mjs", script)[0].line, Some(2));
        assert!(preflight.file("notes.txt", b"import ctypes").is_empty(), "no source");
    }

    #[test]
    fn a_bad_policy_names_its_key() {
        let bad = |section: PreflightSection| Policy::new(&section).expect_err("bad").field;
        assert_eq!(
            bad(PreflightSection { blocked_text: list(&["("]), ..Default::default() }),
            "preflight.blocked_text"
        );
        let huge = list(&[r"\w{500}{500}"]);
        assert_eq!(bad(PreflightSection { blocked_text: huge, ..Default::default() }), "preflight.blocked_text");
        assert_eq!(
            bad(PreflightSection { blocked_files: list(&["[z-a]"]), ..Default::default() }),
            "preflight.blocked_files"
        );
        assert_eq!(
            bad(PreflightSection { blocked_imports: list(&["a b"]), ..Default::default() }),
            "preflight.blocked_imports"
        );
        assert_eq!(
            bad(PreflightSection { blocked_files: vec!["x".into(); 101], ..Default::default() }),
            "preflight.blocked_files"
        );
    }

    #[test]
    fn an_allowance_is_a_path_and_a_rule() {
        for bad in ["", "x", ":jwt", "a.py:", "a.py:jwd"] {
            assert!(bad.parse::<AllowedSecret>().is_err(), "{bad}");
        }
        let told = "a.py:jwd".parse::<AllowedSecret>().expect_err("a typo").to_string();
        assert!(told.contains("did you mean `jwt`"), "{told}");
        let allowed: AllowedSecret = "keys.py:jwt".parse().expect("an allowance");
        assert!(allowed.covers("keys.py", "jwt") && !allowed.covers("a/keys.py", "jwt"));
    }
}
