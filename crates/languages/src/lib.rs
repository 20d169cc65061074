//! The languages that functions are written in, as data.
//!
//! A language is a folder `shims/<language>/` with a description, `runtime.toml`. The folders are embedded in the binary,
//! and the list of folders is the list of languages: no code names one.
//!
//! - [`Folder`]: the embedded files of one language. The crate `runtimes` reads its own sections of the description.
//! - [`Language`]: what manifests and the command line need: names, entrypoint, files, debugger, where packages lie.
//! - [`Template`]: what `faas init` writes.
//! - [`diagnose`]: why a run probably failed, from the error texts of all languages.

mod debugger_kind;
mod diagnosis;
mod entrypoint_form;
mod folder;
mod language;
mod rules;
mod source_tools;
mod template;

pub use debugger_kind::{DebuggerKind, DebuggerPackage};
pub use diagnosis::{diagnose, looks_like_network};
pub use entrypoint_form::{EntrypointForm, EntrypointParts, InvalidEntrypoint};
pub use folder::{Folder, FolderFile, ScriptCall};
pub use language::{CompiledSources, Language, LinkedPackages, PackageIndex};
pub use source_tools::{ModuleRules, SourceCheck, SourceTools};
pub use template::{Template, TemplateFile};
