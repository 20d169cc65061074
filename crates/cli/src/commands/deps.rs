//! `faas deps`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use faas_config::SourceDir;
use faas_source::deps::{self, Advisor, Module, Report, Source};
use faas_source::location::or_here;
use faas_source::project::{Overrides, Project};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_terminal::text;
use faas_types::Code;
use serde_json::json;

/// Compare what a function imports with what it declares
///
/// The runtime's own parser tells what the code imports; nothing of it is run. Each module is told apart: missing,
/// declared, lying beside the code, the function's own or the runtime's.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DepsArgs {
    /// A directory with a faas.toml, or a single file [default: .]
    path: Option<PathBuf>,
    /// Add what is missing to the file that declares packages
    #[arg(long)]
    fix: bool,
    /// End with 5 when something is missing
    #[arg(long, conflicts_with = "fix")]
    check: bool,
    /// Ask a language model about modules that no table knows: FAAS_LLM_ENDPOINT, FAAS_LLM_MODEL, FAAS_LLM_KEY
    #[arg(long)]
    ask: bool,
    /// Show the function's own modules and the runtime's too
    #[arg(long)]
    all: bool,
}

const EXAMPLES: &str = "\
Examples:
  faas deps
  faas deps hello --fix
  faas deps --ask
  faas deps --check -o json";

/// Places that are named in a table.
const PLACES: usize = 2;

pub(crate) async fn run(args: &DepsArgs, session: &Session) -> anyhow::Result<()> {
    let path = or_here(args.path.clone());
    let project = Project::open(&path, Overrides::default())?;
    let runtime = &project.manifest.settings.runtime;
    let mut report = deps::examine(&project.files, runtime)?.ok_or_else(|| {
        Failure::usage(format!("imports of {} cannot be looked at here", runtime.language()))
            .with_hint(format!("install {runtime}, or deploy: the server tells which import fails"))
    })?;
    if args.ask {
        for told in Advisor::from_environment(report.lookup)?.improve(&mut report).await? {
            session.out.note(text::visible(&told));
        }
    }
    print(&report, args.all, session)?;
    let missing: Vec<&str> = report.missing().into_iter().collect();
    if missing.is_empty() {
        return Ok(());
    }
    if args.fix {
        return add(&report, &missing, &path, session);
    }
    let remark = format!("missing: {}; add them: faas deps --fix", missing.join(", "));
    if args.check {
        return Err(Failure::of(Code::InvalidConfiguration, remark).into());
    }
    session.out.note(remark);
    Ok(())
}

fn print(report: &Report, all: bool, session: &Session) -> anyhow::Result<()> {
    let is_own = |module: &&Module| matches!(module.source, Source::Local | Source::Builtin);
    let mut shown: Vec<&Module> = report.modules.iter().filter(|module| all || !is_own(module)).collect();
    shown.sort_by_key(|module| module.source);
    session.out.list(&json!(report), &shown, |rows| {
        let mut table = Table::with_headings(["MODULE", "PACKAGE", "SOURCE", "IMPORTED BY"]);
        for row in rows {
            let package = row.package.clone().unwrap_or_else(|| "-".to_owned());
            table.row([row.module.clone(), package, source(row.source).to_owned(), places(row)]);
        }
        table
    })?;
    if shown.is_empty() {
        session.out.note("nothing is imported besides the function's own files and the runtime's modules");
    }
    if !report.unused.is_empty() {
        let names = text::visible(&report.unused.join(", "));
        session.out.note(format_args!(
            "declared in {} but not imported: {names} (other packages may want them)",
            report.declared_in
        ));
    }
    for path in &report.unread {
        session.out.note(format_args!("not looked at, since it does not parse: {}", text::visible(path)));
    }
    if let Some(remark) = &report.remark {
        session.out.note(remark);
    }
    Ok(())
}

const fn source(source: Source) -> &'static str {
    match source {
        Source::Missing => "missing",
        Source::Optional => "optional",
        Source::Declared => "declared",
        Source::Bundled => "bundled",
        Source::Local => "local",
        Source::Builtin => "builtin",
    }
}

fn places(module: &Module) -> String {
    let named: Vec<String> = module.uses.iter().take(PLACES).map(|at| format!("{}:{}", at.file, at.line)).collect();
    let rest = module.uses.len().saturating_sub(PLACES);
    if rest == 0 { named.join(", ") } else { format!("{} and {rest} more", named.join(", ")) }
}

fn add(report: &Report, missing: &[&str], path: &Path, session: &Session) -> anyhow::Result<()> {
    if !path.is_dir() {
        let message = "a single file has nowhere to declare packages";
        return Err(Failure::usage(message).with_hint("put it into a directory with a faas.toml").into());
    }
    let text = report.declared.with(missing)?;
    let written = SourceDir::open(path).and_then(|source| source.write(&report.declared_in, text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.join(&report.declared_in).display()))?;
    let added: BTreeSet<&str> = missing.iter().copied().collect();
    let names = added.into_iter().collect::<Vec<_>>().join(", ");
    session.out.note(format_args!("added to {}: {names}; give them versions to stay with them", report.declared_in));
    Ok(())
}
