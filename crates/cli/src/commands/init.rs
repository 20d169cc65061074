//! `faas init`

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use faas_config::{Language, Manifest, manifest_schema};
use faas_types::{Code, FunctionName, RuntimeName};
use serde_json::json;

use crate::failure::Failure;
use crate::project::plain;
use crate::session::Session;
use crate::table::Table;

/// Write a new function to start from
///
/// Makes a directory with faas.toml, the function's file, a README and what git should not keep. Never overwrites a file.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Template {
    /// handler(event, context), or fetch(request) for Node: full control of request and reply
    #[default]
    Http,
    /// A plain function of Python: parameters from the JSON body, reply {"result": …}
    Plain,
    /// An ASGI application of Python, such as FastAPI, with its packages vendored beside it
    Asgi,
}

const EXAMPLES: &str = "\
Examples:
  faas init hello
  faas init adder --template plain --runtime python3.12
  faas init web --runtime node
  faas init site --template asgi --dir services/site";

const SCHEMA_PATH: &str = ".faas/faas.toml.schema.json";

/// What a template consists of, for one language.
struct Start {
    file: &'static str,
    code: &'static str,
    readme: &'static str,
    symbol: &'static str,
    ignores: &'static str,
    /// What must be vendored before the first deployment.
    packages: Option<&'static str>,
}

/// Every template by language.
const STARTS: [(&str, Template, Start); 4] = [
    (
        "python",
        Template::Http,
        Start {
            file: "main.py",
            code: include_str!("../../templates/http/main.py"),
            readme: include_str!("../../templates/http/README.md"),
            symbol: "handler",
            ignores: PYTHON_IGNORES,
            packages: None,
        },
    ),
    (
        "python",
        Template::Plain,
        Start {
            file: "main.py",
            code: include_str!("../../templates/plain/main.py"),
            readme: include_str!("../../templates/plain/README.md"),
            symbol: "add",
            ignores: PYTHON_IGNORES,
            packages: None,
        },
    ),
    (
        "python",
        Template::Asgi,
        Start {
            file: "main.py",
            code: include_str!("../../templates/asgi/main.py"),
            readme: include_str!("../../templates/asgi/README.md"),
            symbol: "app",
            ignores: PYTHON_IGNORES,
            packages: Some("fastapi"),
        },
    ),
    (
        "node",
        Template::Http,
        Start {
            file: "index.mjs",
            code: include_str!("../../templates/node/index.mjs"),
            readme: include_str!("../../templates/node/README.md"),
            symbol: "handler",
            // Packages are part of what is deployed, so only git leaves them out.
            ignores: "node_modules/\n.env\n.env.*\n",
            packages: None,
        },
    ),
];
const PYTHON_IGNORES: &str = "__pycache__/\n*.pyc\n.venv/\n.env\n.env.*\n";

// === impl Start ===

impl Start {
    fn of(args: &InitArgs) -> anyhow::Result<&'static Self> {
        let language = Language::named(args.runtime.language()).map_or("", |language| &language.name);
        let found = STARTS.iter().find(|(name, template, _)| *name == language && *template == args.template);
        found.map(|(_, _, start)| start).ok_or_else(|| {
            let template = args.template.to_possible_value().map(|value| value.get_name().to_owned());
            let message = format!("there is no template {} for {}", template.unwrap_or_default(), args.runtime);
            Failure::usage(message).with_hint("leave out --template, or choose another --runtime").into()
        })
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
    if let Some(packages) = Start::of(args)?.packages {
        let vendor = dir.join("vendor");
        session.out.note(format_args!("next: python3 -m pip install --target {} {packages}", vendor.display()));
    }
    session.out.note(format_args!("next: faas deploy {}", dir.display()));
    Ok(())
}

fn files(args: &InitArgs) -> anyhow::Result<Vec<(&'static str, String)>> {
    // The runtime comes from outside: one that no release runs is told as deploys would tell it.
    Manifest::from_toml("faas.toml", &format!("name = \"{}\"\nruntime = \"{}\"\n", args.name, args.runtime))?;
    let start = Start::of(args)?;
    let manifest = manifest(args, start);
    // Whatever is written must pass the check that deploys run.
    Manifest::from_toml("faas.toml", &manifest)?;
    let name = args.name.as_str();
    let mut schema = serde_json::to_string_pretty(&manifest_schema())?;
    schema.push('\n');
    Ok(vec![
        ("faas.toml", manifest),
        (start.file, start.code.replace("{{name}}", name)),
        ("README.md", start.readme.replace("{{name}}", name)),
        (".gitignore", start.ignores.to_owned()),
        (SCHEMA_PATH, schema),
    ])
}

fn manifest(args: &InitArgs, start: &Start) -> String {
    let file = start.file.split('.').next().unwrap_or_default();
    include_str!("../../templates/faas.toml")
        .replace("{{schema}}", SCHEMA_PATH)
        .replace("{{name}}", args.name.as_str())
        .replace("{{runtime}}", args.runtime.as_str())
        .replace("{{file}}", file)
        .replace("{{symbol}}", start.symbol)
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
        for (language, template, start) in &STARTS {
            let args = InitArgs {
                name: "demo".parse().expect("a name"),
                runtime: language.parse().expect("a runtime"),
                template: *template,
                dir: None,
            };
            let files = files(&args).expect("good files");
            let text = |wanted: &str| files.iter().find(|(path, _)| *path == wanted).map(|(_, text)| text.as_str());
            let manifest = text("faas.toml").expect("a manifest");
            assert!(manifest.starts_with("#:schema ./.faas/faas.toml.schema.json\n"), "{manifest}");
            assert!(files.iter().all(|(_, text)| !text.contains("{{")), "{template:?} has an open placeholder");
            let code = text(start.file).expect("code");
            assert!(code.contains(start.symbol) || code.contains("export default"), "{code}");
        }
    }

    #[test]
    fn a_template_of_another_language_is_refused() {
        let runtime = "node22".parse().expect("a runtime");
        let args = InitArgs { name: "demo".parse().expect("a name"), runtime, template: Template::Asgi, dir: None };
        let error = files(&args).expect_err("no such template");
        assert!(error.to_string().contains("there is no template asgi for node22"), "{error}");
    }
}
