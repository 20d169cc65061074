//! From an installation on this machine to sealed layers.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use faas_ports::{Layers, PortResult};
use faas_types::Digest;

use crate::copying::{copy_file, copy_tree, write};
use crate::discovery::Found;
use crate::recipe::Probed;
use crate::shared_libs;

/// Directories that a sandbox mounts something on.
const MOUNT_POINTS: [&str; 8] =
    ["proc", "dev", "tmp", "function", "opt/faas", "opt/installer", "opt/layers", "etc/ssl/certs"];
/// Where the programs of this machine that builds may run appear.
pub(crate) const TOOL_PLACES: [&str; 2] = ["/bin", "/usr/bin"];
/// Files of a minimal system. Runs as `faas` inside.
const SYSTEM_FILES: [(&str, &str); 6] = [
    ("etc/passwd", "root:x:0:0:root:/:/nonexistent\nfaas:x:1000:1000:faas:/tmp:/nonexistent\n"),
    ("etc/group", "root:x:0:\nfaas:x:1000:\n"),
    ("etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    // The gateway inside answers, where the function has a network (`NetworkPlan`); elsewhere no way leads there.
    ("etc/resolv.conf", "nameserver 192.0.0.1\noptions ndots:1 timeout:5 attempts:2\n"),
    ("etc/hostname", "function\n"),
];
/// Where distributions keep the bundle of root certificates.
const CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
const ZONES: &str = "/usr/share/zoneinfo";
/// Where C libraries keep the locale that `LANG` names inside, under both of its spellings.
const LOCALES: [&str; 2] = ["/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"];

/// The layers that an instance of a runtime stands on.
#[derive(Clone, Debug)]
pub(crate) struct SealedRuntime {
    /// The root layer: interpreter, libraries and a minimal system.
    pub(crate) root: PathBuf,
    /// The shim, for `/opt/faas`.
    pub(crate) shim: PathBuf,
}

/// The sealed layers of an installation; seals what is not there yet.
pub(crate) async fn sealed(found: &Found, layers: &dyn Layers) -> PortResult<SealedRuntime> {
    let (root_digest, finish) = (root_digest(found), found.recipe.finish_text());
    let identity = found.identity();
    let files = found.recipe.shim_files();
    let contents = files.iter().flat_map(|(path, content)| [path.as_bytes(), content]);
    let scripts = [identity.as_bytes(), finish.as_bytes()];
    let shim_digest = found.recipe.digest("shim", scripts.into_iter().chain(contents));
    let root = match layers.find(&root_digest) {
        Some(root) => root,
        None => {
            let found = found.clone();
            layers.seal(&root_digest, Box::new(move |draft| build_root(&found, draft))).await?
        }
    };
    let shim = match layers.find(&shim_digest) {
        Some(shim) => shim,
        None => {
            let found = found.clone();
            layers.seal(&shim_digest, Box::new(move |draft| build_shim(&found, &files, draft))).await?
        }
    };
    Ok(SealedRuntime { root, shim })
}

/// Whether the large layer of an installation is there.
pub(crate) fn is_sealed(found: &Found, layers: &dyn Layers) -> bool {
    layers.find(&root_digest(found)).is_some()
}

fn root_digest(found: &Found) -> Digest {
    let (identity, finish) = (found.identity(), found.recipe.finish_text());
    let layout = serde_json::to_vec(&found.probed).unwrap_or_default();
    let libraries = found.recipe.seal.libraries.join(" ");
    let system = SYSTEM_FILES.map(|(path, content)| [path, content].join("\n")).concat();
    let parts = [identity.as_bytes(), finish.as_bytes(), &*layout, libraries.as_bytes(), system.as_bytes()];
    found.recipe.digest("root", parts)
}

fn build_shim(found: &Found, files: &[(String, Vec<u8>)], draft: &Path) -> io::Result<()> {
    for (path, content) in files {
        write(&draft.join(path), content)?;
    }
    finish(found, draft, "/opt/faas")
}

fn build_root(found: &Found, draft: &Path) -> io::Result<()> {
    let begun = Instant::now();
    let runtime = found.description.name.as_str();
    tracing::info!(runtime, version = found.description.exact, "sealing runtime");
    let build = &found.recipe.build;
    let tools = build.iter().filter(|build| !build.tools.is_empty()).flat_map(|_| TOOL_PLACES);
    let further = build.iter().map(|build| &*build.target).chain(found.recipe.debugger_target()).chain(tools);
    for directory in MOUNT_POINTS.into_iter().chain(further.map(|target| target.trim_start_matches('/'))) {
        fs::create_dir_all(draft.join(directory))?;
    }
    for (path, content) in SYSTEM_FILES {
        write(&draft.join(path), content.as_bytes())?;
    }
    let mut bytes = copy_system(draft)?;
    let libraries = &found.recipe.seal.libraries;
    bytes += match &found.probed {
        Some(probed) => copy_program(found, probed, draft)?,
        None => shared_libs::copy(draft, None, None, libraries)?,
    };
    tracing::info!(runtime, seconds = begun.elapsed().as_secs_f32(), megabytes = bytes >> 20, "runtime sealed");
    Ok(())
}

/// The program of an installation with its library, and the shared libraries of both.
fn copy_program(found: &Found, probed: &Probed, draft: &Path) -> io::Result<u64> {
    let seal = &found.recipe.seal;
    let program = draft.join(&probed.program.to);
    let mut bytes = copy_file(&probed.program.from, &program)?;
    for name in &seal.names {
        symlink(program.file_name().unwrap_or_default(), program.with_file_name(name))?;
    }
    let tree = probed.tree.as_ref().map(|tree| (tree, draft.join(&tree.to)));
    if let Some((tree, sealed)) = &tree {
        bytes += copy_tree(&tree.from, sealed, &tree.skip)?;
    }
    let modules = tree.as_ref().map(|(tree, sealed)| (tree.from.as_path(), sealed.as_path()));
    bytes += shared_libs::copy(draft, Some(&probed.program.from), modules, &seal.libraries)?;
    if let Some((tree, sealed)) = &tree {
        finish(found, sealed, &format!("/{}", tree.to.display()))?;
    }
    Ok(bytes)
}

fn copy_system(draft: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    if let Some(bundle) = CERTIFICATES.iter().map(Path::new).find(|path| path.is_file()) {
        bytes += copy_file(bundle, &draft.join("etc/ssl/certs/ca-certificates.crt"))?;
    } else {
        tracing::warn!("this machine has no bundle of root certificates; functions cannot verify TLS");
    }
    if Path::new(ZONES).is_dir() {
        let skip = ["posix", "right", "*.tab", "leap*", "posixrules", "localtime"].map(str::to_owned);
        bytes += copy_tree(Path::new(ZONES), &draft.join("usr/share/zoneinfo"), &skip)?;
        symlink("/usr/share/zoneinfo/Etc/UTC", draft.join("etc/localtime"))?;
    }
    // Without it `setlocale(LC_ALL, "")` fails, which programs call at their start.
    for locale in LOCALES.iter().map(Path::new).filter(|path| path.is_dir()) {
        bytes += copy_tree(locale, &draft.join(locale.strip_prefix("/").unwrap_or(locale)), &[])?;
    }
    Ok(bytes)
}

/// Lets the installation's own program prepare a directory, such as compile its sources.
pub(crate) fn finish(found: &Found, directory: &Path, appears_as: &str) -> io::Result<()> {
    let (Some(finish), Some(program)) = (&found.recipe.seal.finish, found.program()) else {
        return Ok(());
    };
    require_absolute(directory)?;
    let directory = directory.to_string_lossy();
    let output = Command::new(program)
        .args(found.recipe.arguments(finish, &[("dir", &*directory), ("as", appears_as)]))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("preparing {appears_as} failed: {reason}")))
}

