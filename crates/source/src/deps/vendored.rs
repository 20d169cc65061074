//! Packages that lie beside the code: what `pip install --target` and `npm install` leave.

use faas_client::LocalFile;
use faas_packages::{Declarations, VendoredPackages};

use crate::bundle;

/// Bytes of a package's file list that is read.
const RECORD_MAX: u64 = 8 << 20;

/// Vendored packages.
pub(super) struct Vendored {
    declarations: &'static dyn Declarations,
    packages: VendoredPackages,
}

// === impl Vendored ===

impl Vendored {
    /// Finds them.
    pub(super) fn find(files: &[LocalFile], declarations: &'static dyn Declarations) -> Self {
        let mut packages = VendoredPackages::default();
        for file in files {
            let path = &file.entry.path;
            let is_read = declarations.is_record(path) && file.entry.size <= RECORD_MAX;
            let text = if is_read { bundle::read_text(file).ok() } else { None };
            declarations.see(path, text.as_deref(), &mut packages);
        }
        Self { declarations, packages }
    }

    /// Whether a file is a package's rather than the function's.
    pub(super) fn holds(&self, path: &str) -> bool {
        self.declarations.is_vendored(path, &self.packages)
    }

    /// Whether one of them provides a module, or is one of these packages.
    pub(super) fn provides(&self, module: &str, packages: &[String]) -> bool {
        let top = module.split('.').next().unwrap_or(module);
        let is_named = |name: &String| self.packages.names.contains(&self.declarations.canonical(name));
        self.packages.modules.contains(top) || packages.iter().any(is_named)
    }
}
