//! The keys that secrets are sealed under: one small private file.
//!
//! A line for each key, the newest last: its number, and its 32 bytes in base64.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::{Key, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::StoreError;

/// Its name in the data directory.
pub(crate) const FILE: &str = "secret.keys";
const DRAFT: &str = ".secret.keys-draft";
/// Keys in one file; rotating every day for a decade comes to less.
const KEYS_MAX: usize = 4096;

/// A key with its number. Numbers count from 1.
pub(crate) struct NumberedKey {
    pub(crate) number: u32,
    bytes: Zeroizing<[u8; 32]>,
}

/// Every key, the newest last. Never empty.
pub(crate) struct KeyRing {
    dir: PathBuf,
    keys: Vec<NumberedKey>,
}

// === impl NumberedKey ===

impl NumberedKey {
    pub(crate) fn cipher(&self) -> XChaCha20Poly1305 {
        use chacha20poly1305::KeyInit;
        XChaCha20Poly1305::new(&Key::from(*self.bytes))
    }

    fn fresh(number: u32) -> std::io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|_| ErrorKind::Other)?;
        Ok(Self { number, bytes })
    }

    fn read(line: &str) -> Option<Self> {
        let (number, text) = line.split_once(' ')?;
        let decoded = Zeroizing::new(BASE64_STANDARD.decode(text).ok()?);
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(decoded.as_slice()).ok()?);
        Some(Self { number: number.parse().ok()?, bytes })
    }
}

// === impl KeyRing ===

impl KeyRing {
    /// Reads the file of a data directory; makes it, with one key, when it is not there and nothing is sealed.
    pub(crate) fn open(
        dir: &Path,
        is_anything_sealed: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if is_anything_sealed()? {
                    return Err(StoreError::LostKeys { file: path });
                }
                let mut ring = Self { dir: dir.to_owned(), keys: Vec::new() };
                ring.grow().map_err(StoreError::io("cannot write", path))?;
                return Ok(ring);
            }
            Err(error) => return Err(StoreError::io("cannot read", path)(error)),
        };
        let keys: Option<Vec<_>> = text.lines().map(NumberedKey::read).collect();
        let rising = |keys: &Vec<NumberedKey>| !keys.is_empty() && keys.is_sorted_by(|a, b| a.number < b.number);
        match keys.filter(rising) {
            Some(keys) => Ok(Self { dir: dir.to_owned(), keys }),
            None => Err(StoreError::Keys { file: path }),
        }
    }

    /// The key to seal with.
    pub(crate) fn newest(&self) -> &NumberedKey {
        self.keys.last().expect("a ring has at least one key")
    }

    pub(crate) fn find(&self, number: u32) -> Option<&NumberedKey> {
        self.keys.iter().find(|key| key.number == number)
    }

    /// Adds a key; durable when it returns, and the old file stays until then.
    pub(crate) fn grow(&mut self) -> std::io::Result<()> {
        if self.keys.len() == KEYS_MAX {
            return Err(std::io::Error::new(ErrorKind::StorageFull, "the key file holds as many keys as it may"));
        }
        let fresh = NumberedKey::fresh(self.keys.last().map_or(0, |key| key.number) + 1)?;
        let mut text = Zeroizing::new(String::new());
        for key in self.keys.iter().chain([&fresh]) {
            text.push_str(&key.number.to_string());
            text.push(' ');
            BASE64_STANDARD.encode_string(*key.bytes, &mut text);
            text.push('\n');
        }
        let draft = self.dir.join(DRAFT);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, self.dir.join(FILE))?;
        File::open(&self.dir)?.sync_all()?;
        self.keys.push(fresh);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_private_and_outlives_a_rotation() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut ring = KeyRing::open(dir.path(), || Ok(false)).expect("open");
        ring.grow().expect("grow");
        let mode = fs::metadata(dir.path().join(FILE)).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = KeyRing::open(dir.path(), || Ok(false)).expect("open again");
        assert_eq!(again.newest().number, 2);
        assert!(
            (1..=2).all(|number| again.find(number).map(|key| *key.bytes) == ring.find(number).map(|key| *key.bytes))
        );
    }

    #[test]
    fn a_file_that_is_no_ring_is_refused() {
        let dir = tempfile::tempdir().expect("temp dir");
        for text in ["", "1", "1 AAAA\n", "2 x\n1 y\n", "\u{0}"] {
            fs::write(dir.path().join(FILE), text).expect("write");
            assert!(matches!(KeyRing::open(dir.path(), || Ok(false)), Err(StoreError::Keys { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_draft_cut_short_is_passed_over() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join(DRAFT), "1 AA").expect("write");
        let ring = KeyRing::open(dir.path(), || Ok(false)).expect("open");
        assert_eq!(ring.newest().number, 1);
        assert!(!dir.path().join(DRAFT).exists());
    }
}
