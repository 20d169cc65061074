//! The `faas` binary: wires the floors together, and is the only place that names concrete adapters.

mod admin_key;
mod builds;
mod debuggers;
mod descriptors;
mod logging;
mod memory;
mod networks;
mod plane_router;
mod server;
mod up;

use std::process::ExitCode;

use faas_ports::HELPER;

/// A warm call makes some hundred small allocations on one thread and frees many of them on another, which is what the
/// C library's allocator is slowest at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The hidden first argument that turns this program into the sandbox's spawner.
const SPAWNER: &str = "__spawner";
/// The one that turns it into the process that speaks for sandboxes.
const NETWORK: &str = "__network";

fn main() -> ExitCode {
    // Before anything else: each of them must stay single-threaded.
    match std::env::args_os().nth(1) {
        Some(word) if word == SPAWNER => faas_sandbox::spawner_main(),
        Some(word) if word == NETWORK => faas_sandbox::network_main(faas_net::main_loop),
        Some(word) if word == HELPER => faas_sandbox::helper_main(),
        _ => up::run_command_line(),
    }
}
