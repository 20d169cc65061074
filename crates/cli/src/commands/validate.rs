//! `faas validate`

mod fix;

use std::path::PathBuf;

use clap::Args;
use faas_config::{LoadManifestError, ManifestErrors};
use faas_preflight::{Finding, Severity};
use faas_source::checks;
use faas_source::location::or_here;
use faas_source::project::{Overrides, Project};
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::read_progress::ReadProgress;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_types::{Code, Entrypoint, FunctionName};
use serde_json::json;

/// Check a function before it is deployed
///
/// Checks the manifest, the files and their limits, the entrypoint, the syntax and the files for secrets, with the server's own
/// rules. Needs no server; one that answers is asked what it and the project refuse besides.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateArgs {
    /// A directory with a faas.toml, or a single file [default: .]
    path: Option<PathBuf>,
    /// The function's name [default: the manifest's, or the file's without its suffix]
    #[arg(long, value_name = "NAME")]
    name: Option<FunctionName>,
    /// Where the code of a single file starts [default: FILE:handler]
    #[arg(long, value_name = "FILE:NAME")]
    entrypoint: Option<Entrypoint>,
    /// Fix what can be fixed: the name in faas.toml, files of settings that would be uploaded or go into git
    #[arg(long)]
    fix: bool,
}

const EXAMPLES: &str = "\
Examples:
  faas validate
  faas validate hello
  faas validate hello --fix
  faas validate hello.py -o json";

pub(crate) async fn run(args: ValidateArgs, session: &Session) -> anyhow::Result<()> {
    let path = or_here(args.path);
    let overrides =
        Overrides { name: args.name, entrypoint: args.entrypoint, progress: ReadProgress::of(&session.out) };
    if args.fix {
        for fixed in fix::mend(&path, &overrides)? {
            session.out.note(format_args!("fixed: {fixed}"));
        }
    }
    let mut projects = match Project::read(&path, overrides) {
        Ok(projects) => projects,
        Err(error) => {
            let failure = Failure::from_error(&error);
            if session.out.format != Format::Table {
                session.out.json(&refusal(&failure, &findings_of(&error, &failure)))?;
            }
            return Err(error);
        }
    };
    let policies = checks::policies(session).await;
    let mut findings = Vec::new();
    for project in &mut projects {
        findings.extend(project.check(&policies));
        if let Some(skipped) = &project.skipped {
            session.out.note(skipped);
        }
        if let Some(heavy) = checks::heavy(project) {
            session.out.note(heavy);
        }
    }
    checks::warnings(&findings).for_each(|warning| session.out.note(format_args!("warning: {warning}")));
    if let Err(failure) = checks::refuse(&findings) {
        if session.out.format != Format::Table {
            session.out.json(&refusal(&failure, &findings))?;
        }
        return Err(failure.into());
    }
    print(&projects, &findings, session)
}

fn print(projects: &[Project], findings: &[Finding], session: &Session) -> anyhow::Result<()> {
    let mut reports: Vec<_> = projects.iter().map(report).collect();
    let report = match &mut reports[..] {
        [only] => {
            only["valid"] = json!(true);
            only["findings"] = json!(findings);
            only.take()
        }
        _ => json!({ "valid": true, "functions": reports, "findings": findings }),
    };
    session.out.item(&report, |_| {
        let mut table = Table::of_properties();
        for project in projects {
            let settings = &project.manifest.settings;
            table.property("valid", &project.name);
            table.property("runtime", &settings.runtime);
            table.property("entrypoint", &settings.entrypoint);
            table.property("files", checks::extent(project));
        }
        table
    })
}

fn report(project: &Project) -> serde_json::Value {
    json!({
        "valid": true,
        "name": project.name,
        "manifest": project.manifest.to_json(),
        "files": project.files.len(),
        "bytes": project.bytes(),
        "skipped": project.skipped,
    })
}

/// What a program reads of a function that is not valid; people read the same on standard error.
fn refusal(failure: &Failure, findings: &[Finding]) -> serde_json::Value {
    let problems = if failure.details.is_empty() { vec![failure.message.clone()] } else { failure.details.clone() };
    json!({
        "valid": false,
        "code": failure.code,
        "message": failure.message,
        "problems": problems,
        "hint": failure.hint,
        "findings": findings,
    })
}

/// A project that could not even be read, as findings.
fn findings_of(error: &anyhow::Error, failure: &Failure) -> Vec<Finding> {
    let errors = error.chain().find_map(|cause| {
        let within = cause.downcast_ref::<LoadManifestError>().and_then(|error| match error {
            LoadManifestError::Invalid(errors) => Some(errors),
            _ => None,
        });
        within.or_else(|| cause.downcast_ref::<ManifestErrors>())
    });
    if let Some(ManifestErrors { source, problems }) = errors {
        let finding = |problem: &faas_config::ManifestProblem| {
            Finding::new("manifest", Severity::Error, problem.message.clone())
                .with_code(Code::InvalidConfiguration)
                .in_file(source)
                .at(problem.at.map(|at| at.line), problem.at.map(|at| at.column))
        };
        return problems.iter().map(finding).collect();
    }
    let code = failure.code.unwrap_or(Code::InvalidConfiguration);
    let finding = Finding::new("files", Severity::Error, failure.message.clone()).with_code(code);
    vec![Finding { fix: failure.hint.clone(), ..finding }]
}
