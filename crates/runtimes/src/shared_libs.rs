//! Finds and copies the shared libraries that programs need, as the dynamic linker itself resolves them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::copying::copy_file;
use crate::discovery::is_elf;

/// Dynamic linkers by architecture.
const LINKERS: [&str; 3] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-linux-armhf.so.3"];
/// Directories that a linker searches by itself; a library from elsewhere moves to the last of them.
const SYSTEM_DIRECTORIES: [&str; 4] = ["/lib/", "/lib64/", "/usr/lib64/", "/usr/lib/"];

/// Copies the libraries of a program, of the extension modules in `modules`, and those named in `extra`, to where the
/// linker inside finds them. `modules` is a tree on this machine and its copy in the draft. Returns the bytes copied.
pub(crate) fn copy(
    draft: &Path,
    program: Option<&Path>,
    modules: Option<(&Path, &Path)>,
    extra: &[String],
) -> io::Result<u64> {
    let linker = LINKERS
        .iter()
        .find(|path| Path::new(path).exists())
        .ok_or_else(|| io::Error::other("this machine has no glibc dynamic linker"))?;
    let mut libraries = BTreeSet::from([PathBuf::from(linker)]);
    if let Some(program) = program {
        libraries.extend(needed(linker, program)?);
    }
    if let Some((tree, sealed)) = modules {
        for module in extension_modules(sealed)? {
            // Resolved where it lies on this machine, so that relative search paths hold.
            let original = module.strip_prefix(sealed).map_or(module.clone(), |below| tree.join(below));
            libraries.extend(needed(linker, &original)?);
        }
    }
    let directories: BTreeSet<PathBuf> = libraries.iter().filter_map(|path| Some(path.parent()?.to_owned())).collect();
    for name in extra {
        libraries.extend(directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file()));
    }
    let mut bytes = 0;
    for library in &libraries {
        bytes += copy_file(library, &draft.join(place(library).strip_prefix("/").unwrap_or(library)))?;
    }
    Ok(bytes)
}

/// Whether a program of this machine runs on a sealed root: all that the linker loads for it is there.
pub(crate) fn runs_on(root: &Path, program: &Path) -> bool {
    let libraries = LINKERS.iter().find(|path| Path::new(path).exists()).map(|linker| needed(linker, program));
    let is_there = |library: &PathBuf| root.join(place(library).strip_prefix("/").unwrap_or(library)).exists();
    is_elf(program) && libraries.is_some_and(|found| found.is_ok_and(|libraries| libraries.iter().all(is_there)))
}

/// Where a library goes.
fn place(library: &Path) -> PathBuf {
    let text = library.to_string_lossy();
    if SYSTEM_DIRECTORIES.iter().any(|directory| text.starts_with(directory)) {
        return library.to_owned();
    }
    Path::new("/usr/lib").join(library.file_name().unwrap_or_default())
}

/// What the linker loads for a file, transitively.
fn needed(linker: &str, file: &Path) -> io::Result<Vec<PathBuf>> {
    let output = Command::new(linker).arg("--list").arg(file).env_clear().stdin(Stdio::null()).output()?;
    if !output.status.success() {
        // A static program, or one that lacks a library and would not work here either.
        return Ok(Vec::new());
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(listing: &str) -> Vec<PathBuf> {
    let path_of = |line: &str| {
        let resolved = line.split_once("=>").map_or(line, |(_, path)| path).trim();
        let path = resolved.split_once(" (").map_or(resolved, |(path, _)| path);
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    listing.lines().filter_map(path_of).collect()
}

fn extension_modules(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(extension_modules(&entry.path())?);
        } else if entry.path().extension().is_some_and(|suffix| suffix == "so") && is_elf(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_gives_paths_only() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x00007f)\n\
                       \tlibgone.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(parse(listing), ["/lib/x/libm.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from));
    }

    #[test]
    fn libraries_outside_the_system_move_to_where_the_linker_looks() {
        assert_eq!(place(Path::new("/root/py/lib/libpython3.12.so.1.0")), Path::new("/usr/lib/libpython3.12.so.1.0"));
        assert_eq!(place(Path::new("/lib/x86/libc.so.6")), Path::new("/lib/x86/libc.so.6"));
    }
}
