//! Python: `requirements.txt`, the lock of a project tool, or the `dependencies` of `pyproject.toml`.

mod compiled;
mod declarations;
mod imports;
mod locks;
mod project;
mod release;
mod requirements;
mod unread;

use std::collections::BTreeMap;

use faas_types::{Bundle, Fault, RuntimeName, limits};

use crate::ecosystem::{Ecosystem, InstallTarget, RequestFile};
use crate::language_packages::{LanguagePackages, PackageReading};
use crate::plan::PackagePlan;
use crate::refusal::refused;
use crate::sources::{ReadError, SourceFiles};
use locks::{Lock, Tool};
use project::{PROJECT, Project};
use requirements::REQUIREMENTS;

/// The file for the requirements of a lock. It names every package, so the builder resolves nothing.
const LOCKED: &str = "locked.txt";
const PIPFILE: &str = "Pipfile";

/// Python's packages, from indexes such as PyPI.
pub(crate) struct Python;

pub(crate) const PACKAGES: LanguagePackages = LanguagePackages {
    language: "python",
    ecosystem: &Python,
    reading: Some(PackageReading { declarations: &Python, imports: &Python }),
};

// === impl Python ===

impl Ecosystem for Python {
    fn vendor_dirs(&self) -> &'static [&'static str] {
        &["vendor/", ".python_packages/", "site-packages/"]
    }

    fn request_files(&self) -> &'static [RequestFile] {
        &[
            (REQUIREMENTS, &["constraints.txt"]),
            (PROJECT, &[]),
            ("pylock.toml", &[]),
            ("uv.lock", &[PROJECT]),
            ("poetry.lock", &[PROJECT]),
            ("pdm.lock", &[PROJECT]),
            ("Pipfile.lock", &[PIPFILE]),
        ]
    }

    fn is_failed_import(&self, kind: &str) -> bool {
        ["ImportError", "ModuleNotFoundError"].contains(&kind)
    }

    /// Files that are written for installers come first, then locks, then requirements that leave versions open.
    fn plan(&self, sources: &SourceFiles, target: &InstallTarget) -> Result<PackagePlan, ReadError> {
        if let Some(text) = sources.text(PROJECT)? {
            release::check(text, target)?;
        }
        if sources.has(REQUIREMENTS) {
            return requirements::plan(sources);
        }
        if let Some((tool, path)) = lock(sources)? {
            return locked(sources, &target.runtime.name, tool, path);
        }
        let project = match sources.text(PROJECT)? {
            Some(text) => Project::read(text)?,
            None => Project { lines: Vec::new(), has_poetry_only: false },
        };
        if project.has_poetry_only {
            return Ok(unlocked(PROJECT, Tool::Poetry));
        }
        if project.lines.is_empty() && sources.has(PIPFILE) {
            return Ok(unlocked(PIPFILE, Tool::Pipenv));
        }
        if project.lines.is_empty()
            && let Some(note) = unread::note(sources)?
        {
            return Ok(PackagePlan::Unreadable(note));
        }
        let text: String = project.lines.iter().map(|line| format!("{line}\n")).collect();
        Ok(PackagePlan::install(PROJECT, REQUIREMENTS, BTreeMap::from([(REQUIREMENTS.to_owned(), text)])))
    }

    fn is_missing_module(&self, message: &str) -> bool {
        message.contains("No module named")
    }

    fn incompatibility(&self, bundle: &Bundle, runtime: &RuntimeName) -> Option<String> {
        compiled::mismatch(bundle, runtime)
    }
}

