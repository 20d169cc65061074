//! The manifest of a function: what `faas.toml` says, checked.

mod background;
mod bounds;
mod build;
mod canary;
mod cors;
mod cron;
mod dialect;
#[cfg(test)]
mod dialect_tests;
mod document;
mod egress;
mod event;
mod fields;
mod http;
mod keys;
mod layers;
mod literal;
mod multi_function;
mod node;
mod origins;
mod preflight;
mod problem;
mod queue;
mod reader;
mod source_locations;
mod syntax;
#[cfg(test)]
mod tests;
mod trigger_fields;
#[cfg(test)]
mod trigger_tests;
mod triggers;
mod vars;
mod webhook;

use std::io;
use std::path::{Path, PathBuf};

use faas_preflight::AllowedSecret;
use faas_types::{
    Code, Entrypoint, Fault, FunctionName, FunctionSettings, Origins, RuntimeName, TriggerSettings, limits,
};

pub use document::manifest_schema;
pub use node::Position;
pub use origins::Row;
pub use problem::{LoadManifestError, ManifestErrors, ManifestProblem};
pub use reader::closest;
pub use source_locations::location_of_var;
pub use vars::check_var;

use crate::source_dir::SourceDir;
use node::Node;
use reader::Reader;

/// File names of a manifest.
pub const MANIFEST_FILES: [&str; 5] =
    ["faas.toml", "platform.yaml", "function.config.json", "function.config.ts", "function.config.js"];

/// What a function says of itself. Every value has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The function's name; a command line may supply it instead.
    pub name: Option<FunctionName>,
    /// What it does, for people.
    pub description: Option<String>,
    /// What it runs with.
    pub settings: FunctionSettings,
    /// Where its files lie, below the directory of the manifest; in it when absent.
    pub path: Option<String>,
    /// What looks like a secret in its files and is none.
    pub allowed_secrets: Vec<AllowedSecret>,
    /// Where each key came from; those that are not there are left at their default.
    pub origins: Origins,
}

// === impl Manifest ===

impl Manifest {
    /// A manifest with defaults, for a single file that is deployed without one.
    #[must_use]
    pub fn new(name: FunctionName, runtime: RuntimeName, entrypoint: Entrypoint) -> Self {
        let settings = FunctionSettings::new(runtime, entrypoint);
        let (allowed_secrets, origins) = (Vec::new(), Origins::new());
        Self { name: Some(name), description: None, settings, path: None, allowed_secrets, origins }
    }

    /// Reads TOML; `source` names the file in messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_toml(source: &str, text: &str) -> Result<Self, ManifestErrors> {
        check_size(source, text)?;
        Self::from_node(source, &syntax::from_toml(source, text)?)
    }

    /// Reads YAML with the same keys and the other names of `platform.yaml`; `source` names the file in messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_yaml(source: &str, text: &str) -> Result<Self, ManifestErrors> {
        let (reader, root) = platform(source, text)?;
        Self::from_tree(source, reader, &root)
    }

    /// Reads the literal of a `function.config.json`, `.ts` or `.js` with the same keys and the other names of such
    /// files; `source` names the file in messages. Code is never run.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_function_config(source: &str, text: &str) -> Result<Self, ManifestErrors> {
        let (reader, root) = function_config(source, text)?;
        Self::from_tree(source, reader, &root)
    }

    /// Reads JSON with the same keys, as a deployment carries it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(value: serde_json::Value) -> Result<Self, ManifestErrors> {
        Self::from_node("manifest", &syntax::from_json("manifest", value)?)
    }

    /// Reads the manifest of a directory and says which file it was.
    ///
    /// # Errors
    /// When there is no manifest or more than one, or when it cannot be read or is wrong.
    pub fn load(dir: &Path) -> Result<(PathBuf, Self), LoadManifestError> {
        let (path, name, reader, root) = load_tree(dir)?;
        Ok((path, Self::from_tree(name, reader, &root)?))
    }

    /// Reads every function of a directory's manifest, by name: those of `[functions.NAME]` over what they share, or the one
    /// that the manifest is of.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_all(dir: &Path) -> Result<(PathBuf, Vec<Self>), LoadManifestError> {
        let (path, name, reader, root) = load_tree(dir)?;
        Ok((path, multi_function::read(name, reader, &root)?))
    }

    /// The name and settings that a version is made with.
    ///
    /// # Errors
    /// [`Code::InvalidConfiguration`] when there is no name.
    pub fn resolve(self) -> Result<(FunctionName, FunctionSettings), Fault> {
        match self.name {
            Some(name) => Ok((name, self.settings)),
            None => Err(Fault::new(Code::InvalidConfiguration, "the manifest has no `name`")
                .with_hint("add a line such as name = \"hello\" to faas.toml, or pass --name NAME")),
        }
    }

    /// The manifest as JSON with the keys of `faas.toml`, all of them spelled out.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        document::ManifestDocument::from(self).to_json()
    }

    /// Reads one trigger as JSON with the keys that it has in a manifest.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn trigger_from_json(value: serde_json::Value) -> Result<TriggerSettings, ManifestErrors> {
        let root = syntax::from_json("trigger", value)?;
        let mut reader = Reader::default();
        match triggers::lone(&mut reader, &root) {
            Some(trigger) if reader.problems.is_empty() => Ok(trigger),
            _ => Err(ManifestErrors { source: "trigger".to_owned(), problems: reader.problems }),
        }
    }

    fn from_node(source: &str, root: &Node) -> Result<Self, ManifestErrors> {
        Self::from_tree(source, Reader::default(), root)
    }

    /// Reads a tree with the problems that were found on the way to it.
    fn from_tree(source: &str, mut reader: Reader, root: &Node) -> Result<Self, ManifestErrors> {
        let manifest = fields::read(&mut reader, root);
        let mut problems = reader.problems;
        problems.sort_by_key(|problem| problem.at);
        match manifest {
            Some(manifest) if problems.is_empty() => Ok(Self { origins: origins::origins(source, root), ..manifest }),
            _ => Err(ManifestErrors { source: source.to_owned(), problems }),
        }
    }
}

