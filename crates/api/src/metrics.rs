//! `/metrics` in the Prometheus text format, with names after the OpenTelemetry FaaS conventions.
//!
//! Written from snapshots of the engine's counters: the call path keeps no second set for this page. Label values
//! are function names, error codes and words of ours, whose alphabets need no escaping.

mod registry;
mod scheduling;

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::response::IntoResponse;
use faas_engine::{CompletionMetrics, GcStats, NetworkUsage, RetentionMetrics};
use faas_ports::{StartMetrics, StartPath};
use faas_telemetry::{HistogramSnapshot, MetricsSnapshot};
use faas_types::Code;
use faas_web::ConnectionEnd;
use http::header::CONTENT_TYPE;

use crate::metrics_page::{Page, scaled};
use crate::state::ApiState;

/// The label of all functions that have none of their own. No function can have this name.
const OTHERS: &str = "_other";
const MICROS: f64 = 1e6;

/// Shows counters and durations of the functions called since the server started, and of the server itself.
///
/// Needs no key where the server's configuration says `metrics.open`.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics.get", tag = "server", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn serve(State(state): State<ApiState>) -> impl IntoResponse {
    let mut page = Page::default();
    server_families(&mut page, &state);
    registry::families(&mut page, &state.engine.projections());
    start_families(&mut page, &state.engine.launcher().starts());
    body_families(&mut page, &state);
    retention_families(&mut page, state.engine.runs.retention_metrics());
    gc_families(&mut page, state.engine.gc.stats());
    completion_families(&mut page, state.engine.runs.completion_metrics());
    connection_families(&mut page, &state);
    cache_families(&mut page, &state);
    let functions = state.engine.stats().published();
    scheduling::families(&mut page, &state.engine, &functions);
    counter_families(&mut page, &functions);
    failure_families(&mut page, &functions);
    network_families(&mut page, &functions);
    histogram_families(&mut page, &functions);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.into_text())
}

fn server_families(page: &mut Page, state: &ApiState) {
    let engine = &state.engine;
    page.family("faas_build_info", "gauge", "The release that runs; always 1.");
    page.sample("faas_build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    page.single(
        "faas_isolation_level",
        "gauge",
        "The isolation level of new sandboxes.",
        u8::from(state.isolation.level),
    );
    let dropped = engine.stats().dropped_records();
    page.single("faas_run_records_dropped_total", "counter", "Run records that the history could not take.", dropped);
    let dropped = engine.stats().dropped_logs();
    page.single("faas_log_lines_dropped_total", "counter", "Log lines that the history could not take.", dropped);
}

fn start_families(page: &mut Page, starts: &StartMetrics) {
    page.family("faas_runtimes_parked", "gauge", "Started runtimes that wait for a function.");
    for (runtime, count) in &starts.parked {
        page.sample("faas_runtimes_parked", &[("runtime", &runtime.as_str())], count);
    }
    page.family("faas_instance_starts_total", "counter", "Instances that became ready, by where their start began.");
    for (path, count) in StartPath::ALL.iter().zip(&starts.started) {
        page.sample("faas_instance_starts_total", &[("path", &path.as_str())], count);
    }
    page.family("faas_start_fallbacks_total", "counter", "Starts that went a longer way than prepared, by reason.");
    for (reason, count) in &starts.fallbacks {
        page.sample("faas_start_fallbacks_total", &[("reason", reason)], count);
    }
    page.single("faas_parkings_total", "counter", "Runtimes started ahead of time.", starts.parkings);
    let seconds = starts.parking_time.as_secs_f64();
    page.single("faas_parking_seconds_total", "counter", "Time that starting them took, in the background.", seconds);
}

fn body_families(page: &mut Page, state: &ApiState) {
    let bodies = state.engine.runs.bodies();
    let help = "Memory of bodies that are collected for a handler or a client.";
    page.single("faas_bodies_held_bytes", "gauge", help, bodies.used());
    page.single("faas_bodies_refused_total", "counter", "Bodies that found no room in that memory.", bodies.refused());
    let help = "Bytes of background runs that have not ended, with their inputs.";
    page.single("faas_background_waiting_bytes", "gauge", help, state.engine.runs.waiting_bytes());
}

