//! How sandboxes end.

use anyhow::{Result, ensure};

use crate::Check;
use crate::lab::Lab;

pub(crate) const CHECKS: &[(&str, Check)] = &[("exit_code", exit_code)];

pub(crate) fn serve_until_killed(_arguments: &[String]) -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}

fn exit_code(lab: &Lab) -> Result<()> {
    println!("{:#?}", faas_ports::Sandboxes::report(&lab.sandboxes));
    let outcome = lab.run(&["exit", "7"])?;
    ensure!(outcome.exit.code == Some(7), "{:?} {} {}", outcome.exit, outcome.stdout, outcome.stderr);
    Ok(())
}
