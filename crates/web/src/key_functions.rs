//! Holds a key that is restricted to functions to them, on every route that does not do so itself.

use axum::RequestExt;
use axum::extract::{MatchedPath, RawPathParams, Request};
use faas_engine::{Caller, Engine};
use faas_types::{Fault, RunId, RunRecord};

/// What stands in the first place of a path.
enum Subject {
    Function,
    Run,
    DeadLetter,
}

// === impl Subject ===

impl Subject {
    fn of(pattern: &str) -> Option<Self> {
        let below = pattern.strip_prefix("/api/v1/").unwrap_or(pattern);
        let (kind, rest) = below.strip_prefix('/').unwrap_or(below).split_once('/')?;
        match kind {
            _ if !rest.starts_with('{') => None,
            "functions" => Some(Self::Function),
            "runs" => Some(Self::Run),
            "dead-letters" => Some(Self::DeadLetter),
            _ => None,
        }
    }
}

/// Refuses what is of another function, and what is of the whole project.
///
/// # Errors
/// `FN_009`; `FN_013` where the run does not exist.
pub(crate) async fn check_functions(engine: &Engine, caller: &Caller, request: &mut Request) -> Result<(), Fault> {
    let pattern = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let subject = pattern.as_deref().and_then(Subject::of).ok_or_else(|| caller.not_of_functions())?;
    let params = request.extract_parts::<RawPathParams>().await;
    let first =
        params.as_ref().ok().and_then(|params| params.iter().next()).map(|(_, value)| value).unwrap_or_default();
    match subject {
        Subject::Function => check_named(engine, caller, first.split(':').next().unwrap_or_default()),
        Subject::Run => match first.parse() {
            Ok(id) => check_run(caller, &engine.history().run(caller.project, id).await?),
            // The handler says so.
            Err(_) => Ok(()),
        },
        Subject::DeadLetter => match first.parse::<RunId>() {
            Ok(id) => check_run(caller, &engine.runs.dead_letter(caller.project, id).await?.record),
            Err(_) => Ok(()),
        },
    }
}

/// Refuses a function, by name or id, that a restricted key is not for. It need not exist.
///
/// # Errors
/// `FN_009`.
pub fn check_named(engine: &Engine, caller: &Caller, function: &str) -> Result<(), Fault> {
    if !caller.is_restricted() {
        return Ok(());
    }
    match engine.catalog().find(caller.project, function) {
        Ok(entry) => caller.check_function(entry.record.id, &entry.record.name),
        Err(_) => caller.check_reference(function),
    }
}

fn check_run(caller: &Caller, run: &RunRecord) -> Result<(), Fault> {
    let function = run.function();
    caller.check_function(function.id, &function.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_first_place_counts() {
        let is_of = |pattern: &str| Subject::of(pattern).is_some();
        assert!(matches!(Subject::of("/api/v1/functions/{function}/aliases/{alias}"), Some(Subject::Function)));
        assert!(matches!(Subject::of("/functions/{id}/env"), Some(Subject::Function)));
        assert!(matches!(Subject::of("/api/v1/runs/{run}/cancel"), Some(Subject::Run)));
        assert!(matches!(Subject::of("/api/v1/dead-letters/{id}"), Some(Subject::DeadLetter)));
        for whole in ["/api/v1/functions", "/api/v1/runs/actions/cancel", "/api/v1/secrets/{secret}", "/metrics", ""] {
            assert!(!is_of(whole), "{whole}");
        }
    }
}
