//! From the end of a run to what is committed with it.

use std::time::Duration;

use bytes::Bytes;
use faas_catalog::encode;
use faas_ports::{FollowUps, Footprint, NewCallback, NewItem};
use faas_types::{
    AliasName, Background, CallbackState, Code, Completion, Destination, Fault, FunctionName, FunctionTarget,
    InvocationMode, ProjectId, RunRecord, RunState, TriggerKind, limits,
};

use super::report::Report;
use crate::completion_metrics::add;
use crate::input::RunInput;
use crate::payload::Payload;
use crate::route::{Route, Selector};
use crate::runs::Runs;

/// Pauses between tries on a registry that cannot be read.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// Tries before a run ends without its destination: half a minute.
const TRIES: u32 = 20;

/// What follows the end of a run whose function has these settings, noted in its record. `None` when the server stops
/// before that could be told: the run has then not ended, and is tried again.
pub(crate) async fn follow(runs: &Runs, run: &mut RunRecord, settings: Option<&Background>) -> Option<FollowUps> {
    let named = settings.and_then(|settings| match run.state() {
        RunState::Succeeded => settings.on_success.clone(),
        RunState::Failed => settings.on_failure.clone(),
        // Who ended it knows, and nothing came of it.
        _ => None,
    });
    let next = match named {
        Some(function) => destination(runs, run, function).await?,
        None => None,
    };
    let callback = callback(runs, run);
    Some(FollowUps { callback, run: next.map(Box::new) })
}

/// Checks that the destinations of a deployment to `alias` are there and take runs. `peers` come with it, itself among them.
pub async fn check_destinations(
    runs: &Runs,
    project: ProjectId,
    (alias, peers): (&AliasName, &[(FunctionName, InvocationMode)]),
    settings: &Background,
) -> Result<(), Fault> {
    for (key, named) in [("on_success", &settings.on_success), ("on_failure", &settings.on_failure)] {
        let Some(named) = named else { continue };
        let comes_along = named.alias == *alias || named.alias == AliasName::live();
        let mode = match peers.iter().find(|(name, _)| comes_along && *name == named.name) {
            Some((_, mode)) => Ok(*mode),
            None => runs.target(project, named).await.map(|route| mode(&route)),
        };
        let fault = |message: String| Fault::new(Code::InvalidConfiguration, format!("background.{key}: {message}"));
        match mode {
            Ok(InvocationMode::Sync) => {
                return Err(fault(sync_only(&named.name)).with_hint("set background.mode = \"both\" in its manifest"));
            }
            Ok(_) => {}
            Err(missing) if missing.code == Code::FunctionNotFound || missing.code == Code::NotFound => {
                let hint = format!("deploy `{named}` first, then this function");
                return Err(fault(missing.message).with_hint(hint));
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// The run of a destination. `None` outside when the server stops, inside when there is to be none.
async fn destination(runs: &Runs, run: &mut RunRecord, function: FunctionTarget) -> Option<Option<NewItem>> {
    let hops = run.completion.as_ref().map_or(0, |completion| completion.hops);
    let outcome = if hops >= limits::HOPS_MAX {
        Err(format!("{hops} runs led to this one, each caused by the one before; no more are made"))
    } else {
        match find(runs, run.project, &function).await? {
            Ok(route) => item(runs, run, &route, hops).map_err(|fault| fault.message),
            Err(message) => Err(message),
        }
    };
    let (item, message) = match outcome {
        Ok(item) => (Some(item), None),
        Err(message) => (None, Some(message)),
    };
    add(if item.is_some() { &runs.completion_metrics.sent_on } else { &runs.completion_metrics.dropped });
    if let Some(message) = &message {
        tracing::warn!(run_id = %run.id, destination = %function, message, "a run is not sent on");
    }
    let run_id = item.as_ref().map(|item| item.record.id);
    run.completion.get_or_insert_default().destination = Some(Destination { function, run_id, message });
    Some(item)
}

/// The version that a destination stands for, or why it cannot be one. Waits for a while where that cannot be read.
async fn find(runs: &Runs, project: ProjectId, target: &FunctionTarget) -> Option<Result<Route, String>> {
    let [mut pause, longest] = PAUSES;
    let mut tries = 0;
    loop {
        tries += 1;
        match runs.target(project, target).await {
            Ok(route) if mode(&route) == InvocationMode::Sync => return Some(Err(sync_only(&target.name))),
            Ok(route) => return Some(Ok(route)),
            Err(fault) if fault.code == Code::FunctionNotFound || fault.code == Code::NotFound => {
                return Some(Err(fault.message));
            }
            Err(fault) if tries == TRIES => return Some(Err(fault.message)),
            Err(fault) => tracing::error!(%fault, function = %target, "a destination cannot be looked up yet"),
        }
        tokio::select! {
            () = runs.lifecycle.stopped() => return None,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(longest),
        }
    }
}

fn mode(route: &Route) -> InvocationMode {
    route.version.settings.background.mode
}

fn sync_only(name: &FunctionName) -> String {
    format!("`{name}` takes calls that wait for the answer only")
}

fn item(runs: &Runs, ended: &RunRecord, route: &Route, hops: u32) -> Result<NewItem, Fault> {
    let now = runs.clock.now();
    let trigger = TriggerKind::Destination;
    let mut record = route.queued(runs.ids.mint(now), trigger, now);
    record.origin = Some(ended.id);
    record.completion = Completion::new(None, true, hops + 1);
    let input = RunInput { payload: Payload::Report, body: encode(&Report::of(ended))?, max_age: None }.inline()?;
    let footprint = Footprint { bytes: input.len() as u64 + limits::RUN_COST, ..Footprint::default() };
    let (priority, ordering_key, claim, redrives) = (0, None, None, None);
    Ok(NewItem { record, not_before: now, priority, ordering_key, input, claim, redrives, footprint })
}

fn callback(runs: &Runs, run: &mut RunRecord) -> Option<NewCallback> {
    let url = run.completion.as_ref()?.callback.as_ref()?.url.clone();
    // What was allowed when the run was accepted may be none now; the sender says so in the run's record.
    let host = runs.outbound.check(&url).unwrap_or_default();
    let report = Report::for_callback(run);
    let encoded = match encode(&report) {
        Ok(body) if !runs.outbox.has_room(run.project, body.len()) => encode(&report.short()),
        encoded => encoded,
    };
    let body: Bytes = match encoded {
        Ok(body) => body,
        Err(fault) => {
            tracing::error!(run_id = %run.id, %fault, "a callback cannot be written");
            return None;
        }
    };
    let callback = run.completion.get_or_insert_default().callback.as_mut()?;
    callback.state = CallbackState::Pending;
    Some(NewCallback { url, host, body, ended_at: run.finished_at.unwrap_or(run.created_at) })
}

// === impl Runs ===

impl Runs {
    /// The version that a function's alias points to.
    async fn target(&self, project: ProjectId, target: &FunctionTarget) -> Result<Route, Fault> {
        let entry = self.catalog.find(project, target.name.as_str())?;
        self.route_entry(entry, &Selector::Alias(target.alias.clone()), None).await
    }
}
