//! Finds a debugger that is a package, on the developer's machine.

use std::path::{Path, PathBuf};

use faas_languages::{DebuggerPackage, Language};
use faas_types::RuntimeName;

use crate::interpreter;

/// The directory of an installed debugger: of the interpreters that were named, those on the path, or an editor's own copy.
pub fn debugger_package(
    (language, package): (&Language, &DebuggerPackage),
    runtime: &RuntimeName,
    named: &[PathBuf],
) -> Option<PathBuf> {
    let usual = language.source.iter().flat_map(|tools| tools.interpreters(runtime.version())).map(PathBuf::from);
    let programs = named.iter().filter(|path| path.is_file()).cloned().chain(usual);
    let arguments = language.arguments(&package.find, &[("package", &package.name)]);
    let mut installed = programs.filter_map(|program| interpreter::ask::<PathBuf>(&program, &arguments, ""));
    installed.find(|path| path.is_dir()).or_else(|| of_an_editor(package, &PathBuf::from(std::env::var_os("HOME")?)))
}

/// The copy with the largest name, which holds a version.
fn of_an_editor(package: &DebuggerPackage, home: &Path) -> Option<PathBuf> {
    let directories = package.copies.iter().flat_map(|place| expand(home, place));
    let copies = directories.map(|directory| directory.join(&package.name));
    copies.filter(|path| path.join(&package.file).is_file()).max()
}

/// The directories below `home` that a place with `*` for whole parts stands for.
fn expand(home: &Path, place: &str) -> Vec<PathBuf> {
    let entries =
        |path: &PathBuf| std::fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    place.split('/').fold(vec![home.to_owned()], |paths, part| match part {
        "*" => paths.iter().flat_map(entries).collect(),
        part => paths.iter().map(|path| path.join(part)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editors_newest_copy_is_found() {
        let home = tempfile::tempdir().expect("a directory");
        let language = Language::all()
            .iter()
            .find(|language| language.debugger.as_ref().is_some_and(|debugger| debugger.package.is_some()));
        let package =
            language.and_then(|language| language.debugger.as_ref()?.package.as_ref()).expect("a language has one");
        assert_eq!(of_an_editor(package, home.path()), None);
        let copy = |version: &str| home.path().join(package.copies[0].replace('*', version)).join(&package.name);
        for version in ["debug-1", "debug-3", "debug-2"] {
            std::fs::create_dir_all(copy(version)).expect("made");
        }
        for version in ["debug-1", "debug-2"] {
            std::fs::write(copy(version).join(&package.file), "").expect("written");
        }
        assert_eq!(of_an_editor(package, home.path()), Some(copy("debug-2")));
    }
}