/// The one manifest of a directory, as a tree.
fn load_tree(dir: &Path) -> Result<(PathBuf, &'static str, Reader, Node), LoadManifestError> {
    let missing = || LoadManifestError::Missing { dir: dir.to_owned() };
    let unreadable = |path: PathBuf| move |error| LoadManifestError::Unreadable { path, error };
    let source = match SourceDir::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
        opened => opened.map_err(unreadable(dir.to_owned()))?,
    };
    let present: Vec<_> = MANIFEST_FILES.into_iter().filter(|name| source.has(name)).collect();
    let name = match present[..] {
        [] => return Err(missing()),
        [name] => name,
        [first, second, ..] => {
            let message = format!("there is a {second} as well; keep one of the two");
            return Err(ManifestErrors::whole(first, None, message).into());
        }
    };
    let path = dir.join(name);
    let text = match source.text(name, limits::MANIFEST_MAX) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(too_large(name).into()),
        read => read.map_err(unreadable(path.clone()))?,
    };
    let (reader, root) = tree(name, &text)?;
    Ok((path, name, reader, root))
}

/// The tree of a manifest by the name of its file, with the problems that were found on the way to it.
fn tree(name: &str, text: &str) -> Result<(Reader, Node), ManifestErrors> {
    match name {
        "platform.yaml" => platform(name, text),
        "faas.toml" => {
            check_size(name, text)?;
            Ok((Reader::default(), syntax::from_toml(name, text)?))
        }
        _ => function_config(name, text),
    }
}

fn platform(source: &str, text: &str) -> Result<(Reader, Node), ManifestErrors> {
    check_size(source, text)?;
    let mut root = syntax::from_yaml(source, text)?;
    let mut reader = Reader::default();
    dialect::platform(&mut reader, &mut root);
    Ok((reader, root))
}

fn function_config(source: &str, text: &str) -> Result<(Reader, Node), ManifestErrors> {
    check_size(source, text)?;
    let frame = if source.ends_with(".json") { literal::Frame::Bare } else { literal::Frame::Module };
    let mut root = literal::read(source, text, frame)?;
    let mut reader = Reader::default();
    dialect::function_config(&mut reader, &mut root);
    Ok((reader, root))
}

fn check_size(source: &str, text: &str) -> Result<(), ManifestErrors> {
    if text.len() as u64 > limits::MANIFEST_MAX {
        return Err(too_large(source));
    }
    Ok(())
}

fn too_large(source: &str) -> ManifestErrors {
    let most = limits::MANIFEST_MAX / 1024;
    ManifestErrors::whole(source, None, format!("it is larger than {most} KB; move data into other files"))
}
