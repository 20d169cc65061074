//! Messages on their way to the server.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use crate::protocol::{NetMessage, send};

/// So many messages may wait. Then sandboxes wait until the server has taken some.
const WAITING_MAX: usize = 4_096;

#[derive(Default)]
pub(crate) struct Outbox(VecDeque<NetMessage>);

impl Outbox {
    pub(crate) fn push(&mut self, message: NetMessage) {
        self.0.push_back(message);
    }

    /// Sends what the server takes; returns whether more waits.
    pub(crate) fn flush(&mut self, control: BorrowedFd<'_>) -> io::Result<bool> {
        while let Some(message) = self.0.front() {
            match send(control, message, &[]) {
                Ok(()) => {
                    self.0.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether more waits than may.
    pub(crate) fn is_over(&self) -> bool {
        self.0.len() > WAITING_MAX
    }
}
