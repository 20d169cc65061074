//! Accepting a run for later, and what can be done with it from then on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{Claim, Enqueued, FollowUps, Footprint, NewItem, Withdrawn};
use faas_types::{
    AliasName, Batch, Code, Completion, Digest, Executed, Fault, InvocationMode, ProjectId, Reason, RunId, RunRecord,
    RunState, Stage, limits,
};
use tokio::sync::oneshot;

use crate::background::cancel;
use crate::backlog_entry::BacklogEntry;
use crate::completion;
use crate::dispatch::{Oversize, Pending};
use crate::input::RunInput;
use crate::lifecycle::stopping;
use crate::payload::Payload;
use crate::request::CallRequest;
use crate::route::{Route, Selector};
use crate::runs::Runs;
use crate::stored_body::StoredBody;

/// How long an accepted run may take to be committed.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(30);
/// How long a running run may take to end after it was cancelled.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);

/// What a caller wants of a run besides its call.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// How long to wait before the first attempt.
    pub delay: Duration,
    /// How long after acceptance an attempt may begin; the function's policy where absent.
    pub max_age: Option<Duration>,
    /// Runs of the function with the same key go one at a time, in order.
    pub ordering_key: Option<String>,
    /// Higher goes first.
    pub priority: u8,
    /// The caller's own name for the run.
    pub idempotency_key: Option<String>,
    /// The run that this one repeats.
    pub origin: Option<RunId>,
    /// The dead letter that it tries again, which is then no longer one.
    pub redrives: Option<RunId>,
    /// Whom to tell of the run's end.
    pub callback: Option<String>,
    /// Whether its caller may know why it failed; otherwise the callback tells the code alone.
    pub details: bool,
    /// The messages that it carries.
    pub batch: Option<Batch>,
    /// How many runs led to it, each caused by the one before.
    pub hops: u32,
    /// Whether its caller showed no key, and gets only a part of the backlog.
    pub keyless: bool,
}

/// A run that is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The run.
    pub run: RunId,
    /// The version that it runs on.
    pub version: u32,
    /// Whether an earlier request with the same idempotency key had made it.
    pub repeated: bool,
}

/// A run that can be stored, with the body that was stored for it.
pub struct Draft {
    /// The queue's item.
    pub item: NewItem,
    /// Its body, where that is stored apart from the item.
    pub body: Option<StoredBody>,
}

// === impl Runs ===

impl Runs {
    /// Commits a run for later. It survives whatever happens to this server afterwards.
    ///
    /// # Errors
    /// `FN_006` when the function takes no such calls, `FN_012` for a callback's URL that cannot be used, `FN_011` for a
    /// request larger than all that may wait, `FN_007` and `FN_015` when too many runs wait, `FN_018` when the disk is full.
    /// Nothing was accepted then.
    pub async fn accept(
        self: &Arc<Self>,
        route: Route,
        request: CallRequest<Bytes>,
        later: RunOptions,
    ) -> Result<Accepted, Fault> {
        if !self.is_ready() {
            return Err(stopping());
        }
        let function = &route.entry.record;
        let background = &route.version.settings.background;
        if background.mode == InvocationMode::Sync {
            let message = format!("`{}` takes calls that wait for the answer only", function.name);
            return Err(Fault::new(Code::InvalidConfiguration, message).with_hint(
                "call it without `Prefer: respond-async`, or set background.mode = \"both\" in its manifest",
            ));
        }
        if let Some(url) = &later.callback {
            self.outbound.check(url).map_err(|refusal| callback_refused(&refusal.0))?;
        }
        let mut entry = BacklogEntry::of(self, &route, footprint(&request, &later), Oversize::Refused)?;
        let Draft { item, body } = self.item(&route, request, later).await?;
        let (run, version) = (item.record.id, item.record.function().version);
        let (reply, committed) = oneshot::channel();
        let handed = self.dispatch.enqueuer().send(Pending { item, reply });
        if !matches!(tokio::time::timeout(COMMIT_PATIENCE, handed).await, Ok(Ok(()))) {
            return Err(Fault::new(Code::Overloaded, "too many runs are being accepted").with_retry_after(1));
        }
        entry.keep();
        body.into_iter().for_each(StoredBody::keep);
        match tokio::time::timeout(COMMIT_PATIENCE, committed).await {
            Ok(Ok(Ok(Enqueued::Accepted))) => Ok(Accepted { run, version, repeated: false }),
            Ok(Ok(Ok(Enqueued::Known { run, same: true }))) => Ok(Accepted { run, version, repeated: true }),
            Ok(Ok(Ok(Enqueued::Known { .. }))) => Err(other_body()),
            Ok(Ok(Ok(Enqueued::Gone))) => Err(Fault::new(Reason::ChangedMeanwhile, "the dead letter is gone")
                .with_hint("it was redriven or purged meanwhile")),
            Ok(Ok(Ok(Enqueued::TooManyClaims))) => Err(too_many_keys()),
            Ok(Ok(Err(fault))) => Err(fault),
            Ok(Err(_)) | Err(_) => Err(Fault::new(Code::Unavailable, "it is not known whether the run was accepted")
                .with_hint("look for it in the runs, or send it again with an `Idempotency-Key`")
                .with_executed(Executed::Unknown)
                .with_retry_after(1)),
        }
    }

