//! The debugger of a language: the section `[debugger]`.

use serde::Deserialize;

use crate::folder::ScriptCall;

/// What the debugger of a language is like.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebuggerKind {
    /// What people call it.
    pub name: String,
    /// The port at which its clients look for it.
    pub port: u16,
    /// What to do with its address.
    pub client: String,
    /// Further arguments of the runtime's program, right behind its name.
    pub flags: Vec<String>,
    /// The package that it is, where the runtime brings none.
    pub package: Option<DebuggerPackage>,
}

/// A debugger that developers install as a package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebuggerPackage {
    /// Its name.
    pub name: String,
    /// Where its directory appears inside the sandbox.
    pub target: String,
    /// A file that its directory has.
    pub file: String,
    /// Makes an interpreter print that directory as JSON text; `{package}` is the name.
    pub find: ScriptCall,
    /// Where editors keep copies, below the home of the developer: directories that hold its own. A `*` is one part.
    #[serde(default)]
    pub copies: Vec<String>,
    /// The command that installs it.
    pub install: String,
}
