//! Packages that lie beside the code: what `pip install --target` and `npm install` leave.

use std::collections::HashSet;

use faas_client::LocalFile;

use crate::bundle;
use crate::deps::packages::{Ecosystem, canonical, top};

/// Records larger than this are of no package that is deployed with a function.
const RECORD_MAX: u64 = 8 << 20;

/// Packages that lie beside the code.
#[derive(Debug)]
pub(super) struct Beside {
    ecosystem: Ecosystem,
    /// Their files, by path in the bundle.
    files: HashSet<String>,
    /// The modules that they bring.
    modules: HashSet<String>,
    /// Their names, as their registry compares them.
    names: HashSet<String>,
}

// === impl Beside ===

impl Beside {
    /// Finds them.
    pub(super) fn find(files: &[LocalFile], ecosystem: Ecosystem) -> Self {
        let none = || HashSet::new();
        let mut beside = Self { ecosystem, files: none(), modules: none(), names: none() };
        for file in files {
            match ecosystem {
                Ecosystem::Python => beside.read_record(file),
                Ecosystem::Node => beside.see_node_module(&file.entry.path),
            }
        }
        beside
    }

    /// Whether a file is a package's rather than the function's.
    pub(super) fn holds(&self, path: &str) -> bool {
        match self.ecosystem {
            Ecosystem::Python => self.files.contains(path),
            Ecosystem::Node => path.starts_with("node_modules/") || path.contains("/node_modules/"),
        }
    }

    /// Whether one of them brings a module.
    pub(super) fn brings(&self, module: &str, packages: &[String]) -> bool {
        self.modules.contains(top(module)) && self.ecosystem == Ecosystem::Python
            || packages.iter().any(|name| self.names.contains(&canonical(name, self.ecosystem)))
    }

    /// `vendor/PyYAML-6.0.dist-info/RECORD` lists the files of one package, relative to `vendor`.
    fn read_record(&mut self, file: &LocalFile) {
        let Some(dist_info) = file.entry.path.strip_suffix(".dist-info/RECORD") else { return };
        let (dir, dist) = dist_info.rsplit_once('/').map_or(("", dist_info), |(dir, dist)| (dir, dist));
        let name = dist.rsplit_once('-').map_or(dist, |(name, _)| name);
        self.names.insert(canonical(name, self.ecosystem));
        if file.entry.size > RECORD_MAX {
            return;
        }
        let Ok(record) = bundle::read_text(file) else { return };
        for line in record.lines() {
            let path = line.split(',').next().unwrap_or_default().trim_matches('"');
            let first = path.split('/').next().unwrap_or_default();
            if !first.ends_with(".dist-info") && first != ".." && !first.is_empty() {
                let module = first.split('.').next().unwrap_or(first);
                self.modules.insert(module.to_owned());
            }
            self.files.insert(if dir.is_empty() { path.to_owned() } else { format!("{dir}/{path}") });
        }
    }

    fn see_node_module(&mut self, path: &str) {
        let Some(rest) = path.strip_prefix("node_modules/") else { return };
        let parts = if rest.starts_with('@') { 2 } else { 1 };
        self.names.insert(rest.split('/').take(parts).collect::<Vec<_>>().join("/"));
    }
}
