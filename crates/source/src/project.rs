//! What is deployed: a directory with a manifest, or a single file, checked as far as this machine can.

use std::path::{Path, PathBuf};

use anyhow::Context;
use faas_client::{LocalFile, ManifestBody};
use faas_config::{LoadManifestError, MANIFEST_FILES, Manifest, SourceDir, is_link_error};
use faas_languages::Language;
use faas_terminal::failure::{Failure, plain};
use faas_terminal::read_progress::ReadProgress;
use faas_terminal::text::visible;
use faas_types::{Code, Entrypoint, FunctionName, Origin};

use crate::location::has_manifest;
use crate::{bundle, fetched};

/// A function on this machine.
#[derive(Clone, Debug)]
pub struct Project {
    /// The directory of its files, or the file that it is.
    pub root: PathBuf,
    /// The function's name.
    pub name: FunctionName,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its files.
    pub files: Vec<LocalFile>,
    /// Whether it is a file without a manifest, whose settings come from the command line.
    pub is_single: bool,
    /// What of the check could not be done, for people.
    pub skipped: Option<String>,
}

/// What the command line sets in place of the manifest.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Its name.
    pub name: Option<FunctionName>,
    /// Its entrypoint.
    pub entrypoint: Option<Entrypoint>,
    /// Where the progress of reading is shown.
    pub progress: ReadProgress,
}

/// What is called in a file that is deployed without a manifest.
const HANDLER: &str = "handler";

// === impl Project ===

impl Project {
    /// Reads a directory or a file that holds one function, without a look into its code, which the server loads anyway before
    /// it serves.
    pub fn read_one(path: &Path, overrides: Overrides) -> anyhow::Result<Self> {
        let mut projects = Self::read(path, overrides)?;
        let names = projects.iter().map(|project| project.name.as_str()).collect::<Vec<_>>().join(", ");
        match projects.pop().filter(|_| projects.is_empty()) {
            Some(project) => Ok(project),
            None => Err(Failure::usage(format!("the manifest is of several functions: {names}")).into()),
        }
    }

    /// Reads every function of a directory, or a file; checks manifest, paths and sizes alone.
    pub fn read(path: &Path, overrides: Overrides) -> anyhow::Result<Vec<Self>> {
        let meta = look(path)?;
        if !meta.is_dir() {
            let (manifest, files) = file(path, &overrides)?;
            return Ok(vec![Self::new(path, manifest, files, true)?]);
        }
        if !has_manifest(path)? && overrides.name.is_some() {
            let files = bundle::walk_at_pace(path, &overrides.progress)?;
            return Ok(vec![Self::new(path, guessed(&files, &overrides)?, files, false)?]);
        }
        if overrides.entrypoint.is_some() {
            let message = "--entrypoint is for files without a manifest; faas.toml says it";
            return Err(Failure::usage(message).into());
        }
        directory(path, overrides)
    }

    fn new(root: &Path, mut manifest: Manifest, files: Vec<LocalFile>, is_single: bool) -> anyhow::Result<Self> {
        let (name, _) = manifest.clone().resolve()?;
        manifest.name = Some(name.clone());
        Ok(Self { root: root.to_owned(), name, manifest, files, is_single, skipped: None })
    }

    /// The manifest as a deployment carries it.
    pub fn manifest_body(&self) -> ManifestBody {
        let origins = self.manifest.origins.iter().map(|(key, origin)| (key.clone(), origin.to_string()));
        ManifestBody { manifest: self.manifest.to_json(), origins: Some(origins.collect()) }
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        bundle::total_bytes(&self.files)
    }
}

/// What lies at a path that a command was given.
pub fn look(path: &Path) -> Result<std::fs::Metadata, Failure> {
    std::fs::metadata(path).map_err(|error| {
        let failure = Failure::usage(format!("cannot open {}: {}", path.display(), plain(&error)));
        failure.with_hint(format!("name a directory with a faas.toml, or a file ({})", suffixes()))
    })
}

