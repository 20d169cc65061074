//! The response cache: responses that functions allow to be stored, sent again without a run.
//!
//! It is asked after the caller was authorised: a caller who may not call a function does not get its stored responses
//! either.

mod recording_body;
mod rules;
mod single_flight;
mod store;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use faas_engine::Engine;
use faas_telemetry::CacheOutcome;
use faas_types::{ByteSize, CacheSettings, FunctionId};
use faas_web::{Inbound, RequestId};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, response};
use http_body_util::BodyExt;
use http_cache_semantics::AfterResponse;

use self::recording_body::RecordingBody;
use self::rules::{BypassReason, CacheRequest, admit, is_known};
use self::single_flight::{FlightGuard, FlightRole, SingleFlight};
use self::store::{CacheKey, Lookup, ResponseStore, StoredResponse};
use crate::call::answer_call;
use crate::invoke::serve_call;
use crate::target::CallTarget;

/// Tells what was done, after RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// How often a request waits for another one with the same key before it runs itself.
const WAITS_MAX: u32 = 3;
/// How long it waits, besides the time that a call may take.
const WAIT_MORE: Duration = Duration::from_secs(60);

/// The stored responses of all functions. Cheap to clone.
#[derive(Clone)]
pub struct ResponseCache {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    store: ResponseStore,
    flights: SingleFlight<CacheKey>,
    /// Counts purges: a run that began before one may not be kept after it.
    purges: AtomicU64,
}

/// One request on its way through.
struct CacheLookup<'a> {
    shared: &'a Arc<Shared>,
    settings: CacheSettings,
    key: CacheKey,
    asked: CacheRequest,
    purges: u64,
}

// === impl ResponseCache ===

impl ResponseCache {
    /// A cache of at most `memory`; 0 turns it off.
    #[must_use]
    pub fn new(memory: ByteSize) -> Self {
        let store = (memory.bytes() > 0).then(|| ResponseStore::new(memory.bytes())).flatten();
        let shared = |store| Arc::new(Shared { store, flights: SingleFlight::new(), purges: AtomicU64::new(0) });
        Self { shared: store.map(shared) }
    }

    /// Bytes that are stored.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.store.bytes())
    }

    /// Paths with an entry.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.store.len())
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops the stored responses of a function; returns the number of paths.
    pub fn purge(&self, function: FunctionId) -> usize {
        let Some(shared) = &self.shared else { return 0 };
        shared.purges.fetch_add(1, Ordering::AcqRel);
        shared.store.purge(function)
    }

    /// Answers a request whose caller may call the function: with a stored response, or with a call.
    pub async fn answer(&self, engine: &Engine, target: CallTarget, inbound: Box<Inbound>, id: &RequestId) -> Response {
        let (Some(shared), Some(settings)) = (&self.shared, target.route.version.settings.cache) else {
            return answer_call(engine, target, inbound, id).await;
        };
        let record = Arc::clone(&target.route.entry);
        let count = |outcome| engine.stats().cache_answered(record.record.id, &record.record.name, outcome);
        let key = key(engine, &target, &inbound);
        if let Err(passed) = admit(&inbound.head) {
            count(CacheOutcome::Bypass);
            let response = serve_call(engine, target, inbound, id, false).await;
            let has_changed = response.status().is_success() || response.status().is_redirection();
            if passed == BypassReason::Method && has_changed {
                shared.store.forget(&key);
            }
            let why = if passed == BypassReason::Method { "faas; fwd=method" } else { "faas; fwd=bypass" };
            return with_status(response, why);
        }
        let auth = target.route.version.settings.auth;
        let asked = CacheRequest::new(&inbound.head, auth, &settings);
        let purges = shared.purges.load(Ordering::Acquire);
        let lookup = CacheLookup { shared, settings, key, asked, purges };
        let (response, outcome) = lookup.run(engine, target, inbound, id).await;
        count(outcome);
        response
    }
}

