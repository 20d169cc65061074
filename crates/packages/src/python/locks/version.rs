//! Versions of Python packages, and conditions on them ([PEP 440](https://peps.python.org/pep-0440/)): the crate `pep440_rs`,
//! with a bound on the length and what a condition says of all patch releases of a Python.

use std::cmp::Ordering;
use std::fmt;

use pep440_rs::{Operator, VersionSpecifier};

/// Characters of a version.
pub(super) const VERSION_MAX: usize = 100;
/// Characters of a condition: a version, an operator and spaces.
const SPECIFIER_MAX: usize = VERSION_MAX + 8;

/// A version.
#[derive(Clone, Debug)]
pub(super) struct Version(pep440_rs::Version);

/// One condition on a version, such as `>=1.2`.
#[derive(Clone, Debug)]
pub(super) struct Specifier(VersionSpecifier);

// === impl Version ===

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > VERSION_MAX {
            return None;
        }
        text.parse().ok().map(Self)
    }

    /// A release of Python.
    pub(super) fn of(release: &[u64]) -> Self {
        Self(pep440_rs::Version::new(release))
    }

    /// The numbers of the release segment.
    pub(super) fn release(&self) -> &[u64] {
        self.0.release()
    }

    /// Compares without the local segment, which follows a `+`.
    pub(super) fn compare_public(&self, other: &Self) -> Ordering {
        self.0.clone().without_local().cmp(&other.0.clone().without_local())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Specifier ===

impl Specifier {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let specifier: VersionSpecifier = text.parse().ok().filter(|_| text.len() <= SPECIFIER_MAX)?;
        // `===` compares texts and is for versions that do not follow the rules; no locker writes it.
        (*specifier.operator() != Operator::ExactEqual).then_some(Self(specifier))
    }

    /// All of a list with commas between.
    pub(super) fn parse_all(text: &str) -> Option<Vec<Self>> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Self::parse).collect()
    }

    pub(super) fn admits(&self, Version(version): &Version) -> bool {
        let Self(specifier) = self;
        let asked = specifier.version();
        match specifier.operator() {
            // The library compares only as many numbers as both have, so that `==1.1.*` would admit 1.
            Operator::EqualStar | Operator::NotEqualStar => specifier.contains(&padded(version, asked.release().len())),
            // The library refuses every pre-release of the version, also those before a pre-release that is asked for.
            Operator::LessThan if asked.any_prerelease() => version.clone().without_local() < *asked,
            _ => specifier.contains(version),
        }
    }

    /// Whether it admits every patch of a release of Python, or none; `None` when the patch decides.
    pub(super) fn admits_patches_of(&self, (major, minor): (u64, u64)) -> Option<bool> {
        // The answer changes at the patch that is named, if at all.
        let named = self.0.version().release().get(2).copied().unwrap_or(0);
        let patches = [0, named.saturating_sub(1), named, named.saturating_add(1), u64::from(u32::MAX)];
        let mut answers = patches.map(|patch| self.admits(&Version::of(&[major, minor, patch]))).into_iter();
        let first = answers.next()?;
        answers.all(|answer| answer == first).then_some(first)
    }
}

impl fmt::Display for Specifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version with zeros up to `length` numbers.
fn padded(version: &pep440_rs::Version, length: usize) -> pep440_rs::Version {
    if version.release().len() >= length {
        return version.clone();
    }
    let zeros = std::iter::repeat(&0);
    let release: Vec<u64> = version.release().iter().chain(zeros).take(length).copied().collect();
    version.clone().with_release(release)
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
    fn short_versions_and_previews_are_compared_as_the_rules_say() {
        for (specifier, yes, no) in [
            ("==1.1.*", "1.1", "1"),
            ("!=1.1.*", "1", "1.1"),
            ("==1.0.*", "1", "1.1"),
            ("<1.0rc2", "1.0rc1", "1.0rc2"),
            ("<1.0rc2", "1.0rc1+local", "1.0"),
            ("<1.0.dev5", "1.0.dev4", "1.0a1"),
        ] {
            assert!(admits(specifier, yes) && !admits(specifier, no), "{specifier}");
        }
        let long = "1".repeat(VERSION_MAX + 1);
        assert!(Version::parse(&long).is_none() && Specifier::parse(&format!("=={long}")).is_none());
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
