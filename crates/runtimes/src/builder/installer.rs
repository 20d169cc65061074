//! The installer of a runtime: found on this machine, sealed as a layer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use faas_ports::Layers;
use faas_types::{Code, Digest, Fault};

use crate::copying::{copy_file, copy_tree, write};
use crate::discovery::{Found, Stamp, is_elf};
use crate::recipe::{Build, InstallerPlaces};
use crate::seal::{TOOL_PLACES, finish, require_absolute, sealed};
use crate::shared_libs;

/// Where the installer appears inside.
pub(super) const PLACE: &str = "/opt/installer";

/// An installer of this machine.
#[derive(Clone, Debug)]
pub(super) struct Installer {
    /// An archive, the directory itself, or a program.
    path: PathBuf,
    stamp: Stamp,
}

/// The layers that a build stands on.
pub(super) struct BuildRoot {
    pub(super) root: PathBuf,
    pub(super) program: PathBuf,
    pub(super) installer: PathBuf,
    /// Programs that packages' own scripts may run; `None` where the runtime's packages have no use for them.
    pub(super) tools: Option<PathBuf>,
}

/// The installer of a runtime: the one that is wanted, or the first that is here.
pub(super) fn find(found: &Found, build: &Build, wanted: Option<&str>) -> Result<Installer, Fault> {
    let named = build.index.installers.iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name));
    let places: Vec<&InstallerPlaces> = named.filter_map(|name| build.installers.get(name)).collect();
    let here = places.iter().find_map(|places| program_of(places).or_else(|| beside(found, places)));
    here.ok_or_else(|| {
        let message = match wanted {
            Some(name) => {
                let kind = &build.index.kind;
                format!("build.installers.{kind} is \"{name}\", and this machine has no {name} that can be taken along")
            }
            None => format!("this machine has no installer of packages for {}", found.description.name),
        };
        let hint = places.last().map(|places| places.missing.clone()).unwrap_or_default();
        Fault::new(Code::DeploymentFailed, message).with_hint(hint)
    })
}

/// A program that is an installer by itself. Scripts, such as those that lead to one of several versions, are none.
fn program_of(places: &InstallerPlaces) -> Option<Installer> {
    let from_path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").unwrap_or_default();
    let named = places.programs.iter().flat_map(|place| match place.strip_prefix("{path}/") {
        Some(name) => std::env::split_paths(&from_path).map(|directory| directory.join(name)).collect(),
        None => vec![PathBuf::from(place.replace("{home}", &home.to_string_lossy()))],
    });
    let mut programs = named.filter_map(|path| fs::canonicalize(path).ok()).filter(|path| is_elf(path));
    programs.find_map(|path| Some(Installer { stamp: Stamp::of(&path)?, path }))
}

/// An installer for the runtime's program, which often lies beside it.
fn beside(found: &Found, places: &InstallerPlaces) -> Option<Installer> {
    let tree = found.probed.as_ref().and_then(|probed| probed.tree.as_ref());
    let tree = tree.map_or_else(String::new, |tree| tree.from.display().to_string());
    let bin = found.program().and_then(Path::parent).map_or_else(String::new, |bin| bin.display().to_string());
    let places = places.places.iter().map(|place| place.replace("{tree}", &tree).replace("{bin}", &bin));
    let mut seen = places.filter_map(|place| newest(Path::new(&place)));
    seen.find_map(|path| Some(Installer { stamp: Stamp::of(&path)?, path }))
}

/// What matches a path whose last part may hold one `*`; the last by name.
fn newest(place: &Path) -> Option<PathBuf> {
    let pattern = place.file_name()?.to_str()?;
    let Some((before, after)) = pattern.split_once('*') else { return place.exists().then(|| place.to_owned()) };
    let entries = fs::read_dir(place.parent()?).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let fits = names.filter(|name| name.starts_with(before) && name.ends_with(after));
    fits.max().map(|name| place.with_file_name(name))
}

// === impl Installer ===

impl Installer {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Tells it from others. The name of an archive holds its version, that of a directory or program does not.
    pub(super) fn identity(&self) -> String {
        if self.path.is_dir() || is_elf(&self.path) { format!("{} {:?}", self.name(), self.stamp) } else { self.name() }
    }

