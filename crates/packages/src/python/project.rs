//! The `dependencies` of `pyproject.toml`, for projects without a lock.

use faas_types::Fault;
use serde::Deserialize;
use toml::Table;

use super::requirements::read_line;
use crate::refusal::refused;

pub(super) const PROJECT: &str = "pyproject.toml";

#[derive(Deserialize)]
struct ProjectFile {
    #[serde(default)]
    project: ProjectTable,
    #[serde(default)]
    tool: Tools,
}

#[derive(Default, Deserialize)]
struct ProjectTable {
    #[serde(default)]
    dependencies: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Tools {
    #[serde(default)]
    poetry: Poetry,
}

#[derive(Default, Deserialize)]
struct Poetry {
    #[serde(default)]
    dependencies: Table,
}

/// The requirements of a project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Project {
    /// Requirements that installers read.
    pub(super) lines: Vec<String>,
    /// Whether there are others, in a notation that only Poetry reads.
    pub(super) has_poetry_only: bool,
}

// === impl Project ===

impl Project {
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let ProjectFile { project, tool } = toml::from_str(text)
            .map_err(|error| refused(PROJECT, &format!("cannot be read: {}", error.message().trim())))?;
        for (index, line) in project.dependencies.iter().enumerate() {
            let place = format!("{PROJECT}: project.dependencies[{index}]");
            if line.trim_start().starts_with('-') || line.contains(['\n', '\r']) {
                return Err(refused(&place, "is not a requirement"));
            }
            read_line(line.trim()).map_err(|why| refused(&place, &why))?;
        }
        let has_poetry_only =
            project.dependencies.is_empty() && tool.poetry.dependencies.keys().any(|name| name != "python");
        Ok(Self { lines: project.dependencies.iter().map(|line| line.trim().to_owned()).collect(), has_poetry_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Result<Vec<String>, Fault> {
        Project::read(text).map(|project| project.lines)
    }

    #[test]
    fn a_projects_dependencies_are_read() {
        let read = project("[project]\nname = 'x'\ndependencies = ['flask>=3', ' rich ']\n").expect("a project");
        assert_eq!(read, ["flask>=3", "rich"]);
        assert_eq!(project("[tool.black]\nline-length = 100\n").expect("no project"), [""; 0]);
        for bad in ["'--index-url https://x'", "'x @ file:///etc'", "\"a\\n-e .\""] {
            assert!(project(&format!("[project]\ndependencies = [{bad}]\n")).is_err(), "{bad}");
        }
        assert!(project("[project\n").is_err());
    }

    #[test]
    fn what_only_poetry_reads_is_noticed() {
        let has_poetry_only = |text: &str| Project::read(text).expect(text).has_poetry_only;
        assert!(has_poetry_only("[tool.poetry.dependencies]\npython = '^3.10'\nflask = '^3'\n"));
        assert!(!has_poetry_only("[tool.poetry.dependencies]\npython = '^3.10'\n"));
        assert!(!has_poetry_only(
            "[project]\ndependencies = ['flask']\n[tool.poetry.dependencies]\nflask = {source = 'x'}\n"
        ));
    }
}
