//! Packets of a `SOCK_SEQPACKET` socket: one JSON document each, with file descriptors.
//!
//! A document that is too long for a packet travels in an anonymous file, as an additional first descriptor.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::MemfdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Documents up to this size travel in the message itself.
const INLINE_MAX: usize = 48 << 10;
/// No document is longer.
const DOCUMENT_MAX: u64 = 32 << 20;
/// A message never carries more descriptors.
const FDS_MAX: usize = 24;

/// Sends one message. `WouldBlock` when the socket does not wait and is full.
pub(crate) fn send(socket: BorrowedFd<'_>, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let document = serde_json::to_vec(message)?;
    if document.len() <= INLINE_MAX {
        return send_bytes(socket, &document, fds);
    }
    let mut file = File::from(rustix::fs::memfd_create("request", MemfdFlags::CLOEXEC)?);
    file.write_all(&document)?;
    let all: Vec<_> = std::iter::once(file.as_fd()).chain(fds.iter().copied()).collect();
    send_bytes(socket, &[0], &all)
}

/// Sends bytes as they are, for those who do not read JSON.
pub(crate) fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message; `None` when the other side has closed.
pub(crate) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; INLINE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes
    };
    let mut fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| if let RecvAncillaryMessage::ScmRights(fds) = message { Some(fds) } else { None })
        .flatten()
        .collect();
    match &bytes[..length] {
        [] => Ok(None),
        [0] if !fds.is_empty() => {
            let document = read_document(&File::from(fds.remove(0)))?;
            Ok(Some((serde_json::from_slice(&document)?, fds)))
        }
        document => Ok(Some((serde_json::from_slice(document)?, fds))),
    }
}

fn read_document(file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > DOCUMENT_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut document = vec![0; length as usize];
    file.read_exact_at(&mut document, 0)?;
    Ok(document)
}
