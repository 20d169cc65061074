//! The packages that a function's author declares, read from this machine's files.

use faas_client::LocalFile;
use faas_packages::{Declarations, DeclaredPackages, ReadError, SourceFiles};
use faas_terminal::failure::Failure;
use faas_types::{Bundle, BundleFile, Code, Digest};

use crate::bundle;

/// Bytes of a file of declarations, which people write.
const SIZE_MAX: u64 = 4 << 20;

/// Declared packages.
#[derive(Clone)]
pub struct Declared {
    declarations: &'static dyn Declarations,
    packages: DeclaredPackages,
    /// The file that declares them, here.
    file: Option<LocalFile>,
}

// === impl Declared ===

impl Declared {
    /// Reads what a bundle declares.
    pub(super) fn read(files: &[LocalFile], declarations: &'static dyn Declarations) -> anyhow::Result<Self> {
        let mut sources = SourceFiles::of(&listing(files));
        // Each round ends with a file that has not been supplied before.
        for _ in 0..=files.len() {
            let path = match declarations.declared(&sources) {
                Ok(packages) => {
                    let declaring = packages.file.as_deref();
                    let file = files.iter().find(|file| Some(file.entry.path.as_str()) == declaring).cloned();
                    return Ok(Self { declarations, packages, file });
                }
                Err(ReadError::Refused(fault)) => return Err((*fault).into()),
                Err(ReadError::Needs(path)) => path,
            };
            let text = files.iter().find(|file| file.entry.path == path).map_or(Ok(String::new()), text)?;
            sources.supply(path, text.into_bytes());
        }
        Err(faas_packages::unplanned().into())
    }

    /// Whether a package is declared.
    pub(super) fn has(&self, name: &str) -> bool {
        self.packages.names.contains_key(&self.canonical(name))
    }

    /// A name as its registry compares it.
    pub(super) fn canonical(&self, name: &str) -> String {
        self.declarations.canonical(name)
    }

    /// The names as they are written.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.names.values().map(String::as_str)
    }

    /// The file that declares, or the one that would.
    pub(super) fn place(&self) -> &str {
        self.packages.file.as_deref().unwrap_or(self.declarations.default_file())
    }

    /// The file's text with these packages added; the first that is declared makes the file.
    ///
    /// # Errors
    /// When only the author can tell the right place.
    pub fn with(&self, packages: &[&str]) -> anyhow::Result<String> {
        let before = self.file.as_ref().map_or(Ok(String::new()), text)?;
        Ok(self.declarations.with_packages(self.place(), &before, packages)?)
    }
}

impl std::fmt::Debug for Declared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.packages.fmt(f)
    }
}

fn listing(files: &[LocalFile]) -> Bundle {
    let entry = |file: &LocalFile| BundleFile {
        path: file.entry.path.clone(),
        digest: Digest::from_bytes([0; 32]),
        size: file.entry.size,
        executable: file.entry.executable,
    };
    Bundle { files: files.iter().map(entry).collect() }
}

fn text(file: &LocalFile) -> anyhow::Result<String> {
    if file.entry.size > SIZE_MAX {
        let message = format!("{} is larger than {} MB", file.entry.path, SIZE_MAX >> 20);
        return Err(Failure::of(Code::InvalidConfiguration, message).into());
    }
    bundle::read_text(file)
}
