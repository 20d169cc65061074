//! Versions of Python packages and what is asked of them ([PEP 440](https://peps.python.org/pep-0440/)).

use std::cmp::Ordering;
use std::fmt;

/// Characters of a version.
pub(super) const VERSION_MAX: usize = 100;

/// A version.
#[derive(Clone, Debug)]
pub(super) struct Version {
    epoch: u64,
    pub(super) release: Vec<u64>,
    pre: Option<(Phase, u64)>,
    post: Option<u64>,
    dev: Option<u64>,
    local: Vec<LocalPart>,
}

/// How far from a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// A development release of no other phase comes before all.
    Development,
    Alpha,
    Beta,
    Candidate,
    Final,
}

/// A part behind the `+`. Numbers are above words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LocalPart {
    Word(String),
    Number(u64),
}

/// One condition on a version, such as `>=1.2`.
#[derive(Clone, Debug)]
pub(super) struct Specifier {
    comparison: Comparison,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    EqualBeginning,
    NotEqual,
    NotEqualBeginning,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Compatible,
}

// === impl Version ===

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.len() > VERSION_MAX {
            return None;
        }
        let text = text.strip_prefix('v').unwrap_or(&text);
        let (public, local) = text.split_once('+').map_or((text, None), |(public, local)| (public, Some(local)));
        let (epoch, rest) = match public.split_once('!') {
            Some((epoch, rest)) => (number(epoch)?, rest),
            None => (0, public),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        // A dot may stand before what follows the release.
        let release = rest[..end].strip_suffix('.').unwrap_or(&rest[..end]);
        let mut version = Self {
            epoch,
            release: release.split('.').map(number).collect::<Option<_>>()?,
            pre: None,
            post: None,
            dev: None,
            local: local.map_or(Some(Vec::new()), local_parts)?,
        };
        version.read_suffixes(&rest[release.len()..])?;
        Some(version)
    }

    /// A release of Python.
    pub(super) fn of(release: &[u64]) -> Self {
        Self { epoch: 0, release: release.to_vec(), pre: None, post: None, dev: None, local: Vec::new() }
    }

    fn read_suffixes(&mut self, mut rest: &str) -> Option<()> {
        while !rest.is_empty() {
            let implicit_post = rest.strip_prefix('-').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            if let Some(digits) = implicit_post {
                let (number, after) = leading_number(digits);
                self.post = Some(number?);
                rest = after;
                continue;
            }
            rest = rest.trim_start_matches(['.', '-', '_']);
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let (number, after) = leading_number(after.trim_start_matches(['.', '-', '_']));
            let number = number.unwrap_or(0);
            match word {
                "a" | "alpha" => self.pre = Some((Phase::Alpha, number)),
                "b" | "beta" => self.pre = Some((Phase::Beta, number)),
                "c" | "rc" | "pre" | "preview" => self.pre = Some((Phase::Candidate, number)),
                "post" | "rev" | "r" => self.post = Some(number),
                "dev" => self.dev = Some(number),
                _ => return None,
            }
            rest = after;
        }
        Some(())
    }

    fn is_preview(&self) -> bool {
        self.pre.is_some() || self.dev.is_some()
    }

    /// Orders without what is behind the `+`.
    pub(super) fn compare_public(&self, other: &Self) -> Ordering {
        let length = self.release.len().max(other.release.len());
        let releases = (0..length).map(|at| self.part(at).cmp(&other.part(at)));
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| releases.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
            .then_with(|| self.phase().cmp(&other.phase()))
            .then_with(|| self.post.cmp(&other.post))
            .then_with(|| self.dev.unwrap_or(u64::MAX).cmp(&other.dev.unwrap_or(u64::MAX)))
    }

    fn phase(&self) -> (Phase, u64) {
        match (self.pre, self.post, self.dev) {
            (Some(pre), ..) => pre,
            (None, None, Some(_)) => (Phase::Development, 0),
            _ => (Phase::Final, 0),
        }
    }

    fn part(&self, at: usize) -> u64 {
        self.release.get(at).copied().unwrap_or(0)
    }

    fn begins_with(&self, beginning: &[u64], epoch: u64) -> bool {
        self.epoch == epoch && beginning.iter().enumerate().all(|(at, part)| self.part(at) == *part)
    }

    fn same_release(&self, other: &Self) -> bool {
        self.epoch == other.epoch
            && (0..self.release.len().max(other.release.len())).all(|at| self.part(at) == other.part(at))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch > 0 {
            write!(f, "{}!", self.epoch)?;
        }
        let release: Vec<String> = self.release.iter().map(u64::to_string).collect();
        f.write_str(&release.join("."))?;
        if let Some((phase, number)) = self.pre {
            let letter = match phase {
                Phase::Alpha => "a",
                Phase::Beta => "b",
                _ => "rc",
            };
            write!(f, "{letter}{number}")?;
        }
        self.post.map_or(Ok(()), |number| write!(f, ".post{number}"))?;
        self.dev.map_or(Ok(()), |number| write!(f, ".dev{number}"))?;
        for (at, part) in self.local.iter().enumerate() {
            f.write_str(if at == 0 { "+" } else { "." })?;
            match part {
                LocalPart::Word(word) => f.write_str(word)?,
                LocalPart::Number(number) => write!(f, "{number}")?,
            }
        }
        Ok(())
    }
}

fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

fn leading_number(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (number(&text[..end]), &text[end..])
}

fn local_parts(text: &str) -> Option<Vec<LocalPart>> {
    let part = |part: &str| match number(part) {
        Some(number) => Some(LocalPart::Number(number)),
        None if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Some(LocalPart::Word(part.to_owned()))
        }
        None => None,
    };
    text.split(['.', '-', '_']).map(part).collect()
}

// === impl Specifier ===

impl Specifier {
    pub(super) fn parse(text: &str) -> Option<Self> {
        const COMPARISONS: [(&str, Comparison); 7] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("~=", Comparison::Compatible),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let text = text.trim();
        let (sign, comparison) = COMPARISONS.into_iter().find(|(sign, _)| text.starts_with(sign))?;
        let version = text[sign.len()..].trim();
        let (version, comparison) = match (version.strip_suffix(".*"), comparison) {
            (Some(beginning), Comparison::Equal) => (beginning, Comparison::EqualBeginning),
            (Some(beginning), Comparison::NotEqual) => (beginning, Comparison::NotEqualBeginning),
            _ => (version, comparison),
        };
        let version = Version::parse(version)?;
        (comparison != Comparison::Compatible || version.release.len() > 1).then_some(Self { comparison, version })
    }

    /// All of a list with commas between.
    pub(super) fn parse_all(text: &str) -> Option<Vec<Self>> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Self::parse).collect()
    }

    pub(super) fn admits(&self, version: &Version) -> bool {
        let asked = &self.version;
        let order = version.compare_public(asked);
        match self.comparison {
            Comparison::Equal => order.is_eq() && (asked.local.is_empty() || asked.local == version.local),
            Comparison::NotEqual => !(order.is_eq() && (asked.local.is_empty() || asked.local == version.local)),
            Comparison::EqualBeginning => version.begins_with(&asked.release, asked.epoch),
            Comparison::NotEqualBeginning => !version.begins_with(&asked.release, asked.epoch),
            Comparison::AtMost => order.is_le(),
            Comparison::AtLeast => order.is_ge(),
            Comparison::Less => {
                order.is_lt() && (asked.is_preview() || !version.is_preview() || !version.same_release(asked))
            }
            Comparison::Greater => {
                order.is_gt() && (asked.post.is_some() || version.post.is_none() || !version.same_release(asked))
            }
            Comparison::Compatible => {
                order.is_ge() && version.begins_with(&asked.release[..asked.release.len() - 1], asked.epoch)
            }
        }
    }

    /// Whether it admits every patch of a release of Python, or none; `None` when that hangs on the patch.
    pub(super) fn admits_patches_of(&self, (major, minor): (u64, u64)) -> Option<bool> {
        // The answer changes at the patch that is named, if at all.
        let named = self.version.part(2);
        let patches = [0, named.saturating_sub(1), named, named.saturating_add(1), u64::from(u32::MAX)];
        let mut answers = patches.map(|patch| self.admits(&Version::of(&[major, minor, patch]))).into_iter();
        let first = answers.next()?;
        answers.all(|answer| answer == first).then_some(first)
    }
}