/// Scheme, host, path and query as the caller wrote them: links in an answer may depend on each.
fn key(engine: &Engine, target: &CallTarget, inbound: &Inbound) -> CacheKey {
    let head = &inbound.head;
    let host = head.headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).to_ascii_lowercase());
    let host = host.or_else(|| Some(head.uri.authority()?.as_str().to_ascii_lowercase())).unwrap_or_default();
    // The scheme and host as the caller sees them, from a trusted proxy. Functions receive both.
    let (scheme, outer) = inbound
        .origin
        .as_deref()
        .map_or(("", Cow::Borrowed("")), |origin| (origin.scheme(), String::from_utf8_lossy(origin.host())));
    let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let entry = &target.route.entry;
    CacheKey {
        function: entry.record.id,
        version: target.route.version.number,
        vars: engine.runs.vars_fingerprint(&target.route),
        address: format!("{scheme} {outer} {host} {path}").into(),
        is_personal: false,
    }
}

// === impl CacheLookup ===

impl CacheLookup<'_> {
    async fn run(
        self,
        engine: &Engine,
        target: CallTarget,
        inbound: Box<Inbound>,
        id: &RequestId,
    ) -> (Response, CacheOutcome) {
        let own = CacheKey { is_personal: self.asked.is_personal, ..self.key.clone() };
        let patience = target.route.version.settings.timeout.get() * 2 + WAIT_MORE;
        let until = tokio::time::Instant::now() + patience;
        let mut waits = 0;
        loop {
            let stale = match self.shared.store.find(&self.key, &own, &self.asked) {
                Lookup::Fresh(answer, head) => {
                    let status = format!("faas; hit; ttl={}", answer.ttl());
                    return (self.send(head, &answer, &status, id), CacheOutcome::Hit);
                }
                Lookup::Uncacheable => {
                    let response = answer_call(engine, target, inbound, id).await;
                    return (with_status(response, "faas; fwd=bypass"), CacheOutcome::Bypass);
                }
                Lookup::Stale(answer, head) => Some((answer, head)),
                Lookup::Nothing => None,
            };
            // The response to HEAD is not stored, so no request waits for it.
            let is_alone = inbound.head.method == Method::HEAD || waits >= WAITS_MAX;
            let flight = match (!is_alone).then(|| self.shared.flights.join(&own)) {
                Some(FlightRole::Follower(landed)) => {
                    waits += 1;
                    if tokio::time::timeout_at(until, landed).await.is_err() {
                        waits = WAITS_MAX;
                    }
                    continue;
                }
                Some(FlightRole::Leader(flight)) => Some(flight),
                None => None,
            };
            return self.forward(engine, target, inbound, id, stale, flight).await;
        }
    }

    /// Calls the function: for a whole answer, or to learn whether a kept one still holds.
    async fn forward(
        self,
        engine: &Engine,
        target: CallTarget,
        mut inbound: Box<Inbound>,
        id: &RequestId,
        stale: Option<(Arc<StoredResponse>, Parts)>,
        flight: Option<FlightGuard<CacheKey>>,
    ) -> (Response, CacheOutcome) {
        let head = &mut inbound.head;
        let is_head = head.method == Method::HEAD;
        if !is_head {
            // The function revalidates for the cache, which answers the caller.
            head.headers.remove(IF_NONE_MATCH);
            head.headers.remove(IF_MODIFIED_SINCE);
            let validators = stale.iter().flat_map(|(_, asking)| {
                [IF_NONE_MATCH, IF_MODIFIED_SINCE].map(|name| asking.headers.get(&name).map(|v| (name, v.clone())))
            });
            validators.flatten().for_each(|(name, value)| {
                head.headers.insert(name, value);
            });
        }
        let response = answer_call(engine, target, inbound, id).await;
        if is_head {
            return (with_status(response, "faas; fwd=bypass"), CacheOutcome::Bypass);
        }
        if response.status() == StatusCode::NOT_MODIFIED
            && let Some((answer, asking)) = stale
        {
            return self.renew(&answer, &asking, response, id);
        }
        self.keep(response, flight).await
    }

    fn renew(
        &self,
        answer: &StoredResponse,
        asking: &Parts,
        response: Response,
        id: &RequestId,
    ) -> (Response, CacheOutcome) {
        let (head, _) = response.into_parts();
        let (policy, head) = match answer.policy().after_response(asking, &head, SystemTime::now()) {
            AfterResponse::NotModified(policy, head) | AfterResponse::Modified(policy, head) => (policy, head),
        };
        let renewed = Arc::new(answer.renewed(policy));
        if self.shared.purges.load(Ordering::Acquire) == self.purges {
            self.shared.store.keep(self.key.clone(), &self.asked, Arc::clone(&renewed));
        }
        let told = renewed.told(head);
        (self.send(told, &renewed, "faas; hit; fwd=stale; fwd-status=304", id), CacheOutcome::Revalidated)
    }

    /// Stores the function's response where that is allowed, at once or while it is sent.
    async fn keep(self, response: Response, flight: Option<FlightGuard<CacheKey>>) -> (Response, CacheOutcome) {
        let (head, body) = response.into_parts();
        let most = usize::try_from(self.settings.entry_max.bytes()).unwrap_or(usize::MAX);
        let exact = body.size_hint().exact();
        let fits = exact.is_none_or(|length| length <= most as u64);
        let Some(storable) = self.asked.storable(&head, &self.settings).filter(|_| fits) else {
            // A failure does not say whether the next response is cacheable.
            if !head.status.is_server_error() {
                // One caller's cookie does not say whether responses to others are cacheable.
                self.shared.store.pass(CacheKey { is_personal: self.asked.is_personal, ..self.key });
            }
            return (with_status(Response::from_parts(head, body), "faas; fwd=uri-miss"), CacheOutcome::Bypass);
        };
        // A streamed response goes at its reader's pace; the followers must not wait for that.
        let flight = flight.filter(|_| exact.is_some());
        let caller = self.asked.head.headers.clone();
        let kept_head = head.clone();
        let (shared, purges) = (Arc::clone(self.shared), self.purges);
        let (key, asked) = (self.key, self.asked);
        let store = move |body: Bytes| {
            if shared.purges.load(Ordering::Acquire) == purges {
                let answer = Arc::new(StoredResponse::new(storable, &kept_head, &asked.head, body));
                shared.store.keep(key, &asked, answer);
            }
            drop(flight);
        };
        let status = "faas; fwd=uri-miss; stored";
        let body = match exact {
            Some(_) => match body.collect().await {
                Ok(whole) => {
                    let whole = whole.to_bytes();
                    store(whole.clone());
                    Body::from(whole)
                }
                Err(error) => Body::from_stream(futures_util::stream::once(async move { Err::<Bytes, _>(error) })),
            },
            None => Body::new(RecordingBody::new(body, most, store)),
        };
        let response = if is_known(&caller, &head.headers) && exact.is_some() {
            not_modified(head)
        } else {
            Response::from_parts(head, body)
        };
        (with_status(response, status), CacheOutcome::Miss)
    }

    /// A stored response for this caller.
    fn send(&self, head: response::Parts, answer: &StoredResponse, status: &str, id: &RequestId) -> Response {
        let is_known = is_known(&self.asked.head.headers, &head.headers);
        let mut response =
            if is_known { not_modified(head) } else { Response::from_parts(head, Body::from(answer.body.clone())) };
        response.headers_mut().insert(RequestId::HEADER, id.header());
        with_status(response, status)
    }
}

fn not_modified(mut head: response::Parts) -> Response {
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(CONTENT_TYPE);
    Response::from_parts(head, Body::empty())
}

fn with_status(mut response: Response, status: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(status) {
        response.headers_mut().insert(CACHE_STATUS, value);
    }
    response
}
