//! Exceptions from the secret scanner.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::secrets;

/// Bytes of an allowance.
const TEXT_MAX: usize = 1_000;
/// From which similarity on a rule is proposed for a mistyped one.
const SIMILARITY_MIN: f64 = 0.8;

/// A match of the secret scanner that a manifest or a project declares harmless: a file's path, or a pattern as in
/// `.gitignore`, a colon and a rule or `*`.
#[derive(Clone, Debug)]
pub struct AllowedSecret {
    text: String,
    path: Gitignore,
    rule: Option<&'static str>,
}

/// Why a text is not an allowance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAllowance(String);

// === impl AllowedSecret ===

impl AllowedSecret {
    pub(crate) fn covers(&self, path: &str, rule: &str) -> bool {
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
        let Some((path, rule)) = parts.filter(|_| text.len() <= TEXT_MAX) else {
            let message = format!("`{}` is not a path, a colon and a rule, such as \"tests/keys.py:jwt\"", short(text));
            return Err(InvalidAllowance(message));
        };
        let rule = match rule {
            "*" => None,
            name => Some(secrets::rules().find(|known| *known == name).ok_or_else(|| {
                let advice = closest(name).map_or_else(
                    || "`faas validate -o json` names the rules".to_owned(),
                    |meant| format!("did you mean `{meant}`?"),
                );
                InvalidAllowance(format!("`{}` is not a rule for secrets; {advice}", short(name)))
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

/// The rule that `word` was probably meant to be.
fn closest(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    let similar = secrets::rules().map(|rule| (strsim::jaro_winkler(&word, rule), rule));
    let similar = similar.filter(|(similarity, _)| *similarity >= SIMILARITY_MIN);
    similar.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, rule)| rule)
}

pub(crate) fn globs(patterns: &[String]) -> Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|error| format!("has `{pattern}`: {error}"))?;
    }
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