/// Programs that work on a draft run in another directory: there a relative path would mean another place, which they
/// would fill, and leave the draft as it is.
pub(crate) fn require_absolute(draft: &Path) -> io::Result<()> {
    if draft.is_absolute() {
        return Ok(());
    }
    Err(io::Error::other(format!("the path of the draft, {}, is relative", draft.display())))
}

#[cfg(test)]
mod tests {
    use faas_languages::Folder;

    use super::*;
    use crate::discovery::{discover, select};
    use crate::recipe::Recipe;

    /// A runtime of which neither a program is looked for, nor anything sealed, nor a debugger let in.
    const BARE: &str = "language = 'native'\nkind = 'process'\nrevision = 1\nversions = ['1']\nshim = []\n\
                        [start]\nargv = ['/function/main']\n[start.env]\n[manifest]\n[init]\n";

    #[test]
    fn a_runtime_without_program_and_debugger_is_a_minimal_system() {
        let recipe = Recipe::read(Folder::all().remove(0), BARE).expect("a recipe");
        assert!(recipe.debugger.is_none() && recipe.seal.finish.is_none());
        let dir = tempfile::tempdir().expect("a directory");
        let found = discover(&[recipe], &[], &dir.path().join("runtimes.json"));
        let found: Vec<_> = found.into_iter().map(std::sync::Arc::new).collect();
        let bare = select(&found, &"native".parse().expect("a runtime")).expect("nothing has to be found");
        assert_eq!((bare.description.name.as_str(), bare.program()), ("native1", None));
        let draft = dir.path().join("root");
        build_root(bare, &draft).expect("a root");
        assert!(draft.join("etc/passwd").is_file() && draft.join("function").is_dir());
        assert!(!draft.join("usr/bin").exists() && !draft.join("opt/python").exists());
        finish(bare, &draft, "/").expect("nothing prepares it");
    }

    #[test]
    fn names_are_asked_of_the_gateway_inside() {
        let (_, settings) = SYSTEM_FILES.into_iter().find(|(path, _)| *path == "etc/resolv.conf").expect("written");
        assert!(settings.starts_with(&format!("nameserver {}\n", faas_types::NetworkPlan::GATEWAY)), "{settings}");
    }
}
