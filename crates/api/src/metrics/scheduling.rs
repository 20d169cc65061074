//! What the scheduler does: instances by state, queues, and its decisions by reason.
//!
//! Only functions that have an instance or a waiting call have samples, so that ten thousand idle ones cost nothing.

use std::collections::{BTreeMap, HashSet};

use faas_engine::{Engine, FunctionCensus};
use faas_telemetry::MetricsSnapshot;

use super::OTHERS;
use crate::metrics_page::Page;

/// One state of a function's instances and how to read it.
type State = (&'static str, fn(&FunctionCensus) -> u32);

const STATES: [State; 3] = [("starting", |f| f.starting), ("busy", |f| f.busy), ("idle", |f| f.idle)];

/// `named` are the functions that have a label of their own.
pub(super) fn families(page: &mut Page, engine: &Engine, named: &[MetricsSnapshot]) {
    let census = engine.census();
    let memory = "Memory that instances hold or have reserved, in bytes.";
    page.single("faas_instances", "gauge", "Starting, serving and leaving instances.", census.instances);
    page.single("faas_instances_starting", "gauge", "Instances that start.", census.starting);
    page.single("faas_instances_leaving", "gauge", "Instances that were told to end.", census.leaving);
    page.single("faas_instances_memory_bytes", "gauge", memory, census.memory);
    page.single("faas_queue_length", "gauge", "Calls that wait for an instance.", census.waiting);
    let decided = &census.decisions;
    let waited = decided.waited.as_secs_f64();
    page.single("faas_instance_starts_ordered_total", "counter", "Instances whose start was ordered.", decided.starts);
    page.single("faas_instance_starts_failed_total", "counter", "Starts that failed.", decided.failed_starts);
    page.single("faas_waits_total", "counter", "Calls that got their place after a wait.", decided.waits);
    page.single("faas_waits_seconds_total", "counter", "Time that these calls waited.", waited);
    page.family("faas_instance_endings_total", "counter", "Instances taken out of service, by reason.");
    for (reason, count) in decided.endings() {
        page.sample("faas_instance_endings_total", &[("reason", &reason)], count);
    }
    page.family("faas_refusals_total", "counter", "Calls that got no place, by reason.");
    for (reason, count) in decided.refusals() {
        page.sample("faas_refusals_total", &[("reason", &reason)], count);
    }
    function_families(page, &engine.census_by_name(&census), named);
}

fn function_families(page: &mut Page, functions: &BTreeMap<String, FunctionCensus>, named: &[MetricsSnapshot]) {
    let named: HashSet<&str> = named.iter().filter_map(|metrics| Some(metrics.function.as_ref()?.as_str())).collect();
    let mut labelled = BTreeMap::<&str, FunctionCensus>::new();
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
