//! `/metrics` in the Prometheus text format, with names after the OpenTelemetry FaaS conventions.
//!
//! Written from snapshots of the engine's counters: the call path keeps no second set for this page. Label values
//! are function names and error codes, whose alphabets need no escaping.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::response::IntoResponse;
use faas_engine::{Forgotten, FunctionSnapshot, Stats};
use http::header::CONTENT_TYPE;

use crate::state::ApiState;

/// A page under construction.
#[derive(Default)]
struct Page(String);

/// Shows counters and durations of every function called since the server started.
#[utoipa::path(get, path = "/metrics", tag = "server", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn serve(State(state): State<ApiState>) -> impl IntoResponse {
    let mut page = Page::default();
    server_families(&mut page, &state);
    retention_families(&mut page, state.engine.forgotten());
    function_families(&mut page, &state.engine.stats().snapshots());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.0)
}

fn server_families(page: &mut Page, state: &ApiState) {
    let engine = &state.engine;
    page.family("faas_build_info", "gauge", "The release that runs; always 1.");
    page.sample("faas_build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    page.family("faas_isolation_level", "gauge", "The isolation level of new sandboxes: 0, 1 or 2.");
    page.sample("faas_isolation_level", &[], u8::from(state.isolation.level));
    page.family("faas_instances", "gauge", "Live and starting instances.");
    page.sample("faas_instances", &[], engine.instances());
    page.family("faas_run_records_dropped_total", "counter", "Run records lost because the history could not keep up.");
    page.sample("faas_run_records_dropped_total", &[], engine.stats().dropped_records());
    page.family("faas_log_lines_dropped_total", "counter", "Log lines lost because the history could not keep up.");
    page.sample("faas_log_lines_dropped_total", &[], engine.stats().dropped_logs());
}

/// What retention has done.
fn retention_families(page: &mut Page, forgotten: &Forgotten) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.family("faas_history_expired_total", "counter", "Rows of the history that were forgotten, by kind.");
    for (kind, counter) in [("runs", &forgotten.runs), ("log_lines", &forgotten.lines)] {
        page.sample("faas_history_expired_total", &[("kind", &kind)], count(counter));
    }
    page.family("faas_history_reclaimed_bytes_total", "counter", "Bytes given back to the file system.");
    page.sample("faas_history_reclaimed_bytes_total", &[], count(&forgotten.reclaimed));
    page.family("faas_log_bytes", "gauge", "Bytes of log lines that are kept.");
    page.sample("faas_log_bytes", &[], count(&forgotten.log_bytes));
}

fn function_families(page: &mut Page, functions: &[FunctionSnapshot]) {
    let mut counter = |name: &str, help: &str, value: fn(&FunctionSnapshot) -> u64| {
        page.family(name, "counter", help);
        functions.iter().for_each(|f| page.sample(name, &[("function", &f.name)], value(f)));
    };
    counter("faas_invocations_total", "Calls that ended.", |f| f.invocations);
    counter("faas_coldstarts_total", "Calls that had to start an instance.", |f| f.cold_starts);
    counter("faas_throttles_total", "Calls refused because every instance was busy.", |f| f.throttled);
    page.family("faas_errors_total", "counter", "Calls that failed, by error code.");
    for function in functions {
        for (code, count) in &function.errors {
            page.sample("faas_errors_total", &[("function", &function.name), ("code", code)], count);
        }
    }
    page.family("faas_in_flight", "gauge", "Calls under way.");
    functions.iter().for_each(|f| page.sample("faas_in_flight", &[("function", &f.name)], f.in_flight));
    page.family("faas_invoke_duration_seconds", "histogram", "Time from acceptance of a call to its end.");
    functions.iter().for_each(|function| durations(page, function));
}

fn durations(page: &mut Page, function: &FunctionSnapshot) {
    let name: (&str, &dyn Display) = ("function", &function.name);
    for (bound, count) in Stats::BUCKETS_US.iter().zip(&function.buckets) {
        page.sample("faas_invoke_duration_seconds_bucket", &[name, ("le", &seconds(*bound))], count);
    }
    page.sample("faas_invoke_duration_seconds_bucket", &[name, ("le", &"+Inf")], function.invocations);
    page.sample("faas_invoke_duration_seconds_sum", &[name], seconds(function.duration_sum_us));
    page.sample("faas_invoke_duration_seconds_count", &[name], function.invocations);
}

#[expect(clippy::cast_precision_loss, reason = "durations stay far below 2^53 microseconds")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

// === impl Page ===

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }
}
