//! One invocation between instance and caller: items become a reply, within the timeout and the size limit.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use faas_ports::{ExchangeEnd, ExchangeItem, ReplyHead};
use faas_telemetry::Redactor;
use faas_types::{Code, Executed, Fault, JsonText, Reason, limits};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use crate::payload::content_length::ContentLength;
use crate::payload::http_reply;
use crate::reply::{Call, CallBody, CallFailure};
use crate::response_stream::{ResponseSender, response_stream};
use crate::run_guard::{Outcome, RunGuard};

/// Bytes of a reply that are waited for only as long as they are there already, so that small replies have a length.
const GATHERED_MAX: usize = 256 << 10;

/// One invocation between instance and caller.
pub(crate) struct PendingReply {
    /// Before the guard, so that a dropped exchange is cancelled before its permit is looked at.
    pub items: BoxStream<'static, ExchangeItem>,
    pub guard: RunGuard,
    pub deadline: Instant,
    pub timeout: std::time::Duration,
    pub received: u64,
    /// Whether the answer is to HEAD.
    pub is_to_head: bool,
}

/// The next thing that matters to the caller.
enum Step {
    Head(ReplyHead),
    Body(Bytes),
    /// Head, body and end at once.
    Whole(ReplyHead, Bytes),
    Done,
    Failed(Fault),
}

// === impl PendingReply ===

impl PendingReply {
    #[expect(clippy::manual_async_fn, reason = "an `async fn` would keep the exchange twice in its future")]
    pub(crate) fn reply(mut self) -> impl Future<Output = Result<Call, CallFailure>> + Send {
        async move {
            let head = match self.step().await {
                Step::Whole(head, body) => return Ok(self.whole(head, body)),
                Step::Head(head) => head,
                Step::Failed(fault) => return Err(fail(self.guard, fault)),
                Step::Body(_) | Step::Done => {
                    let fault = Fault::new(Code::RuntimeError, "the instance ended its reply before it began");
                    return Err(fail(self.guard, fault));
                }
            };
            if head.length.is_some_and(|length| length <= limits::BODY_MAX) {
                return Box::pin(self.collected(head)).await;
            }
            let mut body = BytesMut::new();
            while body.len() < GATHERED_MAX {
                match self.step().now_or_never() {
                    Some(Step::Body(chunk)) => body.extend_from_slice(&chunk),
                    Some(Step::Done) => return Ok(self.gathered(head, body.freeze())),
                    Some(Step::Failed(fault)) => return Err(fail(self.guard, fault)),
                    Some(Step::Head(_) | Step::Whole(..)) => {}
                    None => break,
                }
            }
            Ok(self.streamed(head, body.freeze()))
        }
    }

    /// Takes in a body that is only held back by its window, which frees the instance from a slow client. Room is taken as
    /// the bytes come; where there is no more of it, the rest is streamed.
    async fn collected(mut self, head: ReplyHead) -> Result<Call, CallFailure> {
        let mut reservation = self.guard.room_for_body();
        let mut body = BytesMut::new();
        loop {
            match self.step().await {
                Step::Body(chunk) if body.len() + chunk.len() <= limit(&head) => {
                    let has_room = reservation.grow(chunk.len() as u64).is_ok();
                    body.extend_from_slice(&chunk);
                    if !has_room {
                        return Ok(self.streamed(head, reservation.hold(body.freeze())));
                    }
                }
                Step::Body(_) => {
                    self.guard.spoil();
                    let fault = Fault::new(Code::RuntimeError, "the reply is longer than its instance announced");
                    return Err(fail(self.guard, fault));
                }
                Step::Done => return Ok(self.whole(head, reservation.hold(body.freeze()))),
                Step::Failed(fault) => return Err(fail(self.guard, fault)),
                Step::Head(_) | Step::Whole(..) => {}
            }
        }
    }

    fn whole(mut self, head: ReplyHead, body: Bytes) -> Call {
        let result = kept_result(&head, &body, self.redactor());
        self.guard.set_reply(head.status, result);
        let call = self.call(head, CallBody::Whole(body));
        self.guard.finish(Outcome::Succeeded);
        call
    }

