//! Runs a case against a server.

use std::time::{Duration, Instant};

use faas_client::{Client, InvokeRequest};
use serde_json::{Value, json};

use super::case::{Case, RequestDocument};
use super::check;
use super::observed::Observed;
use crate::local;

/// How long a run that a trigger made may take, retries and all.
const RUN_WITHIN: Duration = Duration::from_secs(120);
/// How long one request waits for its end.
const STEP: Duration = Duration::from_secs(10);

/// What became of a case.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) took: Duration,
    /// What is not as expected.
    pub(super) problems: Vec<String>,
    /// What was used: a path below the URL, or a trigger.
    pub(super) way: Way,
    file: String,
    status: Option<u16>,
}

/// How a case reaches the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// At its URL, below this path.
    Path(String),
    /// By the invoke API.
    Invoke,
    /// By this trigger.
    Trigger(String),
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.problems.is_empty()
    }

    /// For programs.
    pub(super) fn report(&self) -> Value {
        json!({
            "name": self.name,
            "file": self.file,
            "passed": self.passed(),
            "status": self.status,
            "duration_ms": self.took.as_secs_f64() * 1_000.0,
            "problems": self.problems,
        })
    }
}

/// Calls the function as the case says, and compares.
///
/// # Errors
/// When the server cannot be spoken to. A function that fails is an outcome.
pub(super) async fn run_case(client: &Client, function: &str, case: &Case, update: bool) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let (way, seen) = match (&case.trigger, &case.request) {
        (Some(trigger), _) => (Way::Trigger(trigger.clone()), fire(client, function, trigger, case).await?),
        (None, Some(request)) => (way_of(request), call(client, function, request).await?),
        (None, None) => (Way::Invoke, call(client, function, &RequestDocument::default()).await?),
    };
    Ok(Outcome {
        name: case.name.clone(),
        took: began.elapsed(),
        problems: check::problems(case, &seen, update),
        way,
        file: case.file.display().to_string(),
        status: seen.status,
    })
}

fn way_of(request: &RequestDocument) -> Way {
    match (&request.path, &request.method) {
        (None, None) => Way::Invoke,
        (path, _) => {
            let path = path.as_deref().unwrap_or("/").split(['?', '#']).next().unwrap_or_default();
            Way::Path(format!("/{}", path.trim_start_matches('/')))
        }
    }
}

async fn call(client: &Client, function: &str, request: &RequestDocument) -> anyhow::Result<Observed> {
    let path = match (&request.path, &request.method) {
        (None, None) => format!("/api/v1/functions/{function}/invoke"),
        (path, _) => format!("/fn/{function}/{}", path.as_deref().unwrap_or("/").trim_start_matches('/')),
    };
    let has_body = request.body.is_some();
    let method = request.method.clone().unwrap_or_else(|| {
        let reads = request.path.is_some() && !has_body;
        if reads { "GET".to_owned() } else { "POST".to_owned() }
    });
    let call = InvokeRequest {
        body: request.body.as_ref().map(bytes).unwrap_or_default().into(),
        headers: request.headers.clone().into_iter().collect(),
        method: Some(method),
        path: None,
    };
    Ok(Observed::of_reply(client.raw(&path, call).await?))
}

/// Fires the trigger and waits for the end of the run.
async fn fire(client: &Client, function: &str, trigger: &str, case: &Case) -> anyhow::Result<Observed> {
    let run = local::fire(client, function, trigger, case.body.as_ref().map(bytes).unwrap_or_default()).await?;
    let latest = Instant::now() + RUN_WITHIN;
    loop {
        let view = client.await_run(&run, STEP).await?;
        if view.finished_at.is_some() || Instant::now() > latest {
            let said = view.error.map(|error| json!({ "message": format!("{}: {}", error.code, error.message) }));
            return Ok(Observed {
                status: view.http_status,
                state: Some(view.state),
                headers: Vec::new(),
                body: view.result.and_then(|result| result.value()).or(said).unwrap_or(Value::Null),
                text: None,
            });
        }
    }
}

/// Text as it is, anything else as JSON.
fn bytes(body: &Value) -> Vec<u8> {
    match body {
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }
}
