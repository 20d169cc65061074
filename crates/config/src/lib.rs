//! Server configuration and the function manifest.
//!
//! - [`Manifest`]: what a function says of itself, in `faas.toml`, `platform.yaml` or JSON.
//! - [`ServerConfig`]: what a server runs with, from defaults, a file, the environment and flags.
//! - [`IgnoreRules`]: which files of a directory become a bundle.
//! - [`Language`]: what the descriptions of the runtimes say to manifests.
//! - [`error_page`]: the page of an error code.

mod bundle;
mod error_page;
mod languages;
mod manifest;
mod server;

pub use bundle::{DEFAULT_IGNORES, IGNORE_FILE, IgnoreRules, InvalidPattern};
pub use error_page::error_page;
pub use languages::Language;
pub use manifest::{
    LoadManifestError, MANIFEST_FILES, Manifest, ManifestErrors, Position, Problem, check_var, closest, manifest_schema,
};
pub use server::{
    BuildSection, CacheSection, CallbacksSection, ConfigError, EngineSection, HttpSection, LogFormat, LogSection,
    MetricsSection, SandboxSection, ServerConfig, ServerOverrides, StoreSection, default_data_dir,
};