/// The functions of a directory's manifest. `name` replaces the one that a manifest of a single function says.
fn directory(dir: &Path, overrides: Overrides) -> anyhow::Result<Vec<Project>> {
    let Overrides { name, progress, .. } = overrides;
    let (_, mut manifests) = Manifest::load_all(dir).map_err(|error| match error {
        LoadManifestError::Missing { .. } => without_manifest(dir).into(),
        other => anyhow::Error::from(other),
    })?;
    match (&mut manifests[..], name) {
        ([only], Some(name)) => {
            only.name = Some(name);
            only.came_from("name", Origin::flag("--name"));
        }
        (_, Some(_)) => {
            let message = "--name is for one function; the manifest is of several, and names them";
            return Err(Failure::usage(message).with_hint("choose one with --only NAME").into());
        }
        _ => {}
    }
    let source = SourceDir::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    let project = |manifest: Manifest| {
        let Some(path) = &manifest.path else {
            return Project::new(dir, manifest, bundle::walk_in(&source, dir, &progress)?, false);
        };
        let root = dir.join(path);
        let files = bundle::walk_in(&directory_of(&source, path, &root)?, &root, &progress)?;
        Project::new(&root, manifest, files, false)
    };
    manifests.into_iter().map(project).collect()
}

/// What to do where a directory has no manifest.
fn without_manifest(dir: &Path) -> Failure {
    let failure = Failure::of(Code::InvalidConfiguration, format!("no faas.toml in {}", dir.display()));
    let Ok(source) = SourceDir::open(dir) else { return failure };
    let starts = Language::all()
        .iter()
        .flat_map(|language| language.suffixes.iter().map(|suffix| format!("{}{suffix}", usual_file(language))));
    match starts.into_iter().find(|file| source.has(file)) {
        Some(file) => failure.with_hint(format!(
            "{file} is here: say what the function is called, with `faas deploy {} --name NAME` or `name` in a faas.toml",
            visible(&dir.display().to_string())
        )),
        None => failure
            .with_hint("create a function with `faas init NAME`, or deploy a single file with `faas deploy FILE`"),
    }
}

/// Opens the directory that a manifest names as `path`.
fn directory_of(source: &SourceDir, path: &str, root: &Path) -> Result<SourceDir, Failure> {
    source.dir(path).map_err(|error| {
        let shown = visible(&root.display().to_string());
        let message = if is_link_error(&error) {
            format!("`path`: {shown}: {error}")
        } else {
            format!("`path`: there is no directory {shown}: {}", plain(&error))
        };
        Failure::of(Code::InvalidConfiguration, message)
    })
}

/// A manifest for files that have none: the language whose usual entrypoint is there.
fn guessed(files: &[LocalFile], overrides: &Overrides) -> anyhow::Result<Manifest> {
    let name = overrides.name.clone().context("a name was asked for")?;
    let has = |language: &Language, entrypoint: &Entrypoint| {
        let Ok(parts) = language.entrypoint_parts(entrypoint) else { return false };
        language.files.iter().any(|ending| {
            let path = format!("{}{ending}", parts.file.replace('.', "/"));
            // Where languages share an ending, it is of the one that claims it.
            Language::of_file(&path) == Some(language) && files.iter().any(|file| file.entry.path == path)
        })
    };
    let wanted = |language: &Language| overrides.entrypoint.clone().unwrap_or_else(|| language.entrypoint.clone());
    let language = Language::all().iter().find(|language| has(language, &wanted(language))).ok_or_else(|| {
        let usual = Language::all().iter().map(usual_file).collect::<Vec<_>>().join(" or ");
        Failure::of(Code::InvalidConfiguration, format!("there is no faas.toml, and no {usual} to start from"))
            .with_hint("add a faas.toml, or say where the code starts with --entrypoint FILE:NAME")
    })?;
    let mut manifest = Manifest::new(name, language.newest(), wanted(language));
    manifest.came_from("name", Origin::flag("--name"));
    came_from_files(&mut manifest, overrides, usual_file(language));
    Ok(manifest)
}

