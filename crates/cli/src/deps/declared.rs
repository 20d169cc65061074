//! The packages that a function says it needs: `requirements.txt`, `pyproject.toml`, `Pipfile`, `package.json`.

use std::collections::BTreeMap;

use faas_client::LocalFile;
use faas_types::Code;

use crate::bundle;
use crate::deps::packages::{Ecosystem, canonical};
use crate::failure::Failure;

/// Files that `-r` may lead to.
const INCLUDES_MAX: usize = 16;
/// A file of declarations is text that people write.
const SIZE_MAX: u64 = 4 << 20;

/// Declared packages.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    ecosystem: Ecosystem,
    /// The names as they are written, by the names as their registry compares them.
    names: BTreeMap<String, String>,
    /// The file that declares them, here.
    file: Option<LocalFile>,
}

// === impl Declared ===

impl Declared {
    /// Reads what a bundle declares.
    pub(super) fn read(files: &[LocalFile], ecosystem: Ecosystem) -> anyhow::Result<Self> {
        let mut declared = Self { ecosystem, names: BTreeMap::new(), file: None };
        let order: &[&str] = match ecosystem {
            Ecosystem::Python => &["requirements.txt", "pyproject.toml", "Pipfile"],
            Ecosystem::Node => &["package.json"],
        };
        let found = order.iter().filter_map(|name| files.iter().find(|file| file.entry.path == **name));
        for file in found {
            declared.read_file(file, files)?;
            // A `pyproject.toml` that declares nothing is there for other tools.
            if file.entry.path != "pyproject.toml" || !declared.names.is_empty() {
                break;
            }
        }
        Ok(declared)
    }

    fn read_file(&mut self, file: &LocalFile, files: &[LocalFile]) -> anyhow::Result<()> {
        self.file = Some(file.clone());
        match file.entry.path.as_str() {
            "requirements.txt" => self.read_requirements(file, files),
            "pyproject.toml" => self.read_pyproject(&text(file)?),
            "Pipfile" => self.read_pipfile(&text(file)?),
            _ => self.read_package_json(&text(file)?),
        }
    }

    /// Whether a package is declared.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(&canonical(name, self.ecosystem))
    }

    /// The names as they are written.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.values().map(String::as_str)
    }

    /// The file that declares, or the one that would.
    pub(super) fn place(&self, ecosystem: Ecosystem) -> &str {
        let usual = match ecosystem {
            Ecosystem::Python => "requirements.txt",
            Ecosystem::Node => "package.json",
        };
        self.file.as_ref().map_or(usual, |file| &file.entry.path)
    }

    /// The file's text with these packages added; the first that is declared makes the file.
    ///
    /// # Errors
    /// Where only a person knows the right place.
    pub(crate) fn with(&self, packages: &[&str]) -> anyhow::Result<String> {
        let before = match &self.file {
            Some(file) => text(file)?,
            None => String::new(),
        };
        match (self.ecosystem, self.file.as_ref().map(|file| file.entry.path.as_str())) {
            (Ecosystem::Python, Some(file @ ("pyproject.toml" | "Pipfile"))) => {
                let quoted: Vec<String> = packages.iter().map(|name| format!("\"{name}\"")).collect();
                let place = if file == "Pipfile" { "[packages]" } else { "`dependencies` under [project]" };
                Err(Failure::of(Code::InvalidConfiguration, format!("{file} is left to its author"))
                    .with_hint(format!(
                        "add {} to {place}, and create the lock file again where there is one",
                        quoted.join(", ")
                    ))
                    .into())
            }
            (Ecosystem::Python, _) => {
                let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
                let lines: String = packages.iter().map(|name| format!("{name}\n")).collect();
                Ok(before + gap + &lines)
            }
            (Ecosystem::Node, _) => with_npm_packages(&before, packages),
        }
    }

    fn add(&mut self, name: &str) {
        self.names.entry(canonical(name, self.ecosystem)).or_insert_with(|| name.to_owned());
    }

    fn read_requirements(&mut self, first: &LocalFile, files: &[LocalFile]) -> anyhow::Result<()> {
        let mut waiting = vec![first];
        let mut seen: Vec<&str> = Vec::new();
        while let Some(file) = waiting.pop() {
            if seen.contains(&file.entry.path.as_str()) || seen.len() == INCLUDES_MAX {
                continue;
            }
            seen.push(&file.entry.path);
            for line in text(file)?.replace("\\\n", " ").lines() {
                let line = line.split(" #").next().unwrap_or_default().trim();
                match included(line) {
                    Some(other) => waiting.extend(files.iter().find(|file| file.entry.path == other)),
                    None => {
                        if let Some(name) = requirement(line) {
                            self.add(name);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn read_pyproject(&mut self, text: &str) -> anyhow::Result<()> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| malformed("pyproject.toml", &error))?;
        let project = table.get("project").and_then(|project| project.get("dependencies"));
        for line in project.and_then(toml::Value::as_array).into_iter().flatten() {
            if let Some(name) = line.as_str().and_then(requirement) {
                self.add(name);
            }
        }
        let poetry =
            table.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("dependencies"));
        for name in poetry.and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys) {
            if name != "python" {
                self.add(name);
            }
        }
        Ok(())
    }

    fn read_pipfile(&mut self, text: &str) -> anyhow::Result<()> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| malformed("Pipfile", &error))?;
        let packages = table.get("packages").and_then(toml::Value::as_table);
        packages.into_iter().flat_map(toml::Table::keys).for_each(|name| self.add(name));
        Ok(())
    }

    fn read_package_json(&mut self, text: &str) -> anyhow::Result<()> {
        let package: serde_json::Value =
            serde_json::from_str(text).map_err(|error| malformed("package.json", &error))?;
        for group in ["dependencies", "optionalDependencies", "peerDependencies"] {
            let names = package.get(group).and_then(serde_json::Value::as_object);
            names.into_iter().flat_map(serde_json::Map::keys).for_each(|name| self.add(name));
        }
        Ok(())
    }
}

/// The name in a line such as `PyYAML[extra]>=6 ; python_version < "4"`; options and bare URLs have none.
fn requirement(line: &str) -> Option<&str> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !rest.starts_with([':', '/', '+']);
    is_name.then_some(name)
}

/// The file that a line of requirements takes in.
fn included(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("--requirement").or_else(|| line.strip_prefix("-r"))?;
    let path = rest.trim_start_matches(['=', ' ']).trim();
    Some(path.strip_prefix("./").unwrap_or(path))
}

fn with_npm_packages(before: &str, packages: &[&str]) -> anyhow::Result<String> {
    let text = if before.trim().is_empty() { "{}" } else { before };
    let mut package: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| malformed("package.json", &error))?;
    let group = package.entry("dependencies").or_insert_with(|| serde_json::json!({}));
    let group = group
        .as_object_mut()
        .ok_or_else(|| Failure::of(Code::InvalidConfiguration, "package.json: `dependencies` is not an object"))?;
    for name in packages {
        group.entry(*name).or_insert_with(|| "*".into());
    }
    Ok(serde_json::to_string_pretty(&package)? + "\n")
}

fn text(file: &LocalFile) -> anyhow::Result<String> {
    if file.entry.size > SIZE_MAX {
        let message = format!("{} is larger than {} MB", file.entry.path, SIZE_MAX >> 20);
        return Err(Failure::of(Code::InvalidConfiguration, message).into());
    }
    bundle::read_text(file)
}

fn malformed(file: &str, error: &dyn std::fmt::Display) -> Failure {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    Failure::of(Code::InvalidConfiguration, format!("{file}: {}", lines.join(" ")))
}
