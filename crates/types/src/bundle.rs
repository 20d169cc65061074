//! The files of a version, and what their paths may look like.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{ByteSize, Code, Digest, Fault, limits};

/// Bytes of one part of a path: what Linux file systems take.
const PART_MAX: usize = 255;

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BundleFile {
    /// Where it lies, relative, with forward slashes, no `.` or `..` parts.
    pub path: String,
    /// The hash of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it may be executed.
    #[serde(default)]
    pub executable: bool,
}

/// The files of a version, each path once. Their order means nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The files.
    pub files: Vec<BundleFile>,
}

// === impl Bundle ===

impl Bundle {
    /// Bytes of all files together; saturates.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// Checks paths, counts and sizes, so that the files can be laid out below a directory and nowhere else.
    ///
    /// # Errors
    /// `FN_006` naming the first path that is wrong; `FN_011` when a limit on counts or sizes is passed.
    pub fn validate(&self) -> Result<(), Fault> {
        if self.files.len() > limits::BUNDLE_FILES_MAX {
            return Err(too_large(&format!("{} files", self.files.len()), &format!("{}", limits::BUNDLE_FILES_MAX)));
        }
        let mut paths = HashSet::with_capacity(self.files.len());
        for file in &self.files {
            check_path(&file.path)?;
            check_size(&format!("`{}` is {}", file.path, ByteSize::from_bytes(file.size)), file.size)?;
            if !paths.insert(file.path.as_str()) {
                return Err(refused(&file.path, "is in the bundle twice"));
            }
        }
        if self.size() > limits::BUNDLE_BYTES_MAX {
            let most = ByteSize::from_bytes(limits::BUNDLE_BYTES_MAX).to_string();
            return Err(too_large(&ByteSize::from_bytes(self.size()).to_string(), &most));
        }
        match self.files.iter().find_map(|file| parents(&file.path).find(|parent| paths.contains(parent))) {
            Some(path) => Err(refused(path, "is a file and a directory at once")),
            None => Ok(()),
        }
    }

    /// What the digest of a bundle is the BLAKE3 hash of: the line `faas-bundle 1`, then for each file in byte order
    /// of paths a line of its digest, its size in decimal, `x` when it may be executed or `-`, and its path, with one
    /// space between. Every line ends in `\n`. Unambiguous for bundles that [validate](Self::validate): their paths
    /// hold no control characters.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut files: Vec<&BundleFile> = self.files.iter().collect();
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let mut text = String::from("faas-bundle 1\n");
        for BundleFile { path, digest, size, executable } in files {
            let mode = if *executable { 'x' } else { '-' };
            writeln!(text, "{digest} {size} {mode} {path}").expect("a string takes all text");
        }
        text.into_bytes()
    }

    /// The inverse of [`canonical_bytes`](Self::canonical_bytes).
    ///
    /// # Errors
    /// `FN_022` when the bytes are not of that form.
    pub fn from_canonical_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let broken = || Fault::new(Code::Internal, "a stored file list cannot be read");
        let text = std::str::from_utf8(bytes).map_err(|_| broken())?;
        let lines = text.strip_prefix("faas-bundle 1\n").ok_or_else(broken)?.lines();
        let file = |line: &str| {
            let mut parts = line.splitn(4, ' ');
            let digest = parts.next()?.parse().ok()?;
            let size = parts.next()?.parse().ok()?;
            let executable = match parts.next()? {
                "x" => true,
                "-" => false,
                _ => return None,
            };
            Some(BundleFile { path: parts.next()?.to_owned(), digest, size, executable })
        };
        let files = lines.map(|line| file(line).ok_or_else(broken)).collect::<Result<_, _>>()?;
        Ok(Self { files })
    }
}

fn check_path(path: &str) -> Result<(), Fault> {
    if path.is_empty() {
        return Err(refused(path, "is empty"));
    }
    if path.len() > limits::BUNDLE_PATH_MAX {
        let start: String = path.chars().take(40).collect();
        return Err(refused(&format!("{start}…"), &format!("is longer than {} bytes", limits::BUNDLE_PATH_MAX)));
    }
    if path.starts_with('/') {
        return Err(refused(path, "is absolute; paths are relative to the bundle"));
    }
    if path.chars().any(char::is_control) {
        return Err(refused(&path.escape_default().to_string(), "holds a control character"));
    }
    if path.split('/').count() > limits::BUNDLE_DEPTH_MAX {
        return Err(refused(path, &format!("is nested deeper than {} parts", limits::BUNDLE_DEPTH_MAX)));
    }
    path.split('/').try_for_each(|part| match part {
        "" => Err(refused(path, "has an empty part")),
        "." | ".." => Err(refused(path, &format!("has a part `{part}`"))),
        part if part.len() > PART_MAX => Err(refused(path, &format!("has a part longer than {PART_MAX} bytes"))),
        _ => Ok(()),
    })
}

