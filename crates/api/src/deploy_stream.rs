//! A deployment as it goes on: server-sent events for clients that ask for them.

use std::convert::Infallible;
use std::future::Future;

use axum::extract::FromRequestParts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use faas_engine::{ProgressEvent, ProgressReceiver};
use faas_proto::rest::DeployEvent;
use faas_types::{Fault, FunctionName};
use faas_web::{Created, HandlerError, Json, RequestId, problem};
use futures_util::stream::{self, Stream};
use http::StatusCode;
use http::header::ACCEPT;
use http::request::Parts;
use serde::Serialize;
use tokio::task::JoinHandle;

/// How the outcome of a deployment is wanted, and the request's id for what goes wrong later.
pub(crate) struct Wanted {
    streamed: bool,
    id: RequestId,
}

/// What is left to send.
enum Streaming<T> {
    Running(ProgressReceiver, JoinHandle<Result<T, Fault>>),
    Ended,
}

// === impl Wanted ===

impl<S: Sync> FromRequestParts<S> for Wanted {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HandlerError> {
        let accepts = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/event-stream"));
        let streamed = parts.headers.get(ACCEPT).is_some_and(accepts);
        let id = parts.extensions.get::<RequestId>().cloned();
        let id = id.ok_or_else(|| HandlerError(Fault::internal("a request has no id")))?;
        Ok(Self { streamed, id })
    }
}

impl Wanted {
    /// Carries a deployment out and answers with its outcome, or with what happens on the way and then the outcome.
    pub(crate) async fn answer<T, V>(
        self,
        receiver: ProgressReceiver,
        deployment: impl Future<Output = Result<T, Fault>> + Send + 'static,
        view: impl Fn(&T) -> V + Send + 'static,
        location: impl FnOnce(&V) -> Option<String>,
    ) -> Result<Response, HandlerError>
    where
        T: Send + 'static,
        V: Serialize + 'static,
    {
        // In a task of its own: a caller that goes away must not leave a version half checked.
        let task = tokio::spawn(deployment);
        if self.streamed {
            return Ok(Sse::new(events(receiver, task, view, self.id))
                .keep_alive(KeepAlive::default())
                .into_response());
        }
        let deployed = joined(task).await?;
        let view = view(&deployed);
        Ok(match location(&view) {
            Some(location) => Created(location, view).into_response(),
            None => (StatusCode::CREATED, Json(view)).into_response(),
        })
    }
}

async fn joined<T>(task: JoinHandle<Result<T, Fault>>) -> Result<T, Fault> {
    task.await.unwrap_or_else(|error| Err(Fault::internal(format!("the deployment broke off: {error}"))))
}

fn events<T, V: Serialize>(
    receiver: ProgressReceiver,
    task: JoinHandle<Result<T, Fault>>,
    view: impl Fn(&T) -> V,
    id: RequestId,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((Streaming::Running(receiver, task), view, id), |(state, view, id)| async move {
        let Streaming::Running(mut receiver, task) = state else { return None };
        if let Some((function, progress)) = receiver.recv().await {
            let event = Event::default().event("step").json_data(step(&function, progress)).unwrap_or_default();
            return Some((Ok(event), (Streaming::Running(receiver, task), view, id)));
        }
        let event = match joined(task).await {
            Ok(deployed) => Event::default().event("deployed").json_data(view(&deployed)),
            Err(fault) => Event::default().event("failed").json_data(problem(&fault, &id, None)),
        };
        Some((Ok(event.unwrap_or_default()), (Streaming::Ended, view, id)))
    })
}

fn step(function: &FunctionName, progress: ProgressEvent) -> DeployEvent {
    let function = function.to_string();
    match progress {
        ProgressEvent::Waiting(why) => DeployEvent::Waiting { function, why: why.to_owned() },
        ProgressEvent::Installing(source) => DeployEvent::Installing { function, source },
        ProgressEvent::Line(message) => DeployEvent::Line { function, message },
        ProgressEvent::LeftOut(lines) => DeployEvent::LeftOut { function, lines },
        ProgressEvent::Reused(layer) => {
            let (layer, built_at) = (layer.id.to_string(), layer.built_at.to_string());
            DeployEvent::Reused { function, layer, built_at }
        }
        ProgressEvent::Loading => DeployEvent::Checking { function },
    }
}
