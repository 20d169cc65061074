//! A call on its way: admission, exchange, reply. No database and no fsync on the warm path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{BodyStream, Invocation, InvocationBody};
use faas_scheduler::Urgency;
use faas_types::{Fault, RunId};
use futures_util::future::{self, Either};

use crate::invocation::{PendingReply, fail};
use crate::lifecycle::stopping;
use crate::reply::{Call, CallFailure};
use crate::request::CallRequest;
use crate::route::Route;
use crate::run_guard::RunGuard;
use crate::runs::Runs;

// === impl Runs ===

impl Runs {
    /// Calls a function and returns with the head of its reply, or with all of it where that comes at once.
    ///
    /// # Errors
    /// [`CallFailure`] with the catalogue's code; a function's own error is inside it.
    // Not `async`: its future would be one more that keeps its arguments twice.
    pub fn call(
        self: &Arc<Self>,
        route: Route,
        request: CallRequest,
    ) -> impl Future<Output = Result<Call, CallFailure>> + Send {
        if self.is_ready() {
            Either::Left(self.begin_call(route, request, None))
        } else {
            Either::Right(future::ready(Err(stopping().into())))
        }
    }

    /// As [`call`](Self::call), with a body that is still arriving in place of the request's.
    ///
    /// # Errors
    /// As [`call`](Self::call); also what ends the body.
    pub async fn call_streaming(
        self: &Arc<Self>,
        route: Route,
        request: CallRequest,
        body: BodyStream,
    ) -> Result<Call, CallFailure> {
        if !self.is_ready() {
            return Err(stopping().into());
        }
        self.begin_call(route, request, Some(body)).await
    }

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
        let mut record = route.queued(run, request.trigger, now);
        record.trigger_name.clone_from(&request.trigger_name);
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
}
