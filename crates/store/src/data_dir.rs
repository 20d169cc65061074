//! The data directory: private, of a known format, and used by one server at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// The layout that this release writes: `format`, `lock`, `ballast`, `faas.db`, `logs.db`, `secret.keys`, `blobs/` and `layers/`.
const FORMAT: u32 = 3;
const FORMAT_FILE: &str = "format";
const FORMAT_DRAFT: &str = ".format-draft";
const LOCK_FILE: &str = "lock";
/// What a directory may hold and still count as empty: our own first steps, cut short, and a file system's own.
const NOT_CONTENT: [&str; 3] = [LOCK_FILE, FORMAT_DRAFT, "lost+found"];

/// A data directory that this process holds. The lock ends with the value, and with the process however it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

// === impl DataDir ===

impl DataDir {
    /// Takes the directory; makes it first when it is absent or empty.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(StoreError::io("cannot make the data directory", path))?;
        if read_format(path)?.is_none() {
            refuse_stray(path)?;
        }
        let lock = lock(path)?;
        // Only the holder of the lock may judge: another server may have begun the directory meanwhile.
        match read_format(path)? {
            Some(text) => check_format(path, &text)?,
            None => begin(path)?,
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Refuses to begin anew where a database was: whatever stands beside it would be taken as unused and removed. The file
    /// `later` is made at the end of the first start.
    pub(crate) fn refuse_loss(&self, database: &str, later: &str) -> Result<(), StoreError> {
        let is_filled = |name: &str| fs::metadata(self.path.join(name)).is_ok_and(|file| file.len() > 0);
        let is_there = is_filled(database) || is_filled(&format!("{database}-wal"));
        if is_there || !is_filled(later) {
            Ok(())
        } else {
            Err(StoreError::LostDatabase { file: self.path.join(database) })
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn read_format(dir: &Path) -> Result<Option<String>, StoreError> {
    let path = dir.join(FORMAT_FILE);
    match File::open(&path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(64).read_to_end(&mut bytes).map_err(StoreError::io("cannot read", path))?;
            Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("cannot read", path)(error)),
    }
}

fn check_format(dir: &Path, text: &str) -> Result<(), StoreError> {
    match text.parse() {
        Ok(FORMAT) => Ok(()),
        Ok(found) if found > FORMAT => Err(StoreError::NewerFormat { dir: dir.to_owned(), found, supported: FORMAT }),
        Ok(found @ 1..FORMAT) => Err(StoreError::OlderFormat { dir: dir.to_owned(), found }),
        _ => Err(StoreError::UnknownFormat { dir: dir.to_owned(), found: text.escape_default().to_string() }),
    }
}

fn refuse_stray(dir: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("cannot read the data directory", dir)(error);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !NOT_CONTENT.iter().any(|known| name == *known) {
            return Err(StoreError::Stray { dir: dir.to_owned() });
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(StoreError::io("cannot open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = (&file).take(32).read_to_string(&mut pid);
            let known = read.is_ok() && pid.trim().parse::<u32>().is_ok();
            let pid = if known { pid.trim().to_owned() } else { "unknown".to_owned() };
            return Err(StoreError::InUse { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(StoreError::io("cannot lock", path)(error)),
    }
    // The number is only for the message above, so a full disk must not keep a server from starting.
    let named = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()));
    if let Err(error) = named {
        tracing::warn!(%error, path = %path.display(), "cannot write the process id into the lock file");
    }
    Ok(file)
}

/// Makes an empty directory ours. The format comes last: a start cut short leaves a directory that counts as empty.
fn begin(dir: &Path) -> Result<(), StoreError> {
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(StoreError::io("cannot make private", dir))?;
    let draft = dir.join(FORMAT_DRAFT);
    let failed = || StoreError::io("cannot write", dir.join(FORMAT_FILE));
    let mut file = File::create(&draft).map_err(failed())?;
    writeln!(file, "{FORMAT}").and_then(|()| file.sync_all()).map_err(failed())?;
    fs::rename(&draft, dir.join(FORMAT_FILE)).and_then(|()| File::open(dir)?.sync_all()).map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_private_and_taken_once() {
        let parent = tempfile::tempdir().expect("temp dir");
        let path = parent.path().join("a/b");
        let held = DataDir::open(&path).expect("open");
        assert_eq!(fs::metadata(&path).expect("stat").permissions().mode() & 0o777, 0o700);
        let refused = DataDir::open(&path).expect_err("second open").to_string();
        assert!(refused.contains(&std::process::id().to_string()) && refused.contains("--data"), "{refused}");
        drop(held);
        DataDir::open(&path).expect("open again");
    }

    #[test]
    fn what_is_not_ours_is_refused_untouched() {
        let stray = tempfile::tempdir().expect("temp dir");
        fs::write(stray.path().join("thesis.tex"), "x").expect("write");
        assert!(matches!(DataDir::open(stray.path()), Err(StoreError::Stray { .. })));
        assert_eq!(fs::read_dir(stray.path()).expect("list").count(), 1);
    }

    #[test]
    fn other_formats_are_told_apart() {
        let dir = tempfile::tempdir().expect("temp dir");
        drop(DataDir::open(dir.path()).expect("open"));
        fs::write(dir.path().join(FORMAT_FILE), "4\n").expect("write");
        assert!(matches!(DataDir::open(dir.path()), Err(StoreError::NewerFormat { found: 4, supported: 3, .. })));
        fs::write(dir.path().join(FORMAT_FILE), "2\n").expect("write");
        assert!(matches!(DataDir::open(dir.path()), Err(StoreError::OlderFormat { found: 2, .. })));
        for text in ["", "0", "one", "\u{0}\u{1}"] {
            fs::write(dir.path().join(FORMAT_FILE), text).expect("write");
            assert!(matches!(DataDir::open(dir.path()), Err(StoreError::UnknownFormat { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_start_cut_short_is_taken_up() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join(LOCK_FILE), "").expect("write");
        fs::write(dir.path().join(FORMAT_DRAFT), "").expect("write");
        DataDir::open(dir.path()).expect("open");
    }
}
