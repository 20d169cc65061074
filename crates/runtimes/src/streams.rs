//! The invocations that an instance has under way.

use std::collections::HashMap;
use std::sync::Arc;

use faas_proto::frame::WINDOW;
use faas_types::limits::{BODY_MAX, LOG_BYTES_PER_RUN};
use parking_lot::Mutex;

use crate::inbox::Inbox;

/// Frames that a shim may still send on a stream that was given up: a publication, a head, an end and what came before.
const LATE_FRAMES: u32 = 4;

/// The open streams of an instance, shared by its handle and its driver.
#[derive(Default)]
pub(crate) struct Streams {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// The number of the last stream; they begin with 1.
    last: u32,
    closed: bool,
    open: HashMap<u32, OpenStream>,
    /// Frames that may still come for streams that were given up.
    late: u32,
}

/// Whether an instance may send anything on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Open,
    /// It was open.
    Ended,
    /// It was never opened.
    Unknown,
}

struct OpenStream {
    inbox: Arc<Inbox>,
    log_left: u64,
    dropped: u64,
    body_left: u64,
    /// Bytes of the reply's body that the shim may send before the caller has taken some.
    window: u64,
    headed: bool,
    /// The shim waits for the answer to a publication.
    publishing: bool,
}

/// What the driver does with a frame of a stream.
pub(crate) enum Admission {
    /// Hand it over.
    Deliver(Arc<Inbox>),
    /// The stream has ended or run into a limit: forget the frame.
    Ignore,
    /// It takes the reply over its limit.
    TooMuch,
    /// The shim broke the protocol.
    Breach(&'static str),
}

/// A stream that has ended: where its end goes, how many of its log lines were dropped, and whether its reply had begun.
pub(crate) struct Finished {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) dropped: u64,
    pub(crate) headed: bool,
}

// === impl Streams ===

impl Streams {
    /// Opens a stream; `None` when the instance takes no more.
    pub(crate) fn open(&self, inbox: &Arc<Inbox>) -> Option<u32> {
        let mut table = self.table.lock();
        if table.closed {
            return None;
        }
        table.last = table.last.checked_add(1)?;
        let id = table.last;
        table.open.insert(id, OpenStream::new(Arc::clone(inbox)));
        Some(id)
    }

    /// Ends every stream as lost and opens no more.
    pub(crate) fn close(&self) {
        let mut table = self.table.lock();
        table.closed = true;
        table.open.drain().for_each(|(_, stream)| stream.inbox.close());
    }

    /// Forgets a stream without a reader; returns whether it was open.
    pub(crate) fn forget(&self, id: u32) -> bool {
        self.give_up(id).is_some()
    }

    /// Where a stream stands. Asked before a frame is parsed, so that one that has no effect costs next to nothing.
    pub(crate) fn standing(&self, id: u32) -> Standing {
        let table = self.table.lock();
        if table.open.contains_key(&id) {
            Standing::Open
        } else if table.was_opened(id) {
            Standing::Ended
        } else {
            Standing::Unknown
        }
    }