    /// A run once it has ended, or as it stands when the patience is over.
    ///
    /// # Errors
    /// `FN_013` when the project has no such run.
    pub async fn await_run(&self, project: ProjectId, id: RunId, patience: Duration) -> Result<RunRecord, Fault> {
        let end = tokio::time::Instant::now() + patience;
        loop {
            // Registered first, so that an end between the look and the wait is not missed.
            let changed = self.dispatch.waiters.wait(id);
            let run = self.history_reader.run(project, id).await?;
            if run.state().is_terminal() || tokio::time::timeout_at(end, changed).await.is_err() {
                return Ok(run);
            }
        }
    }

    /// Ends a run that has not ended; a running one is killed with all its processes.
    ///
    /// # Errors
    /// `FN_013` when there is no such run, `FN_014` when it has ended already.
    pub async fn cancel(self: &Arc<Self>, project: ProjectId, id: RunId) -> Result<RunRecord, Fault> {
        let run = self.history_reader.run(project, id).await?;
        if run.state().is_terminal() {
            return Err(ended_already(&run));
        }
        let dispatch = &self.dispatch;
        if dispatch.stop_run(id) {
            let run = self.await_run(project, id, CANCEL_PATIENCE).await?;
            if run.state().is_terminal() {
                return if run.state() == RunState::Cancelled { Ok(run) } else { Err(ended_already(&run)) };
            }
        }
        let mut record = run;
        cancel(&mut record, self.clock.now());
        let follow_ups = completion::follow(self, &mut record, None).await.ok_or_else(stopping)?;
        // In a task: what the queue gives up is given up everywhere, also where the caller goes away.
        let runs = Arc::clone(self);
        let withdrawing = self.lifecycle.spawn(async move { runs.withdraw(record, follow_ups).await });
        let withdrawn =
            withdrawing.await.map_err(|error| Fault::internal(format!("a run was not cancelled: {error}")))?;
        match withdrawn? {
            Some(record) => Ok(record),
            None => Err(ended_already(&self.history_reader.run(project, id).await?)),
        }
    }
}

// === impl Runs ===

impl Runs {
    /// Ends a run that waits; `None` where it has ended already.
    async fn withdraw(&self, record: RunRecord, follow_ups: FollowUps) -> Result<Option<RunRecord>, Fault> {
        let (dispatch, project, id) = (&self.dispatch, record.project, record.id);
        let callback = follow_ups.callback.as_ref().map(|callback| callback.body.len());
        // Before the commit, as at every end.
        callback.into_iter().for_each(|body| self.outbox.add(project, body));
        let withdrawn = dispatch.queue.withdraw(record.clone(), follow_ups, dispatch.quotas.inputs).await;
        let Ok(Some(Withdrawn { footprint, freed })) = withdrawn else {
            callback.into_iter().for_each(|body| self.outbox.remove(project, body));
            withdrawn?;
            return Ok(None);
        };
        // Leased meanwhile: what that does commits nothing any more, and ends now.
        dispatch.stop_run(id);
        self.leave_backlog((project, record.function().id), footprint);
        self.delete_blobs(freed);
        dispatch.queues.sign((project, record.function().id));
        dispatch.waiters.wake(id);
        self.completion_metrics.wake();
        self.hooks.run_ended(id);
        Ok(Some(record))
    }