impl fmt::Display for Specifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, end) = match self.comparison {
            Comparison::Equal => ("==", ""),
            Comparison::EqualBeginning => ("==", ".*"),
            Comparison::NotEqual => ("!=", ""),
            Comparison::NotEqualBeginning => ("!=", ".*"),
            Comparison::Less => ("<", ""),
            Comparison::AtMost => ("<=", ""),
            Comparison::Greater => (">", ""),
            Comparison::AtLeast => (">=", ""),
            Comparison::Compatible => ("~=", ""),
        };
        write!(f, "{sign}{}{end}", self.version)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect(text)
    }

    fn admits(specifier: &str, text: &str) -> bool {
        Specifier::parse(specifier).expect(specifier).admits(&version(text))
    }

    #[test]
    fn versions_stand_in_the_order_of_the_rules() {
        let ascending = [
            "1.0.dev1",
            "1.0a1.dev1",
            "1.0a1",
            "1.0a1.post1",
            "1.0b2",
            "1.0rc1",
            "1.0",
            "1.0.post1.dev2",
            "1.0.post1",
            "1.0.1",
            "1.1",
            "1.10",
            "1!0.1",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(version(pair[0]).compare_public(&version(pair[1])), Ordering::Less, "{pair:?}");
        }
        for (one, same) in
            [("1.0", "1"), ("1.0-beta.2", "1.0b2"), ("v1.0", "1.0.0"), ("1.0-1", "1.0.post1"), ("1.0c1", "1.0rc1")]
        {
            assert_eq!(version(one).compare_public(&version(same)), Ordering::Equal, "{one}");
        }
        assert_eq!(version("1.0-Beta_2+Cpu-1").to_string(), "1.0b2+cpu.1");
        for bad in ["", "x", "1..0", "1.0+", "1.0+a..b", "1.0foo", "1.0.*", "99999999999999999999", "1.0 2"] {
            assert!(Version::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn specifiers_admit_what_the_rules_say() {
        for (specifier, yes, no) in [
            ("==1.0", "1.0.0", "1.0.1"),
            ("==1.0", "1.0+cpu", "1.0.post1"),
            ("==1.0+cpu", "1.0+cpu", "1.0"),
            ("==1.1.*", "1.1.9a1", "1.10"),
            ("!=1.1.*", "1.2", "1.1"),
            ("~=1.4.5", "1.4.9", "1.5"),
            ("~=2.2", "2.9", "3.0"),
            ("<1.0", "0.9", "1.0rc1"),
            (">1.0", "1.0.1", "1.0.post1"),
            (">=1.0", "1.0.post1", "1.0rc1"),
            ("<=1.0", "1.0", "1.0.post1"),
        ] {
            assert!(admits(specifier, yes) && !admits(specifier, no), "{specifier}");
        }
        assert!(Specifier::parse("~=1").is_none() && Specifier::parse("===1").is_none());
        assert_eq!(Specifier::parse_all(">=1, <2.0").expect("two").len(), 2);
    }

    #[test]
    fn what_hangs_on_a_patch_is_not_guessed() {
        let of = |text: &str| Specifier::parse(text).expect(text).admits_patches_of((3, 12));
        for (text, answer) in [
            (">=3.11", Some(true)),
            (">=3.12", Some(true)),
            (">=3.12.0a1", Some(true)),
            (">=3.13", Some(false)),
            ("<3.12", Some(false)),
            ("<3.13", Some(true)),
            ("==3.12.*", Some(true)),
            ("!=3.12.*", Some(false)),
            ("~=3.10", Some(true)),
            ("<=3.12", None),
            (">3.12", None),
            ("==3.12", None),
            ("<3.12.4", None),
            (">=3.12.4", None),
            ("==3.12.4", None),
            ("~=3.12.4", None),
            ("!=3.11.4", Some(true)),
        ] {
            assert_eq!(of(text), answer, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[0-9a-z.!+_<>=~* -]{0,24}") {
            if let Some(version) = Version::parse(&text) {
                let again = Version::parse(&version.to_string()).expect("its own form");
                prop_assert_eq!(version.compare_public(&again), Ordering::Equal);
            }
            let _ = Specifier::parse_all(&text).map(|all| all.iter().map(|one| one.admits_patches_of((3, 12))).collect::<Vec<_>>());
        }

        #[test]
        fn patches_agree_with_each_patch(sign in "(==|!=|<|<=|>|>=|~=)", minor in 10u64..14, patch in 0u64..6, own in 0u64..8) {
            let specifier = Specifier::parse(&format!("{sign}3.{minor}.{patch}")).expect("a specifier");
            if let Some(answer) = specifier.admits_patches_of((3, 12)) {
                prop_assert_eq!(answer, specifier.admits(&Version::of(&[3, 12, own])));
            }
        }
    }
}