    /// A stream that was there at once. Where it has another length than its head says it stays a stream, which then breaks off.
    fn gathered(mut self, head: ReplyHead, body: Bytes) -> Call {
        let mut announced = ContentLength::of(&head, self.is_to_head);
        let Err(fault) = announced.take(body.len()).and_then(|()| announced.end()) else {
            return self.whole(head, body);
        };
        self.guard.set_reply(head.status, None);
        let chunks = futures_util::stream::iter([Ok(body), Err(fault.clone())]).boxed();
        let call = self.call(head, CallBody::Stream(chunks));
        self.guard.finish(Outcome::Failed(fault));
        call
    }

    fn streamed(mut self, head: ReplyHead, first: Bytes) -> Call {
        self.guard.set_reply(head.status, None);
        let announced = ContentLength::of(&head, self.is_to_head);
        let call = self.call(head, CallBody::Whole(Bytes::new()));
        let (sender, body) = response_stream();
        // Apart from the caller's connection, whose writes nothing limits: a client that takes nothing must not keep an
        // instance past the timeout.
        self.guard.tasks().spawn(self.deliver(first, announced, sender));
        Call { body: CallBody::Stream(body), ..call }
    }

    /// Hands the body over as fast as the caller takes it, within the timeout.
    async fn deliver(mut self, first: Bytes, mut announced: ContentLength, sender: ResponseSender) {
        let mut next = if first.is_empty() { None } else { Some(first) };
        let fault = loop {
            if let Some(chunk) = next.take() {
                if let Err(fault) = announced.take(chunk.len()) {
                    self.guard.interrupt();
                    break fault;
                }
                match tokio::time::timeout_at(self.deadline.into(), sender.send(chunk)).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(_) => break self.too_slow(),
                }
            }
            let step = tokio::select! {
                step = self.step() => step,
                () = sender.abandoned() => return,
            };
            match step {
                Step::Body(chunk) => next = Some(chunk),
                Step::Head(_) | Step::Whole(..) => {}
                Step::Done => match announced.end() {
                    Ok(()) => {
                        self.guard.finish(Outcome::Succeeded);
                        sender.end(Ok(()));
                        return;
                    }
                    Err(fault) => break fault,
                },
                Step::Failed(fault) => break fault,
            }
        };
        // What still runs is told to end before its permit is looked at.
        drop(self.items);
        self.guard.finish(Outcome::Failed(fault.clone()));
        sender.end(Err(fault));
    }

    fn too_slow(&mut self) -> Fault {
        self.guard.spoil();
        let message = format!("the client had not taken the reply within the function's timeout of {:?}", self.timeout);
        Fault::new(Code::TimeoutExceeded, message).with_hint("raise `timeout` in the manifest, or send less")
    }

    fn call(&self, head: ReplyHead, body: CallBody) -> Call {
        // Before the whole, so that the parts never exceed it.
        let timeline = self.guard.timeline();
        Call {
            run: self.guard.run(),
            version: self.guard.version(),
            cold_start: self.guard.cold_start(),
            duration_us: u64::try_from(self.guard.elapsed().as_micros()).unwrap_or(u64::MAX),
            timeline,
            head,
            body,
        }
    }

    /// What takes the instance's secrets out of whatever is kept.
    fn redactor(&self) -> Option<&Redactor> {
        self.guard.permit()?.handle.redactor.as_deref()
    }

    /// The next thing that matters to the caller; log lines and publications are taken on the way.
    async fn step(&mut self) -> Step {
        loop {
            let item = match tokio::time::timeout_at(self.deadline.into(), self.items.next()).await {
                Ok(item) => item,
                Err(_) => return self.timed_out(),
            };
            match item {
                Some(ExchangeItem::Log(entry)) => self.guard.log(entry),
                Some(ExchangeItem::Unfinished(part)) => self.guard.begin_line(part),
                Some(ExchangeItem::Publish(publishing)) => self.guard.publish(*publishing),
                Some(ExchangeItem::Head(head)) => return self.begun(head),
                Some(ExchangeItem::Body(chunk)) => return self.received(chunk),
                Some(ExchangeItem::Reply { head, body, dropped_log_lines }) => {
                    self.guard.add_dropped_lines(dropped_log_lines);
                    return match self.begun(head) {
                        Step::Head(head) => Step::Whole(head, body),
                        refused => refused,
                    };
                }
                Some(ExchangeItem::End(end)) => return Box::pin(self.ended(end)).await,
                None => return Box::pin(self.ended(ExchangeEnd::Lost)).await,
            }
        }
    }

    fn begun(&mut self, head: ReplyHead) -> Step {
        match http_reply::check(&head) {
            Ok(()) => Step::Head(head),
            Err(fault) => {
                self.guard.spoil();
                Step::Failed(fault.with_executed(Executed::Yes))
            }
        }
    }

    fn received(&mut self, chunk: Bytes) -> Step {
        self.received += chunk.len() as u64;
        if self.received > limits::BODY_MAX {
            self.guard.spoil();
            return Step::Failed(too_large());
        }
        Step::Body(chunk)
    }

    fn timed_out(&mut self) -> Step {
        self.guard.spoil();
        let fault =
            Fault::new(Code::TimeoutExceeded, format!("the function ran past its timeout of {:?}", self.timeout))
                .with_hint("raise `timeout` in the manifest, or make the work shorter");
        Step::Failed(fault)
    }

    async fn ended(&mut self, end: ExchangeEnd) -> Step {
        match end {
            ExchangeEnd::Complete { dropped_log_lines } => {
                self.guard.add_dropped_lines(dropped_log_lines);
                Step::Done
            }
            ExchangeEnd::Raised { mut error, dropped_log_lines } => {
                if let Some(redactor) = self.redactor() {
                    redactor.error(&mut error);
                }
                self.guard.add_dropped_lines(dropped_log_lines);
                Step::Failed(crate::limit_classification::raised(error))
            }
            ExchangeEnd::Rejected { mut message } => {
                if let Some(redactor) = self.redactor() {
                    redactor.clean_in_place(&mut message);
                }
                Step::Failed(Fault::new(Code::BadRequest, message))
            }
            ExchangeEnd::Broken { fault } => {
                self.guard.interrupt();
                Step::Failed(fault.with_executed(Executed::Unknown))
            }
            ExchangeEnd::Lost => {
                self.guard.spoil();
                Step::Failed(self.lost().await)
            }
        }
    }

    async fn lost(&mut self) -> Fault {
        let Some(permit) = self.guard.permit() else { return Fault::internal("a started run has no permit") };
        let exited = permit.handle.instance.exited();
        let Ok(exit) = tokio::time::timeout(std::time::Duration::from_secs(3), exited).await else {
            return Fault::new(Code::RuntimeError, "the function broke the protocol with its instance");
        };
        match (exit.out_of_memory, exit.code, exit.signal) {
            (true, ..) => Fault::new(Code::MemoryExceeded, "the function used more memory than its limit")
                .with_hint("raise `memory` in the manifest, or hold less at once"),
            (_, Some(code), _) => {
                Fault::new(Code::RuntimeError, format!("the function's process exited with status {code}"))
                    .with_hint("return from the handler instead of ending the process")
            }
            (_, _, Some(signal)) => {
                Fault::new(Code::RuntimeError, format!("the function's process was ended by signal {signal}"))
            }
            _ => Fault::new(Code::RuntimeError, "the function's process ended"),
        }
    }
}

