//! Follows both directions of an HTTP/2 connection, as far as the heads of its frames.
//!
//! Many frames cost work and do not advance a request: pings, settings, window updates, priorities, resets, empty data.
//! Clients have some reason to send them, so they are counted against an allowance, which responses refill. A trusted proxy
//! has the allowance of as many clients as it can have requests at once.

/// What a connection may send at once, and what its answers fill the allowance up to.
const START: u32 = 1_000;
const MOST: u32 = 10_000;
/// What it gets each second, up to [`START`].
const PER_SECOND: u64 = 100;
/// What a frame of an answer earns: clients open two windows for each, and may reset it.
const PER_ANSWER: u32 = 4;
/// And one for this many of its bytes: some clients open two windows for each 4 KB that they read.
const BYTES_A_WINDOW: u32 = 1 << 10;
/// Fewer bytes of a body than this do not pay for their frame.
const WORTH_A_FRAME: u32 = 8;
/// Padding of a frame, with the byte that says how much it is.
const PADDING_MAX: u32 = 256;

const HEAD: usize = 9;
const PREFACE: u32 = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const PADDED: u8 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Both directions of a connection, and what the client may still send.
#[derive(Debug)]
pub(crate) struct Http2Frames {
    received: FrameWalk,
    sent: FrameWalk,
    allowance: u32,
    /// Milliseconds of the connection's clock: until then the allowance has been filled up.
    filled_at: u64,
    last_stream: u32,
    /// For how many clients the other end speaks.
    clients: u32,
}

/// One direction.
#[derive(Debug, Default)]
struct FrameWalk {
    head: [u8; HEAD],
    /// Bytes of `head` that are there.
    have: usize,
    /// Bytes of the payload that are still to come.
    left: u32,
}

#[derive(Clone, Copy, Debug)]
struct FrameHead {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

// === impl Http2Frames ===

impl Http2Frames {
    /// At the start of a connection, before the preface. `clients` is for how many the other end speaks.
    pub(crate) fn new(clients: u32) -> Self {
        let received = FrameWalk { left: PREFACE, ..FrameWalk::default() };
        let allowance = START.saturating_mul(clients);
        Self { received, sent: FrameWalk::default(), allowance, filled_at: 0, last_stream: 0, clients }
    }

    /// Follows what the client sends; `false` once it has sent more than it may. `now` is asked for only then.
    pub(crate) fn received(&mut self, bytes: &[u8], now: impl Fn() -> u64) -> bool {
        let (mut cost, mut last) = (0_u32, self.last_stream);
        self.received.follow(bytes, |frame| {
            cost = cost.saturating_add(frame.cost());
            if frame.kind == HEADERS {
                last = last.max(frame.stream);
            }
        });
        self.last_stream = last;
        if cost > self.allowance {
            self.fill_up(now());
        }
        let left = self.allowance.checked_sub(cost);
        self.allowance = left.unwrap_or(0);
        left.is_some()
    }

    /// Follows what the client is sent.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        let mut earned = 0_u32;
        self.sent.follow(bytes, |frame| {
            if matches!(frame.kind, DATA | HEADERS) {
                earned = earned.saturating_add(PER_ANSWER + frame.length / BYTES_A_WINDOW);
            }
        });
        if earned > 0 {
            self.allowance = self.allowance.saturating_add(earned).min(MOST.saturating_mul(self.clients));
        }
    }

    /// A last frame that says why the connection ends; nothing while another one is half sent.
    pub(crate) fn goodbye(&self) -> Option<[u8; 17]> {
        if !self.sent.is_between() {
            return None;
        }
        let mut frame = [0; 17];
        (frame[2], frame[3]) = (8, GOAWAY);
        frame[9..13].copy_from_slice(&self.last_stream.to_be_bytes());
        frame[13..].copy_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
        Some(frame)
    }

    fn fill_up(&mut self, now: u64) {
        let start = START.saturating_mul(self.clients);
        let earned = now.saturating_sub(self.filled_at) * PER_SECOND / 1_000 * u64::from(self.clients);
        self.filled_at = now;
        if self.allowance < start {
            let sum = u64::from(self.allowance).saturating_add(earned);
            self.allowance = u32::try_from(sum).unwrap_or(start).min(start);
        }
    }
}

// === impl FrameWalk ===

