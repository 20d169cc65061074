//! A synchronous call on its way: route, admission, exchange, reply. No database and no fsync on the warm path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faas_catalog::FunctionEntry;
use faas_ports::{BodyStream, Invocation, InvocationBody};
use faas_scheduler::Urgency;
use faas_types::{
    Affinity, Alias, AliasName, AuthMode, Code, ErrorDetail, Fault, FunctionName, HttpMethod, Lot, RequestField, RunId,
    Stage, TriggerKind, TriggerName, TriggerSettings, VersionRecord,
};

use crate::invocation::{PendingReply, fail};
use crate::reply::{Call, CallFailure};
use crate::run_guard::{RunGuard, queued_record};
use crate::runs::Runs;

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
    /// What named the version, so that a call that waits can follow a deployment.
    pub selector: Selector,
    /// Its place among the calls of an alias that splits them: it keeps it whatever becomes of the alias meanwhile.
    pub(crate) lot: Option<Lot>,
    /// Whose vars and secrets it runs with.
    pub stage: Stage,
}

/// What a caller sends.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// What created the run.
    pub trigger: TriggerKind,
    /// The trigger's name, where it has one.
    pub trigger_name: Option<TriggerName>,
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
    /// Whether anybody may call: what the version's settings say, but never for a preview, by its name or by its number.
    #[must_use]
    pub fn is_public(&self) -> bool {
        let is_preview = match &self.selector {
            Selector::Alias(name) => {
                self.entry.record.aliases.get(name).is_some_and(|alias| alias.expires_at.is_some())
            }
            Selector::Version(_) => self.version.preview,
        };
        self.version.settings.auth == AuthMode::Public && !is_preview
    }

    /// Whether everybody who calls may know why it failed.
    #[must_use]
    pub fn tells_all(&self) -> bool {
        self.version.settings.errors == ErrorDetail::Full
    }

    /// Whether an HTTP trigger takes this method and path.
    ///
    /// # Errors
    /// `FN_013` when no trigger takes the path, `FN_020` when none takes the method on it.
    pub fn check(&self, method: &str, path: &str) -> Result<(), Fault> {
        let takes = |methods: &[HttpMethod]| methods.is_empty() || methods.iter().any(|m| m.as_str() == method);
        if self.on_path(path).any(takes) {
            return Ok(());
        }
        let name = &self.entry.record.name;
        if self.on_path(path).next().is_none() {
            return Err(Fault::new(Code::NotFound, format!("`{name}` has no http trigger for this path"))
                .with_hint("triggers are listed in the manifest under [[triggers]]"));
        }
        Err(Fault::new(Code::MethodNotAllowed, format!("`{name}` does not take {method} here"))
            .with_hint(format!("it takes {}", self.allowed(path))))
    }

    /// The methods that HTTP triggers name for a path, as the header `Allow` lists them.
    #[must_use]
    pub fn allowed(&self, path: &str) -> String {
        let mut methods: Vec<_> = self.on_path(path).flatten().map(|method| method.as_str()).collect();
        methods.sort_unstable();
        methods.dedup();
        methods.join(", ")
    }

    /// The methods of each HTTP trigger that takes the path; none means all of them.
    fn on_path(&self, path: &str) -> impl Iterator<Item = &[HttpMethod]> {
        self.version.settings.triggers.iter().filter_map(move |trigger| match trigger {
            TriggerSettings::Http { path: prefix, methods } => is_below(path, prefix).then_some(methods.as_slice()),
            _ => None,
        })
    }
}

fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

// === calling ===

impl Runs {
    /// Runs one call to the head of its reply, or to its end where that comes at once. `arriving` is the body where it has
    /// not been collected.
    pub(crate) fn begin_call(
        self: &Arc<Self>,
        route: Route,
        request: CallRequest,
        arriving: Option<BodyStream>,
    ) -> impl Future<Output = Result<Call, CallFailure>> + Send {
        self.begin_call_as(self.ids.mint(self.clock.now()), route, request, arriving)
    }

