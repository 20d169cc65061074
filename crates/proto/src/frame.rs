//! The instance protocol: frames between the server and the shim of a runtime.
//!
//! # Transport
//!
//! One Unix stream socket, inherited by the shim as file descriptor 3. Everything on it is a frame:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | length | bytes of payload after the header, at most [`PAYLOAD_MAX`]; little endian |
//! | 4 | 1 | kind | see below |
//! | 5 | 1 | flags | bit 0 is END; all other bits are zero |
//! | 6 | 2 | reserved | zero |
//! | 8 | 4 | stream | which invocation; 0 is the instance itself; little endian |
//!
//! # Kinds
//!
//! | kind | sent by | stream | payload |
//! |---|---|---|---|
//! | 0x01 init | server | 0 | [`InitHead`](crate::frame_heads::InitHead) as JSON; may be spread over several frames, the last has END |
//! | 0x02 invoke | server | new | [`InvokeHead`](crate::invoke_head::InvokeHead) as JSON; END when there is no body |
//! | 0x03 body | server | known | bytes of the request's body; the last has END |
//! | 0x04 cancel | server | known | nothing; nobody listens to this stream any more |
//! | 0x05 ping | server | 0 | 8 bytes of anything; answered once nothing that was cancelled runs any more |
//! | 0x06 shutdown | server | 0 | nothing; end by yourself |
//! | 0x07 window | server | known | 4 bytes: how many more bytes of the reply's body it takes; little endian |
//! | 0x08 published | server | known | [`PublishedHead`](crate::frame_heads::PublishedHead) as JSON; answers publish |
//! | 0x80 hello | shim | 0 | [`HelloHead`](crate::frame_heads::HelloHead) as JSON; the first frame |
//! | 0x81 ready | shim | 0 | [`ReadyHead`](crate::frame_heads::ReadyHead) as JSON; answers init |
//! | 0x82 failed | shim | 0 | a [`FunctionError`](faas_types::FunctionError) as JSON; answers init |
//! | 0x83 head | shim | known | [`ReplyHeadFrame`](crate::frame_heads::ReplyHeadFrame) as JSON; once per stream |
//! | 0x84 chunk | shim | known | bytes of the reply's body |
//! | 0x85 end | shim | known | nothing, or [`EndHead`](crate::frame_heads::EndHead) as JSON; nothing follows on this stream |
//! | 0x86 log | shim | any | one [`LogHead`](crate::frame_heads::LogHead) in binary and the text |
//! | 0x87 pong | shim | 0 | the ping's payload |
//! | 0x88 credit | shim | known | 4 bytes: how many more bytes of the request's body it takes; little endian |
//! | 0x89 reply | shim | known | a whole reply, with its end: 4 bytes of the head's length, little endian, the head, the body |
//! | 0x8a publish | shim | known | an event or a message: 4 bytes of the head's length, little endian, a [`PublishHead`](crate::frame_heads::PublishHead) as JSON, the data |
//! | 0x8b debugger | shim | 0 | 2 bytes: the port of the loopback interface inside at which a debugger can attach; little endian; once, before ready or failed, where init asks for it |
//!
//! # Order
//!
//! hello, init, then ready or failed; after ready any number of streams, interleaved up to the concurrency that
//! ready announced. The server numbers streams upwards from 1 and never reuses a number. On a stream: invoke and
//! body frames one way; logs at any place, then head, chunks, end or one reply the other way. An end without a head is a
//! failure. A reply's end may come before the request's body is complete; the rest of it is never sent.
//! The shim answers an invocation that it has been told to cancel as well, or leaves it unanswered; the server drops
//! what comes.
//!
//! # Publications
//!
//! What a handler publishes or sends goes to the server on the stream of its invocation, at any place before the end. The
//! server answers each when it is kept, or refused. A stream has one publication without an answer at a time; a second one
//! is a breach. Of whom it comes is what the server knows of the stream: nothing in the frame says so.
//!
//! # Hostile peers
//!
//! User code shares the shim's process and can write to descriptor 3. Whatever does not follow this page (an unknown
//! kind, a set reserved bit, a length over the bound, a stream that was never opened, a head that does not parse) is
//! a [`FrameError`] or a breach of protocol, and ends the instance, nothing else.
//!
//! # Back-pressure
//!
//! Each side says how much it takes, stream by stream, so that a slow client holds back its own call and no other.
//!
//! * A reply's chunks may carry [`WINDOW`] bytes in all; the server adds to that by window frames as its client takes
//!   them. More is a breach. What comes in one reply frame counts for nothing, and keeps to [`PAYLOAD_MAX`] anyway.
//! * A request's body of up to 64 KiB follows its invocation at once. A longer one, or one that is still arriving, is
//!   sent as the shim asks for it by credit frames, if ready said that its handler `streams`; otherwise it was collected
//!   before and follows whole.
//!
//! Log lines have no window: their sum is bounded for each run, each with 64 bytes besides its text, and a client that reads
//! slowly loses what it leaves no room for, counted. What is written outside of runs is bounded by rate.
//!
//! Every frame has a price in the server's time. An instance that has used up its budget is not read for a while, so that its
//! socket holds it back. Frames that begin or end something on a stream that has ended are a breach, except for a few on each
//! stream that the server cancelled. So is leaving more than 256 KB of the server's answers unread.