    fn lay_out(&self, found: &Found, build: &Build, draft: &Path) -> io::Result<()> {
        if self.path.is_dir() {
            copy_tree(&self.path, &draft.join(self.name()), &found.recipe.seal.skip)?;
        } else if is_elf(&self.path) {
            copy_file(&self.path, &draft.join(self.name()))?;
        } else {
            self.unpack(found, build, draft)?;
        }
        finish(found, draft, PLACE)
    }

    /// By the installation's own program, which knows the archives of its language.
    fn unpack(&self, found: &Found, build: &Build, draft: &Path) -> io::Result<()> {
        require_absolute(draft)?;
        let (from, to) = (self.path.to_string_lossy(), draft.to_string_lossy());
        let none = || io::Error::other("the runtime has no program that unpacks its installer");
        let output = Command::new(found.program().ok_or_else(none)?)
            .args(build.unpack.iter().map(|text| text.replace("{archive}", &from).replace("{dir}", &to)))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(io::Error::other(format!("unpacking {from} failed: {reason}")))
    }
}

// === impl BuildRoot ===

impl BuildRoot {
    /// The layers of a runtime's builds; seals what is not there yet.
    pub(super) async fn sealed(
        installer: Installer,
        found: &Found,
        build: &Build,
        layers: &dyn Layers,
    ) -> Result<Self, Fault> {
        let root = sealed(found, layers).await?.root;
        Ok(Self {
            tools: tools(found, build, &root, layers).await?,
            root,
            program: program(found, build, layers).await?,
            installer: Self::installer(installer, found, build, layers).await?,
        })
    }

    async fn installer(
        installer: Installer,
        found: &Found,
        build: &Build,
        layers: &dyn Layers,
    ) -> Result<PathBuf, Fault> {
        let identity = format!("{} {} {:?}", found.identity(), installer.path.display(), installer.stamp);
        let digest = found.recipe.digest("installer", [identity.as_bytes()]);
        if let Some(path) = layers.find(&digest) {
            return Ok(path);
        }
        let (found, build) = (found.clone(), build.clone());
        Ok(layers.seal(&digest, Box::new(move |draft| installer.lay_out(&found, &build, draft))).await?)
    }
}

/// The machine's programs that run on the runtime's root, under the names that scripts know.
async fn tools(found: &Found, build: &Build, root: &Path, layers: &dyn Layers) -> Result<Option<PathBuf>, Fault> {
    if build.tools.is_empty() {
        return Ok(None);
    }
    let tools: Vec<(String, PathBuf, Stamp)> = build.tools.iter().filter_map(|tool| self::tool(tool, root)).collect();
    let identity = format!("{} {tools:?}", found.identity());
    let digest = found.recipe.digest("tools", [identity.as_bytes()]);
    if let Some(path) = layers.find(&digest) {
        return Ok(Some(path));
    }
    let lay_out =
        move |draft: &Path| tools.iter().try_for_each(|(name, path, _)| copy_file(path, &draft.join(name)).map(|_| ()));
    Ok(Some(layers.seal(&digest, Box::new(lay_out)).await?))
}

/// A tool's name, and the first program that stands for it.
fn tool(tool: &str, root: &Path) -> Option<(String, PathBuf, Stamp)> {
    let (name, programs) = tool.split_once('=').unwrap_or((tool, tool));
    let places = programs.split(' ').flat_map(|program| TOOL_PLACES.map(|place| Path::new(place).join(program)));
    let path = places.filter_map(|path| fs::canonicalize(path).ok()).find(|path| shared_libs::runs_on(root, path))?;
    Some((name.to_owned(), path.clone(), Stamp::of(&path)?))
}

/// The program that drives the installer.
async fn program(found: &Found, build: &Build, layers: &dyn Layers) -> Result<PathBuf, Fault> {
    let files = found.recipe.builder_files(build);
    let identity = found.identity();
    let contents = files.iter().flat_map(|(path, content)| [path.as_bytes(), content]);
    let digest: Digest = found.recipe.digest("builder", std::iter::once(identity.as_bytes()).chain(contents));
    if let Some(path) = layers.find(&digest) {
        return Ok(path);
    }
    let found = found.clone();
    let lay_out = move |draft: &Path| {
        files.iter().try_for_each(|(path, content)| write(&draft.join(path), content))?;
        finish(&found, draft, "/opt/faas")
    };
    Ok(layers.seal(&digest, Box::new(lay_out)).await?)
}
