//! A synchronous call on its way: route, place, exchange, reply. No database and no fsync on the warm path.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use faas_ports::{ExchangeEnd, ExchangeItem, Invocation, ReplyHead};
use faas_types::{
    AliasName, Code, Fault, HttpMethod, ProjectId, RunId, TriggerKind, TriggerSettings, VersionRecord, limits,
};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use crate::catalog::FunctionEntry;
use crate::engine::Core;
use crate::pool::NoPlace;
use crate::reply::{Call, CallBody, CallFailure};
use crate::ticket::{Outcome, Ticket, queued_record};

/// Which version of a function is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Where an alias points.
    Alias(AliasName),
    /// This one.
    Version(u32),
}

/// A function and the version that a call goes to.
#[derive(Clone)]
pub struct Route {
    /// The function.
    pub entry: Arc<FunctionEntry>,
    /// The version.
    pub version: Arc<VersionRecord>,
}

/// What a caller sends.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// What created the run.
    pub trigger: TriggerKind,
    /// The HTTP method.
    pub method: String,
    /// The path below the function's URL.
    pub path: String,
    /// The query without its question mark.
    pub query: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

// === impl Selector ===

impl std::str::FromStr for Selector {
    type Err = Fault;

    /// A version's number or an alias's name, as after the colon in `hello:3` and `hello:live`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            let unknown = |_| Fault::new(Code::NotFound, "no version has so large a number");
            return text.parse().map(Self::Version).map_err(unknown);
        }
        text.parse()
            .map(Self::Alias)
            .map_err(|error: faas_types::InvalidName| Fault::new(Code::BadRequest, error.to_string()))
    }
}

// === impl Route ===

impl Route {
    /// Whether an HTTP trigger takes this method and path.
    ///
    /// # Errors
    /// `FN_013` when no trigger takes the path, `FN_020` when none takes the method on it.
    pub fn check(&self, method: &str, path: &str) -> Result<(), Fault> {
        let triggers = &self.version.settings.triggers;
        let mut on_path = triggers
            .iter()
            .filter_map(|TriggerSettings::Http { path: prefix, methods }| is_below(path, prefix).then_some(methods));
        let Some(first) = on_path.next() else {
            return Err(Fault::new(
                Code::NotFound,
                format!("`{}` has no http trigger for this path", self.entry.record.name),
            )
            .with_hint("triggers are listed in the manifest under [[triggers]]"));
        };
        let takes = |methods: &Vec<HttpMethod>| methods.is_empty() || methods.iter().any(|m| m.as_str() == method);
        if takes(first) || on_path.any(takes) {
            return Ok(());
        }
        let allowed: Vec<_> = first.iter().map(|method| method.as_str()).collect();
        Err(Fault::new(Code::MethodNotAllowed, format!("`{}` does not take {method} here", self.entry.record.name))
            .with_hint(format!("it takes {}", allowed.join(", "))))
    }
}

fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

// === calling ===

impl Core {
    /// Runs one call to the head of its reply, or to its end where that comes at once.
    pub(crate) async fn call(self: &Arc<Self>, route: Route, request: CallRequest) -> Result<Call, CallFailure> {
        let now = self.clock.now();
        let timeout = route.version.settings.timeout.get();
        let deadline = Instant::now() + timeout;
        let run: RunId = self.ids.mint(now);
        let record = queued_record(run, &route.entry, route.version.number, request.trigger, now);
        let stats = self.stats.function(route.entry.record.id, &route.entry.record.name);
        let mut ticket = Ticket::new(Arc::clone(self), stats, record);
        match self.place(&route, deadline).await {
            Ok(place) => ticket.start(place, self.clock.now()),
            Err(fault) => return Err(fail(ticket, fault)),
        }
        let Some(place) = ticket.place() else { return Err(Fault::internal("a started run has no place").into()) };
        // The timeout limits the handler, not the wait for an instance.
        let deadline = Instant::now() + timeout;
        let CallRequest { method, path, query, headers, body, .. } = request;
        let until = self.clock.now().plus(timeout);
        let invocation = Invocation { run, method, path, query, headers, body, deadline: until };
        let items = place.slot.instance.invoke(invocation);
        Exchange { ticket, items, deadline, timeout, received: 0 }.reply().await
    }

