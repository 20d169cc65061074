//! A reply in the HTTP form: what its head may be, whatever language its function is written in, and what its status says
//! of the attempt.

use faas_ports::ReplyHead;
use faas_types::{Code, Fault, limits};

use crate::attempt_outcome::AttemptOutcome;

/// Refuses a head that ends no request, or that clients cannot take.
pub(crate) fn check(head: &ReplyHead) -> Result<(), Fault> {
    if !(200..=599).contains(&head.status) {
        return Err(not_final(head.status));
    }
    let fields = head.headers.len();
    if fields > limits::REPLY_FIELDS_MAX {
        let message = format!("the reply has {fields} headers; clients take {}", limits::REPLY_FIELDS_MAX);
        return Err(Fault::new(Code::RuntimeError, message).with_hint("send fewer headers"));
    }
    let size: usize = head.headers.iter().map(|(name, value)| name.len() + value.len() + FIELD_FRAME).sum();
    if size > limits::REPLY_HEAD_MAX {
        let message = format!("the reply's headers have {size} bytes; clients take {}", limits::REPLY_HEAD_MAX);
        return Err(Fault::new(Code::RuntimeError, message).with_hint("send what is large in the body"));
    }
    Ok(())
}

/// What a reply with this status says of its attempt. A function that is overloaded asks with 429 for another attempt.
#[must_use]
pub fn outcome(status: u16) -> AttemptOutcome {
    if status < 500 && status != 429 { AttemptOutcome::Completed } else { AttemptOutcome::Failed(Code::RuntimeError) }
}

/// The message of an attempt that such a reply failed.
pub(crate) fn failure(status: u16) -> String {
    format!("the function answered with status {status}")
}

/// Colon, space and line end.
const FIELD_FRAME: usize = 4;

/// How long the function says that its body is; nothing where it says nothing, or two things.
pub(crate) fn announced_length(head: &ReplyHead) -> Option<u64> {
    let mut lengths = head.headers.iter().filter(|(name, _)| name == "content-length").map(|(_, value)| value.trim());
    let length = lengths.next().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    if lengths.all(|other| other == length) { length.parse().ok() } else { None }
}

/// A status below 200 announces another answer; sent as the last word, it breaks the client's connection.
fn not_final(status: u16) -> Fault {
    Fault::new(Code::RuntimeError, format!("the function answered with status {status}, which ends no request"))
        .with_hint("answer with a status from 200 to 599")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: Vec<(String, String)>) -> ReplyHead {
        ReplyHead { status: 200, headers, length: None }
    }

    #[test]
    fn heads_have_bounds() {
        let fields = |count: usize, value: &str| head(vec![("x-a".to_owned(), value.to_owned()); count]);
        assert!(check(&fields(limits::REPLY_FIELDS_MAX, "1")).is_ok());
        assert!(check(&fields(limits::REPLY_FIELDS_MAX + 1, "1")).is_err());
        assert!(check(&fields(2, &"x".repeat(limits::REPLY_HEAD_MAX / 2 - 7))).is_ok());
        assert!(check(&fields(2, &"x".repeat(limits::REPLY_HEAD_MAX / 2))).is_err());
        assert!(check(&ReplyHead { status: 101, ..head(Vec::new()) }).is_err());
    }

    #[test]
    fn errors_of_the_server_and_throttling_fail_an_attempt() {
        for status in [200, 204, 302, 400, 404, 428, 430, 499] {
            assert_eq!(outcome(status), AttemptOutcome::Completed, "{status}");
        }
        for status in [429, 500, 503, 599] {
            assert_eq!(outcome(status), AttemptOutcome::Failed(Code::RuntimeError), "{status}");
        }
    }

    #[test]
    fn a_length_is_one_number() {
        let length = |values: &[&str]| {
            let field = |value: &&str| ("content-length".to_owned(), (*value).to_owned());
            announced_length(&head(values.iter().map(field).collect()))
        };
        assert_eq!((length(&[]), length(&["12"]), length(&["12", " 12"])), (None, Some(12), Some(12)));
        assert_eq!(
            (length(&["12", "13"]), length(&["+1"]), length(&["x"]), length(&["1, 1"])),
            (None, None, None, None)
        );
        assert_eq!(length(&[&"9".repeat(30)]), None);
    }
}
