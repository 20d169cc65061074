//! The build protocol: frames between the server and the program that installs packages in a sandbox.
//!
//! # Transport
//!
//! One Unix stream socket, inherited by the program as file descriptor 3. Everything on it is a frame:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | length | bytes of payload after the header, at most [`PAYLOAD_MAX`]; little endian |
//! | 4 | 1 | kind | see below |
//! | 5 | 3 | reserved | zero |
//! | 8 | 4 | stream | which connection to the outside; 0 is the build itself; little endian |
//!
//! # Kinds
//!
//! | kind | sent by | stream | payload |
//! |---|---|---|---|
//! | 0x01 job | server | 0 | [`JobHead`] as JSON; the first frame |
//! | 0x02 connected | server | known | nothing; answers open |
//! | 0x03 refused | server | known | why, as text; answers open |
//! | 0x04 data | server | known | bytes from outside |
//! | 0x05 close | server | known | nothing; the outside has no more |
//! | 0x06 window | server | known | 4 bytes: how many more bytes it takes on this stream; little endian |
//! | 0x81 open | program | new | [`OpenHead`] as JSON |
//! | 0x84 send | program | known | bytes for the outside |
//! | 0x85 closed | program | known | nothing; nobody needs the connection any more |
//! | 0x86 taken | program | known | 4 bytes: how many more bytes it takes on this stream; little endian |
//! | 0x87 log | program | 0 | a line that the installer wrote |
//! | 0x88 file | program | 0 | [`FileHead`] as JSON; a file of the outcome begins |
//! | 0x89 content | program | 0 | the next bytes of that file |
//! | 0x8a done | program | 0 | [`DoneHead`] as JSON; nothing follows |
//! | 0x8b failed | program | 0 | why, as text; nothing follows |
//!
//! Each side of a connection may send [`WINDOW`] bytes before it is told that some were taken. The program numbers
//! connections upwards from 1 and never reuses a number.
//!
//! Packages run code of their own beside the program and can write to descriptor 3. Whatever does not follow this page
//! ends the build, and nothing else.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Bytes of a header.
pub const HEADER_LEN: usize = 12;
/// Bytes of a payload at the most.
pub const PAYLOAD_MAX: usize = 1 << 20;
/// Bytes that either side of a connection may send before it is told that some were taken.
pub const WINDOW: u32 = 256 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the module's table says what each kind means")]
pub enum BuildKind {
    Job = 0x01,
    Connected = 0x02,
    Refused = 0x03,
    Data = 0x04,
    Close = 0x05,
    Window = 0x06,
    Open = 0x81,
    Send = 0x84,
    Closed = 0x85,
    Taken = 0x86,
    Log = 0x87,
    File = 0x88,
    Content = 0x89,
    Done = 0x8a,
    Failed = 0x8b,
}

/// A frame that the program sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildFrame {
    /// What it is.
    pub kind: BuildKind,
    /// The connection that it belongs to; 0 is the build.
    pub stream: u32,
    /// The payload.
    pub payload: Bytes,
}

/// Bytes that are no frame of the program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed frame header")]
pub struct BuildFrameError;

/// What is to be installed.
#[derive(Debug, Serialize)]
pub struct JobHead<'a> {
    /// The file that the installer is given; one of `files`.
    pub root: &'a str,
    /// What the installer reads: relative paths and texts.
    pub files: &'a BTreeMap<String, String>,
    /// The index; none leaves it to the installer.
    pub index: Vec<&'a str>,
    /// Further indexes.
    pub extra_indexes: Vec<&'a str>,
    /// Pages with links to packages.
    pub find_links: Vec<&'a str>,
    /// Hosts that are spoken to without TLS.
    pub trusted_hosts: Vec<String>,
    /// Certificates to trust besides the machine's, as PEM; empty when there are none.
    pub ca: &'a str,
    /// Where the outcome will appear.
    pub target: &'a str,
}

/// A connection to the outside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenHead {
    /// A name or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// A file of the outcome.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHead {
    /// Where it lies, relative.
    pub path: String,
    /// Bytes that follow.
    pub size: u64,
    /// Whether it may be executed.
    pub executable: bool,
}

/// The end of a build.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoneHead {
    /// What was installed, as it says of itself.
    pub packages: Vec<PackageHead>,
    /// Names of packages whose install scripts did not run.
    #[serde(default)]
    pub skipped_install_scripts: Vec<String>,
}

/// An installed package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageHead {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Bytes of its files.
    pub size: u64,
}

// === impl BuildKind ===

impl BuildKind {
    const FROM_PROGRAM: [Self; 9] = [
        Self::Open,
        Self::Send,
        Self::Closed,
        Self::Taken,
        Self::Log,
        Self::File,
        Self::Content,
        Self::Done,
        Self::Failed,
    ];
}

// === impl BuildFrame ===

impl BuildFrame {
    /// Takes one frame of the program's off the front of `buffer`; `None` when it is not complete yet.
    ///
    /// # Errors
    /// The bytes are no such frame; the connection is of no more use.
    pub fn decode(buffer: &mut BytesMut) -> Result<Option<Self>, BuildFrameError> {
        let Some((header, _)) = buffer.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, number, r0, r1, r2, s0, s1, s2, s3] = *header;
        let known = BuildKind::FROM_PROGRAM.into_iter().find(|kind| *kind as u8 == number);
        let kind = known.filter(|_| (r0, r1, r2) == (0, 0, 0)).ok_or(BuildFrameError)?;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let length = usize::try_from(length).ok().filter(|n| *n <= PAYLOAD_MAX).ok_or(BuildFrameError)?;
        if buffer.len() < HEADER_LEN + length {
            return Ok(None);
        }
        buffer.advance(HEADER_LEN);
        let payload = buffer.split_to(length).freeze();
        Ok(Some(Self { kind, stream: u32::from_le_bytes([s0, s1, s2, s3]), payload }))
    }
}

/// A frame as bytes. The payload keeps to [`PAYLOAD_MAX`].
#[must_use]
pub fn encode(kind: BuildKind, stream: u32, payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = BytesMut::with_capacity(HEADER_LEN + payload.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&[kind as u8, 0, 0, 0]);
    frame.extend_from_slice(&stream.to_le_bytes());
    frame.extend_from_slice(payload);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Option<BuildFrame>, BuildFrameError> {
        BuildFrame::decode(&mut BytesMut::from(bytes))
    }

    #[test]
    fn frames_come_back_and_wait_for_their_end() {
        let bytes = encode(BuildKind::Send, 7, b"abc");
        let frame = BuildFrame { kind: BuildKind::Send, stream: 7, payload: Bytes::from_static(b"abc") };
        assert_eq!(decoded(&bytes), Ok(Some(frame)));
        assert!((0..bytes.len()).all(|end| decoded(&bytes[..end]) == Ok(None)));
    }

    #[test]
    fn what_is_no_frame_of_the_programs_is_refused() {
        assert_eq!(decoded(&encode(BuildKind::Job, 0, b"")), Err(BuildFrameError));
        assert_eq!(decoded(&[0, 0, 0, 0, 0x87, 1, 0, 0, 0, 0, 0, 0]), Err(BuildFrameError));
        assert_eq!(decoded(&[1, 0, 16, 0, 0x87, 0, 0, 0, 0, 0, 0, 0]), Err(BuildFrameError));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = BuildFrame::decode(&mut buffer) {}
        }
    }
}
