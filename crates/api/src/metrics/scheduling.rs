//! Metrics of the scheduler: instances by state, queues, and decisions by reason.
//!
//! Only functions that have an instance or a waiting call have samples, so that ten thousand idle ones cost nothing.

use std::collections::{BTreeMap, HashSet};

use faas_engine::Engine;
use faas_scheduler::FunctionLoad;
use faas_telemetry::MetricsSnapshot;

use super::OTHERS;
use crate::metrics_page::Page;

/// One state of a function's instances and how to read it.
type State = (&'static str, fn(&FunctionLoad) -> u32);

const STATES: [State; 3] = [("starting", |f| f.starting), ("busy", |f| f.busy), ("idle", |f| f.idle)];

/// `named` are the functions that are published by name.
pub(super) fn families(page: &mut Page, engine: &Engine, named: &[MetricsSnapshot]) {
    let snapshot = engine.scheduler().snapshot();
    let memory = "Memory that instances hold or have reserved, in bytes.";
    page.single("faas_instances", "gauge", "Starting, serving and terminating instances.", snapshot.instances);
    page.single("faas_instances_starting", "gauge", "Instances that start.", snapshot.starting);
    page.single(
        "faas_instances_terminating",
        "gauge",
        "Instances that were told to stop and still run.",
        snapshot.terminating,
    );
    page.single("faas_instances_memory_bytes", "gauge", memory, snapshot.memory);
    page.single("faas_queue_length", "gauge", "Calls that wait for an instance.", snapshot.waiting);
    let counters = &snapshot.counters;
    let waited = counters.waited.as_secs_f64();
    page.single("faas_instance_starts_ordered_total", "counter", "Instances whose start was ordered.", counters.starts);
    page.single("faas_instance_starts_failed_total", "counter", "Starts that failed.", counters.failed_starts);
    page.single("faas_waits_total", "counter", "Calls that were admitted after a wait.", counters.waits);
    page.single("faas_waits_seconds_total", "counter", "Time that these calls waited.", waited);
    page.family("faas_instance_stops_total", "counter", "Instances taken out of service, by reason.");
    for (reason, count) in counters.stops() {
        page.sample("faas_instance_stops_total", &[("reason", &reason)], count);
    }
    page.family("faas_refusals_total", "counter", "Calls that were refused, by reason.");
    for (reason, count) in counters.refusals() {
        page.sample("faas_refusals_total", &[("reason", &reason)], count);
    }
    function_families(page, &engine.load_by_name(&snapshot), named);
}

fn function_families(page: &mut Page, functions: &BTreeMap<String, FunctionLoad>, named: &[MetricsSnapshot]) {
    let named: HashSet<&str> = named.iter().filter_map(|metrics| Some(metrics.function.as_ref()?.as_str())).collect();
    let mut labelled = BTreeMap::<&str, FunctionLoad>::new();
    for (name, function) in functions {
        let label = if named.contains(name.as_str()) { name } else { OTHERS };
        labelled.entry(label).or_default().add(*function);
    }
    page.family("faas_function_instances", "gauge", "Instances of a function, by state.");
    for (label, function) in &labelled {
        for (state, value) in STATES {
            page.sample("faas_function_instances", &[("function", label), ("state", &state)], value(function));
        }
    }
    page.family("faas_function_queue_length", "gauge", "Calls that wait for an instance of a function.");
    for (label, function) in &labelled {
        page.sample("faas_function_queue_length", &[("function", label)], function.waiting);
    }
}