    /// A frame that ends or begins something came for a stream that has ended. Shims send a few for each stream that was
    /// given up and none for others.
    pub(crate) fn admit_late(&self) -> Result<(), &'static str> {
        let mut table = self.table.lock();
        table.late = table.late.checked_sub(1).ok_or("frames of streams that have ended")?;
        Ok(())
    }

    /// The only open stream; output that names no run belongs to it.
    pub(crate) fn sole(&self) -> Option<u32> {
        let table = self.table.lock();
        let mut ids = table.open.keys();
        ids.next().copied().filter(|_| ids.next().is_none())
    }

    /// A log line, or a part of one, that takes so much room; also whether the reply has begun.
    pub(crate) fn admit_log(&self, id: u32, room: u64) -> (Admission, bool) {
        let mut headed = false;
        let admission = self.admit(id, |stream| {
            headed = stream.headed;
            if stream.log_left < room {
                stream.log_left = 0;
                stream.dropped += 1;
                return Admission::Ignore;
            }
            stream.log_left -= room;
            stream.deliver()
        });
        (admission, headed)
    }

    /// A line that was admitted found no room.
    pub(crate) fn drop_line(&self, id: u32) {
        if let Some(stream) = self.table.lock().open.get_mut(&id) {
            stream.dropped += 1;
        }
    }

    pub(crate) fn admit_head(&self, id: u32) -> Admission {
        self.admit(id, |stream| {
            if std::mem::replace(&mut stream.headed, true) {
                return Admission::Breach("second reply head on a stream");
            }
            stream.deliver()
        })
    }

    /// A body chunk of `len` bytes.
    pub(crate) fn admit_chunk(&self, id: u32, len: usize) -> Admission {
        let len = len as u64;
        self.admit(id, |stream| {
            if !stream.headed {
                return Admission::Breach("reply body before its head");
            }
            let Some(window) = stream.window.checked_sub(len) else {
                return Admission::Breach("reply body past its window");
            };
            stream.window = window;
            let Some(left) = stream.body_left.checked_sub(len) else { return Admission::TooMuch };
            stream.body_left = left;
            stream.deliver()
        })
    }

    /// The caller has taken bytes; returns whether the shim is to be told.
    pub(crate) fn widen(&self, id: u32, bytes: u64) -> bool {
        self.table.lock().open.get_mut(&id).map(|stream| stream.window = stream.window.saturating_add(bytes)).is_some()
    }

    /// The shim takes more of the request's body.
    pub(crate) fn admit_credit(&self, id: u32) -> Admission {
        self.admit(id, |stream| stream.deliver())
    }

    /// The shim publishes something. One at a time, which bounds what waits to the size of a frame.
    pub(crate) fn admit_publication(&self, id: u32) -> Admission {
        self.admit(id, |stream| {
            if std::mem::replace(&mut stream.publishing, true) {
                return Admission::Breach("publication before the answer to the last one");
            }
            stream.deliver()
        })
    }

    /// A publication has its answer; whether the shim is to be told.
    pub(crate) fn answered(&self, id: u32) -> bool {
        self.table.lock().open.get_mut(&id).is_some_and(|stream| std::mem::take(&mut stream.publishing))
    }

    /// Takes a stream out of the table whose instance does not know yet.
    pub(crate) fn give_up(&self, id: u32) -> Option<Finished> {
        let mut table = self.table.lock();
        let OpenStream { inbox, dropped, headed, .. } = table.open.remove(&id)?;
        table.late = table.late.saturating_add(LATE_FRAMES);
        Some(Finished { inbox, dropped, headed })
    }

    /// Takes a stream that ends out of the table.
    pub(crate) fn finish(&self, id: u32) -> Result<Option<Finished>, &'static str> {
        let mut table = self.table.lock();
        match table.open.remove(&id) {
            Some(OpenStream { inbox, dropped, headed, .. }) => Ok(Some(Finished { inbox, dropped, headed })),
            // Its caller has given it up at this moment.
            None if table.was_opened(id) => Ok(None),
            None => Err("end of a stream that was never opened"),
        }
    }

    fn admit(&self, id: u32, decide: impl FnOnce(&mut OpenStream) -> Admission) -> Admission {
        let mut table = self.table.lock();
        if let Some(stream) = table.open.get_mut(&id) {
            return decide(stream);
        }
        if table.was_opened(id) {
            return Admission::Ignore;
        }
        Admission::Breach("frame of a stream that was never opened")
    }
}

// === impl Table ===

impl Table {
    fn was_opened(&self, id: u32) -> bool {
        (1..=self.last).contains(&id)
    }
}

// === impl OpenStream ===

impl OpenStream {
    fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            inbox,
            log_left: LOG_BYTES_PER_RUN,
            dropped: 0,
            body_left: BODY_MAX,
            window: u64::from(WINDOW),
            headed: false,
            publishing: false,
        }
    }

    fn deliver(&self) -> Admission {
        Admission::Deliver(Arc::clone(&self.inbox))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_ended_streams_are_counted_where_nobody_gave_them_up() {
        let (streams, inbox) = (Streams::default(), Arc::new(Inbox::default()));
        let [given_up, ended] = [(); 2].map(|()| streams.open(&inbox).expect("open"));
        assert_eq!(streams.standing(ended), Standing::Open);
        assert_eq!(streams.standing(ended + 1), Standing::Unknown);
        assert!(streams.admit_late().is_err());
        assert!(streams.finish(ended).is_ok_and(|finished| finished.is_some()));
        assert!(streams.admit_late().is_err(), "its shim has ended it itself");
        assert!(streams.forget(given_up));
        assert_eq!(streams.standing(given_up), Standing::Ended);
        let admitted = (0..100).filter(|_| streams.admit_late().is_ok()).count();
        assert_eq!(admitted, LATE_FRAMES as usize);
    }

    #[test]
    fn a_run_pays_for_each_line_and_not_only_for_its_text() {
        let (streams, inbox) = (Streams::default(), Arc::new(Inbox::default()));
        let id = streams.open(&inbox).expect("open");
        let room = crate::frame_budget::room_of_line(0, false);
        let kept = (0..1_000_000).filter(|_| matches!(streams.admit_log(id, room).0, Admission::Deliver(_))).count();
        assert_eq!(kept as u64, LOG_BYTES_PER_RUN / room);
    }

    #[test]
    fn a_publication_waits_for_the_answer_to_the_last_one() {
        let (streams, inbox) = (Streams::default(), Arc::new(Inbox::default()));
        let id = streams.open(&inbox).expect("open");
        for _ in 0..3 {
            assert!(matches!(streams.admit_publication(id), Admission::Deliver(_)));
            assert!(streams.answered(id));
            assert!(!streams.answered(id), "it is answered once");
        }
        assert!(matches!(streams.admit_publication(id), Admission::Deliver(_)));
        assert!(matches!(streams.admit_publication(id), Admission::Breach(_)));
        assert!(matches!(streams.admit_publication(id + 1), Admission::Breach(_)));
        streams.forget(id);
        assert!(!streams.answered(id), "nobody is left to be told");
        assert!(matches!(streams.admit_publication(id), Admission::Ignore));
    }
}
