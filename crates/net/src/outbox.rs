//! Messages on their way to the server.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::protocol::{NetMessage, send_packet};

/// So many messages may wait. Then sandboxes wait until the server has taken some.
const WAITING_MAX: usize = 4_096;
/// How long after a question messages without a waiting reader are held for the next one: a program that makes one
/// connection after the other has the server woken once for each.
const PATIENCE: Duration = Duration::from_millis(1);
/// Maximum number of held messages.
const PATIENT_MAX: usize = 64;

pub(crate) struct Outbox {
    control: OwnedFd,
    waiting: VecDeque<NetMessage>,
    /// Whether one of them is not to wait.
    is_urgent: bool,
    /// Whether there was a question since the last flush.
    has_asked: bool,
    /// Until when messages without a waiting reader may be held.
    patient_until: Duration,
    packet: Vec<u8>,
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(control: OwnedFd) -> Self {
        Self {
            control,
            waiting: VecDeque::new(),
            is_urgent: false,
            has_asked: false,
            patient_until: Duration::ZERO,
            packet: Vec::new(),
        }
    }

    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Adds a message for the next flush.
    pub(crate) fn push(&mut self, message: NetMessage) {
        self.is_urgent = true;
        self.waiting.push_back(message);
    }

    /// Sends a message whose answer a program waits for, after all that wait. What goes wrong is found by the next flush.
    pub(crate) fn ask(&mut self, message: NetMessage) {
        self.has_asked = true;
        self.push(message);
        let _ = self.flush_all();
    }

    /// Adds a message that may wait a moment for others. It never comes after one that is added later.
    pub(crate) fn push_patiently(&mut self, message: NetMessage) {
        self.is_urgent |= self.waiting.len() >= PATIENT_MAX;
        self.waiting.push_back(message);
    }

    /// When there is something to send without another message.
    pub(crate) fn due(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(self.patient_until)
    }

    /// Sends what is to be sent now, as far as the server takes it; returns whether more of that waits.
    pub(crate) fn flush(&mut self, now: Duration) -> io::Result<bool> {
        if std::mem::take(&mut self.has_asked) {
            self.patient_until = now + PATIENCE;
        }
        if self.is_urgent || now >= self.patient_until { self.flush_all() } else { Ok(false) }
    }

    fn flush_all(&mut self) -> io::Result<bool> {
        while !self.waiting.is_empty() {
            match send_packet(self.control.as_fd(), &self.waiting, &mut self.packet) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_urgent = true;
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        self.is_urgent = false;
        Ok(false)
    }

    /// Whether more waits than may.
    pub(crate) fn is_over(&self) -> bool {
        self.waiting.len() > WAITING_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{self, MESSAGE_MAX};

    fn closed(flow: u64) -> NetMessage {
        NetMessage::Closed { flow, up: 0, down: 0 }
    }

    #[test]
    fn what_nobody_waits_for_goes_at_once_or_soon_after_a_question_with_the_next() {
        let (server, net) = protocol::channel().expect("sockets");
        let mut outbox = Outbox::new(net);
        let mut buffer = vec![0; MESSAGE_MAX];
        let mut came = || protocol::receive_packet::<NetMessage>(server.as_fd(), &mut buffer).ok().flatten();
        let question = || NetMessage::Name { flow: 9, sni: None };
        let at = Duration::from_secs(7);
        outbox.push_patiently(closed(1));
        assert!(!outbox.flush(at).expect("sent"));
        assert_eq!((came(), outbox.due()), (Some(vec![closed(1)]), None));
        outbox.ask(question());
        assert_eq!(came(), Some(vec![question()]), "before the turn's end");
        outbox.push_patiently(closed(2));
        assert!(!outbox.flush(at).expect("sent"));
        assert_eq!((came(), outbox.due()), (None, Some(at + PATIENCE)));
        outbox.ask(question());
        assert_eq!((came(), outbox.due()), (Some(vec![closed(2), question()]), None));
        outbox.push_patiently(closed(3));
        outbox.push_patiently(closed(4));
        assert!(!outbox.flush(at).expect("sent") && !outbox.flush(at + PATIENCE / 2).expect("sent"));
        assert_eq!(came(), None);
        assert!(!outbox.flush(at + PATIENCE).expect("sent"));
        assert_eq!((came(), outbox.due()), (Some(vec![closed(3), closed(4)]), None));
        outbox.ask(question());
        assert_eq!(came(), Some(vec![question()]));
        outbox.push_patiently(closed(5));
        outbox.push(NetMessage::Ready);
        assert!(!outbox.flush(at).expect("sent"));
        assert_eq!(came(), Some(vec![closed(5), NetMessage::Ready]));
        (0..=PATIENT_MAX as u64).for_each(|flow| outbox.push_patiently(closed(flow)));
        assert!(!outbox.flush(at).expect("sent"));
        let packets = std::iter::from_fn(&mut came);
        assert_eq!(packets.map(|packet| packet.len()).sum::<usize>(), PATIENT_MAX + 1, "many do not wait");
    }

    #[test]
    fn what_the_server_does_not_take_yet_comes_later_in_its_order() {
        let (server, net) = protocol::channel().expect("sockets");
        let mut outbox = Outbox::new(net);
        let mut buffer = vec![0; MESSAGE_MAX];
        (0..=WAITING_MAX as u64).for_each(|flow| outbox.push(closed(flow)));
        assert!(outbox.is_over());
        let mut came = Vec::new();
        while outbox.flush(Duration::ZERO).expect("sent") || came.len() <= WAITING_MAX {
            let packet = protocol::receive_packet::<NetMessage>(server.as_fd(), &mut buffer).expect("received");
            came.extend(packet.expect("a packet"));
        }
        assert!(came.into_iter().eq((0..=WAITING_MAX as u64).map(closed)));
    }
}
