//! Answers that are kept for all sandboxes, each whole: with the aliases that led from the question to its addresses. Pure.

use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::{Name, RecordType};
use quick_cache::sync::Cache;

use super::Found;

/// Answers that are kept.
const ANSWERS_MAX: usize = 4_096;
/// How long an answer with addresses counts at most.
const POSITIVE_MAX: Duration = Duration::from_secs(3_600);
/// How long it counts at most that there is nothing.
const NEGATIVE_MAX: Duration = Duration::from_secs(60);

/// What was asked: a name in lower case, and the kind of its records.
pub(super) type Asked = (Name, RecordType);

/// Answers by what was asked.
#[derive(Debug)]
pub(super) struct Answers(Cache<Asked, Kept>);

#[derive(Clone, Debug)]
struct Kept {
    found: Found,
    since: Instant,
    until: Instant,
}

// === impl Answers ===

impl Answers {
    pub(super) fn new() -> Self {
        Self(Cache::new(ANSWERS_MAX))
    }

    /// What was answered, with what is left of its time.
    pub(super) fn get(&self, name: &Name, kind: RecordType, now: Instant) -> Option<Found> {
        let Kept { mut found, since, .. } = self.0.get(&(name.clone(), kind)).filter(|kept| kept.until > now)?;
        if let Found::Records(records) = &mut found {
            let passed = u32::try_from(now.saturating_duration_since(since).as_secs()).unwrap_or(u32::MAX);
            records.iter_mut().for_each(|record| record.ttl = record.ttl.saturating_sub(passed));
        }
        Some(found)
    }

    pub(super) fn keep(&self, asked: Asked, found: Found, lasts: Duration, now: Instant) {
        let most = if matches!(found, Found::Records(_)) { POSITIVE_MAX } else { NEGATIVE_MAX };
        let lasts = lasts.min(most);
        if !lasts.is_zero() {
            self.0.insert(asked, Kept { found, since: now, until: now + lasts });
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::{RData, Record};

    use super::*;

    #[test]
    fn an_answer_counts_for_its_time_and_for_its_question_alone() {
        let (answers, now) = (Answers::new(), Instant::now());
        let name = |text: &str| Name::from_ascii(text).expect(text);
        let record =
            |ttl| Record::from_rdata(name("a.test."), ttl, RData::A(std::net::Ipv4Addr::new(8, 8, 8, 8).into()));
        let second = Duration::from_secs(1);
        answers.keep((name("a.test."), RecordType::A), Found::Records(vec![record(30)]), 30 * second, now);
        answers.keep((name("b.test."), RecordType::A), Found::NoSuchName, 9_000 * second, now);
        answers.keep((name("c.test."), RecordType::A), Found::Records(vec![record(0)]), Duration::ZERO, now);
        let get = |text: &str, kind, passed: u32| answers.get(&name(text), kind, now + passed * second);
        assert_eq!(get("a.test.", RecordType::A, 10), Some(Found::Records(vec![record(20)])));
        assert_eq!(get("a.test.", RecordType::A, 30), None);
        assert_eq!(get("a.test.", RecordType::AAAA, 0), None);
        assert_eq!(
            (get("b.test.", RecordType::A, 59), get("b.test.", RecordType::A, 60)),
            (Some(Found::NoSuchName), None)
        );
        assert_eq!(get("c.test.", RecordType::A, 0), None);
    }
}
