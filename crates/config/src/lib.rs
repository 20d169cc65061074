//! Server configuration and the function manifest.
//!
//! - [`Manifest`]: what a function says of itself, in `faas.toml`, `platform.yaml`, `function.config.*` or JSON.
//! - [`ServerConfig`]: what a server runs with, from defaults, a file, the environment and flags.
//! - [`IgnoreRules`]: which files of a directory become a bundle.
//! - [`SourceDir`]: opens the files of somebody's source, never through a link.
//! - [`error_page`]: the page of an error code.

mod bundle;
mod error_page;
mod manifest;
mod server;
mod source_dir;

pub use bundle::{IGNORE_FILE, IgnoreRules, InvalidPattern, is_git_ignored};
pub use error_page::{REASONS_PAGE, error_page, reason_page};
pub use manifest::{
    LoadManifestError, MANIFEST_FILES, Manifest, ManifestErrors, ManifestProblem, Position, Row, check_var, closest,
    location_of_var, manifest_schema,
};
pub use server::{
    BackgroundSection, BuildSection, CacheSection, CallbacksSection, ConfigError, EgressSection, EngineSection, Flags,
    GitSection, HttpSection, IdempotencySection, ListenAddress, LogFormat, LogSection, MetricsSection, OPTIONS,
    PreflightSection, PrivateNetwork, ResolverAddress, RetentionSection, SandboxSection, ServerConfig, ServerSection,
    Setting, SettingKind, SourceAddress, Sources, StoreSection, UnknownVariable, configuration_reference,
    default_data_dir, dump, settings, unknown_variables,
};
pub use source_dir::{EntryKind, SourceDir, SourceEntry, is_link_error, root_of, text_of};
