//! A deployment as it goes on: server-sent events for clients that ask for them.

use std::convert::Infallible;
use std::future::Future;

use axum::extract::FromRequestParts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use faas_engine::{DeployEar, DeployNews};
use faas_proto::rest::DeployEvent;
use faas_types::{Fault, FunctionName};
use faas_web::{Failure, Json, RequestId, problem};
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

/// What is still to be told.
enum Telling<T> {
    Under(DeployEar, JoinHandle<Result<T, Fault>>),
    Over,
}

// === impl Wanted ===

impl<S: Sync> FromRequestParts<S> for Wanted {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let accepts = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/event-stream"));
        let streamed = parts.headers.get(ACCEPT).is_some_and(accepts);
        let id = parts.extensions.get::<RequestId>().cloned();
        let id = id.ok_or_else(|| Failure(Fault::internal("a request has no id")))?;
        Ok(Self { streamed, id })
    }
}

impl Wanted {
    /// Carries a deployment out and answers with its outcome, or with what happens on the way and then the outcome.
    pub(crate) async fn answer<T, V>(
        self,
        ear: DeployEar,
        deployment: impl Future<Output = Result<T, Fault>> + Send + 'static,
        view: impl Fn(&T) -> V + Send + 'static,
    ) -> Result<Response, Failure>
    where
        T: Send + 'static,
        V: Serialize + 'static,
    {
        // In a task of its own: a caller that goes away must not leave a version half checked.
        let task = tokio::spawn(deployment);
        if self.streamed {
            return Ok(Sse::new(events(ear, task, view, self.id)).keep_alive(KeepAlive::default()).into_response());
        }
        let deployed = joined(task).await?;
        Ok((StatusCode::CREATED, Json(view(&deployed))).into_response())
    }
}

async fn joined<T>(task: JoinHandle<Result<T, Fault>>) -> Result<T, Fault> {
    task.await.unwrap_or_else(|error| Err(Fault::internal(format!("the deployment broke off: {error}"))))
}

fn events<T, V: Serialize>(
    ear: DeployEar,
    task: JoinHandle<Result<T, Fault>>,
    view: impl Fn(&T) -> V,
    id: RequestId,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((Telling::Under(ear, task), view, id), |(telling, view, id)| async move {
        let Telling::Under(mut ear, task) = telling else { return None };
        if let Some((function, news)) = ear.next().await {
            let event = Event::default().event("step").json_data(told(&function, news)).unwrap_or_default();
            return Some((Ok(event), (Telling::Under(ear, task), view, id)));
        }
        let event = match joined(task).await {
            Ok(deployed) => Event::default().event("deployed").json_data(view(&deployed)),
            Err(fault) => Event::default().event("failed").json_data(problem(&fault, &id, None)),
        };
        Some((Ok(event.unwrap_or_default()), (Telling::Over, view, id)))
    })
}

fn told(function: &FunctionName, news: DeployNews) -> DeployEvent {
    let function = function.to_string();
    match news {
        DeployNews::Waiting(why) => DeployEvent::Waiting { function, why: why.to_owned() },
        DeployNews::Installing(source) => DeployEvent::Installing { function, source },
        DeployNews::Line(message) => DeployEvent::Line { function, message },
        DeployNews::LeftOut(lines) => DeployEvent::LeftOut { function, lines },
        DeployNews::Reused(layer) => {
            let (layer, built_at) = (layer.id.to_string(), layer.built_at.to_string());
            DeployEvent::Reused { function, layer, built_at }
        }
        DeployNews::Loading => DeployEvent::Checking { function },
    }
}
