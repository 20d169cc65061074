//! The part of a marker that remains undecided once the function's runtime is known.

use std::collections::BTreeSet;
use std::fmt;

/// Alternatives of one condition; locking tools write fewer.
const TERMS_MAX: usize = 16;
/// Parts of one alternative.
const PARTS_MAX: usize = 32;

/// When a package is wanted: any of the alternatives, all parts of which hold. Parts are comparisons that only the
/// installer can decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    terms: BTreeSet<BTreeSet<String>>,
}

/// A condition with too many alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooComplex;

// === impl Condition ===

impl Condition {
    pub(super) fn never() -> Self {
        Self { terms: BTreeSet::new() }
    }

    pub(super) fn always() -> Self {
        Self { terms: BTreeSet::from([BTreeSet::new()]) }
    }

    pub(super) fn part(text: String) -> Self {
        Self { terms: BTreeSet::from([BTreeSet::from([text])]) }
    }

    pub(super) fn is_never(&self) -> bool {
        self.terms.is_empty()
    }

    pub(super) fn is_always(&self) -> bool {
        self.terms.iter().any(BTreeSet::is_empty)
    }

    /// How many alternatives it has.
    pub(super) fn size(&self) -> usize {
        self.terms.len()
    }

    pub(super) fn or(&self, other: &Self) -> Result<Self, TooComplex> {
        Self::of(self.terms.union(&other.terms).cloned().collect())
    }

    pub(super) fn and(&self, other: &Self) -> Result<Self, TooComplex> {
        let pairs = self.terms.iter().flat_map(|one| other.terms.iter().map(move |two| one | two));
        Self::of(pairs.collect())
    }

    /// Without the alternatives that another one covers.
    fn of(mut terms: BTreeSet<BTreeSet<String>>) -> Result<Self, TooComplex> {
        let all = terms.clone();
        terms.retain(|term| !all.iter().any(|other| other != term && other.is_subset(term)));
        let is_fit = terms.len() <= TERMS_MAX && terms.iter().all(|term| term.len() <= PARTS_MAX);
        if is_fit { Ok(Self { terms }) } else { Err(TooComplex) }
    }
}

/// As a marker; empty for a condition that always or never holds.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " or " })?;
            for (at, part) in term.iter().enumerate() {
                f.write_str(if at == 0 { "" } else { " and " })?;
                f.write_str(part)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Condition {
    /// Whether it holds where exactly these parts do.
    pub(super) fn holds(&self, world: &BTreeSet<String>) -> bool {
        self.terms.iter().any(|term| term.is_subset(world))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any condition over four parts.
    fn conditions() -> impl Strategy<Value = Condition> {
        let terms = proptest::collection::btree_set(proptest::collection::btree_set("[abcd]", 0..4), 0..5);
        terms.prop_map(|terms| Condition::of(terms).expect("few terms"))
    }

    proptest! {
        #[test]
        fn and_and_or_mean_what_they_say(one in conditions(), two in conditions(), world in proptest::collection::btree_set("[abcd]", 0..5)) {
            let (first, second) = (one.holds(&world), two.holds(&world));
            prop_assert_eq!(one.or(&two).expect("few").holds(&world), first || second);
            prop_assert_eq!(one.and(&two).expect("few").holds(&world), first && second);
            prop_assert_eq!(one.or(&Condition::always()).expect("few"), Condition::always());
            prop_assert_eq!(one.and(&Condition::never()).expect("few"), Condition::never());
        }
    }

    #[test]
    fn what_grows_without_end_is_given_up() {
        let either = |at: usize| Condition::part(format!("a{at}")).or(&Condition::part(format!("b{at}"))).expect("two");
        let grown = (0..20).try_fold(Condition::always(), |all, at| all.and(&either(at)));
        assert_eq!(grown, Err(TooComplex));
        assert_eq!(either(0).and(&Condition::part("c".into())).expect("few").to_string(), "a0 and c or b0 and c");
    }
}
