//! The table of error texts: those that all languages share, and the section `[[causes]]` of each description.

use std::sync::OnceLock;

use faas_types::CauseClass;
use serde::Deserialize;

use crate::folder::Folder;

const NETWORK: &str = "without network = \"egress\" in faas.toml a function reaches no other machine; with it, the log of this run \
                       names what a rule has refused and the setting that opens it; where it names nothing, the other \
                       machine did not answer or has no such name; 127.0.0.1 is the sandbox itself";
const MEMORY: &str = "raise `memory` in faas.toml, or hold less at once";
const OWN: &str = "look at the stack and at the log of this run: faas runs logs RUN";

/// One line of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Types of the error, one of which it must be of; empty for any.
    #[serde(default)]
    kinds: Vec<String>,
    /// Texts in lower case, one of which must be in the message; empty for any.
    #[serde(default)]
    texts: Vec<String>,
    /// Texts, one of which must be in the stack; empty for any.
    #[serde(default)]
    frames: Vec<String>,
    pub(crate) class: CauseClass,
    /// The next step, with `{message}` for the error's own message; that of the class where it is not given.
    advice: Option<String>,
    /// Tried after the rules of all languages and the shared ones.
    #[serde(default)]
    last: bool,
}

#[derive(Deserialize)]
struct Causes {
    #[serde(default)]
    causes: Vec<Rule>,
}

/// The rules in the order in which they are tried: of each language, shared ones, the last ones of each language.
///
/// # Panics
/// Never: this crate's tests load the same embedded descriptions.
pub(crate) fn rules() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| {
        let parsed = |name: &str, text: &str| -> Vec<Rule> {
            let causes: Result<Causes, _> = toml::from_str(text);
            causes.unwrap_or_else(|error| panic!("{name} is checked by this crate's tests: {error}")).causes
        };
        let of_languages: Vec<Rule> =
            Folder::all().iter().flat_map(|folder| parsed(folder.name(), &folder.description())).collect();
        let (last, first): (Vec<Rule>, Vec<Rule>) = of_languages.into_iter().partition(|rule| rule.last);
        first.into_iter().chain(parsed("causes.toml", include_str!("causes.toml"))).chain(last).collect()
    })
}

// === impl Rule ===

impl Rule {
    /// Whether an error is of this rule. `message` and `causes` are in lower case.
    pub(crate) fn fits(&self, kind: &str, message: &str, causes: &[String], stack: &[String]) -> bool {
        let in_stack = |text: &String| stack.iter().any(|frame| frame.contains(text.as_str()));
        if !self.frames.is_empty() && !self.frames.iter().any(in_stack) {
            return false;
        }
        let is_said =
            |text: &str| self.texts.is_empty() || self.texts.iter().any(|wanted| text.contains(wanted.as_str()));
        if (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)) && is_said(message) {
            return true;
        }
        // Of a cause only what is certain: its type where the rule names types, else its text.
        causes.iter().any(|cause| match &*self.kinds {
            [] => is_said(cause),
            kinds => kinds.iter().any(|kind| cause.starts_with(&format!("{}:", kind.to_lowercase()))) && is_said(cause),
        })
    }

    /// The next step to take.
    pub(crate) fn advice(&self, message: &str) -> String {
        match &self.advice {
            Some(advice) => advice.replace("{message}", message.trim_matches(['\'', '"'])),
            None => advice(self.class).to_owned(),
        }
    }
}

/// What to do about a class of errors, where nothing more is known.
pub(crate) fn advice(class: CauseClass) -> &'static str {
    match class {
        CauseClass::NetworkDenied => NETWORK,
        CauseClass::Memory => MEMORY,
        CauseClass::NotPermitted => {
            "the sandbox does not let functions do this; docs/guides/security.md lists what they may"
        }
        CauseClass::BadInput => {
            "what was parsed is not JSON: look at the input of this run, or check it before parsing"
        }
        _ => OWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_asks_for_something_and_texts_are_lower_case() {
        for rule in rules() {
            assert!(!(rule.kinds.is_empty() && rule.texts.is_empty()), "{rule:?} fits every error");
            assert!(rule.texts.iter().all(|text| *text == text.to_lowercase()), "{rule:?} never fits");
        }
    }
}
