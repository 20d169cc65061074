//! The languages that functions are written in, as data.
//!
//! A language is a folder `shims/<language>/` with a description, `runtime.toml`. The folders are embedded in the binary,
//! and the list of folders is the list of languages: no code names one.
//!
//! - [`Folder`]: the embedded files of one language. The crate `runtimes` reads its own sections of the description.
//! - [`Language`]: what manifests and the command line need: names, entrypoint, files, debugger, where packages lie.
//! - [`Template`]: what `faas init` writes.
//! - [`diagnose`]: why a run probably failed, from the error texts of all languages.

mod diagnosis;
mod folder;
mod language;
mod rules;
mod template;

pub use diagnosis::{diagnose, looks_like_network};
pub use folder::{Folder, FolderFile};
pub use language::{CompiledSources, DebuggerKind, Language, LinkedPackages, PackageIndex};
pub use template::{Template, TemplateFile};
