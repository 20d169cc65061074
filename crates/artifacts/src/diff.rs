//! Differences between two bundles. Pure.

use std::collections::BTreeMap;

use faas_types::{Bundle, BundleFile};

/// A file that two versions do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Where it lies.
    pub path: String,
    /// What happened to it.
    pub kind: FileChangeKind,
    /// Its bytes in the first version.
    pub size_from: Option<u64>,
    /// Its bytes in the second one.
    pub size_to: Option<u64>,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileChangeKind {
    /// Only the second version has it.
    Added,
    /// Only the first version has it.
    Removed,
    /// Both have it, with other bytes or another mode.
    Changed,
}

/// The files that two bundles do not share, by path.
pub(crate) fn compare(from: &Bundle, to: &Bundle) -> Vec<FileChange> {
    let mut both = BTreeMap::<&str, [Option<&BundleFile>; 2]>::new();
    for (side, bundle) in [from, to].into_iter().enumerate() {
        for file in &bundle.files {
            both.entry(&file.path).or_default()[side] = Some(file);
        }
    }
    let changes = both.into_iter().filter_map(|(path, [from, to])| {
        let kind = match (from, to) {
            (None, _) => FileChangeKind::Added,
            (_, None) => FileChangeKind::Removed,
            (Some(from), Some(to)) if (from.digest, from.executable) == (to.digest, to.executable) => return None,
            _ => FileChangeKind::Changed,
        };
        let size = |file: Option<&BundleFile>| file.map(|file| file.size);
        Some(FileChange { path: path.to_owned(), kind, size_from: size(from), size_to: size(to) })
    });
    changes.collect()
}

#[cfg(test)]
mod tests {
    use faas_types::Digest;

    use super::*;

    #[test]
    fn what_both_have_is_left_out() {
        let file = |path: &str, byte: u8, executable| BundleFile {
            path: path.into(),
            digest: Digest::from_bytes([byte; 32]),
            size: byte.into(),
            executable,
        };
        let from =
            Bundle { files: vec![file("a", 1, false), file("b", 2, false), file("c", 3, false), file("d", 4, false)] };
        let to =
            Bundle { files: vec![file("a", 1, false), file("b", 5, false), file("d", 4, true), file("e", 6, false)] };
        let found: Vec<_> = compare(&from, &to).into_iter().map(|c| (c.path, c.kind, c.size_from, c.size_to)).collect();
        let expected = [
            ("b".to_owned(), FileChangeKind::Changed, Some(2), Some(5)),
            ("c".to_owned(), FileChangeKind::Removed, Some(3), None),
            ("d".to_owned(), FileChangeKind::Changed, Some(4), Some(4)),
            ("e".to_owned(), FileChangeKind::Added, None, Some(6)),
        ];
        assert_eq!(found, expected);
    }
}