impl FrameWalk {
    fn follow(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead)) {
        while !bytes.is_empty() {
            let step = bytes.len().min(self.left as usize);
            // No more than `left`, which is a u32.
            self.left -= u32::try_from(step).unwrap_or(self.left);
            bytes = &bytes[step..];
            let part = bytes.len().min(HEAD - self.have);
            self.head[self.have..self.have + part].copy_from_slice(&bytes[..part]);
            self.have += part;
            bytes = &bytes[part..];
            if self.have == HEAD {
                let [a, b, c, kind, flags, stream @ ..] = self.head;
                let frame = FrameHead {
                    length: u32::from_be_bytes([0, a, b, c]),
                    kind,
                    flags,
                    stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
                };
                (self.have, self.left) = (0, frame.length);
                each(frame);
            }
        }
    }

    fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

// === impl FrameHead ===

impl FrameHead {
    fn cost(self) -> u32 {
        let padding = if self.flags & PADDED == 0 { 0 } else { PADDING_MAX };
        let is_body = self.kind == DATA && self.length >= WORTH_A_FRAME + padding;
        u32::from(!is_body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("small").to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        bytes.resize(HEAD + payload, 7);
        bytes
    }

    /// A connection whose preface has come, in parts.
    fn begun() -> Http2Frames {
        begun_for(1)
    }

    fn begun_for(clients: u32) -> Http2Frames {
        let mut frames = Http2Frames::new(clients);
        assert!(frames.received(&[b'P'; 20], || 0) && frames.received(b"\r\n\r\n", || 0));
        frames
    }

    #[test]
    fn frames_without_progress_are_bounded() {
        for kind in [2, 3, 4, 6, 8, 9, 200] {
            let mut frames = begun();
            let flood = frame(kind, 8).repeat(START as usize);
            assert!(flood.chunks(7).all(|part| frames.received(part, || 0)), "{kind}");
            assert!(!frames.received(&frame(kind, 8), || 9), "{kind}");
            assert!(frames.received(&frame(kind, 8), || 1_000), "time fills it up");
        }
        let mut frames = begun();
        assert!(!frames.received(&frame(DATA, 0).repeat(START as usize + 1), || 0), "data without bytes");
    }

    #[test]
    fn a_proxy_has_the_allowance_of_its_clients() {
        let mut frames = begun_for(3);
        let ping = frame(6, 8);
        assert!(frames.received(&ping.repeat(3 * START as usize), || 0));
        assert!(!frames.received(&ping, || 9));
        assert!(frames.received(&ping.repeat(3 * 100), || 1_009), "three times as many a second");
        for _ in 0..MOST {
            frames.sent(&frame(DATA, 10));
        }
        assert!(
            frames.received(&ping.repeat(3 * MOST as usize), || 1_009),
            "what answers earn has three times the bound"
        );
        assert!(!frames.received(&ping, || 1_009));
    }

    #[test]
    fn bodies_and_answers_pay_for_their_frames() {
        let mut frames = begun();
        assert!(frames.received(&frame(DATA, 100).repeat(20_000), || 0), "an upload");
        let window = frame(8, 4);
        for _ in 0..20_000 {
            frames.sent(&frame(DATA, 10));
            assert!(frames.received(&window.repeat(2), || 0), "a download in small pieces");
        }
        for _ in 0..2_000 {
            frames.sent(&frame(DATA, 16 << 10));
            assert!(frames.received(&window.repeat(8), || 0), "two windows for each 4 KB that are read");
        }
        assert!(!frames.received(&window.repeat(MOST as usize + 1), || 0), "what was earned has a bound");
        let mut padded = frame(DATA, 1 << 10);
        padded[4] = PADDED;
        assert!(begun().received(&padded.repeat(2_000), || 0), "an upload with padding");
        let mut frames = begun();
        for _ in 0..=START {
            frames.sent(&frame(6, 8));
        }
        assert!(!frames.received(&frame(6, 8).repeat(START as usize + 1), || 0), "answers to pings earn nothing");
    }

    #[test]
    fn goodbye_is_said_between_frames() {
        let mut frames = begun();
        assert!(frames.received(&frame(HEADERS, 3), || 0));
        let goodbye = frames.goodbye().expect("nothing is half sent");
        assert_eq!(goodbye, [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 11]);
        frames.sent(&frame(DATA, 10)[..12]);
        assert_eq!(frames.goodbye(), None);
    }
}
