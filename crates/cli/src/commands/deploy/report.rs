//! What a deployment tells: the changes before it, the outcome after it.

use std::collections::HashSet;
use std::time::Duration;

use faas_client::rest::{DependenciesView, DeploymentGroupView, DeploymentView};
use faas_terminal::global_args::Format;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::TriggerSettings;
use serde_json::{Value, json};

use super::DeployUnit;
use super::changes::NAMED_MAX;

/// Changed files that are printed before the rest is only counted.
const NAMED_FILES: usize = 10;

// === impl DeployUnit ===

impl DeployUnit {
    /// What the server lacks, by name.
    fn new_files(&self) -> Vec<&str> {
        let missing: HashSet<&str> = self.plan.missing.iter().map(String::as_str).collect();
        let entries = self.project.files.iter().map(|file| &file.entry);
        entries.filter(|entry| missing.contains(entry.digest.as_str())).map(|entry| entry.path.as_str()).collect()
    }

    /// How much is uploaded and how much is there, for programs.
    pub(super) fn counts(&self) -> Value {
        let new = self.new_files().len();
        json!({
            "files": self.project.files.len(),
            "files_uploaded": new,
            "files_present": self.project.files.len() - new,
            "blobs_uploaded": self.plan.missing.len(),
            "bytes_uploaded": self.plan.missing_bytes,
            "bytes_total": self.plan.total_bytes,
        })
    }
}

/// Says what is about to change and what is about to be sent.
pub(super) fn announce(unit: &DeployUnit, diff: Option<&str>, session: &Session) {
    let DeployUnit { project, plan, changes } = unit;
    let lines = changes.lines();
    for line in lines.iter().take(NAMED_FILES) {
        session.out.note(format_args!("  {line}"));
    }
    if lines.len() > NAMED_FILES {
        session.out.note(format_args!("  … and {} more", lines.len() - NAMED_FILES));
    }
    if let Some(diff) = diff.filter(|diff| !diff.is_empty()) {
        session.out.note(text::visible(diff.trim_end()));
    }
    let (files, count) = (text::counted(project.files.len(), "file"), unit.new_files().len());
    let (new, total) = (text::bytes(plan.missing_bytes), text::bytes(plan.total_bytes));
    let there = project.files.len() - count;
    session.out.note(format_args!(
        "{}: {files}, {count} new ({new} of {total} to upload), {there} already there; {}",
        project.name,
        changes.summary()
    ));
}

pub(super) fn print_plans(units: &[(DeployUnit, Option<String>)], session: &Session) -> anyhow::Result<()> {
    let mut plans: Vec<Value> = units.iter().map(|(unit, diff)| plan(unit, diff.as_deref())).collect();
    let report = if plans.len() == 1 { plans.remove(0) } else { json!({ "functions": plans }) };
    session.out.item(&report, |_| {
        let mut table = Table::of_properties();
        for (unit, _) in units {
            table.property("function", &unit.project.name);
            let files = text::counted(unit.project.files.len(), "file");
            table.property("bundle", format!("{files}, {}", text::bytes(unit.plan.total_bytes)));
            let new = unit.new_files();
            table.property("upload", format!("{} new, {}", new.len(), text::bytes(unit.plan.missing_bytes)));
            new.iter().take(NAMED_MAX).for_each(|path| table.property("", path));
            if new.len() > NAMED_MAX {
                table.property("", format!("… and {} more", new.len() - NAMED_MAX));
            }
        }
        table
    })
}

fn plan(unit: &DeployUnit, diff: Option<&str>) -> Value {
    let DeployUnit { project, plan, changes } = unit;
    let mut report = json!({
        "function": project.name,
        "files": project.files.len(),
        "bytes_total": plan.total_bytes,
        "bytes_missing": plan.missing_bytes,
        "new": unit.new_files().into_iter().take(NAMED_MAX).collect::<Vec<_>>(),
        "new_count": unit.new_files().len(),
        "changes": changes.to_json(),
        "manifest": project.manifest.to_json(),
    });
    if let Some(diff) = diff {
        report["diff"] = json!(diff);
    }
    report
}

