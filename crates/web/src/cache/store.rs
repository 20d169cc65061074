//! The kept answers, within a bound on their memory.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use faas_types::FunctionId;
use http::header::CACHE_CONTROL;
use http::request;
use http::response::Parts;
use http_cache_semantics::{BeforeRequest, CachePolicy};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use super::rules::{Asked, Keepable};

/// Answers to one path for different request headers (`Vary`); the oldest goes first.
const VARIANTS_MAX: usize = 8;
/// How long a path whose answer is none to keep is passed on without asking again whether it is.
const PASS: Duration = Duration::from_secs(10);
/// What an entry needs besides its bytes.
const OVERHEAD: usize = 1_024;
/// Few, since none holds an answer larger than itself.
const SHARDS: usize = 4;

/// What an answer belongs to. Another version or other vars make another key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) function: FunctionId,
    pub(super) version: u32,
    pub(super) vars: u64,
    /// Scheme, host, path and query.
    pub(super) address: Arc<str>,
    /// Whether it is about requests whose answers may be one caller's alone. Nothing is kept under such a key: it only
    /// remembers that their answers are not cacheable, which says nothing about those of others.
    pub(super) is_personal: bool,
}

/// One kept answer.
pub(super) struct Answer {
    policy: CachePolicy,
    pub(super) body: Bytes,
    is_open: bool,
    is_implied: bool,
    size: usize,
}

/// What is known of one path.
#[derive(Clone)]
enum Kept {
    Answers(Arc<[Arc<Answer>]>),
    Pass(Instant),
}

#[derive(Clone)]
struct Bytewise;

/// What a look found.
pub(super) enum Found {
    /// This may be sent, with this head.
    Fresh(Arc<Answer>, Parts),
    /// This might still hold: the request asks the function so.
    Stale(Arc<Answer>, request::Parts),
    Nothing,
    /// The path's answers are none to keep.
    Pass,
}

/// The kept answers of all functions.
pub(super) struct Store {
    kept: Cache<Key, Kept, Bytewise>,
    /// Held while the variants of a path are replaced.
    writing: Mutex<()>,
}

// === impl Weighter ===

impl Weighter<Key, Kept> for Bytewise {
    fn weight(&self, key: &Key, kept: &Kept) -> u64 {
        let answers = match kept {
            Kept::Answers(answers) => answers.iter().map(|answer| answer.size).sum(),
            Kept::Pass(_) => 0,
        };
        (key.address.len() + answers + 128) as u64
    }
}

// === impl Answer ===

impl Answer {
    pub(super) fn new(keepable: Keepable, head: &Parts, asked: &request::Parts, body: Bytes) -> Self {
        let Keepable { policy, is_open, is_implied } = keepable;
        let headers = |headers: &http::HeaderMap| -> usize {
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum()
        };
        let size = body.len() + headers(&head.headers) + headers(&asked.headers) + OVERHEAD;
        Self { policy, body, is_open, is_implied, size }
    }

    /// The same answer, found to hold still.
    pub(super) fn renewed(&self, policy: CachePolicy) -> Self {
        Self { policy, body: self.body.clone(), ..*self }
    }

    pub(super) fn policy(&self) -> &CachePolicy {
        &self.policy
    }

    pub(super) fn ttl(&self) -> u64 {
        self.policy.time_to_live(SystemTime::now()).as_secs()
    }

    /// A head that callers may see.
    pub(super) fn told(&self, mut head: Parts) -> Parts {
        if self.is_implied {
            head.headers.remove(CACHE_CONTROL);
        }
        head
    }
}

// === impl Store ===

impl Store {
    pub(super) fn new(bytes: u64) -> Option<Self> {
        let items = usize::try_from(bytes / 4_096).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        let mut options = OptionsBuilder::new();
        let options = options.shards(SHARDS).estimated_items_capacity(items).weight_capacity(bytes).build().ok()?;
        let kept = Cache::with_options(
            options,
            Bytewise,
            quick_cache::DefaultHashBuilder::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Some(Self { kept, writing: Mutex::new(()) })
    }

    /// Looks for an answer; `own` is the key of this request's kind, `key` that of everybody.
    pub(super) fn find(&self, key: &Key, own: &Key, asked: &Asked) -> Found {
        let passes = |key| matches!(self.kept.get(key), Some(Kept::Pass(until)) if until > Instant::now());
        let answers = match self.kept.get(key) {
            Some(Kept::Answers(answers)) => answers,
            _ if passes(own) => return Found::Pass,
            Some(Kept::Pass(_)) | None => return Found::Nothing,
        };
        let now = SystemTime::now();
        let mut found = Found::Nothing;
        for answer in answers.iter().filter(|answer| answer.is_open || !asked.is_personal) {
            match answer.policy.before_request(&asked.head, now) {
                BeforeRequest::Fresh(head) => return Found::Fresh(Arc::clone(answer), answer.told(head)),
                BeforeRequest::Stale { request, matches: true } => found = Found::Stale(Arc::clone(answer), request),
                BeforeRequest::Stale { .. } => {}
            }
        }
        if matches!(found, Found::Nothing) && asked.is_personal && passes(own) { Found::Pass } else { found }
    }

    /// Keeps an answer in the place of those to the same request.
    pub(super) fn keep(&self, key: Key, asked: &Asked, answer: Arc<Answer>) {
        let _writing = self.writing.lock();
        let now = SystemTime::now();
        let is_other = |other: &&Arc<Answer>| match other.policy.before_request(&asked.head, now) {
            BeforeRequest::Fresh(_) => false,
            BeforeRequest::Stale { matches, .. } => !matches,
        };
        let before = match self.kept.get(&key) {
            Some(Kept::Answers(answers)) => answers,
            _ => Arc::from([]),
        };
        let others: Vec<_> = before.iter().filter(is_other).cloned().collect();
        let spare = (others.len() + 1).saturating_sub(VARIANTS_MAX);
        let answers = others.into_iter().skip(spare).chain([answer]).collect();
        self.kept.insert(key, Kept::Answers(answers));
    }

    /// Lets requests for this path pass for a while. What is kept and fresh stays: the answer may have been to another
    /// variant.
    pub(super) fn pass(&self, key: Key) {
        let _writing = self.writing.lock();
        let now = SystemTime::now();
        if let Some(Kept::Answers(answers)) = self.kept.get(&key)
            && answers.iter().any(|answer| !answer.policy.is_stale(now))
        {
            return;
        }
        self.kept.insert(key, Kept::Pass(Instant::now() + PASS));
    }

    pub(super) fn forget(&self, key: &Key) {
        self.kept.remove(key);
    }

    /// Forgets all of a function; returns how many paths that were.
    pub(super) fn purge(&self, function: FunctionId) -> usize {
        let before = self.kept.len();
        self.kept.retain(|key, _| key.function != function);
        before.saturating_sub(self.kept.len())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.kept.weight()
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}