    async fn place(self: &Arc<Self>, route: &Route, deadline: Instant) -> Result<crate::pool::Place, Fault> {
        let mut route = route.clone();
        // A deployment may close the pool between finding it and asking it; the newer one is then asked.
        for _ in 0..3 {
            let pool = self.pool(&route).await?;
            match pool.take(deadline).await {
                Ok(place) => return Ok(place),
                Err(NoPlace::Refused(fault)) => return Err(fault),
                Err(NoPlace::Closed) => {
                    let entry = self.catalog.by_id(route.entry.record.project, route.entry.record.id);
                    let Some(entry) = entry else { break };
                    route.entry = entry;
                }
            }
        }
        Err(Fault::new(Code::Unavailable, "the function is being replaced or the server is stopping")
            .with_retry_after(1))
    }

    /// A function's version by selector.
    pub(crate) async fn route(&self, entry: Arc<FunctionEntry>, selector: &Selector) -> Result<Route, Fault> {
        let name = &entry.record.name;
        let number = match selector {
            Selector::Version(number) => *number,
            Selector::Alias(alias) => match entry.record.aliases.get(alias) {
                Some(alias) => alias.version,
                None if *alias == AliasName::live() => {
                    return Err(Fault::new(Code::FunctionNotFound, format!("`{name}` has no deployed version yet"))
                        .with_hint(format!("deploy it: faas deploy --name {name}")));
                }
                None => return Err(Fault::new(Code::NotFound, format!("`{name}` has no alias `{alias}`"))),
            },
        };
        let version = self.catalog.version(&entry, number).await?;
        Ok(Route { entry, version })
    }

    /// A function by project and name for the data plane.
    pub(crate) fn function(&self, project: ProjectId, name: &str) -> Result<Arc<FunctionEntry>, Fault> {
        self.catalog.find(project, name)
    }
}

/// One invocation between instance and caller.
struct Exchange {
    ticket: Ticket,
    items: BoxStream<'static, ExchangeItem>,
    deadline: Instant,
    timeout: std::time::Duration,
    received: u64,
}

/// The next thing that matters to the caller.
enum Step {
    Head(ReplyHead),
    Body(Bytes),
    Done,
    Failed(Fault),
}

// === impl Exchange ===

impl Exchange {
    async fn reply(mut self) -> Result<Call, CallFailure> {
        let head = match self.step().await {
            Step::Head(head) => head,
            Step::Failed(fault) => return Err(fail(self.ticket, fault)),
            Step::Body(_) | Step::Done => {
                let fault = Fault::new(Code::RuntimeError, "the instance ended its reply before it began");
                return Err(fail(self.ticket, fault));
            }
        };
        let mut body = BytesMut::new();
        loop {
            match self.step().now_or_never() {
                Some(Step::Body(chunk)) => body.extend_from_slice(&chunk),
                Some(Step::Done) => return Ok(self.whole(head, body.freeze())),
                Some(Step::Failed(fault)) => return Err(fail(self.ticket, fault)),
                Some(Step::Head(_)) => {}
                None => return Ok(self.streamed(head, body.freeze())),
            }
        }
    }

    fn whole(mut self, head: ReplyHead, body: Bytes) -> Call {
        let result = kept_result(&head, &body);
        self.ticket.set_reply(head.status, result);
        let call = self.call(head, CallBody::Whole(body));
        self.ticket.finish(Outcome::Succeeded);
        call
    }

    fn streamed(mut self, head: ReplyHead, first: Bytes) -> Call {
        self.ticket.set_reply(head.status, None);
        let call = self.call(head, CallBody::Whole(Bytes::new()));
        let rest = futures_util::stream::unfold(Some(self), |exchange| async move {
            let mut exchange = exchange?;
            match exchange.step().await {
                Step::Body(chunk) => Some((Ok(chunk), Some(exchange))),
                Step::Head(_) => Some((Ok(Bytes::new()), Some(exchange))),
                Step::Done => {
                    exchange.ticket.finish(Outcome::Succeeded);
                    None
                }
                Step::Failed(fault) => {
                    exchange.ticket.finish(Outcome::Failed(fault.clone()));
                    Some((Err(fault), None))
                }
            }
        });
        let first = futures_util::stream::iter((!first.is_empty()).then_some(Ok(first)));
        Call { body: CallBody::Stream(first.chain(rest).boxed()), ..call }
    }

