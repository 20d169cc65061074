//! Where a call goes and how it came.

use faas_engine::Route;
use faas_types::TriggerKind;

/// Where a call goes and how it came.
pub struct CallTarget {
    /// The function and version.
    pub route: Route,
    /// What made the run.
    pub trigger: TriggerKind,
    /// The path below the function's URL.
    pub path: String,
    /// The function URL's own part of the path, such as `/fn/hello`, so that the function can build links to itself.
    pub prefix: Option<String>,
    /// Whether the caller may know why the function failed.
    pub details: bool,
    /// Whether the caller sent no key that may call the function.
    pub keyless: bool,
}