use bytes::{Buf, Bytes, BytesMut};

/// The version of this protocol, as hello and init name it.
pub const PROTOCOL_VERSION: u32 = 3;
/// Bytes of a header.
pub const HEADER_LEN: usize = 12;
/// Bytes of a payload at the most.
pub const PAYLOAD_MAX: usize = 1 << 20;
/// Bytes of body that a sender puts in one frame: large enough to make headers free, small enough to interleave.
pub const CHUNK_LEN: usize = 256 << 10;
/// Bytes of a reply's body that the shim may send before it is told that some were taken.
pub const WINDOW: u32 = 256 << 10;

const FLAG_END: u8 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the module's table says what each kind means")]
pub enum FrameKind {
    Init = 0x01,
    Invoke = 0x02,
    Body = 0x03,
    Cancel = 0x04,
    Ping = 0x05,
    Shutdown = 0x06,
    Window = 0x07,
    Published = 0x08,
    Hello = 0x80,
    Ready = 0x81,
    Failed = 0x82,
    Head = 0x83,
    Chunk = 0x84,
    End = 0x85,
    Log = 0x86,
    Pong = 0x87,
    Credit = 0x88,
    Reply = 0x89,
    Publish = 0x8a,
    Debugger = 0x8b,
}

/// One frame, its payload shared with the buffer it was read into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Whether it is the last of its sort on this stream.
    pub end: bool,
    /// The invocation it belongs to; 0 is the instance.
    pub stream: u32,
    /// The payload.
    pub payload: Bytes,
}

/// Why bytes are not a frame. There is no way to find the next one after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No kind has this number.
    #[error("unknown frame kind {0:#04x}")]
    Kind(u8),
    /// A flag or reserved bit is set.
    #[error("reserved header bits are set")]
    Reserved,
    /// The payload is over the bound.
    #[error("frame of {0} bytes is over the limit of 1 MiB")]
    Length(u32),
}

// === impl FrameKind ===

impl FrameKind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::Init,
        Self::Invoke,
        Self::Body,
        Self::Cancel,
        Self::Ping,
        Self::Shutdown,
        Self::Window,
        Self::Published,
        Self::Hello,
        Self::Ready,
        Self::Failed,
        Self::Head,
        Self::Chunk,
        Self::End,
        Self::Log,
        Self::Pong,
        Self::Credit,
        Self::Reply,
        Self::Publish,
        Self::Debugger,
    ];

    /// The kind behind a number on the wire.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Whether the shim sends it.
    #[must_use]
    pub const fn is_from_shim(self) -> bool {
        self as u8 & 0x80 != 0
    }
}

// === impl Frame ===

impl Frame {
    /// Takes one frame off the front of `buffer`; `None` when it is not complete yet.
    ///
    /// # Errors
    /// The bytes are not a frame; the connection is of no more use.
    pub fn decode(buffer: &mut BytesMut) -> Result<Option<Self>, FrameError> {
        let Some((header, _)) = buffer.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, kind, flags, r0, r1, s0, s1, s2, s3] = *header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let kind = FrameKind::from_wire(kind).ok_or(FrameError::Kind(kind))?;
        if flags & !FLAG_END != 0 || (r0, r1) != (0, 0) {
            return Err(FrameError::Reserved);
        }
        let total = usize::try_from(length).ok().filter(|n| *n <= PAYLOAD_MAX).ok_or(FrameError::Length(length))?;
        if buffer.len() < HEADER_LEN + total {
            return Ok(None);
        }
        buffer.advance(HEADER_LEN);
        let payload = buffer.split_to(total).freeze();
        Ok(Some(Self { kind, end: flags & FLAG_END != 0, stream: u32::from_le_bytes([s0, s1, s2, s3]), payload }))
    }

    /// Appends this frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        encode(out, self.kind, self.end, self.stream, &self.payload);
    }
}

