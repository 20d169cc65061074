//! `faas init`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use faas_config::{Manifest, SourceDir, manifest_schema};
use faas_languages::{Language, Template};
use faas_source::interpreter;
use faas_terminal::failure::{Failure, plain};
use faas_terminal::session::Session;
use faas_terminal::table::Table;
use faas_types::{Code, FunctionName, RuntimeName};
use serde_json::json;

/// Write a new function to start from
///
/// Makes a directory with faas.toml, the function's file, a README and what git should not keep. Never overwrites a file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// The function's name, and the directory unless --dir says otherwise [default: that of the current directory]
    name: Option<FunctionName>,
    /// A language with or without a version; without one, the version that is on the path here is written
    #[arg(long, default_value = Language::standard().name.as_str(), value_name = "RUNTIME")]
    runtime: RuntimeName,
    /// What to start from
    #[arg(long, default_value = "http", value_parser = template_parser())]
    template: String,
    /// Where to write it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  faas init hello
  faas init adder --template plain --runtime python3.12
  faas init web --runtime node
  faas init nightly --template cron
  faas init site --template asgi --dir services/site";

/// What the templates are for that languages share; the descriptions of languages tell it of the others.
const ABOUT: [(&str, &str); 4] = [
    ("http", "handler(event, context), or fetch(request): full control of request and reply"),
    ("webhook", "Takes signed deliveries of another service"),
    ("cron", "Called by a schedule"),
    ("worker", "Takes messages of a topic, several at once, and says which come again"),
];
/// Not built yet, and refused with that.
const PENDING: &str = "stateful";

const SCHEMA_PATH: &str = ".faas/faas.toml.schema.json";

/// Where the event files of a new function lie; they stay at home.
const TEST_PATH: &str = "tests/first.json";
const IGNORED: &str = "tests/\n";

impl InitArgs {
    /// The function's name and its directory. Without a name it is that of the directory, which is the current one unless
    /// --dir says otherwise.
    fn place(&self) -> anyhow::Result<(FunctionName, PathBuf)> {
        if let Some(name) = &self.name {
            return Ok((name.clone(), self.dir.clone().unwrap_or_else(|| PathBuf::from(name.as_str()))));
        }
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from("."));
        let base =
            if self.dir.is_some() { dir.clone() } else { std::env::current_dir().context("there is no here")? };
        let text = base.file_name().unwrap_or_default().to_string_lossy().to_lowercase().replace(['_', '.', ' '], "-");
        let name = text.parse().map_err(|_| {
            Failure::usage(format!("`{text}` does not make a function name"))
                .with_hint("pass one, such as faas init hello: 1 to 63 of a-z, 0-9 and -, starting with a letter")
        })?;
        Ok((name, dir))
    }

    fn start(&self) -> anyhow::Result<Template> {
        // The runtime comes from outside: one that no release runs is told as deploys would tell it.
        Manifest::from_toml("faas.toml", &format!("name = \"any\"\nruntime = \"{}\"\n", self.runtime))?;
        if self.template == PENDING {
            let failure = Failure {
                message: "the template stateful needs bindings to data, which are not built yet".into(),
                exit: 1,
                ..Failure::default()
            };
            return Err(failure.with_hint("start from another template, such as http").into());
        }
        let language = Language::named(self.runtime.language());
        language.and_then(|language| Template::of(language, &self.template)).ok_or_else(|| {
            let message = format!("there is no template {} for {}", self.template, self.runtime);
            Failure::usage(message).with_hint("leave out --template, or choose another --runtime").into()
        })
    }
}

/// The templates of all languages, those that they share first.
fn template_parser() -> impl clap::builder::TypedValueParser<Value = String> {
    let told = ABOUT.iter().map(|(name, about)| PossibleValue::new(*name).help(*about));
    let others = Template::names().into_iter().filter(|name| !ABOUT.iter().any(|(told, _)| told == name));
    let others = others.map(|name| match Template::about(name) {
        Some(about) => PossibleValue::new(name).help(about),
        None => PossibleValue::new(name),
    });
    let pending = PossibleValue::new(PENDING).hide(true);
    PossibleValuesParser::new(told.chain(others).chain([pending])).map(|name| name)
}

pub(crate) fn run(args: &InitArgs, session: &Session) -> anyhow::Result<()> {
    let (name, dir) = args.place()?;
    let start = args.start()?;
    let files = files(&name, &pinned(&args.runtime), &start)?;
    refuse_overwrite(&dir, &files)?;
    for (path, text) in &files {
        write(&dir, path, text)?;
    }
    let paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
    let made = json!({ "name": name, "dir": dir, "files": paths });
    session.out.item(&made, |_| {
        let mut table = Table::of_properties();
        table.property("made", dir.display());
        paths.iter().for_each(|path| table.property("", path));
        table
    })?;
    session.out.note(format_args!("next: faas deploy {}", dir.display()));
    Ok(())
}

