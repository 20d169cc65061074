//! Modules of a bundle that were compiled for another release of Python than the function's.

use faas_types::{Bundle, RuntimeName};

/// Precedes the release in a compiled module's name: `name.cpython-311-x86_64-linux-gnu.so`.
const TAG: &str = ".cpython-3";

/// Names a compiled module that the function's runtime cannot import, and the fix.
pub(super) fn mismatch(bundle: &Bundle, runtime: &RuntimeName) -> Option<String> {
    let own: u32 = runtime.version()?.strip_prefix("3.")?.parse().ok()?;
    let modules = || bundle.files.iter().filter_map(|file| module_of(&file.path));
    let (module, release) =
        modules().find(|(module, release)| *release != own && !modules().any(|other| other == (*module, own)))?;
    Some(format!(
        "{module} beside the code is compiled for Python 3.{release}, and the function runs on 3.{own}: name its package \
         in requirements.txt and delete the directory that it lies in, or set runtime = \"python3.{release}\" in faas.toml"
    ))
}

/// A compiled module without its tag, and the minor release in it.
fn module_of(path: &str) -> Option<(&str, u32)> {
    let (module, rest) = path.strip_suffix(".so")?.split_once(TAG)?;
    let digits = rest.split('-').next()?;
    Some((module, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use faas_types::{BundleFile, Digest};

    use super::*;

    fn said(paths: &[&str], runtime: &str) -> Option<String> {
        let file = |path: &&str| BundleFile {
            path: (*path).to_owned(),
            digest: Digest::from_bytes([0; 32]),
            size: 0,
            executable: false,
        };
        mismatch(&Bundle { files: paths.iter().map(file).collect() }, &runtime.parse().expect(runtime))
    }

    #[test]
    fn modules_of_another_release_are_named() {
        let core = "vendor/pydantic_core/_pydantic_core.cpython-311-x86_64-linux-gnu.so";
        let text = said(&["main.py", core], "python3.13").expect("another release");
        assert!(
            text.starts_with("vendor/pydantic_core/_pydantic_core beside the code is compiled for Python 3.11"),
            "{text}"
        );
        assert!(text.contains("runs on 3.13") && text.ends_with("runtime = \"python3.11\" in faas.toml"), "{text}");
        assert_eq!(said(&[core], "python3.11"), None);
        assert_eq!(said(&[core, &core.replace("311", "313")], "python3.13"), None, "it brings both");
        assert_eq!(said(&["vendor/x.abi3.so", "x.cpython-.so", "x.so"], "python3.13"), None);
    }
}
