//! What an instance has sent for one invocation and its caller has not taken yet.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use faas_ports::ExchangeItem;
use faas_types::limits::BODY_MAX;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Log lines that may wait for a caller. Bodies are bounded by the stream's window.
const LINES_MAX: usize = 256;
/// Parts of a body that are shorter are put together while they wait, so that what they hold is bounded by their bytes and
/// not by their number.
const JOINED_BELOW: usize = 64 << 10;

/// What an instance has sent for one invocation and its caller has not taken yet. One task fills it, another empties it.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    room: Notify,
}

#[derive(Default)]
struct State {
    items: VecDeque<ExchangeItem>,
    /// Short parts of a body that came after the last item.
    tail: BytesMut,
    lines: usize,
    /// Bytes of the request's body that the shim has asked for and not got.
    credit: u64,
    waiting: Option<Waker>,
    /// Nothing comes any more: the invocation has ended or its instance is gone.
    closed: bool,
    /// The reader is gone.
    abandoned: bool,
}

// === impl Inbox ===

impl Inbox {
    pub(crate) fn push(&self, item: ExchangeItem) {
        self.change(|state| state.push(item));
    }

    /// A part of the reply's body, which the window has room for.
    pub(crate) fn push_body(&self, part: Bytes) {
        self.change(|state| {
            if part.len() >= JOINED_BELOW {
                return state.push(ExchangeItem::Body(part));
            }
            state.tail.extend_from_slice(&part);
            if state.tail.len() >= JOINED_BELOW {
                let joined = state.take_tail();
                state.items.extend(joined);
            }
        });
    }

    /// A log line, or a part of one. Waits for a caller that has not had the reply's head, and so is about to take it; gives the line
    /// back when a caller that reads the body slowly leaves no room.
    pub(crate) async fn push_line(&self, line: ExchangeItem, headed: bool) -> Result<(), ExchangeItem> {
        loop {
            let room = self.room.notified();
            {
                let state = self.state.lock();
                if state.abandoned {
                    return Ok(());
                }
                if state.lines < LINES_MAX {
                    break;
                }
            }
            if headed {
                return Err(line);
            }
            room.await;
        }
        self.change(|state| {
            state.lines += 1;
            state.push(line);
        });
        Ok(())
    }

    /// The shim takes more bytes of the request's body.
    pub(crate) fn add_credit(&self, bytes: u64) {
        // No body is longer.
        self.change(|state| state.credit = state.credit.saturating_add(bytes).min(BODY_MAX));
    }

    /// Takes at most `wanted` bytes of credit.
    pub(crate) fn take_credit(&self, wanted: u64) -> u64 {
        let mut state = self.state.lock();
        let taken = wanted.min(state.credit);
        state.credit -= taken;
        taken
    }

    pub(crate) fn credit(&self) -> u64 {
        self.state.lock().credit
    }

    /// Nothing comes any more.
    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// The reader is gone.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.items.clear();
        state.tail = BytesMut::new();
        drop(state);
        self.room.notify_one();
    }

    /// The next item; `None` once nothing is left and nothing comes. Wakes the task that asked last.
    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<ExchangeItem>> {
        let mut state = self.state.lock();
        match state.items.pop_front().or_else(|| state.take_tail()) {
            Some(item) => {
                if matches!(item, ExchangeItem::Log(_) | ExchangeItem::Unfinished(_)) {
                    state.lines -= 1;
                    if state.lines + 1 == LINES_MAX {
                        self.room.notify_one();
                    }
                }
                Poll::Ready(Some(item))
            }
            None if state.closed => Poll::Ready(None),
            None => {
                if !state.waiting.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    state.waiting = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state.lock();
            if state.abandoned {
                return;
            }
            change(&mut state);
            state.waiting.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

// === impl State ===

impl State {
    fn push(&mut self, item: ExchangeItem) {
        let tail = self.take_tail();
        self.items.extend(tail);
        self.items.push_back(item);
    }

    fn take_tail(&mut self) -> Option<ExchangeItem> {
        let tail = std::mem::take(&mut self.tail);
        (!tail.is_empty()).then(|| ExchangeItem::Body(tail.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use faas_ports::{ExchangeEnd, LogEntry};
    use faas_types::{LogLevel, LogStream, Timestamp};

    use super::*;

    #[tokio::test]
    async fn many_short_parts_of_a_body_wait_as_few_items() {
        let inbox = Inbox::default();
        for n in 0..200_000_u32 {
            inbox.push_body(Bytes::copy_from_slice(&n.to_le_bytes()[..1]));
        }
        let line = LogEntry {
            at: Timestamp::default(),
            level: LogLevel::Info,
            stream: LogStream::Stdout,
            message: "l".into(),
        };
        inbox.push_line(ExchangeItem::Log(line), true).await.expect("room");
        inbox.push_body(Bytes::from_static(b"last"));
        inbox.push(ExchangeItem::End(ExchangeEnd::Lost));
        assert!(inbox.state.lock().items.len() <= 7, "{}", inbox.state.lock().items.len());
        let (mut body, mut order) = (Vec::new(), Vec::new());
        loop {
            match std::future::poll_fn(|context| inbox.poll_next(context)).await {
                Some(ExchangeItem::Body(part)) => body.extend_from_slice(&part),
                Some(ExchangeItem::Log(_)) => order.push(body.len()),
                Some(ExchangeItem::End(_)) => break,
                other => panic!("{other:?}"),
            }
        }
        let whole: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).chain(*b"last").collect();
        assert!(body == whole && order == [200_000], "nothing is lost, and the line stays in its place");
    }
}