fn files(name: &FunctionName, runtime: &RuntimeName, start: &Template) -> anyhow::Result<Vec<(String, String)>> {
    let fill = |text: &str| {
        let module = start.file.split('.').next().unwrap_or_default();
        text.replace("{{triggers}}", start.triggers.trim_end())
            .replace("{{schema}}", SCHEMA_PATH)
            .replace("{{name}}", name.as_str())
            .replace("{{runtime}}", runtime.as_str())
            .replace("{{module}}", module)
            .replace("{{file}}", &start.file)
            .replace("{{symbol}}", &start.symbol)
    };
    let manifest = fill(include_str!("../../templates/faas.toml"));
    // Whatever is written must pass the check that deploys run.
    Manifest::from_toml("faas.toml", &manifest)?;
    let mut schema = serde_json::to_string_pretty(&manifest_schema())?;
    schema.push('\n');
    let (code, further): (Vec<_>, Vec<_>) = start.files.iter().partition(|(path, _)| *path == start.file);
    let written = |(path, text): &(String, String)| (path.clone(), fill(text));
    let fixed = [
        ("README.md", fill(&start.readme)),
        (TEST_PATH, fill(&start.test)),
        (".gitignore", start.gitignore.clone()),
        (".faasignore", IGNORED.to_owned()),
        (SCHEMA_PATH, schema),
    ]
    .map(|(path, text)| (path.to_owned(), text));
    let manifest = ("faas.toml".to_owned(), manifest);
    Ok(std::iter::once(manifest)
        .chain(code.into_iter().map(written))
        .chain(fixed)
        .chain(further.into_iter().map(written))
        .collect())
}

/// The version of a language that is first on the path, so that a new function runs on what its author types. Without one,
/// or with one that is not run here, the language alone.
fn pinned(runtime: &RuntimeName) -> RuntimeName {
    let asked = || {
        let (program, args) = Language::named(runtime.language())?.version_command()?;
        let version: String = interpreter::ask(Path::new(program), args, "")?;
        let found: RuntimeName = format!("{}{version}", runtime.language()).parse().ok()?;
        // Runtimes that no release runs are no start.
        let manifest = format!("name = \"any\"\nruntime = \"{found}\"\n");
        Manifest::from_toml("faas.toml", &manifest).is_ok().then_some(found)
    };
    let found = if runtime.version().is_none() { asked() } else { None };
    found.unwrap_or_else(|| runtime.clone())
}

fn refuse_overwrite(dir: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    let taken = files.iter().map(|(path, _)| dir.join(path)).find(|path| path.symlink_metadata().is_ok());
    taken.map_or(Ok(()), |path| {
        Err(Failure::of(Code::Conflict, format!("{} exists already", path.display()))
            .with_hint("choose another name, or another place with --dir")
            .into())
    })
}

/// Writes a file into a directory that may be there, with directories of somebody else in it.
fn write(dir: &Path, path: &str, text: &str) -> anyhow::Result<()> {
    let attempt = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let source = SourceDir::open(dir)?;
        if let Some((parent, _)) = path.rsplit_once('/') {
            source.create_dir(parent)?;
        }
        source.write(path, text.as_bytes())
    };
    attempt()
        .map_err(|error| anyhow::anyhow!(plain(&error)))
        .with_context(|| format!("cannot write {}", dir.join(path).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(runtime: &str, template: &str) -> InitArgs {
        let runtime = runtime.parse().expect("a runtime");
        InitArgs { name: Some("demo".parse().expect("a name")), runtime, template: template.into(), dir: None }
    }

    #[test]
    fn every_template_is_whole() {
        let of = |language: &'static Language| Template::names().into_iter().map(move |name| (language, name));
        for (language, template) in Language::all().iter().flat_map(of) {
            let Some(start) = Template::of(language, template) else { continue };
            let args = args(&language.name, template);
            let (name, _) = args.place().expect("a place");
            let files = files(&name, &args.runtime, &args.start().expect("a start")).expect("good files");
            let text = |wanted: &str| files.iter().find(|(path, _)| *path == wanted).map(|(_, text)| text.as_str());
            let manifest = text("faas.toml").expect("a manifest");
            assert!(manifest.starts_with("#:schema ./.faas/faas.toml.schema.json\n"), "{manifest}");
            assert!(files.iter().all(|(_, text)| !text.contains("{{")), "{template} has an open placeholder");
            let code = text(&start.file).expect("code");
            assert!(code.contains(&start.symbol) || code.contains("export default"), "{code}");
        }
    }

    #[test]
    fn a_template_that_is_not_there_is_refused() {
        let told = |args: InitArgs| args.start().map(|_| ()).expect_err("no such template").to_string();
        assert!(told(args("node22", "asgi")).contains("there is no template asgi for node22"));
        assert!(told(args("python", "stateful")).contains("not built yet"));
    }
}