/// What retention has done.
fn retention_families(page: &mut Page, forgotten: &RetentionMetrics) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.family("faas_history_expired_total", "counter", "Rows of the history that were forgotten, by kind.");
    for (kind, counter) in [("runs", &forgotten.runs), ("log_lines", &forgotten.lines)] {
        page.sample("faas_history_expired_total", &[("kind", &kind)], count(counter));
    }
    let reclaimed = count(&forgotten.reclaimed);
    page.single("faas_history_reclaimed_bytes_total", "counter", "Bytes given back to the file system.", reclaimed);
    page.single("faas_log_bytes", "gauge", "Bytes of log lines that are kept.", count(&forgotten.log_bytes));
}

/// What garbage collection removed.
fn gc_families(page: &mut Page, stats: &GcStats) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.family("faas_gc_runs_total", "counter", "Garbage collections, by outcome.");
    for (outcome, counter) in [("done", &stats.done), ("failed", &stats.failed)] {
        page.sample("faas_gc_runs_total", &[("outcome", &outcome)], count(counter));
    }
    page.family("faas_gc_removed_total", "counter", "What garbage collections removed, by kind.");
    let kinds = [("blobs", &stats.blobs), ("layers", &stats.layers), ("records", &stats.records)];
    for (kind, counter) in kinds {
        page.sample("faas_gc_removed_total", &[("kind", &kind)], count(counter));
    }
    let bytes = count(&stats.bytes);
    page.single("faas_gc_removed_bytes_total", "counter", "Bytes of files that garbage collections removed.", bytes);
}

/// What follows the ends of runs.
fn completion_families(page: &mut Page, completion: &CompletionMetrics) {
    page.family(
        "faas_callbacks_total",
        "counter",
        "Attempts of callbacks, by outcome; abandoned ones are not tried again.",
    );
    for (outcome, count) in completion.callbacks() {
        page.sample("faas_callbacks_total", &[("outcome", &outcome)], count);
    }
    page.family("faas_destinations_total", "counter", "Ends of runs whose function names a destination, by outcome.");
    for (outcome, count) in completion.destinations() {
        page.sample("faas_destinations_total", &[("outcome", &outcome)], count);
    }
}

fn connection_families(page: &mut Page, state: &ApiState) {
    let connections = &state.connections;
    page.single("faas_connections_open", "gauge", "Connections of clients.", connections.open());
    let accepted = connections.accepted();
    page.single("faas_connections_accepted_total", "counter", "Connections since the start.", accepted);
    let name = "faas_connections_closed_total";
    page.family(name, "counter", "Connections that ended, by reason.");
    for why in ConnectionEnd::ALL {
        page.sample(name, &[("reason", &why.as_str())], connections.ended_for(why));
    }
}

fn cache_families(page: &mut Page, state: &ApiState) {
    page.single("faas_cache_bytes", "gauge", "Memory that kept answers use.", state.cache.bytes());
    page.single("faas_cache_entries", "gauge", "Paths with kept answers.", state.cache.len());
}

fn label(metrics: &MetricsSnapshot) -> &str {
    metrics.function.as_ref().map_or(OTHERS, |name| name.as_str())
}

fn failed_with(metrics: &MetricsSnapshot, code: Code) -> u64 {
    metrics.errors.iter().find(|(other, _)| *other == code).map_or(0, |(_, count)| *count)
}

