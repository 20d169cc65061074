//! What an instance has sent for one invocation and its caller has not taken yet.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use faas_ports::ExchangeItem;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Log lines that may wait for a caller. Bodies are bounded by the stream's window.
const LINES_MAX: usize = 256;

/// What an instance has sent for one invocation and its caller has not taken yet. One task fills it, another empties it.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    room: Notify,
}

#[derive(Default)]
struct State {
    items: VecDeque<ExchangeItem>,
    lines: usize,
    /// Bytes of the request's body that the shim has asked for and not got.
    credit: u64,
    waiting: Option<Waker>,
    /// Nothing comes any more: the invocation has ended or its instance is gone.
    closed: bool,
    /// Nobody takes anything any more.
    abandoned: bool,
}

// === impl Inbox ===

impl Inbox {
    pub(crate) fn push(&self, item: ExchangeItem) {
        self.change(|state| state.items.push_back(item));
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
            state.items.push_back(line);
        });
        Ok(())
    }

    /// The shim takes so many more bytes of the request's body.
    pub(crate) fn add_credit(&self, bytes: u64) {
        self.change(|state| state.credit = state.credit.saturating_add(bytes));
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

    /// Nobody takes anything any more.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.items.clear();
        drop(state);
        self.room.notify_one();
    }

    /// The next item; `None` once nothing is left and nothing comes. Wakes the task that asked last.
    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<ExchangeItem>> {
        let mut state = self.state.lock();
        match state.items.pop_front() {
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