/// The lock to read. Locks with names of their author's choice (`pylock.NAME.toml`) count only when there is one.
fn lock(sources: &SourceFiles) -> Result<Option<(Tool, &str)>, Fault> {
    if let Some(tool) = Tool::ALL.into_iter().find(|tool| sources.has(tool.lock())) {
        return Ok(Some((tool, tool.lock())));
    }
    let is_named =
        |path: &&str| path.starts_with("pylock.") && path.ends_with(".toml") && path.matches('.').count() == 2;
    let mut named = sources.paths().filter(is_named);
    match (named.next(), named.next()) {
        (Some(path), Some(other)) => {
            Err(refused(path, &format!("stands beside {other}, and one of them can be installed"))
                .with_hint("name the one to install pylock.toml"))
        }
        (path, _) => Ok(path.map(|path| (Tool::Pylock, path))),
    }
}

fn locked(sources: &SourceFiles, runtime: &RuntimeName, tool: Tool, path: &str) -> Result<PackagePlan, ReadError> {
    let text = sources.text_within(path, limits::LOCK_MAX)?.unwrap_or_default();
    let project = sources.text(tool.project())?;
    let text = Lock { tool, path, text, project }.requirements(runtime)?;
    if text.len() as u64 > limits::REQUIREMENTS_MAX {
        let why = format!("leads to more than {} KB of requirements", limits::REQUIREMENTS_MAX >> 10);
        return Err(refused(path, &why).into());
    }
    Ok(PackagePlan::install(path, LOCKED, BTreeMap::from([(LOCKED.to_owned(), text)])))
}

fn read_table(path: &str, text: &str) -> Result<toml::Table, Fault> {
    text.parse().map_err(|error: toml::de::Error| {
        refused(
            path,
            &format!("cannot be read: {}", error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
        )
    })
}

/// The note for a file in a notation that only its tool resolves.
fn unlocked(path: &str, tool: Tool) -> PackagePlan {
    let (lock, command) = (tool.lock(), tool.command());
    PackagePlan::Unreadable(format!(
        "there is no {lock}, so the packages of {path} are not installed; make one with: {command}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::RuntimeRelease;

    fn plan(sources: &SourceFiles) -> Result<PackagePlan, ReadError> {
        let name: RuntimeName = "python3.12".parse().expect("a runtime");
        let runtime = RuntimeRelease { name, exact: "3.12.1".into() };
        Python.plan(sources, &InstallTarget { runtime, installed: Vec::new(), scripts: Vec::new() })
    }

    fn source(files: &[(&str, &str)]) -> Option<String> {
        match plan(&SourceFiles::supplied(files)).expect("a plan") {
            PackagePlan::Install(request) => Some(request.source),
            PackagePlan::Unreadable(_) | PackagePlan::Nothing => None,
        }
    }

    #[test]
    fn files_for_installers_come_before_locks_and_locks_before_projects() {
        let requirements = (REQUIREMENTS, "flask\n");
        let pylock = ("pylock.toml", "lock-version = '1.0'\n[[packages]]\nname = 'flask'\nversion = '3.0'\n");
        let project = (PROJECT, "[project]\ndependencies = ['flask']\n");
        assert_eq!(source(&[requirements, pylock, project]).as_deref(), Some(REQUIREMENTS));
        assert_eq!(source(&[pylock, project]).as_deref(), Some("pylock.toml"));
        assert_eq!(source(&[project]).as_deref(), Some(PROJECT));
        assert_eq!(source(&[(REQUIREMENTS, "# nothing\n"), project]), None);
        assert_eq!(source(&[("main.py", "")]), None);
    }

    #[test]
    fn a_plan_asks_for_the_files_that_it_reads_and_no_others() {
        let files = [(REQUIREMENTS, "-r more.txt\n"), ("more.txt", "flask\n"), ("main.py", "x"), ("uv.lock", "x")];
        let all = SourceFiles::supplied(&files);
        for path in [REQUIREMENTS, "more.txt"] {
            assert_eq!(plan(&all.clone().without(path)), Err(ReadError::Needs(path.to_owned())));
        }
        for path in ["main.py", "uv.lock"] {
            assert_eq!(plan(&all.clone().without(path)), plan(&all), "{path}");
        }
    }
}
