//! The files of a bundle, for planning.

use std::collections::BTreeMap;
use std::ops::Bound;

use faas_types::{Bundle, Fault, limits};

use crate::refusal::refused;

/// The files of a bundle: all paths and sizes, and the texts that have been supplied.
#[derive(Clone, Debug, Default)]
pub struct SourceFiles {
    sizes: BTreeMap<String, u64>,
    /// `None` for what is not UTF-8.
    texts: BTreeMap<String, Option<String>>,
}

/// Why planning ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It needs the content of this file; supply it with [`SourceFiles::supply`] and plan again.
    Needs(String),
    /// A file asks for what cannot be installed.
    Refused(Box<Fault>),
}

// === impl ReadError ===

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Refused(Box::new(fault))
    }
}

// === impl SourceFiles ===

impl SourceFiles {
    /// The listing of a bundle, without any text.
    #[must_use]
    pub fn of(bundle: &Bundle) -> Self {
        let sizes = bundle.files.iter().map(|file| (file.path.clone(), file.size)).collect();
        Self { sizes, texts: BTreeMap::new() }
    }

    /// Adds the content of a file.
    pub fn supply(&mut self, path: String, bytes: Vec<u8>) {
        let text = String::from_utf8(bytes).ok();
        self.texts.insert(path, text.map(|text| text.trim_start_matches('\u{feff}').to_owned()));
    }

    /// The first of these directories that has a file in the bundle.
    #[must_use]
    pub fn first_dir(&self, dirs: &[&'static str]) -> Option<&'static str> {
        let has = |dir: &&str| {
            let first = self.sizes.range::<str, _>((Bound::Included(*dir), Bound::Unbounded)).next();
            first.is_some_and(|(path, _)| path.starts_with(dir))
        };
        dirs.iter().copied().find(has)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.sizes.keys().map(String::as_str)
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.sizes.contains_key(path)
    }

    /// A file's text; `None` when the bundle has no such file.
    pub(crate) fn text(&self, path: &str) -> Result<Option<&str>, ReadError> {
        self.text_within(path, limits::REQUIREMENTS_MAX)
    }

    /// The same for a file that may have `max` bytes.
    pub(crate) fn text_within(&self, path: &str, max: u64) -> Result<Option<&str>, ReadError> {
        let Some(size) = self.sizes.get(path) else { return Ok(None) };
        if *size > max {
            return Err(refused(path, &format!("is larger than {} KB", max >> 10)).into());
        }
        match self.texts.get(path) {
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => Err(refused(path, "is not UTF-8").into()),
            None => Err(ReadError::Needs(path.to_owned())),
        }
    }
}

#[cfg(test)]
impl SourceFiles {
    /// A bundle whose files are all supplied.
    pub(crate) fn supplied(files: &[(&str, &str)]) -> Self {
        let mut sources = Self::default();
        for (path, text) in files {
            sources.sizes.insert((*path).to_owned(), text.len() as u64);
            sources.supply((*path).to_owned(), text.as_bytes().to_vec());
        }
        sources
    }

    /// The same without the text of one file.
    pub(crate) fn without(mut self, path: &str) -> Self {
        self.texts.remove(path);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_asked_for_once_and_within_its_size() {
        let sources = SourceFiles::supplied(&[("a", "\u{feff}text"), ("b", "")]);
        assert_eq!(sources.text("a"), Ok(Some("text")));
        assert_eq!(sources.text("c"), Ok(None));
        assert_eq!(sources.clone().without("a").text("a"), Err(ReadError::Needs("a".into())));
        assert!(matches!(sources.text_within("a", 3), Err(ReadError::Refused(_))));
        let mut broken = sources;
        broken.supply("b".into(), vec![0xff]);
        assert!(matches!(broken.text("b"), Err(ReadError::Refused(fault)) if fault.message == "b is not UTF-8"));
    }

    #[test]
    fn a_directory_is_found_by_its_files() {
        let sources = SourceFiles::supplied(&[("main.py", ""), ("vendor", ""), ("vendored/x.py", ""), ("z/a", "")]);
        assert_eq!(sources.first_dir(&["vendor/", "node_modules/"]), None);
        assert_eq!(sources.first_dir(&["vendor/", "z/", "vendored/"]), Some("z/"));
    }
}