fn counter_families(page: &mut Page, functions: &[MetricsSnapshot]) {
    let mut each = |name: &str, kind: &str, help: &str, value: fn(&MetricsSnapshot) -> u64| {
        page.family(name, kind, help);
        functions.iter().for_each(|metrics| page.sample(name, &[("function", &label(metrics))], value(metrics)));
    };
    each("faas_invocations_total", "counter", "Calls that succeeded.", |metrics| metrics.succeeded);
    each("faas_coldstarts_total", "counter", "Calls that waited for an instance to start.", |metrics| {
        metrics.cold_starts
    });
    each("faas_timeouts_total", "counter", "Calls that ran past their timeout.", |metrics| {
        failed_with(metrics, Code::TimeoutExceeded)
    });
    each("faas_throttles_total", "counter", "Calls refused because every instance was busy.", |metrics| {
        failed_with(metrics, Code::Overloaded) + failed_with(metrics, Code::RateLimited)
    });
    each("faas_log_lines_cut_total", "counter", "Log lines beyond the limit of their runs.", |metrics| {
        metrics.cut_log_lines
    });
    each("faas_in_flight", "gauge", "Calls under way.", |metrics| metrics.in_flight);
}

fn failure_families(page: &mut Page, functions: &[MetricsSnapshot]) {
    page.family("faas_errors_total", "counter", "Calls that failed, by error code.");
    for metrics in functions {
        for (code, count) in &metrics.errors {
            page.sample("faas_errors_total", &[("function", &label(metrics)), ("code", code)], count);
        }
    }
    let name = "faas_cache_requests_total";
    page.family(name, "counter", "Requests to functions that let answers be kept, by what became of them.");
    for metrics in functions {
        for (outcome, count) in &metrics.cache {
            page.sample(name, &[("function", &label(metrics)), ("outcome", &outcome.as_str())], count);
        }
    }
}

/// Functions without a network have none of these samples.
fn network_families(page: &mut Page, functions: &[MetricsSnapshot]) {
    let used: Vec<_> = functions.iter().filter(|metrics| !metrics.network.is_none()).collect();
    let mut each = |name: &str, kind: &str, help: &str, value: fn(&NetworkUsage) -> u64| {
        page.family(name, kind, help);
        used.iter().for_each(|metrics| page.sample(name, &[("function", &label(metrics))], value(&metrics.network)));
    };
    each("faas_network_connections_total", "counter", "Connections that functions made.", |usage| usage.connections);
    each("faas_network_open_connections", "gauge", "Connections of functions that are open.", |usage| usage.open);
    let help = "Attempts of functions to connect or to look a name up that rules refused.";
    each("faas_network_denied_total", "counter", help, |usage| usage.denied);
    each("faas_network_sent_bytes_total", "counter", "Bytes that functions sent to other machines.", |usage| {
        usage.sent
    });
    let help = "Bytes that functions received from other machines.";
    each("faas_network_received_bytes_total", "counter", help, |usage| usage.received);
}

fn histogram_families(page: &mut Page, functions: &[MetricsSnapshot]) {
    let mut each = |name: &str, help: &str, unit: f64, value: fn(&MetricsSnapshot) -> &HistogramSnapshot| {
        page.family(name, "histogram", help);
        for metrics in functions {
            histogram(page, name, &label(metrics), unit, value(metrics));
        }
    };
    let help = "Time from acceptance of a call to its end.";
    each("faas_invoke_duration_seconds", help, MICROS, |metrics| &metrics.durations);
    each("faas_init_duration_seconds", "Time that instances took to start.", MICROS, |metrics| &metrics.starts);
    each("faas_cpu_usage_seconds", "CPU time of a call.", MICROS, |metrics| &metrics.cpu);
    each("faas_mem_usage_bytes", "Most memory that the sandbox of a call has held.", 1.0, |metrics| &metrics.memory);
}

fn histogram(page: &mut Page, name: &str, function: &dyn Display, unit: f64, values: &HistogramSnapshot) {
    let label: (&str, &dyn Display) = ("function", function);
    let bucket = format!("{name}_bucket");
    for (bound, count) in &values.buckets {
        page.sample(&bucket, &[label, ("le", &scaled(*bound, unit))], count);
    }
    page.sample(&bucket, &[label, ("le", &"+Inf")], values.count);
    page.sample(&format!("{name}_sum"), &[label], scaled(values.sum, unit));
    page.sample(&format!("{name}_count"), &[label], values.count);
}
