//! Where debuggers attach to a function that runs in a private server.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use clap::Args;
use faas_languages::Language;
use faas_source::deps;
use faas_source::project::{Overrides, Project};
use faas_source::python;
use faas_terminal::failure::Failure;
use faas_types::Code;

/// How a function is inspected.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "debugging")]
pub(crate) struct DebuggerArgs {
    /// Let a debugger attach on 127.0.0.1 [default port: 9229 for Node, 5678 for Python]
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, conflicts_with = "inspect_brk")]
    inspect: Option<Option<u16>>,
    /// The same, and wait for the debugger before the code is loaded
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true)]
    inspect_brk: Option<Option<u16>>,
}

/// Takes the connections of debuggers. Made only by a command that hosts a private server.
#[derive(Debug)]
pub struct Debugger {
    /// Which it is, for people.
    pub name: &'static str,
    /// Where it is attached to.
    pub address: SocketAddr,
    /// Takes connections to that.
    pub listener: TcpListener,
    /// Whether the code is not loaded before one has come.
    pub waits: bool,
    /// The directory of its package, where the runtime brings none.
    pub package: Option<PathBuf>,
    /// What to do with the address.
    client: &'static str,
}

// === impl DebuggerArgs ===

impl DebuggerArgs {
    pub(crate) fn is_wanted(&self) -> bool {
        self.inspect.is_some() || self.inspect_brk.is_some()
    }

    /// Listens for debuggers of the function at `path`, where that is asked for. `pythons` are interpreters that may have what
    /// it takes.
    pub(crate) fn open(&self, path: &Path, pythons: &[PathBuf]) -> anyhow::Result<Option<Debugger>> {
        let (port, waits) = match (self.inspect, self.inspect_brk) {
            (None, None) => return Ok(None),
            (Some(port), _) => (port, false),
            (None, Some(port)) => (port, true),
        };
        let project = Project::read_one(path, Overrides::default())?;
        let runtime = &project.manifest.settings.runtime;
        let kind = Language::named(runtime.language()).map(|language| &language.debugger);
        let kind = kind.ok_or_else(|| Failure::of(Code::RuntimeMissing, format!("{runtime} has no debugger")))?;
        let package = match &kind.package {
            Some(package) => package_of(package, &project, pythons)?,
            None => None,
        };
        let listener = listen(port.unwrap_or(kind.port))?;
        let address = listener.local_addr()?;
        Ok(Some(Debugger { name: &kind.name, address, listener, waits, package, client: &kind.client }))
    }
}

fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        Failure::of(Code::Conflict, format!("the debugger cannot listen on 127.0.0.1:{port}: {error}"))
            .with_hint("choose another port, such as --inspect=9300, or stop what holds it")
    })
}

/// The directory of a package that a debugger is; `None` where the function brings it along.
fn package_of(package: &str, project: &Project, pythons: &[PathBuf]) -> Result<Option<PathBuf>, Failure> {
    let runtime = &project.manifest.settings.runtime;
    let found = python::package(package, runtime, pythons);
    let main = format!("/{package}/__init__.py");
    let is_vendored = || project.files.iter().any(|file| file.entry.path.ends_with(&main));
    if found.is_none() && !is_vendored() && !deps::declares(&project.files, runtime, package) {
        return Err(Failure::of(Code::RuntimeMissing, format!("{package} is not installed"))
            .with_hint(format!("install it: python3 -m pip install {package}")));
    }
    Ok(found)
}

// === impl Debugger ===

impl fmt::Display for Debugger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, address, client, .. } = self;
        write!(f, "debugger: {name} on {address}; {client}")?;
        if self.waits { f.write_str("; the code is loaded once it has attached") } else { Ok(()) }
    }
}
