//! What `faas dev` says: lines for people, one JSON document a line for programs.

use std::cell::Cell;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use faas_client::rest::{DeploymentView, LogLineView};
use faas_client::{Client, ListLogs, LogFollower, LogSource, Rows};
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::output::{Output, Tone};
use faas_terminal::text::{self, visible};
use faas_types::LogLevel;
use serde_json::{Value, json};

use crate::debugger::Debugger;
use crate::reload_gate::ObservedCall;

/// Says what happens.
pub(super) struct DevReporter {
    out: Output,
    has_deployed: Cell<bool>,
}

/// A follower of all that is logged from now on.
pub(super) async fn follow(client: &Client) -> anyhow::Result<LogFollower> {
    let query = ListLogs { newest_first: true, ..ListLogs::default() };
    let newest = client.logs(&LogSource::Project, &query, &Rows::first(1)).await?;
    let after = newest.items.first().map(|line| line.position);
    Ok(client.follow_logs(LogSource::Project, ListLogs { after, ..ListLogs::default() }, 1).await?)
}

// === impl DevReporter ===

impl DevReporter {
    pub(super) fn new(out: Output) -> Self {
        Self { out, has_deployed: Cell::new(false) }
    }

    /// Where debuggers attach, for programs: people have been told.
    pub(super) fn debugger(&self, debugger: Option<&Debugger>) {
        if let Some(debugger) = debugger
            && self.out.format != Format::Table
        {
            let report =
                json!({ "event": "debugger", "debugger": debugger.name, "address": debugger.address.to_string() });
            self.say(&report, String::new);
        }
    }

    /// Says whether one was deployed before.
    pub(super) fn deployed(&self, deployment: &DeploymentView, took: Duration) -> bool {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let report = json!({
            "event": "deployed",
            "function": deployment.function,
            "version": deployment.version,
            "url": deployment.url,
            "http": deployment.http,
            "took_ms": ms,
        });
        if !self.has_deployed.replace(true) {
            let place = if deployment.http {
                format!("at {}", visible(&deployment.url))
            } else {
                "has no http trigger, so that it has no URL".to_owned()
            };
            self.say(&report, || format!("{} {place}; watching, Ctrl-C ends it", deployment.function));
            return false;
        }
        self.say(&report, || {
            let version = deployment.version.unwrap_or_default();
            let line = format!("version {version} serves after {}", text::took(took));
            self.out.on_stdout(Tone::Faint, line)
        });
        true
    }

    /// How a private function is called.
    pub(super) fn key(&self, url: &str, data: &Path) {
        let key = data.join("admin.key");
        self.out.note(format_args!("  curl -H \"X-API-Key: $(cat '{}')\" {}", key.display(), visible(url)));
    }

    /// Says whether one was deployed before, which serves on.
    pub(super) fn failed(&self, failure: &Failure) -> bool {
        let report = json!({
            "event": "failed",
            "code": failure.code,
            "message": failure.message,
            "details": failure.details,
            "hint": failure.hint,
        });
        if self.out.format == Format::Table {
            self.out.failure(failure);
            if self.has_deployed.get() {
                self.out.note("  the version before serves on");
            }
        } else {
            self.say(&report, String::new);
        }
        self.has_deployed.get()
    }

    pub(super) fn mended(&self) {
        self.say(&json!({ "event": "mended" }), || "as it was before; the same version serves on".to_owned());
    }

    pub(super) fn call(&self, call: &ObservedCall) {
        let ms = call.took.as_secs_f64() * 1_000.0;
        let report = json!({
            "event": "call",
            "method": call.method,
            "path": call.path,
            "status": call.status,
            "duration_ms": ms,
            "run_id": call.run,
            "cold_start": call.is_cold,
            "version": call.version,
        });
        self.say(&report, || {
            let status = match call.status {
                0..400 => call.status.to_string(),
                400..500 => self.out.on_stdout(Tone::Warning, call.status),
                _ => self.out.on_stdout(Tone::Bad, call.status),
            };
            let cold = if call.is_cold == Some(true) { " cold" } else { "" };
            let rest = format!("{}{cold} {}", text::millis(ms), call.run.as_deref().unwrap_or_default());
            let rest = self.out.on_stdout(Tone::Faint, visible(rest.trim_end()));
            format!("{} {} {status} {rest}", visible(&call.method), visible(&call.path))
        });
    }

    pub(super) fn log(&self, line: &LogLineView) {
        let report = json!({
            "event": "log",
            "at": line.at,
            "level": line.level.as_str(),
            "run_id": line.run_id,
            "message": line.message,
        });
        self.say(&report, || {
            let bar = match line.level {
                LogLevel::Error => self.out.on_stdout(Tone::Bad, "|"),
                LogLevel::Warn => self.out.on_stdout(Tone::Warning, "|"),
                LogLevel::Debug | LogLevel::Info => self.out.on_stdout(Tone::Faint, "|"),
            };
            let rows: Vec<String> = visible(&line.message).split('\n').map(|row| format!("  {bar} {row}")).collect();
            rows.join("\n")
        });
    }

    pub(super) fn fired(&self, trigger: &str, run: &str) {
        let report = json!({ "event": "fired", "trigger": trigger, "run_id": run });
        self.say(&report, || format!("fired {}: {run}", visible(trigger)));
    }

    pub(super) fn remark(&self, text: impl Display) {
        self.out.note(text);
    }

    pub(super) fn warn(&self, error: &anyhow::Error) {
        let failure = Failure::from_error(error);
        let word = self.out.on_stderr(Tone::Warning, "warning");
        self.out.note(format_args!("{word}: {}", failure.message));
    }

    /// Serving goes on when the reader of the output has gone.
    fn say(&self, report: &Value, line: impl FnOnce() -> String) {
        let _ = match self.out.format {
            Format::Table => self.out.line(line()),
            Format::Json | Format::Ndjson => self.out.json_line(report),
        };
    }
}
