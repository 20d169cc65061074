//! Opens real sandboxes and tries to get out of them, overstep their limits and outlive them.
//!
//! One program in four roles: the tests, the spawner, a server to be killed, and the guest inside a sandbox.
#![allow(clippy::print_stdout, reason = "a guest's output is what the tests look at")]
#![allow(unsafe_code, reason = "guests fork and raise signals")]

mod confinement;
mod endings;
mod guest;
mod lab;
mod languages;
mod limits;
mod measure;
mod midway;
mod network;
mod plain;
mod ways;
mod zygote;

use std::process::ExitCode;

use lab::Lab;

/// What runners of single tests call the whole of this program.
const EVERY_CHECK: &str = "every_check";

type Check = fn(&Lab) -> anyhow::Result<()>;

fn checks() -> Vec<(&'static str, Check)> {
    let own = [endings::CHECKS, midway::CHECKS, limits::CHECKS, confinement::CHECKS, languages::CHECKS, plain::CHECKS];
    let held = [endings::HELD, confinement::HELD, network::HELD].concat();
    [own.concat(), network::CHECKS.to_vec(), held, ways::CHECKS.to_vec()].concat()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("__spawner") => faas_sandbox::spawner_main(),
        Some("__guest") => guest::run(&arguments[1..]),
        Some("__server") => endings::serve_until_killed(&arguments[1..]),
        Some("__network") => faas_sandbox::network_main(network::attempts),
        Some("__network-deaf") => faas_sandbox::network_main(network::deaf_attempts),
        Some("__network-broken") => network::end_before_it_is_ready(),
        Some("__network-server") => network::serve_until_killed(),
        Some("--list") => list(&arguments),
        Some("measure") => measure::run(),
        _ => {
            let named = arguments.iter().map(String::as_str).find(|argument| !argument.starts_with('-'));
            run(named.filter(|name| *name != EVERY_CHECK).unwrap_or_default())
        }
    }
}

/// Tells runners of single tests of one test that makes every check: the checks share a laboratory, and some watch what
/// the whole machine holds. None is ignored, so a list of ignored tests is empty.
fn list(arguments: &[String]) -> ExitCode {
    if !arguments.iter().any(|argument| argument == "--ignored") {
        println!("{EVERY_CHECK}: test");
    }
    ExitCode::SUCCESS
}

fn run(filter: &str) -> ExitCode {
    let lab = match Lab::new() {
        Ok(lab) => lab,
        Err(error) => {
            println!("cannot set up: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    println!("isolation level {}", lab.level());
    let mut failures = 0;
    for (name, check) in checks().into_iter().filter(|(name, _)| name.contains(filter)) {
        let outcome = check(&lab);
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        if let Err(error) = outcome {
            println!("    {error:#}");
            failures += 1;
        }
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
