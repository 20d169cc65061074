//! What the scheduler does: instances by state, queues, and its decisions by reason.
//!
//! Only functions that have an instance or a waiting call have samples, so that ten thousand idle ones cost nothing.

use faas_engine::{Engine, FunctionCensus};

use super::Page;

/// One state of a function's instances and how to read it.
type State = (&'static str, fn(&FunctionCensus) -> u32);

const STATES: [State; 3] = [("starting", |f| f.starting), ("busy", |f| f.busy), ("idle", |f| f.idle)];

pub(super) fn families(page: &mut Page, engine: &Engine) {
    let census = engine.census();
    let mut gauge = |name: &str, help: &str, value: u64| {
        page.family(name, "gauge", help);
        page.sample(name, &[], value);
    };
    gauge("faas_instances", "Starting, serving and leaving instances.", census.instances.into());
    gauge("faas_instances_starting", "Instances that start.", census.starting.into());
    gauge("faas_instances_leaving", "Instances that were told to end.", census.leaving.into());
    gauge("faas_instances_memory_bytes", "Memory that instances hold or have reserved.", census.memory);
    gauge("faas_queue_length", "Calls that wait for an instance.", census.waiting.into());
    let tally = &census.tally;
    let mut counter = |name: &str, help: &str, value: u64| {
        page.family(name, "counter", help);
        page.sample(name, &[], value);
    };
    counter("faas_instance_starts_total", "Instances whose start was ordered.", tally.starts);
    counter("faas_instance_starts_failed_total", "Starts that failed.", tally.failed_starts);
    counter("faas_waits_total", "Calls that got their place after a wait.", tally.waits);
    page.family("faas_waits_seconds_total", "counter", "Time that these calls waited.");
    page.sample("faas_waits_seconds_total", &[], tally.waited.as_secs_f64());
    page.family("faas_instance_endings_total", "counter", "Instances taken out of service, by reason.");
    for (reason, count) in tally.endings() {
        page.sample("faas_instance_endings_total", &[("reason", &reason)], count);
    }
    page.family("faas_refusals_total", "counter", "Calls that got no place, by reason.");
    for (reason, count) in tally.refusals() {
        page.sample("faas_refusals_total", &[("reason", &reason)], count);
    }
    let functions = engine.census_by_name(&census);
    page.family("faas_function_instances", "gauge", "Instances of a function, by state.");
    for (name, function) in &functions {
        for (state, value) in STATES {
            page.sample("faas_function_instances", &[("function", name), ("state", &state)], value(function));
        }
    }
    page.family("faas_function_queue_length", "gauge", "Calls that wait for an instance of a function.");
    for (name, function) in &functions {
        page.sample("faas_function_queue_length", &[("function", name)], function.waiting);
    }
}