    fn call(&self, head: ReplyHead, body: CallBody) -> Call {
        Call {
            run: self.ticket.run(),
            version: self.ticket.version(),
            cold_start: self.ticket.cold_start(),
            duration_us: u64::try_from(self.ticket.elapsed().as_micros()).unwrap_or(u64::MAX),
            head,
            body,
        }
    }

    /// The next thing that matters to the caller; log lines are taken on the way.
    async fn step(&mut self) -> Step {
        loop {
            let item = match tokio::time::timeout_at(self.deadline.into(), self.items.next()).await {
                Ok(item) => item,
                Err(_) => return self.timed_out(),
            };
            match item {
                Some(ExchangeItem::Log(entry)) => self.ticket.log(entry),
                Some(ExchangeItem::Head(head)) => return Step::Head(head),
                Some(ExchangeItem::Body(chunk)) => {
                    self.received += chunk.len() as u64;
                    if self.received > limits::BODY_MAX {
                        self.ticket.spoil();
                        return Step::Failed(too_large());
                    }
                    return Step::Body(chunk);
                }
                Some(ExchangeItem::End(end)) => return self.ended(end).await,
                None => return self.ended(ExchangeEnd::Lost).await,
            }
        }
    }

    fn timed_out(&mut self) -> Step {
        self.ticket.spoil();
        let fault =
            Fault::new(Code::TimeoutExceeded, format!("the function ran past its timeout of {:?}", self.timeout))
                .with_hint("raise `timeout` in the manifest, or make the work shorter");
        Step::Failed(fault)
    }

    async fn ended(&mut self, end: ExchangeEnd) -> Step {
        match end {
            ExchangeEnd::Complete { dropped_log_lines } => {
                self.ticket.add_dropped_lines(dropped_log_lines);
                Step::Done
            }
            ExchangeEnd::Raised { error, dropped_log_lines } => {
                self.ticket.add_dropped_lines(dropped_log_lines);
                let message = format!("the function raised {}", error.kind);
                Step::Failed(Fault::new(Code::RuntimeError, message).with_function_error(error))
            }
            ExchangeEnd::Rejected { message } => Step::Failed(Fault::new(Code::BadRequest, message)),
            ExchangeEnd::Lost => {
                self.ticket.spoil();
                Step::Failed(self.lost().await)
            }
        }
    }

    async fn lost(&mut self) -> Fault {
        let Some(place) = self.ticket.place() else { return Fault::internal("a started run has no place") };
        let exited = place.slot.instance.exited();
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

fn too_large() -> Fault {
    Fault::new(Code::PayloadTooLarge, format!("the reply is larger than {} bytes", limits::BODY_MAX))
        .with_hint("return less, or store the result and return where it is")
}

/// Ends the run with a fault and says so to the caller.
fn fail(ticket: Ticket, fault: Fault) -> CallFailure {
    let failure = CallFailure {
        run: Some(ticket.run()),
        version: Some(ticket.version()),
        cold_start: ticket.cold_start(),
        duration_us: u64::try_from(ticket.elapsed().as_micros()).unwrap_or(u64::MAX),
        fault: fault.clone(),
    };
    ticket.finish(Outcome::Failed(fault));
    failure
}

/// The reply as the run's record keeps it: small JSON only.
fn kept_result(head: &ReplyHead, body: &Bytes) -> Option<serde_json::Value> {
    let is_json =
        head.headers.iter().any(|(name, value)| name == "content-type" && value.starts_with("application/json"));
    (is_json && body.len() <= limits::RESULT_KEPT_MAX).then(|| serde_json::from_slice(body).ok())?
}
