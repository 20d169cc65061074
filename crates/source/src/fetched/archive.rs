//! Unpacks untrusted archives: only files and directories, only below one directory, within bounds.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use faas_terminal::failure::Failure;
use faas_terminal::text::{self, visible};
use faas_types::{Bundle, BundleFile, Code, Digest, limits};
use flate2::read::MultiGzDecoder;
use tar::EntryType;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::zip_names::repeated;
use crate::scratch::Scratch;

/// Entries of an archive. It may hold what stays at home, so that there are more than a bundle takes.
const ENTRIES_MAX: usize = 4 * limits::BUNDLE_FILES_MAX;
/// Bytes of all its files.
const UNPACKED_MAX: u64 = 2 * limits::BUNDLE_BYTES_MAX;
/// Bytes of the archive itself.
const PACKED_MAX: u64 = UNPACKED_MAX;
/// Endings of names, and what a file with one is taken for.
const NAMES: [(&str, &str); 10] = [
    (".zip", "a zip archive"),
    (".tar", "a tar archive"),
    (".tar.gz", "a tar.gz archive"),
    (".tgz", "a tar.gz archive"),
    (".tar.bz2", OTHER),
    (".tar.xz", OTHER),
    (".txz", OTHER),
    (".tar.zst", OTHER),
    (".7z", OTHER),
    (".rar", OTHER),
];
const OTHER: &str = "an archive of a kind that is unpacked here";

/// What an archive is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Zip,
    Gzip,
    Tar,
}

/// Takes files in below a directory.
struct Sink<'d> {
    root: &'d Path,
    entries: usize,
    bytes: u64,
    taken: HashSet<String>,
}

/// Whether a file is an archive, or is named as one.
pub(super) fn is_meant(path: &Path) -> bool {
    named_as(path).is_some()
        || File::open(path).and_then(|mut file| kind_of(&mut file)).is_ok_and(|kind| kind.is_some())
}

/// What a file's name says that it is.
fn named_as(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    NAMES.iter().find_map(|(ending, what)| name.ends_with(ending).then_some(*what))
}

pub(super) fn unpack_file(path: &Path, root: &Path) -> anyhow::Result<()> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let size = file.metadata()?.len();
    if size > PACKED_MAX {
        return Err(too_large(&format!("the archive has {}", text::bytes(size)), PACKED_MAX).into());
    }
    let Some(kind) = kind_of(&mut file)? else {
        let what = named_as(path).unwrap_or("a zip, tar or tar.gz archive");
        let failure = Failure::usage(format!("{} is not {what}", visible(&path.display().to_string())));
        return Err(failure.with_hint("pack it anew, as a zip, tar or tar.gz").into());
    };
    let mut sink = Sink { root, entries: 0, bytes: 0, taken: HashSet::new() };
    match kind {
        Kind::Zip => sink.take_zip(file),
        Kind::Tar => sink.take_tar(BufReader::new(file)),
        Kind::Gzip => sink.take_tar(MultiGzDecoder::new(BufReader::new(file))),
    }
}

/// The archive goes to a file first: a zip has its list of files at its end.
pub(super) fn unpack_stdin(root: &Path) -> anyhow::Result<()> {
    let scratch = Scratch::new().context("cannot make a temporary directory")?;
    let path = scratch.path().join("archive");
    let mut spool = File::create_new(&path).context("cannot make a temporary file")?;
    let copied =
        io::copy(&mut io::stdin().lock().take(PACKED_MAX + 1), &mut spool).context("cannot read standard input")?;
    if copied == 0 {
        let failure = Failure::usage("standard input is empty");
        return Err(failure.with_hint("pipe an archive into it, such as: tar c . | faas deploy -").into());
    }
    drop(spool);
    unpack_file(&path, root).map_err(|error| {
        let mut failure = Failure::from_error(&error);
        failure.message = failure.message.replace(&path.display().to_string(), "standard input");
        failure.into()
    })
}

