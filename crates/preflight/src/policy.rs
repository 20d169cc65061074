//! What an operator and a project block.

use std::path::Path;
use std::sync::Arc;

use faas_types::PreflightRules;
use ignore::gitignore::Gitignore;
use regex::{Regex, RegexBuilder};

use crate::allowance::{AllowedSecret, InvalidAllowance, globs};
use crate::finding::{Finding, Severity};
use crate::imports;
use crate::location::line_and_column;
use crate::rule_owner::RuleOwner;

/// Patterns of one kind.
const PATTERNS_MAX: usize = 100;
/// Bytes of one pattern.
const PATTERN_MAX: usize = 1_000;
/// Bytes that one compiled pattern of the operator may take.
const COMPILED_MAX: usize = 1 << 20;
/// The same for a project; a server has many of them.
const PROJECT_COMPILED_MAX: usize = 256 << 10;
/// Matches of one pattern that are reported for one file.
const MATCHES_MAX: usize = 5;

/// The rules of one owner, compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    owner: RuleOwner,
    rules: PreflightRules,
    files: Gitignore,
    text: Vec<Regex>,
    allowed: Vec<AllowedSecret>,
}

/// The rules that uploads are checked against: the operator's, and the project's on top. Each is applied on its own, so neither
/// loosens the other.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// The operator's rules.
    pub operator: Arc<Policy>,
    /// The project's rules.
    pub project: Option<Arc<Policy>>,
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

// === impl Policy ===

impl Policy {
    /// Compiles the operator's rules.
    ///
    /// # Errors
    /// The first pattern that is invalid or too large.
    pub fn of_operator(rules: &PreflightRules) -> Result<Self, InvalidPolicy> {
        Self::compile(RuleOwner::Operator, rules, COMPILED_MAX)
    }

    /// Compiles the rules of a project.
    ///
    /// # Errors
    /// As for [`of_operator`](Self::of_operator).
    pub fn of_project(rules: &PreflightRules) -> Result<Self, InvalidPolicy> {
        Self::compile(RuleOwner::Project, rules, PROJECT_COMPILED_MAX)
    }

    fn compile(owner: RuleOwner, rules: &PreflightRules, compiled_max: usize) -> Result<Self, InvalidPolicy> {
        let PreflightRules { secrets: _, blocked_files, blocked_text, blocked_imports, allow_secrets } = rules;
        bounded("preflight.blocked_files", blocked_files)?;
        bounded("preflight.blocked_text", blocked_text)?;
        bounded("preflight.blocked_imports", blocked_imports)?;
        bounded("preflight.allow_secrets", allow_secrets)?;
        let invalid = |message| InvalidPolicy { field: "preflight.blocked_files", message };
        let text = blocked_text.iter().map(|pattern| {
            let built = RegexBuilder::new(pattern).size_limit(compiled_max).multi_line(true).build();
            built.map_err(|error| {
                let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                InvalidPolicy { field: "preflight.blocked_text", message: format!("has `{pattern}`: {reason}") }
            })
        });
        let is_module = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./@:".contains(&b));
        if let Some(name) = blocked_imports.iter().find(|name| !is_module(name)) {
            let message = format!(
                "has `{name}`, which is not the name of a module, such as \"ctypes\" or \"node:child_process\""
            );
            return Err(InvalidPolicy { field: "preflight.blocked_imports", message });
        }
        let allowed = allow_secrets.iter().map(|text| {
            let field = "preflight.allow_secrets";
            text.parse().map_err(|error: InvalidAllowance| InvalidPolicy { field, message: format!("has {error}") })
        });
        Ok(Self {
            owner,
            rules: rules.clone(),
            files: globs(blocked_files).map_err(invalid)?,
            text: text.collect::<Result<_, _>>()?,
            allowed: allowed.collect::<Result<_, _>>()?,
        })
    }

    /// The rules as configured.
    #[must_use]
    pub fn rules(&self) -> &PreflightRules {
        &self.rules
    }

