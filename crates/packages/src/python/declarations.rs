//! Declared and vendored packages of Python.

use faas_types::{Code, Fault};

use super::Python;
use super::locks::{Requirement, canonical};
use super::project::PROJECT;
use super::requirements::{REQUIREMENTS, include_of, logical_lines};
use super::{PIPFILE, read_table};
use crate::declarations::{Declarations, DeclaredPackages, VendoredPackages};
use crate::sources::{ReadError, SourceFiles};

/// Files that `-r` may lead to.
const INCLUDES_MAX: usize = 16;
/// The end of the path of a vendored package's file list.
const RECORD: &str = ".dist-info/RECORD";
/// Bytes of a file of declarations, which people write.
pub(super) const DECLARATION_MAX: u64 = 4 << 20;

// === impl Python ===

impl Declarations for Python {
    fn canonical(&self, name: &str) -> String {
        canonical(name)
    }

    fn default_file(&self) -> &'static str {
        REQUIREMENTS
    }

    fn declared(&self, sources: &SourceFiles) -> Result<DeclaredPackages, ReadError> {
        let mut declared = DeclaredPackages::default();
        if sources.has(REQUIREMENTS) {
            declared.file = Some(REQUIREMENTS.to_owned());
            read_requirements(sources, &mut declared)?;
            return Ok(declared);
        }
        if let Some(text) = sources.text_within(PROJECT, DECLARATION_MAX)? {
            declared.file = Some(PROJECT.to_owned());
            read_project(text, &mut declared)?;
        }
        // A `pyproject.toml` that declares nothing is there for other tools.
        if declared.names.is_empty()
            && let Some(text) = sources.text_within(PIPFILE, DECLARATION_MAX)?
        {
            declared.file = Some(PIPFILE.to_owned());
            let file = read_table(PIPFILE, text)?;
            let packages = file.get("packages").and_then(toml::Value::as_table);
            packages.into_iter().flat_map(toml::Table::keys).for_each(|name| declared.add(canonical(name), name));
        }
        Ok(declared)
    }

    fn with_packages(&self, file: &str, text: &str, packages: &[&str]) -> Result<String, Fault> {
        if file != REQUIREMENTS {
            let quoted: Vec<String> = packages.iter().map(|name| format!("\"{name}\"")).collect();
            let table = if file == PIPFILE { "[packages]" } else { "`dependencies` under [project]" };
            let hint =
                format!("add {} to {table}, and create the lock file again where there is one", quoted.join(", "));
            return Err(Fault::new(Code::InvalidConfiguration, format!("{file} is left to its author")).with_hint(hint));
        }
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let lines: String = packages.iter().map(|name| format!("{name}\n")).collect();
        Ok(format!("{text}{gap}{lines}"))
    }

    fn is_record(&self, path: &str) -> bool {
        path.ends_with(RECORD)
    }

    /// `vendor/PyYAML-6.0.dist-info/RECORD` lists the files of one package, relative to `vendor`.
    fn see(&self, path: &str, text: Option<&str>, vendored: &mut VendoredPackages) {
        let Some(dist_info) = path.strip_suffix(RECORD) else { return };
        let (dir, dist) = dist_info.rsplit_once('/').map_or(("", dist_info), |(dir, dist)| (dir, dist));
        let name = dist.rsplit_once('-').map_or(dist, |(name, _)| name);
        vendored.names.insert(canonical(name));
        for line in text.unwrap_or_default().lines() {
            let path = line.split(',').next().unwrap_or_default().trim_matches('"');
            let first = path.split('/').next().unwrap_or_default();
            if !first.ends_with(".dist-info") && first != ".." && !first.is_empty() {
                vendored.modules.insert(first.split('.').next().unwrap_or(first).to_owned());
            }
            vendored.files.insert(if dir.is_empty() { path.to_owned() } else { format!("{dir}/{path}") });
        }
    }

    fn is_vendored(&self, path: &str, vendored: &VendoredPackages) -> bool {
        vendored.files.contains(path)
    }
}

fn read_requirements(sources: &SourceFiles, declared: &mut DeclaredPackages) -> Result<(), ReadError> {
    let mut waiting = vec![REQUIREMENTS.to_owned()];
    let mut seen: Vec<String> = Vec::new();
    while let Some(path) = waiting.pop() {
        if seen.contains(&path) || seen.len() == INCLUDES_MAX {
            continue;
        }
        let text = sources.text_within(&path, DECLARATION_MAX)?.unwrap_or_default();
        for (_, line) in logical_lines(text) {
            match include_of(&path, &line) {
                Some(other) => waiting.extend(other),
                None => add_requirement(&line, declared),
            }
        }
        seen.push(path);
    }
    Ok(())
}

fn read_project(text: &str, declared: &mut DeclaredPackages) -> Result<(), Fault> {
    let file = read_table(PROJECT, text)?;
    let lines = file.get("project").and_then(|project| project.get("dependencies")?.as_array());
    for line in lines.into_iter().flatten().filter_map(toml::Value::as_str) {
        add_requirement(line, declared);
    }
    let poetry = file.get("tool").and_then(|tool| tool.get("poetry")?.get("dependencies")?.as_table());
    for name in poetry.into_iter().flat_map(toml::Table::keys).filter(|name| *name != "python") {
        declared.add(canonical(name), name);
    }
    Ok(())
}

/// The package of a line such as `PyYAML[extra]>=6 ; python_version < "4"`; options and addresses have none.
fn add_requirement(line: &str, declared: &mut DeclaredPackages) {
    let line = line.trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(line.len());
    let is_address = line[end..].starts_with([':', '/', '+']);
    if let Some(requirement) = Requirement::parse(&line[..end]).filter(|_| !is_address) {
        declared.add(requirement.name, &line[..end]);
    }
}
