//! What a Python bundle asks for: `requirements.txt`, the lock of a project tool, or the `dependencies` of
//! `pyproject.toml`.

mod locks;
mod project;
mod release;
mod requirements;
mod unread;

use std::collections::BTreeMap;

use faas_types::{Fault, RuntimeName, limits};

use super::{Asked, Request, Sources, refused};
use locks::{Lock, Tool};
use project::{PROJECT, Project};
use requirements::REQUIREMENTS;

/// Where the requirements of a lock stand. All of them are named, and the builder installs no others.
const LOCKED: &str = "locked.txt";
const PIPFILE: &str = "Pipfile";

/// Reads what there is. Files that were made to be installed from come first, then locks, and what leaves versions open
/// last.
pub(super) async fn asked(sources: &Sources<'_>, runtime: &RuntimeName) -> Result<Asked, Fault> {
    if let Some(text) = sources.text(PROJECT).await? {
        release::check(&text, &sources.core.launcher.resolve(runtime)?, &sources.core.launcher.runtimes())?;
    }
    if sources.has(REQUIREMENTS) {
        return requirements::asked(sources).await;
    }
    if let Some((tool, path)) = lock(sources)? {
        return locked(sources, runtime, tool, path).await;
    }
    let project = match sources.text(PROJECT).await? {
        Some(text) => Project::read(&text)?,
        None => Project { lines: Vec::new(), is_poetrys: false },
    };
    if project.is_poetrys {
        return Ok(unlocked(PROJECT, Tool::Poetry));
    }
    if project.lines.is_empty() && sources.has(PIPFILE) {
        return Ok(unlocked(PIPFILE, Tool::Pipenv));
    }
    if project.lines.is_empty()
        && let Some(note) = unread::note(sources).await?
    {
        return Ok(Asked::Unreadable(note));
    }
    let text: String = project.lines.iter().map(|line| format!("{line}\n")).collect();
    Ok(packages(PROJECT, REQUIREMENTS, BTreeMap::from([(REQUIREMENTS.to_owned(), text)])))
}

fn packages(source: &str, root: &str, files: BTreeMap<String, String>) -> Asked {
    if files.values().all(String::is_empty) {
        return Asked::Nothing;
    }
    Asked::Packages(Request { source: source.to_owned(), root: root.to_owned(), files })
}

/// The lock to read. Of those with names of their own there can be one.
fn lock<'a>(sources: &Sources<'a>) -> Result<Option<(Tool, &'a str)>, Fault> {
    if let Some(tool) = Tool::ALL.into_iter().find(|tool| sources.has(tool.lock())) {
        return Ok(Some((tool, tool.lock())));
    }
    let is_named =
        |path: &&str| path.starts_with("pylock.") && path.ends_with(".toml") && path.matches('.').count() == 2;
    let mut named = sources.bundle.files.iter().map(|file| file.path.as_str()).filter(is_named);
    match (named.next(), named.next()) {
        (Some(path), Some(other)) => {
            Err(refused(path, &format!("stands beside {other}, and one of them can be installed"))
                .with_hint("name the one to install pylock.toml"))
        }
        (path, _) => Ok(path.map(|path| (Tool::Pylock, path))),
    }
}

async fn locked(sources: &Sources<'_>, runtime: &RuntimeName, tool: Tool, path: &str) -> Result<Asked, Fault> {
    let text = sources.text_within(path, limits::LOCK_MAX).await?.unwrap_or_default();
    let project = sources.text(tool.project()).await?;
    let (source, runtime) = (path.to_owned(), runtime.clone());
    // Some megabytes take their time.
    let read = tokio::task::spawn_blocking(move || {
        let lock = Lock { tool, path: &source, text: &text, project: project.as_deref() };
        lock.requirements(&runtime)
    });
    let text = read.await.map_err(|_| refused(path, "cannot be read"))??;
    if text.len() as u64 > limits::REQUIREMENTS_MAX {
        return Err(refused(
            path,
            &format!("leads to more than {} KB of requirements", limits::REQUIREMENTS_MAX >> 10),
        ));
    }
    Ok(packages(path, LOCKED, BTreeMap::from([(LOCKED.to_owned(), text)])))
}

/// A file in a notation that only its tool turns into packages.
fn unlocked(path: &str, tool: Tool) -> Asked {
    let (lock, command) = (tool.lock(), tool.command());
    Asked::Unreadable(format!(
        "there is no {lock}, so the packages of {path} are not installed; make one with: {command}"
    ))
}