    /// The run as the queue takes it.
    pub async fn item(
        self: &Arc<Self>,
        route: &Route,
        request: CallRequest<Bytes>,
        later: RunOptions,
    ) -> Result<Draft, Fault> {
        let now = self.clock.now();
        let footprint = footprint(&request, &later);
        let mut record = route.queued(self.ids.mint(now), request.trigger, now);
        record.trigger_name.clone_from(&request.trigger_name);
        record.origin = later.origin;
        record.completion = Completion::new(later.callback, later.details, later.hops);
        // Messages come from the database, so its size is theirs already.
        let keeps_inline = later.batch.is_some();
        record.batch = later.batch;
        let not_before = now.plus(later.delay);
        record.due_at = (!later.delay.is_zero()).then_some(not_before);
        let claim = later.idempotency_key.map(|key| Claim {
            key: claim_key(key, route, &request.payload),
            fingerprint: fingerprint(&request),
            expires_at: now.plus(limits::CLAIM_AGE),
            quota: Some(self.dispatch.quotas.keys(later.keyless)),
        });
        let CallRequest { payload, body, .. } = request;
        let input = RunInput { payload, body, max_age: later.max_age };
        let body = if keeps_inline { None } else { self.stored_body(&input, record.id).await? };
        let blob = body.as_ref().and_then(StoredBody::digest);
        let input = input.encode(blob)?;
        let RunOptions { priority, ordering_key, redrives, .. } = later;
        let footprint = Footprint { blob, ..footprint };
        let item = NewItem { record, not_before, priority, ordering_key, input, claim, redrives, footprint };
        Ok(Draft { item, body })
    }

    /// A large body goes to the files, where nothing needs it before the run is stored.
    async fn stored_body(self: &Arc<Self>, input: &RunInput, run: RunId) -> Result<Option<StoredBody>, Fault> {
        if input.body.len() <= limits::INPUT_INLINE_MAX {
            return Ok(None);
        }
        self.leases.input(self.clock.now());
        Ok(Some(StoredBody::put(self, run, input.body.clone()).await?))
    }
}

/// What a run takes, before it is known whether its body is stored apart.
pub fn footprint(request: &CallRequest<Bytes>, later: &RunOptions) -> Footprint {
    let texts = [later.ordering_key.as_ref(), later.idempotency_key.as_ref(), later.callback.as_ref()];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let bytes = (request.payload.size() + request.body.len() + texts) as u64 + limits::RUN_COST;
    let reserved = if later.callback.is_some() { limits::CALLBACK_RESERVED } else { 0 };
    Footprint { bytes, keyless: later.keyless, blob: None, reserved }
}

/// Tells whether a repeated request is the same one.
pub(crate) fn fingerprint(request: &CallRequest<Bytes>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for part in request.payload.target().map(str::as_bytes).into_iter().chain([&request.body[..]]) {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

/// Under which name a key is claimed. Each alias, version by number and stage has keys apart: what a preview answered is
/// not given to callers of `live`. Callers who prove to the function who they are have keys apart too: the answer to one is
/// never given to another who knows the key, nor can that other use it up.
pub(crate) fn claim_key(key: String, route: &Route, payload: &Payload) -> String {
    // No caller's name for something holds a line break.
    let key = match payload.proof() {
        Some(proof) => format!("{key}\n{proof}"),
        None => key,
    };
    match &route.selector {
        Selector::Alias(alias) if *alias == AliasName::live() && route.stage == Stage::Prod => key,
        Selector::Alias(alias) => format!("{key}\n{alias} {}", route.stage),
        Selector::Version(number) => format!("{key}\n{number} {}", route.stage),
    }
}

pub(crate) fn other_body() -> Fault {
    Fault::new(Reason::IdempotencyKeyMismatch, "the idempotency key was used with another request")
        .with_hint("send the same request again, or another key")
}

pub(crate) fn too_many_keys() -> Fault {
    let message = "the function holds as many idempotency keys as it may; each is held for 24 hours";
    Fault::new(Code::RateLimited, message)
        .with_hint(
            "send fewer requests with an `Idempotency-Key`, or raise `idempotency.keys_max` in the server's \
             configuration; callers without a key have a part of them",
        )
        .with_retry_after(60)
}

fn callback_refused(why: &str) -> Fault {
    Fault::new(Reason::InvalidHeader, format!("the callback's URL (`X-Callback-Url`) cannot be used: {why}"))
        .with_hint("give an http or https URL of the public internet, or have the operator allow its host")
}

fn ended_already(run: &RunRecord) -> Fault {
    Fault::new(Reason::RunEnded, format!("the run has {} already", run.state().as_str()))
        .with_hint("only runs that have not ended can be cancelled")
}