fn kind_of(file: &mut File) -> io::Result<Option<Kind>> {
    let mut head = [0; 512];
    let mut filled = 0;
    while filled < head.len() {
        match file.read(&mut head[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    file.rewind()?;
    Ok(match &head[..filled] {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(Kind::Zip),
        [0x1f, 0x8b, ..] => Some(Kind::Gzip),
        bytes if bytes.get(257..262) == Some(b"ustar") => Some(Kind::Tar),
        _ => None,
    })
}

// === impl Sink ===

impl Sink<'_> {
    fn take_tar(&mut self, reader: impl Read) -> anyhow::Result<()> {
        // Headers and padding count too, or a stream of nothing but headers would never end.
        let mut archive = tar::Archive::new(reader.take(UNPACKED_MAX + (ENTRIES_MAX as u64) * 2_048));
        for entry in archive.entries().map_err(|error| damaged("tar", &error))? {
            let mut entry = entry.map_err(|error| damaged("tar", &error))?;
            let path = plain_path(&entry.path_bytes())?;
            if path.contains('\\') {
                return Err(backslash(&path).into());
            }
            refuse_drive(&path)?;
            self.count()?;
            let header = entry.header();
            match header.entry_type() {
                EntryType::Directory | EntryType::XGlobalHeader => {}
                EntryType::Regular | EntryType::Continuous => {
                    let executable = header.mode().is_ok_and(|mode| mode & 0o100 != 0);
                    self.take_file(&path, executable, &mut entry)?;
                }
                EntryType::Symlink | EntryType::Link => return Err(link(&path).into()),
                _ => return Err(refused(&path, "is neither a file nor a directory").into()),
            }
        }
        Ok(())
    }

    fn take_zip(&mut self, mut file: File) -> anyhow::Result<()> {
        const KIND: u32 = 0o170_000;
        const LINK: u32 = 0o120_000;
        let list_start =
            ZipArchive::new(BufReader::new(&file)).map_err(|error| damaged("zip", &error))?.central_directory_start();
        if let Some(name) = repeated(&mut BufReader::new(&file), list_start).map_err(|error| damaged("zip", &error))? {
            return Err(refused(&name, "is in the archive twice").into());
        }
        file.rewind()?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged("zip", &error))?;
        for index in 0..archive.len() {
            self.count()?;
            let mut entry = archive.by_index(index).map_err(|error| unread(&error))?;
            if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
                return Err(packed_otherwise().into());
            }
            // Some programs of Windows write its separator, against the format. All checks are of what it means.
            let name = entry.name().map_err(|error| damaged("zip", &error))?.replace('\\', "/");
            refuse_drive(&name)?;
            let path = plain_path(name.as_bytes())?;
            let mode = entry.unix_mode().unwrap_or(0);
            if entry.is_dir() || name.ends_with('/') {
                continue;
            }
            if mode & KIND == LINK {
                return Err(link(&path).into());
            }
            self.take_file(&path, mode & 0o100 != 0, &mut entry)?;
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Failure> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(Failure::of(Code::PayloadTooLarge, format!("the archive has more than {ENTRIES_MAX} entries")));
        }
        Ok(())
    }

    fn take_file(&mut self, path: &str, executable: bool, content: &mut impl Read) -> anyhow::Result<()> {
        check_path(path)?;
        if !self.taken.insert(path.to_owned()) {
            return Err(refused(path, "is in the archive twice").into());
        }
        let target = self.root.join(path);
        let mut above = Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
        if let Some(both) = above.find(|above| self.taken.contains(*above)).or(target.is_dir().then_some(path)) {
            return Err(refused(both, "is a file and a directory at once").into());
        }
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot unpack {}", visible(path)))?;
        }
        let mode = if executable { 0o700 } else { 0o600 };
        // New, so that nothing that is there already is followed or overwritten.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&target)
            .with_context(|| format!("cannot unpack {}", visible(path)))?;
        let most = limits::BUNDLE_FILE_MAX.min(UNPACKED_MAX - self.bytes);
        let copied = io::copy(&mut content.take(most + 1), &mut file);
        let copied = copied.map_err(|error| match error.kind() {
            // The archive's own words of a file that ends too early or does not decompress.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                cut(&format!("{} in it does not unpack", visible(path))).into()
            }
            _ => anyhow::Error::from(error).context(format!("cannot unpack {}", visible(path))),
        })?;
        if copied > limits::BUNDLE_FILE_MAX {
            return Err(too_large(&format!("{} is too large", visible(path)), limits::BUNDLE_FILE_MAX).into());
        }
        self.bytes += copied;
        if self.bytes > UNPACKED_MAX {
            return Err(too_large("the archive is too large when unpacked", UNPACKED_MAX).into());
        }
        Ok(())
    }
}

