//! Files that name packages and are not read; the deployment says so.

use faas_types::Fault;
use toml::Table;

use super::super::{Sources, shown};
use super::project::PROJECT;
use super::requirements::REQUIREMENTS;

/// Files of other tools, with a word that is in them where they name packages.
const OTHERS: [(&str, &str); 4] = [
    ("setup.py", "install_requires"),
    ("setup.cfg", "install_requires"),
    ("environment.yml", "dependencies"),
    ("environment.yaml", "dependencies"),
];

/// What to tell of a bundle that asks for no packages in a way that is understood.
pub(super) async fn note(sources: &Sources<'_>) -> Result<Option<String>, Fault> {
    if let Some(path) = sources.bundle.files.iter().map(|file| file.path.as_str()).find(|path| is_requirements(path)) {
        return Ok(Some(format!(
            "{path} is not read, so its packages are not installed; make a {REQUIREMENTS} with the line: -r {}",
            shown(path)
        )));
    }
    if sources.text(PROJECT).await?.is_some_and(|text| is_dynamic(&text)) {
        return Ok(Some(not_run(&format!("the dynamic dependencies of {PROJECT}"))));
    }
    for (path, word) in OTHERS {
        if sources.text(path).await.ok().flatten().is_some_and(|text| text.contains(word)) {
            return Ok(Some(not_run(path)));
        }
    }
    Ok(None)
}

fn not_run(what: &str) -> String {
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
