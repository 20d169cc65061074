//! What is deployed: a directory with a manifest, or a single file, checked as far as this machine can.

use std::path::{Path, PathBuf};

use anyhow::Context;
use faas_client::{LocalFile, ManifestBody};
use faas_config::{LoadManifestError, MANIFEST_FILES, Manifest, SourceDir, is_link_error};
use faas_languages::Language;
use faas_preflight::{Finding, Policies};
use faas_types::{Code, Entrypoint, FunctionName, Origin};

use crate::failure::Failure;
use crate::pace::Pace;
use crate::text::visible;
use crate::{bundle, checks, source};

/// A function on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// The directory of its files, or the file that it is.
    pub(crate) root: PathBuf,
    pub(crate) name: FunctionName,
    pub(crate) manifest: Manifest,
    pub(crate) files: Vec<LocalFile>,
    /// Whether it is a file without a manifest, whose settings come from the command line.
    pub(crate) is_single: bool,
    /// What of the check could not be done, for people.
    pub(crate) skipped: Option<String>,
}

/// What the command line says beside the manifest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) name: Option<FunctionName>,
    pub(crate) entrypoint: Option<Entrypoint>,
    /// Who hears how far the reading is.
    pub(crate) pace: Pace,
}

// === impl Project ===

impl Project {
    /// Reads and checks a directory or a file that holds one function.
    pub(crate) fn open(path: &Path, wishes: Wishes) -> anyhow::Result<Self> {
        let mut project = Self::read_one(path, wishes)?;
        checks::refuse(&project.check(&Policies::default()))?;
        Ok(project)
    }

    /// Reads a directory or a file that holds one function, without a look into its code, which the server loads anyway before
    /// it serves.
    pub(crate) fn read_one(path: &Path, wishes: Wishes) -> anyhow::Result<Self> {
        let mut projects = Self::read(path, wishes)?;
        let names = projects.iter().map(|project| project.name.as_str()).collect::<Vec<_>>().join(", ");
        match projects.pop().filter(|_| projects.is_empty()) {
            Some(project) => Ok(project),
            None => Err(Failure::usage(format!("the manifest is of several functions: {names}")).into()),
        }
    }

    /// Reads every function of a directory, or a file; checks manifest, paths and sizes alone.
    pub(crate) fn read(path: &Path, wishes: Wishes) -> anyhow::Result<Vec<Self>> {
        let meta = look(path)?;
        if !meta.is_dir() {
            let (manifest, files) = file(path, &wishes)?;
            return Ok(vec![Self::new(path, manifest, files, true)?]);
        }
        if !has_manifest(path)? && wishes.name.is_some() {
            let files = bundle::walk_at_pace(path, &wishes.pace)?;
            return Ok(vec![Self::new(path, guessed(&files, &wishes)?, files, false)?]);
        }
        if wishes.entrypoint.is_some() {
            let message = "--entrypoint is for files without a manifest; faas.toml says it";
            return Err(Failure::usage(message).into());
        }
        directory(path, wishes)
    }

    fn new(root: &Path, mut manifest: Manifest, files: Vec<LocalFile>, is_single: bool) -> anyhow::Result<Self> {
        let (name, _) = manifest.clone().resolve()?;
        manifest.name = Some(name.clone());
        Ok(Self { root: root.to_owned(), name, manifest, files, is_single, skipped: None })
    }

    /// The manifest as a deployment carries it.
    pub(crate) fn manifest_body(&self) -> ManifestBody {
        let origins = self.manifest.origins.iter().map(|(key, origin)| (key.clone(), origin.to_string()));
        ManifestBody { manifest: self.manifest.to_json(), origins: Some(origins.collect()) }
    }

    pub(crate) fn bytes(&self) -> u64 {
        bundle::total_bytes(&self.files)
    }

    /// Everything that is wrong with its files, the errors first. Notes what could not be checked.
    pub(crate) fn check(&mut self, policies: &Policies) -> Vec<Finding> {
        let (findings, skipped) = checks::of(self, policies);
        self.skipped = skipped;
        findings
    }
}