fn limit(head: &ReplyHead) -> usize {
    usize::try_from(head.length.unwrap_or_default()).unwrap_or(usize::MAX)
}

fn too_large() -> Fault {
    Fault::new(Reason::ReplyTooLarge, format!("the reply is larger than {} bytes", limits::BODY_MAX))
        .with_hint("return less, or store the result and return where it is")
        .with_executed(Executed::Yes)
}

/// Ends the run with a fault and says so to the caller.
pub(crate) fn fail(guard: RunGuard, fault: Fault) -> CallFailure {
    let timeline = guard.timeline();
    let failure = CallFailure {
        run: Some(guard.run()),
        version: Some(guard.version()),
        cold_start: guard.cold_start(),
        duration_us: u64::try_from(guard.elapsed().as_micros()).unwrap_or(u64::MAX),
        timeline,
        fault: fault.clone(),
    };
    guard.finish(Outcome::Failed(fault));
    failure
}

/// The reply as the run's record keeps it: small JSON only.
fn kept_result(head: &ReplyHead, body: &Bytes, redactor: Option<&Redactor>) -> Option<JsonText> {
    let is_json =
        head.headers.iter().any(|(name, value)| name == "content-type" && value.starts_with("application/json"));
    if !is_json || body.len() > limits::RESULT_KEPT_MAX {
        return None;
    }
    match redactor {
        Some(redactor) => JsonText::parse(redactor.clean(std::str::from_utf8(body).ok()?).as_bytes()),
        None => JsonText::parse(body),
    }
}
