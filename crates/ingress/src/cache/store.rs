//! The stored responses, within a bound on their memory.

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

use super::rules::{CacheRequest, Storable};

/// Responses of one path for different request headers (`Vary`); the oldest goes first.
const VARIANTS_MAX: usize = 8;
/// How long a path whose response was uncacheable bypasses the cache.
const UNCACHEABLE_FOR: Duration = Duration::from_secs(10);
/// What an entry needs besides its bytes.
const OVERHEAD: usize = 1_024;
/// Few, since none holds an answer larger than itself.
const SHARDS: usize = 4;

/// What a response belongs to. Another version or other vars make another key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CacheKey {
    pub(super) function: FunctionId,
    pub(super) version: u32,
    pub(super) vars: u64,
    /// Scheme, host, path and query.
    pub(super) address: Arc<str>,
    /// Whether it is for requests whose responses may be personal. No response is stored under such a key: it only remembers that
    /// they are uncacheable, which says nothing about other requests.
    pub(super) is_personal: bool,
}

/// One stored response.
pub(super) struct StoredResponse {
    policy: CachePolicy,
    pub(super) body: Bytes,
    is_open: bool,
    is_implied: bool,
    size: usize,
}

/// What is known of one path.
#[derive(Clone)]
enum Entry {
    Responses(Arc<[Arc<StoredResponse>]>),
    Uncacheable(Instant),
}

#[derive(Clone)]
struct EntryWeighter;

/// The result of a lookup.
pub(super) enum Lookup {
    /// This may be sent, with this head.
    Fresh(Arc<StoredResponse>, Parts),
    /// This might still hold: the request asks the function so.
    Stale(Arc<StoredResponse>, request::Parts),
    Nothing,
    /// The path's responses are not cacheable.
    Uncacheable,
}

/// The stored responses of all functions.
pub(super) struct ResponseStore {
    kept: Cache<CacheKey, Entry, EntryWeighter>,
    /// Held while the variants of a path are replaced.
    writing: Mutex<()>,
}

// === impl Weighter ===

impl Weighter<CacheKey, Entry> for EntryWeighter {
    fn weight(&self, key: &CacheKey, kept: &Entry) -> u64 {
        let answers = match kept {
            Entry::Responses(answers) => answers.iter().map(|answer| answer.size).sum(),
            Entry::Uncacheable(_) => 0,
        };
        (key.address.len() + answers + 128) as u64
    }
}

// === impl StoredResponse ===

impl StoredResponse {
    pub(super) fn new(storable: Storable, head: &Parts, asked: &request::Parts, body: Bytes) -> Self {
        let Storable { policy, is_open, is_implied } = storable;
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

// === impl ResponseStore ===

impl ResponseStore {
    pub(super) fn new(bytes: u64) -> Option<Self> {
        let items = usize::try_from(bytes / 4_096).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        let mut options = OptionsBuilder::new();
        let options = options.shards(SHARDS).estimated_items_capacity(items).weight_capacity(bytes).build().ok()?;
        let kept = Cache::with_options(
            options,
            EntryWeighter,
            quick_cache::DefaultHashBuilder::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Some(Self { kept, writing: Mutex::new(()) })
    }

    /// Looks for a response; `own` is the key of this request's kind, `key` the shared one.
    pub(super) fn find(&self, key: &CacheKey, own: &CacheKey, asked: &CacheRequest) -> Lookup {
        let passes = |key| matches!(self.kept.get(key), Some(Entry::Uncacheable(until)) if until > Instant::now());
        let answers = match self.kept.get(key) {
            Some(Entry::Responses(answers)) => answers,
            _ if passes(own) => return Lookup::Uncacheable,
            Some(Entry::Uncacheable(_)) | None => return Lookup::Nothing,
        };
        let now = SystemTime::now();
        let mut found = Lookup::Nothing;
        for answer in answers.iter().filter(|answer| answer.is_open || !asked.is_personal) {
            match answer.policy.before_request(&asked.head, now) {
                BeforeRequest::Fresh(head) => return Lookup::Fresh(Arc::clone(answer), answer.told(head)),
                BeforeRequest::Stale { request, matches: true } => found = Lookup::Stale(Arc::clone(answer), request),
                BeforeRequest::Stale { .. } => {}
            }
        }
        if matches!(found, Lookup::Nothing) && asked.is_personal && passes(own) { Lookup::Uncacheable } else { found }
    }

    /// Stores a response in place of those to the same request.
    pub(super) fn keep(&self, key: CacheKey, asked: &CacheRequest, answer: Arc<StoredResponse>) {
        let _writing = self.writing.lock();
        let now = SystemTime::now();
        let is_other = |other: &&Arc<StoredResponse>| match other.policy.before_request(&asked.head, now) {
            BeforeRequest::Fresh(_) => false,
            BeforeRequest::Stale { matches, .. } => !matches,
        };
        let before = match self.kept.get(&key) {
            Some(Entry::Responses(answers)) => answers,
            _ => Arc::from([]),
        };
        let others: Vec<_> = before.iter().filter(is_other).cloned().collect();
        let spare = (others.len() + 1).saturating_sub(VARIANTS_MAX);
        let answers = others.into_iter().skip(spare).chain([answer]).collect();
        self.kept.insert(key, Entry::Responses(answers));
    }

    /// Lets requests for this path bypass the cache for a while. A fresh response stays: this one may have been another variant.
    pub(super) fn pass(&self, key: CacheKey) {
        let _writing = self.writing.lock();
        let now = SystemTime::now();
        if let Some(Entry::Responses(answers)) = self.kept.get(&key)
            && answers.iter().any(|answer| !answer.policy.is_stale(now))
        {
            return;
        }
        self.kept.insert(key, Entry::Uncacheable(Instant::now() + UNCACHEABLE_FOR));
    }

    pub(super) fn forget(&self, key: &CacheKey) {
        self.kept.remove(key);
    }

    /// Drops all of a function; returns the number of paths.
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
