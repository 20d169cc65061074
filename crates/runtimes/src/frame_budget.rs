//! What everything that a sandbox sends costs the server, and how much of that one instance may cause.

use std::time::Duration;

use faas_proto::frame::FrameKind;
use faas_types::limits::LOG_LINE_COST;
use tokio::time::Instant;

/// The reciprocal of the share of a core: the server time that one sandbox may take in the long run.
const SHARE: u32 = 10;
/// Server time that a sandbox can save up.
const BURST: Duration = Duration::from_millis(500);
/// The shortest pause. Shorter ones would cost more in timers than they save.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Reading a frame from the socket and looking up its stream.
const FRAME: Duration = Duration::from_nanos(500);
/// Handing a part of a body to its caller.
const CHUNK: Duration = Duration::from_micros(2);
/// Redacting, storing and indexing a log line.
const LINE: Duration = Duration::from_micros(5);
/// Committing an event or a message.
const PUBLICATION: Duration = Duration::from_micros(50);
/// JSON of a head that is part of the price of its call.
const HEAD_FREE: usize = 4 << 10;
/// Parsing a byte of JSON beyond that.
const JSON_BYTE_NANOS: u64 = 10;

/// The server time that one sandbox may still take, as a token bucket. One that has taken more is not read until time has
/// paid for it, so that its pipes and its socket hold it back; nothing is lost and no other sandbox waits.
#[derive(Debug)]
pub(crate) struct FrameBudget {
    /// Nanoseconds; below zero while the sandbox has to wait.
    left: i64,
    filled: Instant,
}

/// The price of a frame of an open stream, without what parsing its head costs. A head, an end and a whole reply come once
/// for each call and are paid by its caller.
pub(crate) const fn price(kind: FrameKind) -> Duration {
    match kind {
        FrameKind::Head | FrameKind::End | FrameKind::Reply => Duration::ZERO,
        FrameKind::Chunk => CHUNK,
        FrameKind::Publish => PUBLICATION,
        _ => FRAME,
    }
}

/// The price of a frame that has no effect: of a stream that has ended, or without content.
pub(crate) const fn price_without_effect() -> Duration {
    FRAME
}

/// The price of a log line that is kept, or of a part of one.
pub(crate) const fn price_of_line(is_part: bool) -> Duration {
    if is_part { CHUNK } else { LINE }
}

/// What a line takes of the room of its log. A part takes its text; the whole is counted with its end.
pub(crate) const fn room_of_line(length: usize, is_part: bool) -> u64 {
    length as u64 + if is_part { 0 } else { LOG_LINE_COST }
}

/// The price of a line of raw output that is dropped.
pub(crate) const fn price_of_dropped_line() -> Duration {
    FRAME
}

/// The price of parsing `length` bytes of JSON.
pub(crate) const fn price_of_json(length: usize) -> Duration {
    Duration::from_nanos(length.saturating_sub(HEAD_FREE) as u64 * JSON_BYTE_NANOS)
}

// === impl FrameBudget ===

impl FrameBudget {
    pub(crate) fn new() -> Self {
        Self { left: nanos(BURST), filled: Instant::now() }
    }

    /// Takes the price of something that has come. Never looks at the clock.
    pub(crate) fn charge(&mut self, price: Duration) {
        self.left = self.left.saturating_sub(nanos(price));
    }

    /// How long nothing more may be read; `None` while something may.
    pub(crate) fn pause(&mut self) -> Option<Duration> {
        if self.left >= 0 {
            return None;
        }
        let now = Instant::now();
        let earned = nanos((now - self.filled) / SHARE);
        self.filled = now;
        self.left = self.left.saturating_add(earned).min(nanos(BURST));
        let debt = u64::try_from(-self.left).ok().filter(|debt| *debt > 0)?;
        Some((Duration::from_nanos(debt) * SHARE).max(PAUSE_MIN))
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sandbox_takes_its_share_of_a_core_and_no_more() {
        let (mut budget, mut taken) = (FrameBudget::new(), Duration::ZERO);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            match budget.pause() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    budget.charge(LINE);
                    taken += LINE;
                }
            }
        }
        let share = Duration::from_secs(2) + BURST;
        assert!(taken > share - BURST && taken < share + Duration::from_millis(10), "{taken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_large_price_is_paid_for_before_the_next_frame() {
        let mut budget = FrameBudget::new();
        budget.charge(Duration::from_secs(3_600));
        let pause = budget.pause().expect("a debt");
        tokio::time::sleep(pause - Duration::from_secs(1)).await;
        assert!(budget.pause().is_some());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(budget.pause(), None);
    }
}
