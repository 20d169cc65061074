//! The names in a zip's list of files, as they stand there.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom};

/// How an entry of the list begins, and how many bytes it has before its name.
const SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const HEADER: usize = 46;

/// A name that the list has twice, if there is one. Programs that unpack such an archive differ in which file they keep, and
/// the library that reads it here knows the last alone.
pub(super) fn repeated(archive: &mut (impl Read + Seek), list_start: u64) -> io::Result<Option<String>> {
    archive.seek(SeekFrom::Start(list_start))?;
    let mut seen = HashSet::new();
    let mut header = [0; HEADER];
    while archive.read_exact(&mut header[..4]).is_ok() && header[..4] == SIGNATURE {
        archive.read_exact(&mut header[4..])?;
        let length = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let mut name = vec![0; usize::from(length(28))];
        archive.read_exact(&mut name)?;
        archive.seek_relative(i64::from(length(30)) + i64::from(length(32)))?;
        if seen.contains(&name) {
            return Ok(Some(String::from_utf8_lossy(&name).into_owned()));
        }
        seen.insert(name);
    }
    Ok(None)
}