    /// Makes a call whose run has an id already, such as one that holds a claim. The server's stop does not refuse it.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_as(
        self: &Arc<Self>,
        run: RunId,
        route: Route,
        request: CallRequest,
    ) -> impl Future<Output = Result<Call, CallFailure>> + Send {
        self.begin_call_as(run, route, request, None)
    }

    fn begin_call_as(
        self: &Arc<Self>,
        run: RunId,
        route: Route,
        request: CallRequest,
        arriving: Option<BodyStream>,
    ) -> impl Future<Output = Result<Call, CallFailure>> + Send {
        let now = self.clock.now();
        let mut record = queued_record(run, &route.entry, route.version.number, request.trigger, now);
        record.trigger_name.clone_from(&request.trigger_name);
        record.stage = route.stage;
        let stats = self.stats.function(route.entry.record.id, &route.entry.record.name);
        let guard = RunGuard::new(Arc::clone(self), stats, record);
        self.carry(guard, route, request, arriving, Urgency::Caller)
    }

    /// Carries one attempt to the head of its reply, or to its end where that comes at once.
    // An `async fn` keeps each argument a second time in its future, where a block keeps it once.
    pub fn carry(
        self: &Arc<Self>,
        mut guard: RunGuard,
        route: Route,
        request: CallRequest,
        arriving: Option<BodyStream>,
        urgency: Urgency,
    ) -> impl Future<Output = Result<Call, CallFailure>> + Send {
        let run = guard.run();
        let is_to_head = request.method == "HEAD";
        async move {
            let deadline = Instant::now() + self.time_for_call(&route.version.settings);
            let timeout = match self.admit(route, urgency, deadline).await {
                Ok((permit, route)) => {
                    guard.start(permit, route.version.number, self.clock.now());
                    self.time_for_call(&route.version.settings)
                }
                Err(fault) => return Err(fail(guard, fault)),
            };
            let Some(permit) = guard.permit() else {
                return Err(Fault::internal("a started run has no permit").into());
            };
            // The timeout limits the handler, not the wait for an instance.
            let deadline = Instant::now() + timeout;
            let items = permit.handle.instance.invoke(self.invocation(run, request, arriving, timeout));
            PendingReply { guard, items, deadline, timeout, received: 0, is_to_head }.reply().await
        }
    }

    fn invocation(
        &self,
        run: RunId,
        request: CallRequest,
        arriving: Option<BodyStream>,
        timeout: Duration,
    ) -> Invocation {
        let CallRequest { method, path, query, headers, body, .. } = request;
        let body = arriving.map_or(InvocationBody::Whole(body), InvocationBody::Stream);
        Invocation { run, method, path, query, headers, body, deadline: self.clock.now().plus(timeout) }
    }

    /// A function's version by selector. `lot` is the call's place where it has one already.
    pub async fn route_entry(
        &self,
        entry: Arc<FunctionEntry>,
        selector: &Selector,
        mut lot: Option<Lot>,
    ) -> Result<Route, Fault> {
        let number = match selector {
            Selector::Version(number) => *number,
            Selector::Alias(name) => {
                let has_ended = |alias: &Alias| alias.expires_at.is_some() && alias.has_expired(self.clock.now());
                let alias = entry.record.aliases.get(name).filter(|alias| !has_ended(alias));
                let alias = alias.ok_or_else(|| no_alias(&entry.record.name, name))?;
                if alias.split.is_some() && lot.is_none() {
                    lot = Some(entry.draw(name));
                }
                lot.map_or(alias.version, |lot| alias.pick(lot))
            }
        };
        let version = self.catalog.version(&entry, number).await?;
        let stage = match selector {
            Selector::Alias(name) => entry.record.stage_of(name),
            // A preview's number is no way to what `prod` keeps from it, unless it has come there since.
            Selector::Version(_) if version.preview && !entry.record.is_in(Stage::Prod, number) => Stage::Dev,
            Selector::Version(_) => Stage::Prod,
        };
        Ok(Route { entry, version, selector: selector.clone(), lot, stage })
    }
}

/// Headers from outside without those that only we set.
pub fn foreign(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.into_iter().filter(|(name, _)| RequestField::of(name) != RequestField::Platform).collect()
}

/// The place of a caller who is told apart by `mark`: the same for the same mark as long as the function lives.
fn lot_of(entry: &FunctionEntry, alias: &AliasName, mark: &[u8]) -> Lot {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&entry.record.id.as_u128().to_be_bytes());
    hasher.update(alias.as_str().as_bytes());
    // No name holds a zero byte, so that name and mark cannot run into each other.
    hasher.update(&[0]);
    hasher.update(mark);
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    Lot::of_bits(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// The part of a request that keeps its caller with a version, where the alias asks for one and the request has it.
pub(crate) fn kept_lot<'r>(
    entry: &FunctionEntry,
    selector: &Selector,
    mark: impl Fn(&Affinity) -> Option<&'r [u8]>,
) -> Option<Lot> {
    let Selector::Alias(name) = selector else { return None };
    let alias = entry.record.aliases.get(name).filter(|alias| alias.split.is_some())?;
    let mark = mark(alias.sticky.as_ref()?).filter(|mark| !mark.is_empty())?;
    Some(lot_of(entry, name, mark))
}

/// `FN_013` for an alias that the function does not have.
pub fn no_alias(name: &FunctionName, alias: &AliasName) -> Fault {
    if *alias == AliasName::live() {
        return Fault::new(Code::FunctionNotFound, format!("`{name}` has no deployed version yet"))
            .with_hint(format!("deploy it: faas deploy --name {name}"));
    }
    Fault::new(Code::NotFound, format!("`{name}` has no alias `{alias}`"))
        .with_hint(format!("its aliases are listed by `faas aliases list {name}`"))
}
