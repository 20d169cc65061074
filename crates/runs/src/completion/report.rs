//! The report on a run that has ended: the body of its callback, and the input of its destination.

use faas_types::{Code, FunctionError, FunctionName, JsonText, RunId, RunRecord, RunState, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// A message as Standard Webhooks recommends: what happened, when, and to what.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    #[serde(rename = "type")]
    kind: String,
    timestamp: Timestamp,
    data: Ended<'a>,
}

/// A run that has ended.
#[derive(Serialize)]
struct Ended<'a> {
    run_id: RunId,
    function: &'a FunctionName,
    version: u32,
    state: RunState,
    /// What it answered, where that is JSON, small enough to keep and not nested too deeply to be read.
    result: Option<Value>,
    http_status: Option<u16>,
    error: Option<Failure<'a>>,
    attempts: usize,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Timestamp,
    /// Where the run is shown, below the server's URL.
    run: String,
    /// Where its input is shown.
    input: String,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: Code,
    message: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

// === impl Report ===

impl<'a> Report<'a> {
    /// For the receiver that the caller named. It says no more of a failure than the caller may know.
    pub(super) fn for_callback(run: &'a RunRecord) -> Self {
        let mut report = Self::of(run);
        if run.completion.as_ref().is_some_and(|completion| completion.brief) {
            report.data.error = run.code.map(Failure::brief);
        }
        report
    }

    /// The same without its result and the details of its failure: small enough for what its run has reserved.
    pub(super) fn short(self) -> Self {
        let Ended { error, .. } = self.data;
        let error = error.map(|failure| Failure::brief(failure.code));
        Self { data: Ended { result: None, error, ..self.data }, ..self }
    }

    /// For a function of the same project.
    pub(super) fn of(run: &'a RunRecord) -> Self {
        let finished_at = run.finished_at.unwrap_or(run.created_at);
        let data = Ended {
            run_id: run.id,
            function: &run.function().name,
            version: run.function().version,
            state: run.state(),
            result: run.result.as_ref().and_then(JsonText::value),
            http_status: run.http_status,
            error: run.code.map(|code| Failure::new(code, run)),
            attempts: run.attempts.len(),
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at,
            run: format!("/api/v1/runs/{}", run.id),
            input: format!("/api/v1/runs/{}/input", run.id),
        };
        Self { kind: format!("run.{}", run.state().as_str()), timestamp: finished_at, data }
    }
}

// === impl Failure ===

impl<'a> Failure<'a> {
    fn brief(code: Code) -> Self {
        Self { code, message: code.title(), kind: None, file: None, line: None }
    }

    fn new(code: Code, run: &'a RunRecord) -> Self {
        let own: Option<&FunctionError> = run.error.as_ref();
        Self {
            code,
            message: run.message.as_deref().unwrap_or_else(|| code.title()),
            kind: own.map(|own| own.kind.as_str()).filter(|kind| !kind.is_empty()),
            file: own.and_then(|own| own.file.as_deref()),
            line: own.and_then(|own| own.line),
        }
    }
}
