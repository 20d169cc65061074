//! Where debuggers attach to a function that runs in a private server.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use clap::Args;
use faas_languages::{DebuggerPackage, Language};
use faas_source::project::{Overrides, Project};
use faas_source::{debugger_package, deps};
use faas_terminal::failure::Failure;
use faas_types::Code;

/// How a function is inspected.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "debugging")]
pub(crate) struct DebuggerArgs {
    /// Let a debugger attach on 127.0.0.1
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, conflicts_with = "inspect_brk", help = help())]
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

    /// Listens for debuggers of the function at `path`, where that is asked for. `interpreters` are programs that may have
    /// what it takes.
    pub(crate) fn open(&self, path: &Path, interpreters: &[PathBuf]) -> anyhow::Result<Option<Debugger>> {
        let (port, waits) = match (self.inspect, self.inspect_brk) {
            (None, None) => return Ok(None),
            (Some(port), _) => (port, false),
            (None, Some(port)) => (port, true),
        };
        let project = Project::read_one(path, Overrides::default())?;
        let runtime = &project.manifest.settings.runtime;
        let language = Language::named(runtime.language()).unwrap_or_else(Language::standard);
        let none = || Failure::of(Code::NotImplemented, format!("functions of {runtime} cannot be debugged"));
        let kind = language.debugger.as_ref().ok_or_else(none)?;
        let package = match &kind.package {
            Some(package) => package_of((language, package), &project, interpreters)?,
            None => None,
        };
        let listener = listen(port.unwrap_or(kind.port))?;
        let address = listener.local_addr()?;
        Ok(Some(Debugger { name: &kind.name, address, listener, waits, package, client: &kind.client }))
    }
}

/// The help of `--inspect`, with the port of each language's debugger.
fn help() -> String {
    let of = |language: &Language| Some(format!("{} for {}", language.debugger.as_ref()?.port, language.title));
    let ports: Vec<String> = Language::all().iter().filter_map(of).collect();
    format!("Let a debugger attach on 127.0.0.1 [default port: {}]", ports.join(", "))
}

fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        Failure::of(Code::Conflict, format!("the debugger cannot listen on 127.0.0.1:{port}: {error}"))
            .with_hint("choose another port, such as --inspect=9300, or stop what holds it")
    })
}

/// The directory of a package that a debugger is; `None` where the function brings it along.
fn package_of(
    (language, package): (&'static Language, &DebuggerPackage),
    project: &Project,
    interpreters: &[PathBuf],
) -> Result<Option<PathBuf>, Failure> {
    let runtime = &project.manifest.settings.runtime;
    let found = debugger_package((language, package), runtime, interpreters);
    let DebuggerPackage { name, file, install, .. } = package;
    let main = format!("/{name}/{file}");
    let is_vendored = || project.files.iter().any(|file| file.entry.path.ends_with(&main));
    if found.is_none() && !is_vendored() && !deps::declares(&project.files, runtime, name) {
        return Err(Failure::of(Code::RuntimeMissing, format!("{name} is not installed"))
            .with_hint(format!("install it: {install}")));
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
