//! `faas validate`

use std::path::PathBuf;

use clap::Args;
use faas_types::{Entrypoint, FunctionName};
use serde_json::json;

use crate::args::Format;
use crate::failure::Failure;
use crate::project::{Project, Wishes, or_here};
use crate::session::Session;
use crate::table::Table;
use crate::text;

/// Check a function before it is deployed
///
/// Checks the manifest, the files and their limits, the entrypoint and the syntax with the server's own rules, without a server.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateArgs {
    /// A directory with a faas.toml, or a single .py file [default: .]
    path: Option<PathBuf>,
    /// The function's name [default: the manifest's, or the file's without its suffix]
    #[arg(long, value_name = "NAME")]
    name: Option<FunctionName>,
    /// Where the code of a single file starts [default: FILE:handler]
    #[arg(long, value_name = "FILE:NAME")]
    entrypoint: Option<Entrypoint>,
}

const EXAMPLES: &str = "\
Examples:
  faas validate
  faas validate hello
  faas validate hello.py -o json";

pub(crate) fn run(args: ValidateArgs, session: &Session) -> anyhow::Result<()> {
    let project = match Project::open(&or_here(args.path), Wishes { name: args.name, entrypoint: args.entrypoint }) {
        Ok(project) => project,
        Err(error) => {
            if session.out.format != Format::Table {
                session.out.json(&refusal(&Failure::from_error(&error)))?;
            }
            return Err(error);
        }
    };
    if let Some(skipped) = &project.skipped {
        session.out.note(skipped);
    }
    let report = json!({
        "valid": true,
        "name": project.name,
        "manifest": project.manifest.to_json(),
        "files": project.files.len(),
        "bytes": project.bytes(),
        "skipped": project.skipped,
    });
    session.out.item(&report, |_| {
        let settings = &project.manifest.settings;
        let mut table = Table::of_properties();
        table.property("valid", &project.name);
        table.property("runtime", &settings.runtime);
        table.property("entrypoint", &settings.entrypoint);
        let files = text::counted(project.files.len(), "file");
        table.property("files", format!("{files}, {}", text::bytes(project.bytes())));
        table
    })
}

/// What a program reads of a function that is not valid; people read the same on standard error.
fn refusal(failure: &Failure) -> serde_json::Value {
    let problems = if failure.details.is_empty() { vec![failure.message.clone()] } else { failure.details.clone() };
    json!({
        "valid": false,
        "code": failure.code,
        "message": failure.message,
        "problems": problems,
        "hint": failure.hint,
    })
}