fn check_size(what: &str, size: u64) -> Result<(), Fault> {
    if size > limits::BUNDLE_FILE_MAX {
        let most = ByteSize::from_bytes(limits::BUNDLE_FILE_MAX);
        return Err(Fault::new(Code::PayloadTooLarge, format!("{what}; a file of a bundle may have {most}"))
            .with_hint("leave large files out of the bundle"));
    }
    Ok(())
}

/// The directories that a path lies in, the nearest last.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

fn refused(path: &str, why: &str) -> Fault {
    Fault::new(Code::InvalidConfiguration, format!("the bundle path `{path}` {why}"))
}

fn too_large(have: &str, most: &str) -> Fault {
    Fault::new(Code::PayloadTooLarge, format!("the bundle has {have}; {most} at the most"))
        .with_hint("leave files out of the bundle that the function does not need")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(paths: &[&str]) -> Bundle {
        let file = |path: &&str| BundleFile {
            path: (*path).into(),
            digest: Digest::from_bytes([7; 32]),
            size: 1,
            executable: path.ends_with(".sh"),
        };
        Bundle { files: paths.iter().map(file).collect() }
    }

    #[test]
    fn ordinary_paths_are_taken() {
        let paths = ["main.py", "a/b/c.py", "a/b.py", "a b/ü.txt", "..a", "a..b/.hidden", "-x", "a\\b"];
        assert_eq!(bundle(&paths).validate(), Ok(()));
        assert_eq!(Bundle::default().validate(), Ok(()));
        let deep = vec!["d"; limits::BUNDLE_DEPTH_MAX].join("/");
        assert_eq!(bundle(&[&deep]).validate(), Ok(()));
    }

    #[test]
    fn hostile_paths_are_refused() {
        let long = format!("{}/{}", "a".repeat(255), "b".repeat(257));
        let deep = vec!["d"; limits::BUNDLE_DEPTH_MAX + 1].join("/");
        let wide = "a".repeat(256);
        let bad = [
            "",
            "/",
            "/etc/x",
            "../x",
            "a/../../b",
            "a/..",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "a\0b",
            "a\nb",
            &long,
            &deep,
            &wide,
        ];
        for path in bad {
            let fault = bundle(&[path]).validate().expect_err(path);
            assert_eq!(fault.code, Code::InvalidConfiguration, "{path}");
        }
        for pair in [["a", "a"], ["a", "a/b"], ["a/b/c/d", "a/b"]] {
            assert!(bundle(&pair).validate().is_err(), "{pair:?}");
        }
    }

    #[test]
    fn sizes_and_counts_are_bounded() {
        let mut one = bundle(&["a"]);
        one.files[0].size = limits::BUNDLE_FILE_MAX + 1;
        assert_eq!(one.validate().expect_err("file").code, Code::PayloadTooLarge);
        let mut many = bundle(&["a", "b", "c", "d", "e"]);
        many.files.iter_mut().for_each(|file| file.size = limits::BUNDLE_FILE_MAX);
        assert_eq!(many.validate().expect_err("sum").code, Code::PayloadTooLarge);
        let names: Vec<String> = (0..=limits::BUNDLE_FILES_MAX).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(bundle(&names).validate().expect_err("count").code, Code::PayloadTooLarge);
    }

    #[test]
    fn canonical_bytes_follow_the_documented_lines() {
        let digest = Digest::from_bytes([7; 32]);
        let expected = format!("faas-bundle 1\n{digest} 1 - a b.py\n{digest} 1 x run.sh\n");
        assert_eq!(bundle(&["run.sh", "a b.py"]).canonical_bytes(), expected.as_bytes());
        assert_eq!(bundle(&["a b.py", "run.sh"]).canonical_bytes(), expected.as_bytes());
    }
}
