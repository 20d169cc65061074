//! How long a function said that its streamed body is, held against what it sends.

use faas_ports::ReplyHead;
use faas_types::{Code, Fault};

use super::http_reply::announced_length;

/// What is promised of a body, and how much of it has come.
pub(crate) struct ContentLength {
    length: Option<u64>,
    sent: u64,
}

// === impl ContentLength ===

impl ContentLength {
    /// An answer that has no body, by its status or since it is one to HEAD, may name the length of another.
    pub(crate) fn of(head: &ReplyHead, is_to_head: bool) -> Self {
        let has_body = !is_to_head && !matches!(head.status, 204 | 205 | 304);
        Self { length: announced_length(head).filter(|_| has_body), sent: 0 }
    }

    /// More of the body has come.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        self.sent += bytes as u64;
        match self.length {
            Some(length) if self.sent > length => Err(broken(&format!("more than the {length} bytes"))),
            _ => Ok(()),
        }
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        match self.length {
            Some(length) if self.sent < length => Err(broken(&format!("{} of the {length} bytes", self.sent))),
            _ => Ok(()),
        }
    }
}

fn broken(how: &str) -> Fault {
    Fault::new(Code::RuntimeError, format!("the function sent {how} that its `Content-Length` announced"))
        .with_hint("send as many bytes as `Content-Length` says, or leave the header out")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(status: u16, length: &str, is_to_head: bool) -> ContentLength {
        let headers = vec![("content-length".to_owned(), length.to_owned())];
        ContentLength::of(&ReplyHead { status, headers, length: None }, is_to_head)
    }

    #[test]
    fn a_body_has_the_length_that_was_announced() {
        let mut exact = announced(200, "3", false);
        assert!(exact.end().is_err_and(|fault| fault.message.contains("0 of the 3 bytes")));
        assert!(exact.take(2).is_ok() && exact.end().is_err());
        assert!(exact.take(1).is_ok() && exact.end().is_ok());
        assert!(exact.take(1).is_err_and(|fault| fault.message.contains("more than the 3 bytes")));
    }

    #[test]
    fn an_answer_without_a_body_may_name_any_length() {
        for mut other in [announced(200, "3", true), announced(304, "3", false), announced(200, "x", false)] {
            assert!(other.end().is_ok() && other.take(9).is_ok());
        }
    }
}