/// The file in which functions of a language start that say nothing else, as their entrypoint writes it.
fn usual_file(language: &Language) -> &str {
    language.entrypoint_parts(&language.entrypoint).map_or("", |parts| parts.file)
}

fn file(path: &Path, overrides: &Overrides) -> anyhow::Result<(Manifest, Vec<LocalFile>)> {
    let file_name = path.file_name().and_then(|name| name.to_str()).context("the file has no name in UTF-8")?;
    let Some(language) = Language::of_file(file_name) else {
        if MANIFEST_FILES.contains(&file_name) {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            let failure = Failure::usage(format!("{} is a manifest", visible(&path.display().to_string())));
            return Err(failure
                .with_hint(format!("name its directory: {}", visible(&dir.display().to_string())))
                .into());
        }
        if fetched::is_archive(path) {
            let message = format!("{} is an archive, which only deploy takes", visible(file_name));
            return Err(Failure::usage(message).with_hint("unpack it, and name the directory").into());
        }
        let message = format!("{} is of no language that this release runs ({})", visible(file_name), suffixes());
        let compiled =
            Language::all().iter().filter_map(|language| Some((&language.title, language.compiled.as_ref()?)));
        let mut written =
            compiled.filter(|(_, of)| of.endings.iter().any(|ending| file_name.ends_with(ending.as_str())));
        let hint = match written.next() {
            Some((title, of)) => {
                format!("{} is not compiled here: build it for {title} first, and deploy what comes out", of.name)
            }
            None => "put the function into a directory with a faas.toml".to_owned(),
        };
        return Err(Failure::usage(message).with_hint(hint).into());
    };
    let stem = language.suffixes.iter().find_map(|suffix| file_name.strip_suffix(suffix.as_str())).unwrap_or(file_name);
    let entrypoint = match &overrides.entrypoint {
        Some(entrypoint) => entrypoint.clone(),
        None => language.entrypoint_form.of_file(file_name, stem, HANDLER).parse()?,
    };
    language.entrypoint_parts(&entrypoint).map_err(|error| {
        let failure = Failure::of(Code::InvalidConfiguration, format!("{error}"));
        let is_detected = overrides.entrypoint.is_none();
        if is_detected { failure.with_hint("rename the file with letters, digits and _") } else { failure }
    })?;
    let name = match &overrides.name {
        Some(name) => name.clone(),
        None => stem.to_lowercase().replace(['_', '.'], "-").parse().map_err(|_| {
            Failure::of(Code::InvalidConfiguration, format!("`{}` does not make a function name", visible(stem)))
                .with_hint("pass one with --name NAME: 1 to 63 of a-z, 0-9 and -, starting with a letter")
        })?,
    };
    let mut manifest = Manifest::new(name, language.newest(), entrypoint);
    let named = overrides.name.as_ref().map_or_else(|| Origin::detected(file_name), |_| Origin::flag("--name"));
    manifest.came_from("name", named);
    came_from_files(&mut manifest, overrides, file_name);
    Ok((manifest, bundle::single(path, file_name)?))
}

/// Runtime and entrypoint of files without a manifest.
fn came_from_files(manifest: &mut Manifest, overrides: &Overrides, file: &str) {
    let detected = || Origin::detected(file);
    manifest.came_from("runtime", detected());
    let entrypoint = overrides.entrypoint.as_ref().map_or_else(detected, |_| Origin::flag("--entrypoint"));
    manifest.came_from("entrypoint", entrypoint);
}

/// The endings of files that are functions by themselves, for people.
fn suffixes() -> String {
    Language::all().iter().flat_map(|language| &language.suffixes).map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The function that is named, or that of the directory one is in.
pub fn name_or_here(name: Option<String>) -> anyhow::Result<String> {
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
