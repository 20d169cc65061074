//! What Poetry asks of versions ([its notation](https://python-poetry.org/docs/dependency-specification/)): alternatives
//! with `||` between, each a list such as `>=1.2,<2`, with `^`, `~` and `*` beside the usual signs.

use super::version::{Specifier, Version};

/// Alternatives, all parts of one of which hold.
#[derive(Clone, Debug)]
pub(super) struct Constraint {
    alternatives: Vec<Vec<Specifier>>,
}

// === impl Constraint ===

impl Constraint {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let alternatives = text.split('|').map(str::trim).filter(|part| !part.is_empty());
        let alternatives: Vec<_> = alternatives.map(alternative).collect::<Option<_>>()?;
        (!alternatives.is_empty()).then_some(Self { alternatives })
    }

    pub(super) fn admits(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|all| all.iter().all(|asked| asked.admits(version)))
    }

    /// Whether it admits every patch of a release of Python, or none; `None` when that is not plain.
    pub(super) fn admits_patches_of(&self, python: (u64, u64)) -> Option<bool> {
        let answers: Vec<Option<bool>> = self
            .alternatives
            .iter()
            .map(|all| {
                let parts: Vec<Option<bool>> = all.iter().map(|asked| asked.admits_patches_of(python)).collect();
                if parts.contains(&Some(false)) {
                    Some(false)
                } else {
                    parts.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
                }
            })
            .collect();
        if answers.contains(&Some(true)) {
            Some(true)
        } else {
            answers.into_iter().collect::<Option<Vec<_>>>().map(|_| false)
        }
    }
}

fn alternative(text: &str) -> Option<Vec<Specifier>> {
    let parts = text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
    let mut all = Vec::new();
    let mut sign = String::new();
    for part in parts {
        // A space may stand behind a sign.
        let joined = std::mem::take(&mut sign) + part;
        if joined.chars().all(|c| "<>=!~^".contains(c)) {
            sign = joined;
            continue;
        }
        all.extend(part_of(&joined)?);
    }
    sign.is_empty().then_some(all)
}

fn part_of(part: &str) -> Option<Vec<Specifier>> {
    let one = |text: String| Some(vec![Specifier::parse(&text)?]);
    if part == "*" {
        return Some(Vec::new());
    }
    if let Some(version) = part.strip_prefix('^') {
        let base = Version::parse(version)?;
        let kept = base.release().iter().position(|number| *number > 0).unwrap_or(base.release().len() - 1);
        return between(version, &base, kept);
    }
    if let Some(version) = part.strip_prefix('~').filter(|rest| !rest.starts_with('=')) {
        let base = Version::parse(version)?;
        return between(version, &base, usize::from(base.release().len() > 1));
    }
    if part.starts_with(['<', '>', '=', '!', '~']) {
        let is_single = part.starts_with('=') && !part.starts_with("==");
        return one(if is_single { format!("={part}") } else { part.to_owned() });
    }
    one(format!("=={part}"))
}

/// From a version up to the next one whose number at `kept` is higher.
fn between(version: &str, base: &Version, kept: usize) -> Option<Vec<Specifier>> {
    let mut next: Vec<u64> = base.release().iter().take(kept + 1).copied().collect();
    let last = next.last_mut()?;
    *last = last.checked_add(1)?;
    let next: Vec<String> = next.iter().map(u64::to_string).collect();
    Some(vec![Specifier::parse(&format!(">={version}"))?, Specifier::parse(&format!("<{}", next.join(".")))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_means_what_its_documentation_says() {
        for (constraint, yes, no) in [
            ("^1.2.3", "1.9", "2.0"),
            ("^0.2.3", "0.2.9", "0.3"),
            ("^0.0.3", "0.0.3", "0.0.4"),
            ("^0.0", "0.0.9", "0.1"),
            ("^0", "0.9", "1.0"),
            ("~1.2.3", "1.2.9", "1.3"),
            ("~1.2", "1.2.9", "1.3"),
            ("~1", "1.9", "2"),
            ("1.2.*", "1.2.9", "1.3"),
            ("1.2", "1.2.0", "1.2.1"),
            (">=1,<2 || >=3", "3.5", "2.5"),
            (">= 1, < 2", "1.5", "2"),
            (">=0.14.0,<0.15.0 || >0.15.0,<0.15.1 || >0.15.1", "0.23", "0.15.0"),
            ("*", "9", "x"),
            ("=1.0", "1.0", "1.1"),
            ("~=1.4.2", "1.4.9", "1.5"),
        ] {
            let parsed = Constraint::parse(constraint).expect(constraint);
            assert!(parsed.admits(&Version::parse(yes).expect(yes)), "{constraint} {yes}");
            assert!(!Version::parse(no).is_some_and(|no| parsed.admits(&no)), "{constraint} {no}");
        }
        for bad in ["", "^", "1 >", "x", "|", "^18446744073709551616"] {
            assert!(Constraint::parse(bad).is_none(), "{bad}");
        }
        let python = |text: &str| Constraint::parse(text).expect(text).admits_patches_of((3, 12));
        assert_eq!((python("^3.10"), python("<3.11"), python(">=3.12.4")), (Some(true), Some(false), None));
    }
}
