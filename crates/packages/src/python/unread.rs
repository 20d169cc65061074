//! Files that name packages and are not read; the deployment's note says so.

use toml::Table;

use super::project::PROJECT;
use super::requirements::REQUIREMENTS;
use crate::refusal::shown;
use crate::sources::{ReadError, SourceFiles};

/// Files of other tools, with a word that they contain when they name packages.
const OTHERS: [(&str, &str); 4] = [
    ("setup.py", "install_requires"),
    ("setup.cfg", "install_requires"),
    ("environment.yml", "dependencies"),
    ("environment.yaml", "dependencies"),
];

/// The note for a bundle that names packages in none of the files that are read.
pub(super) fn note(sources: &SourceFiles) -> Result<Option<String>, ReadError> {
    if let Some(path) = sources.paths().find(|path| is_requirements(path)) {
        return Ok(Some(format!(
            "{path} is not read, so its packages are not installed; make a {REQUIREMENTS} with the line: -r {}",
            shown(path)
        )));
    }
    if sources.text(PROJECT)?.is_some_and(is_dynamic) {
        return Ok(Some(not_installed(&format!("the dynamic dependencies of {PROJECT}"))));
    }
    for (path, word) in OTHERS {
        let text = match sources.text(path) {
            Err(ReadError::Refused(_)) => None,
            read => read?,
        };
        if text.is_some_and(|text| text.contains(word)) {
            return Ok(Some(not_installed(path)));
        }
    }
    Ok(None)
}

fn not_installed(what: &str) -> String {
    format!("the packages of {what} are not installed; name them in a {REQUIREMENTS}")
}

/// `requirements-dev.txt`, `requirements.in`, `requirements/prod.txt`, `reqs.txt`: not `requirements.txt` itself.
fn is_requirements(path: &str) -> bool {
    let Some((name, ending)) = path.rsplit_once('.') else { return false };
    let is_text = matches!(ending, "txt" | "in");
    match name.split_once('/') {
        Some((folder, name)) => is_text && matches!(folder, "requirements" | "requires") && !name.contains('/'),
        None => is_text && path != REQUIREMENTS && (name.starts_with("requirements") || name == "reqs"),
    }
}

fn is_dynamic(text: &str) -> bool {
    let file: Table = toml::from_str(text).unwrap_or_default();
    let dynamic = file.get("project").and_then(|project| project.get("dynamic")?.as_array());
    dynamic.is_some_and(|names| names.iter().any(|name| name.as_str() == Some("dependencies")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_requirements_are_known_by_their_names() {
        for path in
            ["requirements/prod.txt", "requirements-dev.txt", "requirements.in", "requirements_base.txt", "reqs.txt"]
        {
            assert!(is_requirements(path), "{path}");
        }
        for path in ["requirements.txt", "requirements/a/b.txt", "notes.txt", "docs/requirements.txt", "requirements"] {
            assert!(!is_requirements(path), "{path}");
        }
        assert!(is_dynamic("[project]\ndynamic = ['version', 'dependencies']\n"));
        assert!(!is_dynamic("[project]\ndynamic = ['version']\n") && !is_dynamic("no toml"));
    }
}
