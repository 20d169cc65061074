//! How a run is shown.

use faas_client::rest::RunView;
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::{Callback, Destination, TriggerKind};

use crate::timeline;

/// What a table has no room for: the whole message, the place in the source, and the stack.
pub(crate) fn print_stack(run: &RunView, session: &Session) -> anyhow::Result<()> {
    let Some(error) = run.error.as_ref().filter(|_| session.out.format == Format::Table) else {
        return Ok(());
    };
    let section = |heading: &str, text: &str| {
        session.out.line(format_args!("\n{heading}"))?;
        text.lines().try_for_each(|line| session.out.line(format_args!("  {}", text::visible(line))))
    };
    if error.message.trim() != error.summary {
        section("message", &error.message)?;
    }
    if let Some(snippet) = &error.snippet {
        section("source", snippet)?;
    }
    if !error.stack.is_empty() {
        section("stack, outermost call first", &error.stack.join("\n"))?;
    }
    Ok(())
}

/// A run with all its attempts.
pub(crate) fn run_table(run: &RunView) -> Table {
    let mut table = Table::of_properties();
    table.property("id", &run.id);
    table.property("function", format!("{} version {}", run.function, run.version));
    table.maybe("stage", (!run.stage.is_default()).then_some(run.stage));
    table.property("state", run.state.as_str());
    table.property("trigger", run.trigger.as_str());
    table.maybe("messages", run.batch.as_ref().map(|batch| format!("{}, {} left", batch.messages, batch.left)));
    let origin = if run.trigger == TriggerKind::Destination { "destination of" } else { "replay of" };
    table.maybe(origin, run.parent_run_id.as_ref());
    table.property("created", text::dated(&run.created_at));
    table.maybe("due", run.due_at.as_deref().map(text::dated));
    table.maybe("finished", run.finished_at.as_deref().map(text::dated));
    table.maybe("duration", run.duration_ms.map(text::millis));
    if run.attempts.len() < 2 {
        table.property("start", start(any_cold(run)));
    }
    table.property("isolation", format!("level {}", run.isolation));
    table.maybe("status", run.http_status);
    for (index, attempt) in run.attempts.iter().enumerate() {
        let mut parts = Vec::new();
        parts.extend(timeline::pause_before(&run.attempts, index).map(|ms| format!("after {}", text::millis(ms))));
        if run.attempts.len() > 1 {
            parts.push(start(attempt.cold_start).to_owned());
        }
        parts.push(format!("waited {}, ran {}", text::millis(attempt.queue_ms), text::millis(attempt.handler_ms)));
        parts.extend(attempt.cpu_ms.map(|cpu| format!("CPU {}", text::millis(cpu))));
        parts.extend(attempt.peak_memory_bytes.map(|peak| format!("peak memory {}", text::bytes(peak))));
        parts.extend(
            (attempt.dropped_log_lines > 0).then(|| format!("{} log lines dropped", attempt.dropped_log_lines)),
        );
        parts.extend(attempt.code.clone());
        parts.extend(attempt.message.as_deref().map(text::visible));
        table.property(&format!("attempt {}", attempt.number), parts.join(", "));
    }
    if let Some(error) = &run.error {
        table.property("error", format!("{} {}", error.code, error.summary));
        let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
        table.maybe("at", error.file.as_ref().map(|file| format!("{file}{line}")));
        table.property("cause", error.cause.as_str());
        table.property("next step", advice(run, &error.advice));
        if run.input_kept == Some(true) {
            table.property("try again", format!("faas runs replay {} --current", run.id));
        }
    }
    table.maybe("result", run.result.as_ref());
    table.maybe("callback", run.callback.as_ref().map(callback));
    table.maybe("sent on to", run.destination.as_ref().map(destination));
    table
}

fn start(cold: bool) -> &'static str {
    if cold { "cold" } else { "warm" }
}

/// Whether any attempt had to start an instance.
pub(crate) fn any_cold(run: &RunView) -> bool {
    run.cold_start || run.attempts.iter().any(|attempt| attempt.cold_start)
}

/// The advice with the names of this run in place of the general ones.
pub(crate) fn advice(run: &RunView, advice: &str) -> String {
    advice.replace("faas runs logs RUN", &format!("faas runs logs {}", run.id)).replace("FUNCTION", &run.function)
}

fn callback(callback: &Callback) -> String {
    let attempts = text::counted(callback.attempts as usize, "attempt");
    let mut parts = vec![format!("{}, {attempts}", callback.state.as_str()), text::visible(&callback.url)];
    parts.extend(callback.message.as_deref().map(text::visible));
    parts.join(" · ")
}

fn destination(destination: &Destination) -> String {
    let mut parts = vec![destination.function.to_string()];
    parts.extend(destination.run_id.map(|run| run.to_string()));
    parts.extend(destination.message.as_deref().map(text::visible));
    parts.join(" · ")
}
