//! The releases of Python that a project is for.

use faas_types::{Code, Fault};
use toml::Table;

use super::locks;
use super::project::PROJECT;
use crate::ecosystem::{InstallTarget, RuntimeRelease};
use crate::refusal::shown;

/// Refuses a project that asks for another release than the function runs on, as installers do. A file that cannot be read
/// asks for nothing here.
pub(super) fn check(text: &str, target: &InstallTarget) -> Result<(), Fault> {
    let InstallTarget { runtime, installed, .. } = target;
    let Some((key, asked)) = asked(text) else { return Ok(()) };
    if locks::admits(&asked, &runtime.exact) != Some(false) {
        return Ok(());
    }
    let message =
        format!("{PROJECT} is for Python {}, says `{key}`, and the function runs on {}", shown(&asked), runtime.exact);
    let fits = |other: &&RuntimeRelease| {
        other.name.language() == runtime.name.language() && locks::admits(&asked, &other.exact) == Some(true)
    };
    let hint = match installed.iter().find(fits) {
        Some(fitting) => format!("set runtime = \"{}\" in faas.toml, or change `{key}`", fitting.name),
        None => format!("no Python of this server fits; install one on it, or change `{key}`"),
    };
    Err(Fault::new(Code::InvalidConfiguration, message).with_hint(hint))
}

/// The key, and its value.
fn asked(text: &str) -> Option<(&'static str, String)> {
    let file: Table = toml::from_str(text).ok()?;
    let said = |path: &[&str]| {
        let (last, tables) = path.split_last()?;
        let table = tables.iter().try_fold(&file, |table, name| table.get(*name)?.as_table())?;
        table.get(*last)?.as_str().map(str::to_owned)
    };
    let standard = said(&["project", "requires-python"]).map(|asked| ("project.requires-python", asked));
    standard.or_else(|| {
        let asked = said(&["tool", "poetry", "dependencies", "python"])?;
        Some(("tool.poetry.dependencies.python", asked))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(name: &str, exact: &str) -> RuntimeRelease {
        RuntimeRelease { name: name.parse().expect(name), exact: exact.to_owned() }
    }

    #[test]
    fn a_project_for_another_release_is_refused_with_one_that_fits() {
        let installed =
            vec![release("python3.13", "3.13.1"), release("python3.11", "3.11.7"), release("node22", "22.1.0")];
        let target = InstallTarget { runtime: installed[1].clone(), installed, scripts: Vec::new() };
        let refusal = |text: &str| check(text, &target).err().map(|fault| (fault.message, fault.hint));
        for text in [
            "",
            "[project]\nname = 'x'\n",
            "not toml",
            "[project]\nrequires-python = '>=3.8,<4'\n",
            "[project]\nrequires-python = 'whatever'\n",
            "[tool.poetry.dependencies]\npython = '^3.10'\n",
            "[project]\nrequires-python = '>=3.11.7'\n",
        ] {
            assert_eq!(refusal(text), None, "{text}");
        }
        for asked in ["[project]\nrequires-python = '>=3.12'\n", "[tool.poetry.dependencies]\npython = '^3.12'\n"] {
            let (message, hint) = refusal(asked).expect(asked);
            assert!(message.contains("3.12") && message.ends_with("the function runs on 3.11.7"), "{message}");
            assert!(hint.is_some_and(|hint| hint.starts_with("set runtime = \"python3.13\" in faas.toml")));
        }
        let (_, hint) = refusal("[project]\nrequires-python = '==3.9.*'\n").expect("too old");
        assert!(hint.is_some_and(|hint| hint.starts_with("no Python of this server fits")));
        assert!(refusal("[project]\nrequires-python = '>=3.11.8'\n").is_some(), "patches count");
    }
}
