//! A call on its way: admission, exchange, reply. No database and no fsync on the warm path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::{Invocation, InvocationBody};
use faas_scheduler::Urgency;
use faas_types::{Fault, RunId};
use futures_util::future::{self, Either};

use crate::invocation::{PendingReply, fail};
use crate::lifecycle::stopping;
use crate::payload::HttpRequest;
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
            Either::Left(self.call_as(self.ids.mint(self.clock.now()), route, request))
        } else {
            Either::Right(future::ready(Err(stopping().into())))
        }
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
        let mut record = route.queued(run, request.trigger, self.clock.now());
        record.trigger_name.clone_from(&request.trigger_name);
        let stats = self.stats.function(route.entry.record.id, &route.entry.record.name);
        let guard = RunGuard::new(Arc::clone(self), stats, record);
        self.carry(guard, route, request, Urgency::Caller)
    }

    /// Carries one attempt to the head of its reply, or to its end where that comes at once.
    // An `async fn` keeps each argument a second time in its future, where a block keeps it once.
    pub fn carry(
        self: &Arc<Self>,
        mut guard: RunGuard,
        route: Route,
        request: CallRequest,
        urgency: Urgency,
    ) -> impl Future<Output = Result<Call, CallFailure>> + Send {
        let run = guard.run();
        let CallRequest { payload, body, .. } = request;
        let mut request = payload.into_http();
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
            if urgency == Urgency::Background {
                request.set_attempt(guard.attempt());
            }
            let Some(permit) = guard.permit() else {
                return Err(Fault::internal("a started run has no permit").into());
            };
            // The timeout limits the handler, not the wait for an instance.
            let deadline = Instant::now() + timeout;
            let items = permit.handle.instance.invoke(self.invocation(run, request, body, timeout));
            PendingReply { guard, items, deadline, timeout, received: 0, is_to_head }.reply().await
        }
    }

    fn invocation(&self, run: RunId, request: HttpRequest, body: InvocationBody, timeout: Duration) -> Invocation {
        let HttpRequest { method, path, query, headers } = request;
        Invocation { run, method, path, query, headers, body, deadline: self.clock.now().plus(timeout) }
    }
}
