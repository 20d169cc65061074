//! Real programs on a real TUN device, through the network process, to servers on the loopback interface.
//!
//! One program in two roles: the checks, and the network process. It needs root and /dev/net/tun for the namespace and the device.
#![allow(clippy::print_stdout, reason = "outcomes are what the program is for")]

mod broker;
mod checks;
mod ends;
mod far;
mod lab;
mod measure;
mod shares;

use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use lab::Lab;
use rustix::process::{Resource, Rlimit, setrlimit};

/// What runners of single tests call the whole of this program.
const EVERY_CHECK: &str = "every_check";

type Check = fn(&mut Lab) -> anyhow::Result<()>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("__net") => serve(arguments.get(1)),
        Some("--list") => list(&arguments),
        Some("measure") => report("measure", measure::run()),
        _ => {
            let named = arguments.iter().map(String::as_str).find(|argument| !argument.starts_with('-'));
            run(named.filter(|name| *name != EVERY_CHECK).unwrap_or_default())
        }
    }
}

/// The network process, whose control socket is descriptor 0.
fn serve(files: Option<&String>) -> ExitCode {
    if let Some(most) = files.and_then(|files| files.parse().ok()) {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(Resource::Nofile, limit).expect("lowering a limit is allowed");
    }
    let control = std::io::stdin().as_fd().try_clone_to_owned();
    report("the network process", control.and_then(faas_net::main_loop).map_err(Into::into))
}

/// Tells runners of single tests of one test that makes every check. None is ignored.
fn list(arguments: &[String]) -> ExitCode {
    if !arguments.iter().any(|argument| argument == "--ignored") {
        println!("{EVERY_CHECK}: test");
    }
    ExitCode::SUCCESS
}

fn report(what: &str, outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{what}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(filter: &str) -> ExitCode {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/net/tun").exists() {
        println!("left out: real programs on a TUN device need root and /dev/net/tun");
        return ExitCode::SUCCESS;
    }
    let mut failures = 0;
    let all = checks::CHECKS.iter().chain(ends::CHECKS).chain(shares::CHECKS);
    for (name, check) in all.filter(|(name, _)| name.contains(filter)) {
        let outcome = Lab::new().and_then(|mut lab| check(&mut lab));
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        if let Err(error) = outcome {
            println!("    {error:#}");
            failures += 1;
        }
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
