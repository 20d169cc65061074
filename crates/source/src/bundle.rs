//! Walks a directory and hashes what becomes a bundle, within the limits that the server has too.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use faas_client::LocalFile;
use faas_client::rest::BundleFileBody;
use faas_config::{EntryKind, IGNORE_FILE, IgnoreRules, SourceDir, SourceEntry, root_of, text_of};
use faas_terminal::failure::Failure;
use faas_terminal::read_progress::ReadProgress;
use faas_terminal::text;
use faas_types::{Bundle, BundleFile, Code, Digest, limits};

/// Bytes of a file of patterns.
const IGNORE_FILE_MAX: u64 = 1 << 20;

/// Finds the files of a directory, sorted by their path in the bundle. Stops at the limits on counts and sizes before it
/// has read more than they allow.
///
/// # Errors
/// A symbolic link or special file, a path or size beyond the limits, or what the system refuses.
pub fn walk(root: &Path) -> anyhow::Result<Vec<LocalFile>> {
    walk_at_pace(root, &ReadProgress::default())
}

/// The same, telling how far it is.
pub fn walk_at_pace(root: &Path, pace: &ReadProgress) -> anyhow::Result<Vec<LocalFile>> {
    let source = SourceDir::open(root).with_context(|| format!("cannot list {}", root.display()))?;
    walk_in(&source, root, pace)
}

/// The same for a directory that is open. `root` is where it is, for people and for the upload.
pub fn walk_in(source: &SourceDir, root: &Path, pace: &ReadProgress) -> anyhow::Result<Vec<LocalFile>> {
    let mut walk = Walk { rules: rules_in(source, root)?, seen: Vec::new(), bytes: 0 };
    let mut waiting = vec![String::new()];
    while let Some(prefix) = waiting.pop() {
        let dir = if prefix.is_empty() { "." } else { prefix.as_str() };
        let listing = || format!("cannot list {}", place(root, &prefix));
        let here = source.dir(dir).with_context(listing)?;
        for SourceEntry { name, kind } in here.entries().with_context(listing)? {
            let Some(name) = name.to_str() else {
                let local = root.join(&prefix).join(name);
                return Err(refused(&local, "has a name that is not UTF-8; rename it").into());
            };
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            if walk.rules.ignores(Path::new(&path), kind == EntryKind::Directory) {
                continue;
            }
            if kind == EntryKind::Directory {
                waiting.push(path);
            } else {
                let local = root.join(&path);
                check_kind(&local, kind)?;
                let size = here.size(name).with_context(|| format!("cannot look at {}", local.display()))?;
                walk.add(Seen { local, at: path.clone().into(), path, size })?;
            }
        }
    }
    walk.finish(source, pace.clone())
}

/// A bundle of one file.
pub fn single(file: &Path, name: &str) -> anyhow::Result<Vec<LocalFile>> {
    let looking = || format!("cannot look at {}", file.display());
    let own = file.file_name().with_context(looking)?;
    let source = SourceDir::open(file.parent().unwrap_or(Path::new(""))).with_context(looking)?;
    let kind = source.kind(own).with_context(looking)?.with_context(looking)?;
    check_kind(file, kind)?;
    let mut walk = Walk { rules: IgnoreRules::new("")?, seen: Vec::new(), bytes: 0 };
    let size = source.size(own).with_context(looking)?;
    walk.add(Seen { local: file.to_owned(), at: own.into(), path: name.to_owned(), size })?;
    walk.finish(&source, ReadProgress::default())
}

/// Reads a file of a bundle again, with no more bytes than it had.
pub fn read(file: &LocalFile) -> anyhow::Result<Vec<u8>> {
    let unreadable = || format!("cannot read {}", file.local.display());
    // A file that was named by itself may have another name in the bundle.
    let (root, path) = if file.local.ends_with(&file.entry.path) {
        (root_of(&file.local, &file.entry.path), Path::new(&file.entry.path))
    } else {
        let own = file.local.file_name().with_context(unreadable)?;
        (file.local.parent().unwrap_or(Path::new("")).to_owned(), Path::new(own))
    };
    let content = SourceDir::open(&root).and_then(|source| source.file(path)).and_then(|open| {
        let mut content = Vec::with_capacity(usize::try_from(file.entry.size).unwrap_or_default());
        open.take(file.entry.size).read_to_end(&mut content).map(|_| content)
    });
    content.with_context(unreadable)
}

/// The same as text, without a byte order mark.
pub fn read_text(file: &LocalFile) -> anyhow::Result<String> {
    text_of(read(file)?).with_context(|| format!("cannot read {}", file.local.display()))
}

/// Bytes of all files.
pub fn total_bytes(files: &[LocalFile]) -> u64 {
    files.iter().map(|file| file.entry.size).sum()
}

struct Walk {
    rules: IgnoreRules,
    seen: Vec<Seen>,
    bytes: u64,
}

/// A file that becomes part of the bundle, before it is read.
struct Seen {
    local: PathBuf,
    /// The path below the directory that is walked.
    at: PathBuf,
    /// The path in the bundle.
    path: String,
    size: u64,
}

// === impl Walk ===

impl Walk {
    fn add(&mut self, file: Seen) -> anyhow::Result<()> {
        if self.seen.len() == limits::BUNDLE_FILES_MAX {
            let message = format!("the bundle has more than {} files", limits::BUNDLE_FILES_MAX);
            return Err(too_large(message).into());
        }
        check_size(&file.path, file.size)?;
        self.bytes += file.size;
        if self.bytes > limits::BUNDLE_BYTES_MAX {
            let most = text::bytes(limits::BUNDLE_BYTES_MAX);
            return Err(too_large(format!("the bundle is larger than {most} at {}", file.path)).into());
        }
        self.seen.push(file);
        Ok(())
    }

