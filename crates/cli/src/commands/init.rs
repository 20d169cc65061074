//! `faas init`

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use faas_config::{Manifest, manifest_schema};
use faas_types::{Code, FunctionName, RuntimeName};
use serde_json::json;

use crate::failure::Failure;
use crate::project::plain;
use crate::session::Session;
use crate::table::Table;

/// Write a new function to start from
///
/// Makes a directory with faas.toml, main.py, a README and what git should not keep. Never overwrites a file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// The function's name, and the directory unless --dir says otherwise
    name: FunctionName,
    /// A language with or without a version
    #[arg(long, default_value = "python", value_name = "RUNTIME")]
    runtime: RuntimeName,
    /// What to start from
    #[arg(long, value_enum, default_value_t)]
    template: Template,
    /// Where to write it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What a function starts from.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Template {
    /// handler(event, context): full control of request and reply
    #[default]
    Http,
    /// A plain function: parameters from the JSON body, reply {"result": …}
    Plain,
    /// An ASGI application such as FastAPI, with its packages vendored beside it
    Asgi,
}

const EXAMPLES: &str = "\
Examples:
  faas init hello
  faas init adder --template plain --runtime python3.12
  faas init site --template asgi --dir services/site";

const SCHEMA_PATH: &str = ".faas/faas.toml.schema.json";

// === impl Template ===

impl Template {
    fn code(self) -> &'static str {
        match self {
            Self::Http => include_str!("../../templates/http/main.py"),
            Self::Plain => include_str!("../../templates/plain/main.py"),
            Self::Asgi => include_str!("../../templates/asgi/main.py"),
        }
    }

    fn readme(self) -> &'static str {
        match self {
            Self::Http => include_str!("../../templates/http/README.md"),
            Self::Plain => include_str!("../../templates/plain/README.md"),
            Self::Asgi => include_str!("../../templates/asgi/README.md"),
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Http => "handler",
            Self::Plain => "add",
            Self::Asgi => "app",
        }
    }
}

pub(crate) fn run(args: &InitArgs, session: &Session) -> anyhow::Result<()> {
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(args.name.as_str()));
    let files = files(args)?;
    refuse_overwrite(&dir, &files)?;
    for (path, text) in &files {
        write(&dir.join(path), text)?;
    }
    let paths: Vec<_> = files.iter().map(|(path, _)| *path).collect();
    let made = json!({ "name": args.name, "dir": dir, "files": paths });
    session.out.item(&made, |_| {
        let mut table = Table::of_properties();
        table.property("made", dir.display());
        paths.iter().for_each(|path| table.property("", path));
        table
    })?;
    session.out.note(format_args!("next: faas deploy {}", dir.display()));
    Ok(())
}

fn files(args: &InitArgs) -> anyhow::Result<Vec<(&'static str, String)>> {
    let manifest = manifest(args);
    // Whatever is written must pass the check that deploys run; the runtime comes from outside.
    Manifest::from_toml("faas.toml", &manifest)?;
    let name = args.name.as_str();
    let mut schema = serde_json::to_string_pretty(&manifest_schema())?;
    schema.push('\n');
    let ignore = "__pycache__/\n*.pyc\n.venv/\n.env\n.env.*\n";
    let readme = args.template.readme().replace("{{name}}", name);
    Ok(vec![
        ("faas.toml", manifest),
        ("main.py", args.template.code().replace("{{name}}", name)),
        ("README.md", readme),
        (".gitignore", ignore.to_owned()),
        (SCHEMA_PATH, schema),
    ])
}

fn manifest(args: &InitArgs) -> String {
    include_str!("../../templates/faas.toml")
        .replace("{{schema}}", SCHEMA_PATH)
        .replace("{{name}}", args.name.as_str())
        .replace("{{runtime}}", args.runtime.as_str())
        .replace("{{symbol}}", args.template.symbol())
}

fn refuse_overwrite(dir: &Path, files: &[(&str, String)]) -> anyhow::Result<()> {
    let taken = files.iter().map(|(path, _)| dir.join(path)).find(|path| path.symlink_metadata().is_ok());
    taken.map_or(Ok(()), |path| {
        Err(Failure::of(Code::Conflict, format!("{} exists already", path.display()))
            .with_hint("choose another name, or another place with --dir")
            .into())
    })
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let attempt = || -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
    };
    attempt()
        .map_err(|error| anyhow::anyhow!(plain(&error)))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_a_good_function() {
        for template in Template::value_variants() {
            let args = InitArgs {
                name: "demo".parse().expect("a name"),
                runtime: "python3.12".parse().expect("a runtime"),
                template: *template,
                dir: None,
            };
            let files = files(&args).expect("good files");
            let text = |wanted: &str| files.iter().find(|(path, _)| *path == wanted).map(|(_, text)| text.as_str());
            let manifest = text("faas.toml").expect("a manifest");
            assert!(manifest.starts_with("#:schema ./.faas/faas.toml.schema.json\n"), "{manifest}");
            assert!(files.iter().all(|(_, text)| !text.contains("{{")), "{template:?} has an open placeholder");
            let symbol = template.symbol();
            let code = text("main.py").expect("code");
            assert!(code.contains(&format!("def {symbol}(")) || code.contains(&format!("{symbol} = ")), "{code}");
        }
    }
}
