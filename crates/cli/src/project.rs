//! What is deployed: a directory with a manifest, or a single file, checked as far as this machine can.

use std::path::{Path, PathBuf};

use anyhow::Context;
use faas_client::LocalFile;
use faas_config::{Language, LoadManifestError, Manifest, closest};
use faas_types::{Code, Entrypoint, FunctionName};

use crate::bundle;
use crate::failure::Failure;
use crate::python::{self, Findings};
use crate::text::{self, visible};

/// A function on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) name: FunctionName,
    pub(crate) manifest: Manifest,
    pub(crate) files: Vec<LocalFile>,
    /// Whether it is a file without a manifest, whose settings come from the command line.
    is_single: bool,
    /// What of the check could not be done, for people.
    pub(crate) skipped: Option<String>,
}

/// What the command line says beside the manifest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) name: Option<FunctionName>,
    pub(crate) entrypoint: Option<Entrypoint>,
}

// === impl Project ===

impl Project {
    /// Reads and checks a directory or a file.
    pub(crate) fn open(path: &Path, wishes: Wishes) -> anyhow::Result<Self> {
        let mut project = Self::read(path, wishes)?;
        project.check()?;
        Ok(project)
    }

    /// Reads a directory or a file without a look into its code, which the server loads anyway before it serves.
    pub(crate) fn read(path: &Path, wishes: Wishes) -> anyhow::Result<Self> {
        let meta = look(path)?;
        let (manifest, files) = if meta.is_dir() { directory(path)? } else { file(path, &wishes)? };
        let mut manifest = manifest;
        if let Some(name) = wishes.name {
            manifest.name = Some(name);
        }
        if meta.is_dir() && wishes.entrypoint.is_some() {
            let message = "--entrypoint is for single files; a directory says it in faas.toml";
            return Err(Failure::usage(message).into());
        }
        let (name, _) = manifest.clone().resolve()?;
        Ok(Self { name, manifest, files, is_single: !meta.is_dir(), skipped: None })
    }

    pub(crate) fn bytes(&self) -> u64 {
        bundle::total_bytes(&self.files)
    }

    /// Looks at entrypoint and syntax.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let settings = &self.manifest.settings;
        let language = Language::named(settings.runtime.language()).unwrap_or_else(Language::standard);
        let entry = entry_file(&self.files, &settings.entrypoint, language)?;
        if !python::can_check(language) {
            // The server loads the entrypoint before it lets a version serve, and tells what it finds.
            return Ok(());
        }
        let Some(findings) = python::check(&self.files, &entry.local, &settings.runtime) else {
            self.skipped = Some(format!("syntax not checked: no {} or newer found here", settings.runtime));
            return Ok(());
        };
        refuse_findings(&findings, &entry.entry.path, &settings.entrypoint, self.is_single)
    }
}

/// What lies at a path that a command was given.
pub(crate) fn look(path: &Path) -> Result<std::fs::Metadata, Failure> {
    std::fs::metadata(path).map_err(|error| {
        let failure = Failure::usage(format!("cannot open {}: {}", path.display(), plain(&error)));
        failure.with_hint(format!("name a directory with a faas.toml, or a file ({})", suffixes()))
    })
}

fn directory(dir: &Path) -> anyhow::Result<(Manifest, Vec<LocalFile>)> {
    let (_, manifest) = Manifest::load(dir).map_err(|error| match error {
        LoadManifestError::Missing { .. } => {
            Failure::of(Code::InvalidConfiguration, format!("no faas.toml in {}", dir.display()))
                .with_hint("create a function with `faas init NAME`, or deploy a single file with `faas deploy FILE`")
                .into()
        }
        other => anyhow::Error::from(other),
    })?;
    Ok((manifest, bundle::walk(dir)?))
}

fn file(path: &Path, wishes: &Wishes) -> anyhow::Result<(Manifest, Vec<LocalFile>)> {
    let file_name = path.file_name().and_then(|name| name.to_str()).context("the file has no name in UTF-8")?;
    let Some(language) = Language::of_file(file_name) else {
        let message = format!("{} is of no language that this release runs ({})", visible(file_name), suffixes());
        return Err(Failure::usage(message).with_hint("put the function into a directory with a faas.toml").into());
    };
    let stem = language.suffixes().find_map(|suffix| file_name.strip_suffix(suffix)).unwrap_or(file_name);
    let entrypoint = match &wishes.entrypoint {
        Some(entrypoint) => entrypoint.clone(),
        None => format!("{stem}:handler").parse().map_err(|error| {
            Failure::of(Code::InvalidConfiguration, format!("{error}"))
                .with_hint("rename the file with letters, digits and _")
        })?,
    };
    let name = match &wishes.name {
        Some(name) => name.clone(),
        None => stem.to_lowercase().replace(['_', '.'], "-").parse().map_err(|_| {
            Failure::of(Code::InvalidConfiguration, format!("`{}` does not make a function name", visible(stem)))
                .with_hint("pass one with --name NAME: 1 to 63 of a-z, 0-9 and -, starting with a letter")
        })?,
    };
    Ok((Manifest::new(name, language.newest(), entrypoint), bundle::single(path, file_name)?))
}