    /// Reads the files, and applies the server's own rules to the whole, so that what passes here passes there.
    fn finish(self, source: &SourceDir, mut pace: ReadProgress) -> anyhow::Result<Vec<LocalFile>> {
        let Self { mut seen, bytes, .. } = self;
        seen.sort_by(|a, b| a.path.cmp(&b.path));
        pace.begin(seen.len(), bytes);
        let mut found = Vec::with_capacity(seen.len());
        for file in seen {
            let Seen { local, at, path, .. } = file;
            let entry = hashed(source, &at, path).with_context(|| format!("cannot read {}", local.display()))?;
            check_size(&entry.path, entry.size)?;
            pace.read(entry.size);
            found.push((local, entry));
        }
        pace.end();
        Bundle { files: found.iter().map(|(_, file)| file.clone()).collect() }.validate()?;
        let local = |(local, file): (PathBuf, BundleFile)| {
            let BundleFile { path, digest, size, executable } = file;
            LocalFile { local, entry: BundleFileBody { path, digest: digest.to_string(), size, executable } }
        };
        Ok(found.into_iter().map(local).collect())
    }
}

/// A file as it is when it is read: at most one byte beyond the bound, which shows that it is too large.
fn hashed(source: &SourceDir, at: &Path, path: String) -> std::io::Result<BundleFile> {
    let file = source.file(at)?;
    let executable = file.metadata()?.permissions().mode() & 0o100 != 0;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file.take(limits::BUNDLE_FILE_MAX + 1))?;
    let digest = Digest::from_bytes(hasher.finalize().into());
    Ok(BundleFile { path, digest, size: hasher.count(), executable })
}

fn check_size(path: &str, size: u64) -> Result<(), Failure> {
    if size <= limits::BUNDLE_FILE_MAX {
        return Ok(());
    }
    let most = text::bytes(limits::BUNDLE_FILE_MAX);
    Err(too_large(format!("{path} has {}, more than {most} for one file", text::bytes(size))))
}

/// The rules of a directory for what stays at home.
pub fn ignore_rules(root: &Path) -> anyhow::Result<IgnoreRules> {
    let source = SourceDir::open(root).with_context(|| format!("cannot list {}", root.display()))?;
    rules_in(&source, root)
}

fn rules_in(source: &SourceDir, root: &Path) -> anyhow::Result<IgnoreRules> {
    let text = match source.text(IGNORE_FILE, IGNORE_FILE_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", place(root, IGNORE_FILE))),
    };
    IgnoreRules::new(&text).map_err(|error| Failure::of(Code::InvalidConfiguration, error.to_string()).into())
}

fn check_kind(local: &Path, kind: EntryKind) -> Result<(), Failure> {
    let what = match kind {
        EntryKind::File => return Ok(()),
        EntryKind::Link => {
            let what = "is a symbolic link, which bundles do not hold; replace it by the file itself";
            return Err(refused(local, what).with_hint(format!("or list it in {IGNORE_FILE} to leave it out")));
        }
        EntryKind::Pipe => "a pipe or socket",
        EntryKind::Directory | EntryKind::Other => "not a regular file",
    };
    Err(refused(local, &format!("is {what}; remove it or list it in {IGNORE_FILE}")))
}

fn place(root: &Path, path: &str) -> String {
    root.join(path).display().to_string()
}

fn refused(local: &Path, what: &str) -> Failure {
    Failure::of(Code::DeploymentFailed, text::visible(&format!("{} {what}", local.display())))
}

fn too_large(message: String) -> Failure {
    Failure::of(Code::PayloadTooLarge, message)
        .with_hint(format!("leave out what the function does not need with {IGNORE_FILE}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        dir
    }

    #[test]
    fn a_bundle_is_sorted_and_leaves_out_what_it_should() {
        let dir = tree(&[
            ("main.py", "x"),
            ("b/z.txt", ""),
            ("b/a.txt", "aa"),
            (".env", "SECRET=1"),
            ("__pycache__/m.pyc", "x"),
            ("data.csv", "1"),
            (".faasignore", "*.csv\n"),
        ]);
        let files = walk(dir.path()).expect("a good tree");
        let paths: Vec<_> = files.iter().map(|file| file.entry.path.as_str()).collect();
        assert_eq!(paths, ["b/a.txt", "b/z.txt", "main.py"]);
        assert_eq!((total_bytes(&files), files[0].entry.size), (3, 2));
        assert_eq!(files[2].entry.digest, blake3::hash(b"x").to_hex().to_string());
    }

    #[test]
    fn links_and_pipes_are_refused_by_name() {
        let dir = tree(&[("main.py", "x")]);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).expect("linked");
        let failure = Failure::from_error(&walk(dir.path()).expect_err("a link"));
        assert!(failure.message.contains("/link is a symbolic link"), "{failure:?}");
        assert_eq!(failure.exit, 5);
        fs::write(dir.path().join(".faasignore"), "link\n").expect("written");
        assert_eq!(walk(dir.path()).expect("left out").len(), 1);
    }

    #[test]
    fn limits_hold_before_anything_is_sent() {
        let dir = tree(&[("main.py", "x")]);
        let big = File::create(dir.path().join("big.bin")).expect("made");
        big.set_len(limits::BUNDLE_FILE_MAX + 1).expect("sparse");
        let failure = Failure::from_error(&walk(dir.path()).expect_err("too big"));
        assert_eq!((failure.code, failure.exit), (Some(Code::PayloadTooLarge), 7));
        assert!(failure.message.starts_with("big.bin has 128.0 MB"), "{failure:?}");
    }
}
