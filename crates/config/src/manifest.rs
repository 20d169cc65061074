//! The manifest of a function: what `faas.toml` says, checked.

mod background;
mod bounds;
mod build;
mod canary;
mod cron;
mod document;
mod event;
mod fields;
mod http;
mod node;
mod problem;
mod queue;
mod reader;
mod syntax;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trigger_tests;
mod triggers;
mod vars;
mod webhook;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use faas_types::{Code, Entrypoint, Fault, FunctionName, FunctionSettings, RuntimeName, TriggerSettings, limits};

pub use document::manifest_schema;
pub use node::Position;
pub use problem::{LoadManifestError, ManifestErrors, Problem};
pub use reader::closest;
pub use vars::check_var;

use node::Node;
use reader::Reader;

/// File names of a manifest.
pub const MANIFEST_FILES: [&str; 2] = ["faas.toml", "platform.yaml"];

/// What a function says of itself. Every value has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The function's name; a command line may supply it instead.
    pub name: Option<FunctionName>,
    /// What it does, for people.
    pub description: Option<String>,
    /// What it runs with.
    pub settings: FunctionSettings,
}

// === impl Manifest ===

impl Manifest {
    /// A manifest with defaults, for a single file that is deployed without one.
    #[must_use]
    pub fn new(name: FunctionName, runtime: RuntimeName, entrypoint: Entrypoint) -> Self {
        Self { name: Some(name), description: None, settings: FunctionSettings::new(runtime, entrypoint) }
    }

    /// Reads TOML; `source` names the file in messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_toml(source: &str, text: &str) -> Result<Self, ManifestErrors> {
        check_size(source, text)?;
        Self::from_node(source, &syntax::from_toml(source, text)?)
    }

    /// Reads YAML with the same keys; `source` names the file in messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_yaml(source: &str, text: &str) -> Result<Self, ManifestErrors> {
        check_size(source, text)?;
        Self::from_node(source, &syntax::from_yaml(source, text)?)
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
    /// When there is none, more than one, or when it cannot be read or is wrong.
    pub fn load(dir: &Path) -> Result<(PathBuf, Self), LoadManifestError> {
        let present: Vec<_> = MANIFEST_FILES.into_iter().filter(|name| dir.join(name).exists()).collect();
        let name = match present[..] {
            [] => return Err(LoadManifestError::Missing { dir: dir.to_owned() }),
            [name] => name,
            _ => {
                let message = "there is a platform.yaml as well; keep one of the two";
                return Err(ManifestErrors::whole("faas.toml", None, message).into());
            }
        };
        let path = dir.join(name);
        let text = read_limited(&path).map_err(|error| LoadManifestError::Unreadable { path: path.clone(), error })?;
        let manifest =
            if name.ends_with(".toml") { Self::from_toml(name, &text)? } else { Self::from_yaml(name, &text)? };
        Ok((path, manifest))
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
        let mut reader = Reader::default();
        let manifest = fields::read(&mut reader, root);
        let mut problems = reader.problems;
        problems.sort_by_key(|problem| problem.at);
        match manifest {
            Some(manifest) if problems.is_empty() => Ok(manifest),
            _ => Err(ManifestErrors { source: source.to_owned(), problems }),
        }
    }
}

fn check_size(source: &str, text: &str) -> Result<(), ManifestErrors> {
    if text.len() as u64 > limits::MANIFEST_MAX {
        let most = limits::MANIFEST_MAX / 1024;
        return Err(ManifestErrors::whole(
            source,
            None,
            format!("it is larger than {most} KB; move data into other files"),
        ));
    }
    Ok(())
}

/// Reads at most one byte more than a manifest may have, so that a huge file costs nothing.
fn read_limited(path: &Path) -> io::Result<String> {
    let file = std::fs::File::open(path)?;
    let mut text = String::new();
    file.take(limits::MANIFEST_MAX + 1).read_to_string(&mut text)?;
    Ok(text)
}