/// Appends a frame to `out`. The payload keeps to [`PAYLOAD_MAX`]; larger content is spread with
/// [`encode_spread`].
pub fn encode(out: &mut BytesMut, kind: FrameKind, end: bool, stream: u32, payload: &[u8]) {
    out.reserve(HEADER_LEN + payload.len());
    out.extend_from_slice(&header(kind, end, stream, payload.len()));
    out.extend_from_slice(payload);
}

/// Appends content of any length as frames of [`CHUNK_LEN`], the last with END. Empty content is one empty frame.
pub fn encode_spread(out: &mut BytesMut, kind: FrameKind, stream: u32, content: &[u8]) {
    let mut rest = content;
    while rest.len() > CHUNK_LEN {
        let (now, later) = rest.split_at(CHUNK_LEN);
        encode(out, kind, false, stream, now);
        rest = later;
    }
    encode(out, kind, true, stream, rest);
}

/// The header of a frame whose payload is written apart.
#[must_use]
pub fn header(kind: FrameKind, end: bool, stream: u32, payload_len: usize) -> [u8; HEADER_LEN] {
    debug_assert!(payload_len <= PAYLOAD_MAX, "a payload keeps to its bound");
    let length = u32::try_from(payload_len).unwrap_or(u32::MAX).to_le_bytes();
    let stream = stream.to_le_bytes();
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&length);
    header[4] = kind as u8;
    header[5] = u8::from(end);
    header[8..].copy_from_slice(&stream);
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_frame() -> impl Strategy<Value = Frame> {
        let kind = proptest::sample::select(FrameKind::ALL.to_vec());
        let payload = proptest::collection::vec(any::<u8>(), 0..600);
        (kind, any::<bool>(), any::<u32>(), payload).prop_map(|(kind, end, stream, payload)| Frame {
            kind,
            end,
            stream,
            payload: payload.into(),
        })
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(frames in proptest::collection::vec(any_frame(), 0..8), step in 1usize..700) {
            let mut wire = BytesMut::new();
            frames.iter().for_each(|frame| frame.encode(&mut wire));
            let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
            for piece in wire.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = Frame::decode(&mut buffer).expect("own frames decode") {
                    read.push(frame);
                }
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn nonsense_never_panics_and_never_asks_for_much(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&noise[..]);
            while let Ok(Some(frame)) = Frame::decode(&mut buffer) {
                prop_assert!(frame.payload.len() <= noise.len());
            }
        }

        #[test]
        fn spread_content_comes_back_whole(len in 0usize..3 * CHUNK_LEN) {
            let mut wire = BytesMut::new();
            encode_spread(&mut wire, FrameKind::Body, 7, &vec![0xa5; len]);
            let (mut total, mut ended) = (0, false);
            while let Some(frame) = Frame::decode(&mut wire).expect("own frames decode") {
                prop_assert!(!ended);
                total += frame.payload.len();
                ended = frame.end;
            }
            prop_assert!(ended);
            prop_assert_eq!(total, len);
        }
    }

    #[test]
    fn each_breach_has_its_error() {
        let decode = |bytes: [u8; HEADER_LEN]| Frame::decode(&mut BytesMut::from(&bytes[..]));
        assert_eq!(decode([0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::Kind(0x7f)));
        assert_eq!(decode([0, 0, 0, 0, 0x01, 2, 0, 0, 0, 0, 0, 0]), Err(FrameError::Reserved));
        assert_eq!(decode([0, 0, 0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0]), Err(FrameError::Reserved));
        assert_eq!(decode([1, 0, 16, 0, 0x01, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::Length((1 << 20) + 1)));
        assert_eq!(decode([0, 0, 16, 0, 0x01, 0, 0, 0, 0, 0, 0, 0]), Ok(None));
    }
}