/// A path as bundles have it, without the `./` that `tar` writes.
fn plain_path(bytes: &[u8]) -> anyhow::Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        let path = PathBuf::from(String::from_utf8_lossy(bytes).into_owned());
        refused(&path.display().to_string(), "has a name that is not UTF-8")
    })?;
    Ok(text.strip_prefix("./").unwrap_or(text).trim_end_matches('/').to_owned())
}

/// Refuses a path that begins as `C:/` does.
fn refuse_drive(path: &str) -> Result<(), Failure> {
    match path.as_bytes() {
        [letter, b':', b'/', ..] if letter.is_ascii_alphabetic() => {
            Err(refused(path, "names a drive of Windows; paths are relative in an archive"))
        }
        _ => Ok(()),
    }
}

/// The rules of bundles: relative, never upwards, not too long and not too deep.
fn check_path(path: &str) -> anyhow::Result<()> {
    let file = BundleFile { path: path.to_owned(), digest: Digest::from_bytes([0; 32]), size: 0, executable: false };
    Ok(Bundle { files: vec![file] }.validate()?)
}

/// What a library says of an archive that it cannot read.
fn damaged(kind: &str, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("this is not a {kind} archive, or it is damaged: {}", visible(&error.to_string()));
    Failure { exit: 1, ..Failure::usage(message).with_hint("pack it anew, as a zip, tar or tar.gz") }
}

/// An entry of a zip that cannot be read.
fn unread(error: &ZipError) -> Failure {
    if let ZipError::UnsupportedArchive(_) = error { packed_otherwise() } else { damaged("zip", error) }
}

fn packed_otherwise() -> Failure {
    let message = "the zip is packed in a way that is not unpacked here, such as LZMA, bzip2 or with a password";
    let failure = Failure::usage(message).with_hint("pack it anew with the usual method, deflate, as `zip -r` does");
    Failure { exit: 1, ..failure }
}

/// An archive that is not there to its end.
fn cut(what: &str) -> Failure {
    let message = format!("the archive is cut off or damaged: {what}");
    Failure { exit: 1, ..Failure::usage(message).with_hint("copy or download it again, or pack it anew") }
}

fn link(path: &str) -> Failure {
    refused(path, "is a link, which bundles do not hold; put the file itself into the archive")
}

/// In a tar it is a letter of a name, which is hardly ever meant.
fn backslash(path: &str) -> Failure {
    let failure = refused(path, "has a backslash in its name, where the paths of a tar have a slash");
    failure.with_hint("pack it anew with another program, or as a zip, where either is understood")
}

fn refused(path: &str, what: &str) -> Failure {
    Failure::of(Code::DeploymentFailed, format!("{} {what}", visible(path)))
}