/// What lies at a path that a command was given.
pub(crate) fn look(path: &Path) -> Result<std::fs::Metadata, Failure> {
    std::fs::metadata(path).map_err(|error| {
        let failure = Failure::usage(format!("cannot open {}: {}", path.display(), plain(&error)));
        failure.with_hint(format!("name a directory with a faas.toml, or a file ({})", suffixes()))
    })
}

/// The functions of a directory's manifest. `name` replaces the one that a manifest of a single function says.
fn directory(dir: &Path, wishes: Wishes) -> anyhow::Result<Vec<Project>> {
    let Wishes { name, pace, .. } = wishes;
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
            return Project::new(dir, manifest, bundle::walk_in(&source, dir, &pace)?, false);
        };
        let root = dir.join(path);
        let files = bundle::walk_in(&directory_of(&source, path, &root)?, &root, &pace)?;
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
        .flat_map(|language| language.suffixes.iter().map(|suffix| format!("{}{suffix}", language.entrypoint.file())));
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

/// Whether a directory has a manifest, be it one that cannot be read.
pub(crate) fn has_manifest(dir: &Path) -> anyhow::Result<bool> {
    let source = SourceDir::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    Ok(MANIFEST_FILES.iter().any(|name| source.has(name)))
}

/// A manifest for files that have none: the language whose usual entrypoint is there.
fn guessed(files: &[LocalFile], wishes: &Wishes) -> anyhow::Result<Manifest> {
    let name = wishes.name.clone().context("a name was asked for")?;
    let has = |language: &Language, entrypoint: &Entrypoint| {
        language.files.iter().any(|ending| {
            let path = format!("{}{ending}", entrypoint.file().replace('.', "/"));
            // Where languages share an ending, it is of the one that claims it.
            Language::of_file(&path) == Some(language) && files.iter().any(|file| file.entry.path == path)
        })
    };
    let wanted = |language: &Language| wishes.entrypoint.clone().unwrap_or_else(|| language.entrypoint.clone());
    let language = Language::all().iter().find(|language| has(language, &wanted(language))).ok_or_else(|| {
        let usual = Language::all().iter().map(|language| language.entrypoint.file()).collect::<Vec<_>>().join(" or ");
        Failure::of(Code::InvalidConfiguration, format!("there is no faas.toml, and no {usual} to start from"))
            .with_hint("add a faas.toml, or say where the code starts with --entrypoint FILE:NAME")
    })?;
    let mut manifest = Manifest::new(name, language.newest(), wanted(language));
    manifest.came_from("name", Origin::flag("--name"));
    came_from_files(&mut manifest, wishes, language.entrypoint.file());
    Ok(manifest)
}

fn file(path: &Path, wishes: &Wishes) -> anyhow::Result<(Manifest, Vec<LocalFile>)> {
    let file_name = path.file_name().and_then(|name| name.to_str()).context("the file has no name in UTF-8")?;
    let Some(language) = Language::of_file(file_name) else {
        if MANIFEST_FILES.contains(&file_name) {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            let failure = Failure::usage(format!("{} is a manifest", visible(&path.display().to_string())));
            return Err(failure
                .with_hint(format!("name its directory: {}", visible(&dir.display().to_string())))
                .into());
        }
        if source::is_archive(path) {
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
    let mut manifest = Manifest::new(name, language.newest(), entrypoint);
    let named = wishes.name.as_ref().map_or_else(|| Origin::detected(file_name), |_| Origin::flag("--name"));
    manifest.came_from("name", named);
    came_from_files(&mut manifest, wishes, file_name);
    Ok((manifest, bundle::single(path, file_name)?))
}

/// Runtime and entrypoint of files without a manifest.
fn came_from_files(manifest: &mut Manifest, wishes: &Wishes, file: &str) {
    let detected = || Origin::detected(file);
    manifest.came_from("runtime", detected());
    let entrypoint = wishes.entrypoint.as_ref().map_or_else(detected, |_| Origin::flag("--entrypoint"));
    manifest.came_from("entrypoint", entrypoint);
}

/// The endings of files that are functions by themselves, for people.
fn suffixes() -> String {
    Language::all().iter().flat_map(|language| &language.suffixes).map(String::as_str).collect::<Vec<_>>().join(", ")
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