    fn blocked_file(&self, path: &str) -> Option<Finding> {
        let found = self.files.matched_path_or_any_parents(Path::new(path), false);
        let pattern = found.is_ignore().then(|| found.inner().map(|glob| glob.original().to_owned())).flatten()?;
        let message = format!("this {} takes no files that match `{pattern}`", self.owner.place());
        let finding = Finding::new("blocked-file", Severity::Error, message).in_file(path).owned_by(self.owner);
        let fix = format!("leave it out with a line in .faasignore, or ask {}", self.owner.person());
        Some(finding.with_fix(fix))
    }

    fn blocked_text(&self, path: &str, text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for pattern in &self.text {
            for found in pattern.find_iter(text).take(MATCHES_MAX) {
                let message = format!("this {} takes no text that matches `{pattern}`", self.owner.place());
                let finding = Finding::new("blocked-text", Severity::Error, message).in_file(path).owned_by(self.owner);
                let (line, column) = line_and_column(text, found.start());
                findings.push(
                    finding.at(Some(line), Some(column)).with_fix(format!("change it, or ask {}", self.owner.person())),
                );
            }
        }
        for (at, module) in imports::blocked(path, text, &self.rules.blocked_imports) {
            let message = format!("this {} takes no functions that import `{module}`", self.owner.place());
            let (line, column) = line_and_column(text, at);
            let finding = Finding::new("blocked-import", Severity::Error, message).in_file(path).owned_by(self.owner);
            findings.push(
                finding.at(Some(line), Some(column)).with_fix(format!("do without it, or ask {}", self.owner.person())),
            );
        }
        findings
    }
}

impl Default for Policy {
    fn default() -> Self {
        let rules = PreflightRules { secrets: true, ..PreflightRules::default() };
        let (files, text, allowed) = (Gitignore::empty(), Vec::new(), Vec::new());
        Self { owner: RuleOwner::Operator, rules, files, text, allowed }
    }
}

// === impl Policies ===

impl Policies {
    fn each(&self) -> impl Iterator<Item = &Policy> {
        std::iter::once(&*self.operator).chain(self.project.as_deref())
    }

    /// Whether files are searched for secrets.
    #[must_use]
    pub fn searches_secrets(&self) -> bool {
        self.each().any(|policy| policy.rules.secrets)
    }

    /// Whether a rule allows a match of the secret scanner in this file.
    pub(crate) fn allows_secret(&self, path: &str, rule: &str) -> bool {
        self.each().any(|policy| policy.allowed.iter().any(|allowed| allowed.covers(path, rule)))
    }

    pub(crate) fn blocked_file(&self, path: &str) -> Option<Finding> {
        self.each().find_map(|policy| policy.blocked_file(path))
    }

    pub(crate) fn blocked_text(&self, path: &str, text: &str) -> Vec<Finding> {
        self.each().flat_map(|policy| policy.blocked_text(path, text)).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Preflight;
    use crate::refusal;

    fn operator(section: &PreflightRules) -> Policies {
        Policies { operator: Arc::new(Policy::of_operator(section).expect("a policy")), project: None }
    }

    fn rules() -> PreflightRules {
        PreflightRules::default()
    }

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn blocked_files_are_named_with_their_pattern() {
        let policies = operator(&PreflightRules { blocked_files: list(&["*.pem", "/private/"]), ..Default::default() });
        let preflight = Preflight { policies: &policies, allowed: &[] };
        let found = preflight.listing(["main.py", "a/server.pem", "private/x.txt", "a/private/y.txt"]);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "a/server.pem: this server takes no files that match `*.pem`");
        assert!(told[1].starts_with("private/x.txt: "));
        assert!(refusal(&found).is_some_and(|fault| fault.code == faas_types::Code::UploadRefused));
    }

