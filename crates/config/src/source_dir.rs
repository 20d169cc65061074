//! A directory of somebody's source, whose files are opened beneath it and never through a link.
//!
//! What lies in such a directory may be of a stranger: a clone, an archive, a push. A link in it would have this program
//! read or write a file that its user may reach and the stranger may not. Every file whose name the directory decides
//! therefore comes through here. The directory itself is named by the user, and may be a link.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Whether the kernel lacks `openat2`, or a container forbids it.
static LACKS_OPENAT2: AtomicBool = AtomicBool::new(false);
/// The byte order mark.
const BOM: char = '\u{feff}';
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// An opened directory.
#[derive(Debug)]
pub struct SourceDir {
    fd: OwnedFd,
}

/// What lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, wherever it leads.
    Link,
    /// A pipe or a socket.
    Pipe,
    /// Anything else, such as a device.
    Other,
}

/// One name of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// The name, without the directory.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// The error of a path that a link is a part of; within an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LinkInTheWay;

// === impl LinkInTheWay ===

impl fmt::Display for LinkInTheWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "it is a symbolic link or lies behind one, and links are not followed; replace it by the file itself",
        )
    }
}

impl std::error::Error for LinkInTheWay {}

// === impl SourceDir ===

impl SourceDir {
    /// Opens a directory that a user named.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let fd = fs::openat(CWD, dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd })
    }

    /// Opens a directory beneath this one.
    ///
    /// # Errors
    /// When a part of the path is a link or leads upwards, and what the system says.
    pub fn dir(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        let fd = self.open_beneath(path.as_ref(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { fd })
    }

    /// Opens a regular file beneath this directory.
    ///
    /// # Errors
    /// As for [`dir`](Self::dir), and for what is not a regular file.
    pub fn file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        // A pipe would otherwise wait for somebody who writes.
        let fd = self.open_beneath(path.as_ref(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        let kind = FileType::from_raw_mode(fs::fstat(&fd)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(File::from(fd))
    }

    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    /// As for [`file`](Self::file); [`io::ErrorKind::FileTooLarge`] for one that has more.
    pub fn read(&self, path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes")));
        }
        Ok(bytes)
    }

    /// Reads a file of UTF-8, without the byte order mark that some editors put before it.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and for what is not UTF-8.
    pub fn text(&self, path: impl AsRef<Path>, most: u64) -> io::Result<String> {
        text_of(self.read(path, most)?)
    }

    /// What lies under a path; `None` where there is nothing.
    ///
    /// # Errors
    /// As for [`dir`](Self::dir); a link at the end of the path is no error.
    pub fn kind(&self, path: impl AsRef<Path>) -> io::Result<Option<EntryKind>> {
        let (parent, name) = split(path.as_ref())?;
        let looked = self.beneath(parent).and_then(|dir| Ok(fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW)?));
        match looked {
            Ok(stat) => Ok(Some(EntryKind::of(FileType::from_raw_mode(stat.st_mode)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a file beneath this directory, as the file system tells them.
    ///
    /// # Errors
    /// As for [`dir`](Self::dir).
    pub fn size(&self, path: impl AsRef<Path>) -> io::Result<u64> {
        let (parent, name) = split(path.as_ref())?;
        let stat = fs::statat(&self.beneath(parent)?.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(u64::try_from(stat.st_size).unwrap_or_default())
    }

    /// Whether anything lies under a path, be it a link that leads nowhere. What cannot be looked at is there.
    #[must_use]
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        !matches!(self.kind(path), Ok(None))
    }

    /// The names in this directory, in no order.
    ///
    /// # Errors
    /// What the system says.
    pub fn entries(&self) -> io::Result<Vec<SourceEntry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not tell with the name.
                FileType::Unknown => match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                },
                known => known,
            };
            entries.push(SourceEntry { name: name.to_owned(), kind: EntryKind::of(kind) });
        }
        Ok(entries)
    }

    /// Writes a file, whole or not at all. One that is there keeps its permissions.
    ///
    /// # Errors
    /// When a part of the path, or what lies there, is a link; for what is there and is not a regular file; and what the
    /// system says.
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let (parent, name) = split(path.as_ref())?;
        let dir = self.beneath(parent)?;
        let mode = match dir.file(name) {
            Ok(known) => Mode::from_raw_mode(fs::fstat(&known)?.st_mode & 0o777),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Mode::from_raw_mode(0o666),
            Err(error) => return Err(error),
        };
        let draft = format!(".{}-{}.faas-draft", std::process::id(), DRAFTS.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&dir.fd, draft.as_str(), flags, mode)?;
        let written = File::from(fd).write_all(bytes);
        let moved = written.and_then(|()| Ok(fs::renameat(&dir.fd, draft.as_str(), &dir.fd, name)?));
        if moved.is_err() {
            let _ = fs::unlinkat(&dir.fd, draft.as_str(), AtFlags::empty());
        }
        moved
    }

    /// Makes a directory beneath this one, unless it is there.
    ///
    /// # Errors
    /// As for [`dir`](Self::dir).
    pub fn create_dir(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        let (parent, name) = split(path.as_ref())?;
        let dir = self.beneath(parent)?;
        match fs::mkdirat(&dir.fd, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => dir.dir(name),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory itself for an empty path.
    fn beneath(&self, parent: &Path) -> io::Result<Self> {
        self.dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
    }

    fn open_beneath(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        if !LACKS_OPENAT2.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match fs::openat2(&self.fd, path, flags, mode, resolve) {
                Err(Errno::NOSYS | Errno::PERM) => LACKS_OPENAT2.store(true, Ordering::Relaxed),
                Err(Errno::LOOP) => return Err(in_the_way()),
                Err(Errno::XDEV) => return Err(upwards()),
                opened => return Ok(opened?),
            }
        }
        self.open_by_parts(path, flags, mode)
    }

    /// What `openat2` does, for kernels before 5.6.
    fn open_by_parts(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => parts.push(name),
                Component::CurDir => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(upwards()),
            }
        }
        let last = parts.pop().unwrap_or(OsStr::new("."));
        let mut dir = self.fd.try_clone()?;
        for part in parts {
            let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            dir = open_part(&dir, part, through, Mode::empty())?;
        }
        open_part(&dir, last, flags | OFlags::NOFOLLOW, mode)
    }
}

