//! Whatever a sandbox sends, its driver comes to an end, in bounded time and memory.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tokio::signal::unix::{SignalKind, signal};

fuzz_target!(|input: &[u8]| {
    // With a clock that jumps: an instance that has used up its budget waits for no one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let cost = runtime.expect("a runtime").block_on(async {
        // Where the sandbox's end is closed, writing is an error, as in a program of Rust; here the signal would end the fuzzer.
        let _handled = signal(SignalKind::pipe()).expect("a handler");
        faas_runtimes::fuzzing::drive(input).await
    });
    let allowed = Duration::from_millis(500) + cost.passed / 10;
    assert!(cost.processor < 4 * allowed, "{cost:?}");
    assert!(cost.peak_memory < 1 << 30, "{cost:?}");
});