    #[test]
    fn blocked_text_and_imports_have_a_place() {
        let policies = operator(&PreflightRules {
            blocked_text: list(&[r"eval\("]),
            blocked_imports: list(&["ctypes", "node:child_process"]),
            ..Default::default()
        });
        let preflight = Preflight { policies: &policies, allowed: &[] };
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
        let bad = |section: PreflightRules| Policy::of_operator(&section).expect_err("bad").field;
        assert_eq!(bad(PreflightRules { blocked_text: list(&["("]), ..Default::default() }), "preflight.blocked_text");
        let huge = list(&[r"\w{500}{500}"]);
        assert_eq!(bad(PreflightRules { blocked_text: huge, ..Default::default() }), "preflight.blocked_text");
        assert_eq!(
            bad(PreflightRules { blocked_files: list(&["[z-a]"]), ..Default::default() }),
            "preflight.blocked_files"
        );
        assert_eq!(
            bad(PreflightRules { blocked_imports: list(&["a b"]), ..Default::default() }),
            "preflight.blocked_imports"
        );
        assert_eq!(
            bad(PreflightRules { blocked_files: vec!["x".into(); 101], ..Default::default() }),
            "preflight.blocked_files"
        );
    }

    #[test]
    fn a_project_adds_rules_and_loosens_none_of_the_operators() {
        let section = PreflightRules { blocked_files: list(&["*.pem"]), ..Default::default() };
        let own = PreflightRules {
            blocked_files: list(&["*.md", "!*.pem", "!docs/*.md"]),
            blocked_text: list(&["(?i)draft"]),
            blocked_imports: list(&["socket"]),
            ..rules()
        };
        let project = Some(Arc::new(Policy::of_project(&own).expect("rules")));
        let policies = Policies { project, ..operator(&section) };
        let preflight = Preflight { policies: &policies, allowed: &[] };
        let found = preflight.listing(["a.pem", "b.md", "docs/c.md", "d.py"]);
        let told: Vec<_> = found.iter().map(|finding| (finding.file.as_deref(), finding.owner)).collect();
        assert_eq!(told, [(Some("a.pem"), Some(RuleOwner::Operator)), (Some("b.md"), Some(RuleOwner::Project))]);
        assert!(found[1].message.starts_with("this project takes no files"), "{}", found[1]);
        let found = preflight.file("d.py", b"import socket  # a Draft\n");
        assert_eq!(found.iter().map(|finding| finding.owner).collect::<Vec<_>>(), [Some(RuleOwner::Project); 2]);
    }

    #[test]
    fn a_project_allows_secrets_and_never_ends_the_operators_search() {
        let key = format!("KEY = '{}{}'\n", "AKIA", "Q3EGRIBSD7XWZ2YT");
        let found = |search: bool, own: &PreflightRules| {
            let section = PreflightRules { secrets: search, ..Default::default() };
            let project = Some(Arc::new(Policy::of_project(own).expect("rules")));
            let policies = Policies { project, ..operator(&section) };
            Preflight { policies: &policies, allowed: &[] }.file("tests/keys.py", key.as_bytes()).len()
        };
        assert_eq!(found(true, &rules()), 1);
        assert_eq!(found(false, &rules()), 0);
        assert_eq!(found(false, &PreflightRules { secrets: true, ..rules() }), 1);
        assert_eq!(found(true, &PreflightRules { allow_secrets: list(&["tests/**:*"]), ..rules() }), 0);
    }

    #[test]
    fn a_bad_rule_of_a_project_names_its_key() {
        let bad = |rules: PreflightRules| Policy::of_project(&rules).expect_err("bad").field;
        let allowed = list(&["keys.py:jwd"]);
        assert_eq!(bad(PreflightRules { allow_secrets: allowed, ..rules() }), "preflight.allow_secrets");
        // What an operator may have is too large here.
        let large = list(&[r"\w{20}"]);
        assert!(Policy::of_operator(&PreflightRules { blocked_text: large.clone(), ..rules() }).is_ok());
        assert_eq!(bad(PreflightRules { blocked_text: large, ..rules() }), "preflight.blocked_text");
        assert_eq!(bad(PreflightRules { blocked_files: list(&[""]), ..rules() }), "preflight.blocked_files");
    }
}
