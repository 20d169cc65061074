//! Answers that are kept for all sandboxes, each whole: with the aliases that led from the question to its addresses. Pure.

use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::proto::serialize::binary::BinEncodable;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Found;

/// Answers that are expected.
const ANSWERS: usize = 4_096;
/// Bytes of all answers that are kept, as `Bytewise` counts them.
const BYTES_MAX: u64 = 16 << 20;
/// Maximum size of a kept answer: longer ones, such as texts that are asked for once, would push many others out.
const ANSWER_MAX: u64 = 16 << 10;
/// How long an answer with addresses counts at most.
const POSITIVE_MAX: Duration = Duration::from_secs(3_600);
/// How long it counts at most that there is nothing.
const NEGATIVE_MAX: Duration = Duration::from_secs(60);

/// What was asked: a name in lower case, and the kind of its records.
pub(super) type Asked = (Name, RecordType);

/// Answers by what was asked.
#[derive(Debug)]
pub(super) struct Answers(Cache<Asked, Kept, Bytewise>);

/// Counts what answers take in memory.
#[derive(Clone, Debug)]
struct Bytewise;

#[derive(Clone, Debug)]
struct Kept {
    found: Found,
    since: Instant,
    until: Instant,
}

// === impl Bytewise ===

impl Weighter<Asked, Kept> for Bytewise {
    fn weight(&self, (name, _): &Asked, kept: &Kept) -> u64 {
        (256 + name.len() as u64).saturating_add(weight_of(&kept.found))
    }
}

/// A record is some 200 bytes besides what it holds, which the heap may keep in twice the room.
fn weight_of(found: &Found) -> u64 {
    let Found::Records(records) = found else { return 0 };
    records.iter().map(|record| 200 + 2 * record.to_bytes().map_or(u64::from(u16::MAX), |wire| wire.len() as u64)).sum()
}

// === impl Answers ===

impl Answers {
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(ANSWERS, BYTES_MAX, Bytewise))
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
        if !lasts.is_zero() && weight_of(&found) <= ANSWER_MAX {
            self.0.insert(asked, Kept { found, since: now, until: now + lasts });
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::TXT;
    use hickory_resolver::proto::rr::{RData, Record};

    use super::*;

    #[test]
    fn the_memory_of_answers_is_bounded_by_bytes() {
        let (answers, now) = (Answers::new(), Instant::now());
        let name = |text: String| Name::from_ascii(text).expect("a name");
        let text = |length: usize| {
            let texts = vec!["t".repeat(250); length / 250];
            Found::Records(vec![Record::from_rdata(name("a.test.".into()), 600, RData::TXT(TXT::new(texts)))])
        };
        for n in 0..10_000 {
            let asked = (name(format!("{n}.test.")), RecordType::TXT);
            answers.keep(asked.clone(), text(5_000), Duration::from_secs(600), now);
            // What is asked for again is kept the longest.
            answers.get(&asked.0, asked.1, now);
        }
        assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&answers.0.weight()), "{}", answers.0.weight());
        answers.keep((name("long.test.".into()), RecordType::TXT), text(40_000), Duration::from_secs(600), now);
        assert_eq!(answers.get(&name("long.test.".into()), RecordType::TXT, now), None);
    }

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