impl EntryKind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            FileType::Fifo | FileType::Socket => Self::Pipe,
            _ => Self::Other,
        }
    }
}

/// Whether an error says that a link is in the way.
#[must_use]
pub fn is_link_error(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<LinkInTheWay>)
}

/// Text that came as bytes, without the byte order mark that some editors put before it.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is not UTF-8.
pub fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text; save it as UTF-8"))?;
    Ok(match text.strip_prefix(BOM) {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn open_part(dir: impl AsFd, name: &OsStr, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    fs::openat(&dir, name, flags, mode).map_err(|error| {
        // A link that is opened as a directory is told to be no directory.
        let is_link = matches!(error, Errno::LOOP | Errno::NOTDIR)
            && fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
        if is_link { in_the_way() } else { error.into() }
    })
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.file_name().map(|name| (path.parent().unwrap_or(Path::new("")), name)).ok_or_else(upwards)
}

fn in_the_way() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, LinkInTheWay)
}

fn upwards() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the path leads out of the directory")
}

/// The directory that a file lies in and its path below it, given both as one path.
#[must_use]
pub fn root_of(local: &Path, path: &str) -> PathBuf {
    local.ancestors().nth(path.split('/').count()).unwrap_or(Path::new("")).to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory with a file, links to it and out of it, and a file outside.
    fn scene() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let inside = dir.path().join("inside");
        std::fs::create_dir_all(inside.join("real")).expect("made");
        std::fs::write(dir.path().join("secret"), "key").expect("written");
        std::fs::write(inside.join("real/a.txt"), "\u{feff}a").expect("written");
        for (link, to) in
            [("out", "../secret"), ("dir", "real"), ("up", ".."), ("dangling", "nowhere"), ("self", "self")]
        {
            symlink(to, inside.join(link)).expect("linked");
        }
        symlink(dir.path().join("secret"), inside.join("absolute")).expect("linked");
        dir
    }

    #[test]
    fn links_are_followed_neither_way() {
        let scene = scene();
        let inside = SourceDir::open(&scene.path().join("inside")).expect("opened");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        for path in ["out", "absolute", "dir/a.txt", "up/secret", "dangling", "self"] {
            let error = inside.file(path).expect_err(path);
            assert!(is_link_error(&error), "{path}: {error}");
            let error = inside.open_by_parts(Path::new(path), flags, Mode::empty()).expect_err(path);
            assert!(is_link_error(&error), "part by part, {path}: {error}");
            assert!(inside.write(path, b"x").is_err(), "{path}");
        }
        for path in ["../secret", "real/../../secret", "/etc/passwd"] {
            assert!(inside.file(path).is_err() && inside.dir(path).is_err(), "{path}");
            assert!(inside.open_by_parts(Path::new(path), flags, Mode::empty()).is_err(), "{path}");
        }
        assert!(is_link_error(&inside.dir("dir").expect_err("a link")));
        assert!(inside.create_dir("dir").is_err() && inside.create_dir("up/new").is_err());
        assert_eq!(std::fs::read_to_string(scene.path().join("secret")).expect("there"), "key");
        assert_eq!(inside.kind("out").expect("looked"), Some(EntryKind::Link));
        assert!(inside.has("dangling") && !inside.has("nowhere"));
    }

    #[test]
    fn what_is_beneath_is_read_and_written() {
        let scene = scene();
        let inside = SourceDir::open(&scene.path().join("inside")).expect("opened");
        assert_eq!(inside.text("real/a.txt", 10).expect("read"), "a", "without its byte order mark");
        assert_eq!(inside.read("real/a.txt", 3).expect_err("four bytes").kind(), io::ErrorKind::FileTooLarge);
        let by_parts = inside.open_by_parts(Path::new("./real/a.txt"), OFlags::RDONLY, Mode::empty());
        assert!(by_parts.is_ok());
        assert!(inside.file("real").is_err(), "a directory is no file");
        inside.create_dir("new").expect("made").write("b", b"1").expect("written");
        inside.write("new/b", b"2").expect("written again");
        assert_eq!(inside.text("new/b", 1).expect("read"), "2");
        let mut names: Vec<_> = inside.dir("new").expect("there").entries().expect("listed");
        names.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(names, [SourceEntry { name: "b".into(), kind: EntryKind::File }], "no draft is left");
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let scene = scene();
        let inside = SourceDir::open(&scene.path().join("inside")).expect("opened");
        let kind = FileType::Fifo;
        fs::mknodat(CWD, scene.path().join("inside/pipe"), kind, Mode::from_raw_mode(0o600), 0).expect("made");
        assert!(inside.file("pipe").is_err());
        assert_eq!(inside.kind("pipe").expect("looked"), Some(EntryKind::Pipe));
    }
}
