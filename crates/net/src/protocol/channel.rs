//! Sending and receiving messages.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::MESSAGE_MAX;

/// No message comes with more descriptors.
const DESCRIPTORS_MAX: usize = 2;
/// Sending never waits, whether or not receiving does.
const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
/// No packet holds more messages.
pub const PACKET_MESSAGES_MAX: usize = 64;

/// A message of one direction.
pub trait Message: Serialize + DeserializeOwned {
    /// How many descriptors come with it.
    fn descriptors(&self) -> usize;

    /// Whether its texts and lists are as short as the protocol says.
    fn within_limits(&self) -> bool;
}

/// The two ends of a control socket. Neither blocks, and programs that are executed inherit neither.
pub fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Sends one message. Fails with `WouldBlock` when the other side does not keep up, and with `InvalidInput` when the
/// message breaks a limit or does not come with the descriptors that it needs.
pub fn send<M: Message>(socket: BorrowedFd<'_>, message: &M, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.len() != message.descriptors() || !message.within_limits() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let document = serde_json::to_vec(message)?;
    if document.len() > MESSAGE_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if descriptors.is_empty() {
        // The network process may not make calls that could pass descriptors.
        rustix::net::send(socket, &document, FLAGS)?;
        return Ok(());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(&document)], &mut control, FLAGS)?;
    Ok(())
}

/// Sends messages without descriptors in one packet, as many as fit; returns how many these were. `buffer` is scratch space.
/// Fails as [`send`] does.
pub fn send_packet<'m, M: Message + 'm>(
    socket: BorrowedFd<'_>,
    messages: impl IntoIterator<Item = &'m M>,
    buffer: &mut Vec<u8>,
) -> io::Result<usize> {
    buffer.clear();
    let mut count = 0;
    for message in messages.into_iter().take(PACKET_MESSAGES_MAX) {
        if message.descriptors() > 0 || !message.within_limits() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let before = buffer.len();
        serde_json::to_writer(&mut *buffer, message)?;
        if buffer.len() > MESSAGE_MAX {
            buffer.truncate(before);
            break;
        }
        count += 1;
    }
    if count == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // The network process may not make calls that could pass descriptors.
    rustix::net::send(socket, buffer, FLAGS)?;
    Ok(count)
}

/// Receives a packet of [`send_packet`]; `None` when the other side has closed. Fails as [`receive`] does.
pub fn receive_packet<M: Message>(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<Vec<M>>> {
    let Some((length, descriptors, flags)) = receive_bytes(socket, buffer)? else { return Ok(None) };
    if !descriptors.is_empty() || flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut messages = Vec::with_capacity(1);
    for message in serde_json::Deserializer::from_slice(&buffer[..length]).into_iter::<M>() {
        let message = message.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if !message.within_limits() || message.descriptors() > 0 || messages.len() == PACKET_MESSAGES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        messages.push(message);
    }
    if messages.is_empty() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(Some(messages)) }
}

/// Receives one message into a buffer of [`MESSAGE_MAX`] bytes; `None` when the other side has closed. A message whose
/// descriptors found no room here comes without any. Fails with `WouldBlock` when there is no message, and with
/// `InvalidData` when what came is not one: the other side is then not to be trusted any more.
pub fn receive<M: Message>(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let Some((length, descriptors, flags)) = receive_bytes(socket, buffer)? else { return Ok(None) };
    let message: M =
        serde_json::from_slice(&buffer[..length]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if !message.within_limits() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if flags.contains(ReturnFlags::CTRUNC) && message.descriptors() > 0 {
        return Ok(Some((message, Vec::new())));
    }
    if descriptors.len() != message.descriptors() || flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some((message, descriptors)))
}

type Bytes = (usize, Vec<OwnedFd>, ReturnFlags);

/// The length of the next packet, with its descriptors; `None` when the other side has closed.
fn receive_bytes(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<Bytes>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| if let RecvAncillaryMessage::ScmRights(fds) = message { Some(fds) } else { None })
        .flatten()
        .collect();
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((received.bytes > 0).then_some((received.bytes, descriptors, received.flags)))
}