/// What came of a deployment. Programs that read events have it in the last one.
pub(super) fn print_deployment(
    deployment: &DeploymentView,
    elapsed: Duration,
    session: &Session,
) -> anyhow::Result<()> {
    if session.out.format == Format::Ndjson {
        return Ok(());
    }
    session.out.item(deployment, |_| {
        let mut table = deployment_table(deployment);
        table.property("took", text::took(elapsed));
        table
    })
}

pub(super) fn print_group(group: &DeploymentGroupView, elapsed: Duration, session: &Session) -> anyhow::Result<()> {
    if session.out.format != Format::Ndjson {
        session.out.item(group, group_table)?;
        session.out.aside(format_args!("took {}", text::took(elapsed)));
    }
    session.out.note(format_args!("to move all of them back: faas rollback --group {}", group.id));
    Ok(())
}

/// What stands for the URL of a function that takes no requests.
pub(crate) const NO_HTTP: &str = "none: it has no http trigger";

/// Whether a function's URL answers anything.
pub(crate) fn has_http(triggers: &[TriggerSettings]) -> bool {
    triggers.iter().any(|trigger| matches!(trigger, TriggerSettings::Http { .. }))
}

/// A deployment for people; a rollback prints the same.
pub(crate) fn deployment_table(deployment: &DeploymentView) -> Table {
    let before = deployment.from.map(|from| format!(" (was {from})")).unwrap_or_default();
    let mut table = Table::of_properties();
    table.property("function", &deployment.function);
    table.property("version", format!("{}{before}", number(deployment.version)));
    if deployment.alias != "live" {
        table.property("alias", &deployment.alias);
    }
    table.maybe(
        "share",
        deployment.split.map(|split| format!("{} % of the calls go to {}", split.percent, split.version)),
    );
    table.maybe("expires", deployment.expires_at.as_deref().map(text::dated));
    table.property("url", if deployment.http { &deployment.url } else { NO_HTTP });
    table.maybe("runtime", deployment.runtime.as_ref());
    table.maybe("note", deployment.note.as_ref());
    table.maybe("packages", deployment.dependencies.as_ref().map(packages));
    table
}

/// Where a version's packages are from, in a few words.
fn packages(dependencies: &DependenciesView) -> String {
    let Some(layer) = &dependencies.layer else {
        return format!("not installed: {}", dependencies.note.as_deref().unwrap_or_default());
    };
    let mut what = text::counted(dependencies.packages as usize, "package");
    if let Some(source) = &dependencies.source {
        what = format!("{what} from {source}");
    }
    let how = if dependencies.reused {
        format!("layer {layer} reused")
    } else {
        format!("layer {layer} built in {}", text::took(Duration::from_millis(dependencies.took_ms)))
    };
    let note = dependencies.note.iter().map(|note| format!("; {note}")).collect::<String>();
    format!("{what}, {}, {how}{note}", text::bytes(dependencies.size_bytes))
}

/// A version's number, where there is one.
pub(crate) fn number(version: Option<u32>) -> String {
    version.map_or_else(|| "-".to_owned(), |version| version.to_string())
}

/// A deployment group, for people.
pub(crate) fn group_table(group: &DeploymentGroupView) -> Table {
    let mut table = Table::with_headings(["FUNCTION", "VERSION", "WAS", "RUNTIME", "URL"]);
    for deployment in &group.deployments {
        table.row([
            deployment.function.clone(),
            number(deployment.version),
            number(deployment.from),
            deployment.runtime.clone().unwrap_or_else(|| "-".to_owned()),
            if deployment.http { deployment.url.clone() } else { "-".to_owned() },
        ]);
    }
    table
}
