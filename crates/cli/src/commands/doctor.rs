//! `faas doctor`

use std::process::ExitCode;

use clap::Args;
use faas_terminal::global_args::Format;
use faas_terminal::output::Tone;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_types::{Feature, IsolationLevel, IsolationReport};

use crate::ServerCommands;

/// Check which isolation and network this machine can give functions
///
/// Tries every feature in throwaway sandboxes. Ends with 1 when functions cannot be confined at all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {}

const EXAMPLES: &str = "\
Examples:
  faas doctor
  faas doctor -o json";

pub(crate) async fn run<S: ServerCommands>(session: &Session, server: &S) -> anyhow::Result<ExitCode> {
    let report = server.doctor().await?;
    let out = &session.out;
    match out.format {
        Format::Table => {
            for line in table(&report).render().lines() {
                let is_missing = line.split_whitespace().nth(1) == Some("missing");
                out.line(if is_missing { out.on_stdout(Tone::Warning, line) } else { line.to_owned() })?;
            }
            out.line(verdict(&report))?;
        }
        Format::Json | Format::Ndjson => out.json(&report)?,
    }
    Ok(if report.level == IsolationLevel::Process { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(report: &IsolationReport) -> Table {
    let mut table = Table::with_headings(["FEATURE", "STATE", "SEEN", "FIX"]);
    for probe in &report.probes {
        let state = match (probe.enforced, probe.feature) {
            (true, Feature::Egress) => "available",
            (true, _) => "enforced",
            (false, _) => "missing",
        };
        let fix = probe.fix.clone().filter(|_| !probe.enforced).unwrap_or_default();
        table.row([name(probe.feature), state.to_owned(), probe.detail.clone(), fix]);
    }
    table
}

fn verdict(report: &IsolationReport) -> String {
    let confining = report.probes.iter().filter(|probe| probe.feature != Feature::Egress);
    let missing = confining.filter(|probe| !probe.enforced).count();
    let meaning = match report.level {
        IsolationLevel::Full => "everything is enforced".to_owned(),
        IsolationLevel::Partial => {
            format!("functions are confined, but {missing} of the limits cannot be enforced")
        }
        IsolationLevel::Process => "functions cannot be confined; the server refuses to start them unless it runs \
                                    with --unsafe-no-isolation"
            .to_owned(),
    };
    let has_device = report.probes.iter().all(|probe| probe.enforced || probe.feature != Feature::Egress);
    let network = if has_device { "" } else { "; functions with network = \"egress\" cannot be deployed" };
    format!("\nisolation level {}: {meaning}{network}", report.level)
}

fn name(feature: Feature) -> String {
    serde_json::to_value(feature).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use faas_types::Probe;

    use super::*;
    #[test]
    fn a_report_names_what_is_missing_and_the_fix() {
        let probe = |feature: Feature| Probe {
            feature,
            enforced: feature != Feature::CgroupMemory,
            detail: "seen".into(),
            fix: Some("mount the memory controller".into()),
        };
        let report = IsolationReport::from_probes(Feature::CONFINING.into_iter().map(probe).collect());
        let text = table(&report).render();
        assert!(text.contains("cgroup-memory     missing   seen  mount the memory controller"), "{text}");
        assert_eq!(text.matches("mount the memory").count(), 1, "fixes stand only where something is missing");
        assert!(verdict(&report).contains("level 1: functions are confined, but 1 of the limits"));
    }

    #[test]
    fn a_machine_without_a_network_device_says_so_in_the_verdict() {
        let report = |has_device: bool| {
            let probe = |feature: Feature| Probe {
                feature,
                enforced: has_device || feature != Feature::Egress,
                detail: "seen".into(),
                fix: None,
            };
            IsolationReport::from_probes(Feature::CONFINING.into_iter().chain([Feature::Egress]).map(probe).collect())
        };
        assert!(verdict(&report(true)).ends_with("level 2: everything is enforced"));
        let without = verdict(&report(false));
        assert!(without.ends_with("everything is enforced; functions with network = \"egress\" cannot be deployed"));
    }
}