/// The endings of files that are functions by themselves, for people.
fn suffixes() -> String {
    Language::all().iter().flat_map(Language::suffixes).collect::<Vec<_>>().join(", ")
}

/// The file that an entrypoint names: `api/main`, `api.main`, a package, or the file with its suffix.
fn entry_file<'f>(
    files: &'f [LocalFile],
    entrypoint: &Entrypoint,
    language: &Language,
) -> Result<&'f LocalFile, Failure> {
    let dotted = entrypoint.file().replace('.', "/");
    let mut candidates: Vec<String> = [entrypoint.file(), &dotted]
        .iter()
        .flat_map(|base| language.files.iter().map(move |ending| format!("{base}{ending}")))
        .collect();
    if language.suffixes().any(|suffix| entrypoint.file().ends_with(suffix)) {
        candidates.push(entrypoint.file().to_owned());
    }
    let found = candidates.iter().find_map(|path| files.iter().find(|file| file.entry.path == *path));
    found.ok_or_else(|| {
        let wanted = &candidates[0];
        let base = |path: &'f str| language.suffixes().find_map(|suffix| path.strip_suffix(suffix));
        let sources = files.iter().filter_map(|file| base(&file.entry.path));
        let hint = match closest(entrypoint.file(), sources.clone()).or_else(|| single_of(sources)) {
            Some(path) => format!("did you mean `{path}:{}`?", entrypoint.symbol()),
            None => format!("create {wanted} or set `entrypoint` to file:name"),
        };
        let message = format!("entrypoint `{entrypoint}` does not exist: there is no {wanted} in the bundle");
        Failure::of(Code::DeploymentFailed, message).with_hint(hint)
    })
}

fn single_of<'p>(mut paths: impl Iterator<Item = &'p str>) -> Option<&'p str> {
    let first = paths.next()?;
    paths.next().is_none().then_some(first)
}

fn refuse_findings(
    findings: &Findings,
    entry_path: &str,
    entrypoint: &Entrypoint,
    is_single: bool,
) -> anyhow::Result<()> {
    if let Some(first) = findings.errors.first() {
        let more = findings.errors.len() - 1;
        let place = first.line.map(|line| format!(":{line}")).unwrap_or_default();
        let place = place + &first.column.map(|column| format!(":{column}")).unwrap_or_default();
        let file = first.file.as_deref().unwrap_or(entry_path);
        let message = format!("{file}{place}: {}: {}", first.kind, first.message);
        let mut failure = Failure::of(Code::DeploymentFailed, visible(&message));
        failure
            .details
            .extend(first.snippet.iter().flat_map(|text| text.lines()).map(|line| format!("    {}", visible(line))));
        if more > 0 {
            failure.details.push(format!("and {} more", text::counted(more, "file")));
        }
        return Err(failure.with_hint("mend the syntax and deploy again").into());
    }
    let top = entrypoint.symbol().split('.').next().unwrap_or_default();
    match &findings.names {
        Some(names) if !names.iter().any(|name| name == top) => {
            let message = format!("entrypoint `{entrypoint}` does not exist: {entry_path} does not define `{top}`");
            let public = names.iter().map(String::as_str).filter(|name| !name.starts_with('_'));
            let hint = match closest(top, public.clone()).or_else(|| single_of(public)) {
                Some(meant) if is_single => {
                    format!("to call `{meant}`, add --entrypoint {}:{meant}", entrypoint.file())
                }
                Some(meant) => format!("did you mean `{}:{meant}`?", entrypoint.file()),
                None => format!("define `{top}` in {entry_path}, or set `entrypoint` to a name that is there"),
            };
            Err(Failure::of(Code::DeploymentFailed, message).with_hint(hint).into())
        }
        _ => Ok(()),
    }
}

/// What the system says, without its number.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// The function that is named, or that of the directory one is in.
pub(crate) fn name_or_here(name: Option<String>) -> anyhow::Result<String> {
    match name {
        Some(name) => Ok(name),
        None => match Manifest::load(Path::new(".")) {
            Ok((_, manifest)) => Ok(manifest.resolve()?.0.to_string()),
            Err(LoadManifestError::Missing { .. }) => {
                Err(Failure::usage("no function is named, and there is no faas.toml here that names one").into())
            }
            Err(error) => Err(error.into()),
        },
    }
}

/// A path argument with its default.
pub(crate) fn or_here(path: Option<PathBuf>) -> PathBuf {
    path.unwrap_or_else(|| PathBuf::from("."))
}