fn too_large(what: &str, most: u64) -> Failure {
    Failure::of(Code::PayloadTooLarge, format!("{what}; {} at the most", text::bytes(most)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A tar with headers as they are given, for `tar::Builder` refuses to write what is hostile.
    fn tar_of(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            if *kind == EntryType::Symlink {
                header.set_link_name("/etc/passwd").expect("short");
            }
            header.set_cksum();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1_024, 0);
        bytes
    }

    fn unpack(bytes: &[u8]) -> Result<tempfile::TempDir, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        unpack_file(file.path(), dir.path()).map(|()| dir).map_err(|error| Failure::from_error(&error))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn good_archives_are_unpacked() {
        let tar = tar_of(&[("./a/", EntryType::Directory, b""), ("./a/main.py", EntryType::Regular, b"x = 1")]);
        for bytes in [tar.clone(), gzip(&tar)] {
            let dir = unpack(&bytes).expect("unpacked");
            assert_eq!(std::fs::read(dir.path().join("a/main.py")).expect("there"), b"x = 1");
        }
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
        writer.start_file("run.sh", options).expect("begun");
        writer.write_all(b"true").expect("memory");
        let dir = unpack(&writer.finish().expect("memory").into_inner()).expect("unpacked");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &dir.path().join("run.sh").metadata().expect("there").permissions(),
        );
        assert_eq!(mode & 0o777, 0o700);
    }

    fn zip_of(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, text) in entries {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).expect("begun");
            writer.write_all(text.as_bytes()).expect("memory");
        }
        writer.finish().expect("memory").into_inner()
    }

    #[test]
    fn separators_of_windows_are_separators() {
        let dir = unpack(&zip_of(&[("lib\\util.py", "x"), ("lib\\empty\\", ""), ("a/b\\c", "y")])).expect("unpacked");
        assert_eq!(std::fs::read(dir.path().join("lib/util.py")).expect("there"), b"x");
        assert_eq!(std::fs::read(dir.path().join("a/b/c")).expect("there"), b"y");
        for name in ["..\\evil", "a\\..\\..\\evil", "\\evil", "\\\\host\\share", "a\\\\b"] {
            let failure = unpack(&zip_of(&[(name, "x")])).expect_err(name);
            assert_eq!(failure.code, Some(Code::InvalidConfiguration), "{name}: {failure:?}");
        }
        let drive = unpack(&zip_of(&[("C:\\evil.py", "x")])).expect_err("a drive");
        assert!(drive.message.contains("names a drive"), "{drive:?}");
        assert!(unpack(&zip_of(&[("a\\b", "1"), ("a/b", "2")])).expect_err("one path").message.contains("twice"));
    }

    #[test]
    fn what_is_no_archive_is_told_by_its_name() {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, what) in [
            ("junk.zip", "is not a zip archive"),
            ("JUNK.ZIP", "is not a zip archive"),
            ("junk.tar", "is not a tar archive"),
            ("junk.tar.gz", "is not a tar.gz archive"),
            ("junk.tar.xz", "is not an archive of a kind that is unpacked here"),
            ("junk", "is not a zip, tar or tar.gz archive"),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, "random").expect("written");
            assert_eq!(is_meant(&path), name != "junk", "{name}");
            let error = unpack_file(&path, dir.path()).expect_err(name);
            assert!(error.to_string().ends_with(&format!("{name} {what}")), "{error}");
        }
        let failure = unpack(&gzip(&[b'x'; 2_000])).expect_err("no tar inside");
        assert!(failure.message.starts_with("this is not a tar archive"), "{failure:?}");
    }

    #[test]
    fn nothing_leaves_the_directory() {
        for path in ["../evil", "/etc/evil", "a/../../evil", "a//b", "."] {
            let failure = unpack(&tar_of(&[(path, EntryType::Regular, b"x")])).expect_err(path);
            assert_eq!(failure.code, Some(Code::InvalidConfiguration), "{path}: {failure:?}");
            let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
            writer.start_file(path, zip::write::SimpleFileOptions::default()).expect("begun");
            let zip = writer.finish().expect("memory").into_inner();
            assert!(unpack(&zip).is_err(), "{path}");
        }
        for path in ["C:\\evil.py", "lib\\util.py", "..\\evil", "\\\\host\\share"] {
            for bytes in [tar_of(&[(path, EntryType::Regular, b"x")]), tar_of(&[(path, EntryType::Directory, b"")])] {
                let failure = unpack(&bytes).expect_err("no path");
                assert!(
                    failure.message.contains("has a backslash in its name") && failure.hint.is_some(),
                    "{failure:?}"
                );
            }
        }
        let drive = unpack(&tar_of(&[("c:/evil.py", EntryType::Regular, b"x")])).expect_err("a drive");
        assert!(drive.message.contains("names a drive"), "{drive:?}");
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo, EntryType::Char] {
            let failure = unpack(&tar_of(&[("x", kind, b"")])).expect_err("no file");
            assert_eq!(failure.code, Some(Code::DeploymentFailed), "{kind:?}: {failure:?}");
        }
        let twice = tar_of(&[("x", EntryType::Regular, b"1"), ("x", EntryType::Regular, b"2")]);
        assert!(unpack(&twice).expect_err("twice").message.contains("twice"));
        // The library that writes zips refuses a name that it has written already.
        let mut twice = zip_of(&[("main.py", "1"), ("mein.py", "2")]);
        while let Some(at) = twice.windows(4).position(|bytes| bytes == b"mein") {
            twice[at..at + 4].copy_from_slice(b"main");
        }
        let failure = unpack(&twice).expect_err("twice");
        assert_eq!(failure.message, "main.py is in the archive twice");
        let (file, below) = (("x", EntryType::Regular, &b"1"[..]), ("x/y", EntryType::Regular, &b"2"[..]));
        for both in [[file, below], [below, file]] {
            let failure = unpack(&tar_of(&both)).expect_err("both");
            assert_eq!(failure.message, "x is a file and a directory at once");
            assert_eq!(failure.code, Some(Code::DeploymentFailed));
        }
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        writer.add_symlink("x", "/etc/passwd", zip::write::SimpleFileOptions::default()).expect("begun");
        let failure = unpack(&writer.finish().expect("memory").into_inner()).expect_err("a link");
        assert!(failure.message.contains("is a link"), "{failure:?}");
    }

    #[test]
    fn bombs_end_at_the_limit() {
        let mut bomb = tar_of(&[("big", EntryType::Regular, b"")]);
        bomb.truncate(512);
        let mut header = tar::Header::from_byte_slice(&bomb).clone();
        header.set_size(limits::BUNDLE_FILE_MAX + 1);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(512 + usize::try_from(limits::BUNDLE_FILE_MAX).expect("small") + 1_024, 0);
        let packed = gzip(&bytes);
        assert!(packed.len() < 2 << 20, "small on the wire");
        let failure = unpack(&packed).expect_err("too large");
        assert_eq!(failure.code, Some(Code::PayloadTooLarge), "{failure:?}");
    }

    #[test]
    fn damaged_archives_are_errors() {
        let tar = tar_of(&[("a", EntryType::Regular, &[b'x'; 5_000])]);
        assert!(unpack(&tar[..2_000]).is_err());
        let noise: Vec<u8> = (0..5_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let packed = gzip(&tar_of(&[("a", EntryType::Regular, &noise)]));
        for end in [60, packed.len() / 2] {
            let failure = unpack(&packed[..end]).expect_err("cut off");
            assert!(failure.hint.is_some() && failure.message.contains("damaged"), "{end}: {failure:?}");
        }
        let mut zip = zip_of(&[("main.py", "x = 1")]);
        assert!(unpack(&zip[..zip.len() - 30]).expect_err("cut off").hint.is_some());
        // The method of the entry, in its own header and in the list at the end.
        let list = zip.windows(4).position(|four| four == b"PK\x01\x02").expect("a list");
        (zip[8], zip[list + 10]) = (14, 14);
        let failure = unpack(&zip).expect_err("LZMA");
        assert!(failure.message.contains("LZMA") && failure.hint.is_some(), "{failure:?}");
        assert!(unpack(b"PK\x03\x04 nothing more").is_err());
        assert_eq!(unpack(b"hello").expect_err("no archive").exit, 2);
    }
}
