//! The structured payloads of the [instance protocol](crate::frame).

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use faas_types::{Code, FunctionError, LogLevel, LogStream, Timestamp};
use serde::{Deserialize, Serialize};

/// Bytes of a log payload before its text.
pub const LOG_FIXED_LEN: usize = 12;

/// Payload of hello: the shim runs and waits for init.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloHead {
    /// [`PROTOCOL_VERSION`](crate::frame::PROTOCOL_VERSION) of the shim.
    pub protocol: u32,
    /// The runtime's exact version, such as `3.12.1`.
    pub runtime: String,
}

/// Payload of init: which function this instance is for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InitHead<'a> {
    /// [`PROTOCOL_VERSION`](crate::frame::PROTOCOL_VERSION) of the server.
    pub protocol: u32,
    /// `file:name`.
    pub entrypoint: &'a str,
    /// The function's name.
    pub function: &'a str,
    /// The version's number.
    pub version: u32,
    /// Memory limit in MiB.
    pub memory_mb: u64,
    /// Calls that the instance may take at once.
    pub concurrency: u32,
    /// Environment variables of the user's code.
    pub vars: BTreeMap<&'a str, &'a str>,
    /// Bytes of log text kept per invocation.
    pub log_bytes: u64,
    /// Bytes of one log line.
    pub log_line: usize,
    /// Bytes of a reply's body.
    pub body_max: u64,
    /// The named layers below `/opt/layers` in the order in which they win.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<&'a str>,
    /// Whether the shim hands over, in chunks of stream 0 before it is ready, what the runtime compiled of the code.
    /// Shims of runtimes that keep nothing compiled do not look at it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bytecode: bool,
    /// Whether a debugger is to be let in, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debugger: Option<DebuggerHead<'a>>,
}

/// How a debugger is let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DebuggerHead<'a> {
    /// Whether the shim waits for it before it loads the user's code.
    pub waits: bool,
    /// The directory inside with the debugger's package; absent where the runtime or the function has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<&'a str>,
}

/// Payload of ready: the user's code is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyHead {
    /// [`PROTOCOL_VERSION`](crate::frame::PROTOCOL_VERSION) of the shim.
    pub protocol: u32,
    /// What the handler turned out to be, for people: `event`, `plain`, `asgi`.
    pub contract: String,
    /// Calls that it takes at once; at least 1, never over what init allowed.
    pub concurrency: u32,
    /// Whether the handler reads the request's body piece by piece, and the shim asks for it by credit frames.
    #[serde(default)]
    pub streams: bool,
}

/// Payload of head: how the reply begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyHeadFrame {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case; values as Latin-1 text.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body, where all of it is there already and only the window holds it back.
    #[serde(default)]
    pub length: Option<u64>,
}

/// Payload of end. An empty payload is a complete reply with nothing dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndHead {
    /// Log lines that the shim dropped.
    #[serde(default)]
    pub dropped: u64,
    /// What the user's code raised.
    #[serde(default)]
    pub raised: Option<FunctionError>,
    /// Why the request does not fit the handler.
    #[serde(default)]
    pub rejected: Option<String>,
}

/// The head of publish's payload; the data stands behind it as it is. Nothing is checked yet: what is missing or malformed
/// is answered, not a breach.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum PublishHead {
    /// An event for whoever listens.
    Event {
        /// What happened.
        #[serde(rename = "type", default)]
        what: Option<String>,
        /// Where; the function itself where absent.
        #[serde(default)]
        source: Option<String>,
        /// What it happened to.
        #[serde(default)]
        subject: Option<String>,
        /// Its id; a new one where absent.
        #[serde(default)]
        id: Option<String>,
        /// What the data is.
        #[serde(default)]
        content_type: Option<String>,
    },
    /// A message to a topic.
    Message {
        /// The topic.
        #[serde(default)]
        topic: String,
        /// What the data is.
        #[serde(default)]
        content_type: Option<String>,
        /// What else the sender says, by name.
        #[serde(default)]
        attributes: BTreeMap<String, String>,
    },
}

/// Payload of published: what became of a publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PublishedHead<'a> {
    /// It is kept.
    Kept {
        /// The event's or the message's id.
        id: &'a str,
    },
    /// It is not.
    Refused {
        /// The catalogue's entry.
        code: Code,
        /// What is wrong.
        message: &'a str,
        /// What to do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'a str>,
    },
}

/// The fixed part of log's payload, followed by the text in UTF-8: level (1 byte: 0 debug, 1 info, 2 warn, 3 error),
/// stream (1 byte: 0 stdout, 1 stderr, 2 logger), whether more of the line follows (1 byte: 0 or 1), a zero byte, milliseconds since the Unix epoch (8 bytes, little
/// endian).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHead<'a> {
    /// How important.
    pub level: LogLevel,
    /// Where from.
    pub stream: LogStream,
    /// When, by the sandbox's clock.
    pub at: Timestamp,
    /// Whether the line goes on with the next frame of the same stream.
    pub unfinished: bool,
    /// The text; bytes that are not UTF-8 are replaced.
    pub text: Cow<'a, str>,
}

/// The payload of a window or credit frame.
#[must_use]
pub fn window(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_le_bytes)
}

/// A reply or publish frame's payload as head and body, both shared with it.
#[must_use]
pub fn split_reply(payload: &Bytes) -> Option<(Bytes, Bytes)> {
    let (length, _) = payload.split_first_chunk::<4>()?;
    let end = usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_add(4)?;
    (end <= payload.len()).then(|| (payload.slice(4..end), payload.slice(end..)))
}

/// A bytecode file's payload as path and content, both shared with it: laid out like a reply.
#[must_use]
pub fn split_file(payload: &Bytes) -> Option<(String, Bytes)> {
    let (path, content) = split_reply(payload)?;
    Some((String::from_utf8(path.into()).ok()?, content))
}

/// Whether a log payload is the beginning of a line, or goes on with one, and does not end it.
#[must_use]
pub fn is_part_of_line(payload: &[u8]) -> bool {
    payload.get(2) == Some(&1)
}

/// A log payload that does not follow its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed log frame")]
pub struct MalformedLog;

// === impl LogHead ===

impl<'a> LogHead<'a> {
    /// Reads a log payload.
    ///
    /// # Errors
    /// It does not follow the layout.
    pub fn decode(payload: &'a [u8]) -> Result<Self, MalformedLog> {
        let (fixed, text) = payload.split_first_chunk::<LOG_FIXED_LEN>().ok_or(MalformedLog)?;
        let [level, stream, unfinished @ (0 | 1), 0, millis @ ..] = *fixed else {
            return Err(MalformedLog);
        };
        let level = match level {
            0 => LogLevel::Debug,
            1 => LogLevel::Info,
            2 => LogLevel::Warn,
            3 => LogLevel::Error,
            _ => return Err(MalformedLog),
        };
        let stream = match stream {
            0 => LogStream::Stdout,
            1 => LogStream::Stderr,
            2 => LogStream::Logger,
            _ => return Err(MalformedLog),
        };
        let at = Timestamp::from_millis(u64::from_le_bytes(millis));
        Ok(Self { level, stream, at, unfinished: unfinished == 1, text: String::from_utf8_lossy(text) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn log_payloads_never_panic(noise in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = LogHead::decode(&noise);
        }
    }

    #[test]
    fn a_log_payload_reads_back() {
        let mut payload = vec![2, 1, 0, 0];
        payload.extend_from_slice(&42u64.to_le_bytes());
        payload.extend_from_slice("gr\u{fc}\u{df}e".as_bytes());
        let log = LogHead::decode(&payload).expect("follows the layout");
        assert_eq!((log.level, log.stream, log.at), (LogLevel::Warn, LogStream::Stderr, Timestamp::from_millis(42)));
        assert_eq!((&*log.text, log.unfinished), ("gr\u{fc}\u{df}e", false));
        payload[2] = 1;
        assert!(LogHead::decode(&payload).expect("follows the layout").unfinished);
        payload[2] = 2;
        assert_eq!(LogHead::decode(&payload), Err(MalformedLog));
    }

    #[test]
    fn a_reply_comes_apart_or_not_at_all() {
        let whole = Bytes::from_static(b"\x02\0\0\0{}body");
        assert_eq!(split_reply(&whole), Some((Bytes::from_static(b"{}"), Bytes::from_static(b"body"))));
        for short in [&b""[..], b"\x02\0\0", b"\x03\0\0\0{}", b"\xff\xff\xff\xff"] {
            assert_eq!(split_reply(&Bytes::copy_from_slice(short)), None);
        }
    }

    #[test]
    fn a_publication_says_what_it_is() {
        let head = |json: &str| serde_json::from_str::<PublishHead>(json);
        let nothing = PublishHead::Event { what: None, source: None, subject: None, id: None, content_type: None };
        assert_eq!(head(r#"{"kind": "event", "type": null}"#).expect("what is missing is answered"), nothing);
        let message = head(r#"{"kind": "message", "topic": "t", "attributes": {"a": "1"}, "project": "prj_x"}"#);
        let attributes = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let wanted = PublishHead::Message { topic: "t".into(), content_type: None, attributes };
        assert_eq!(message.expect("names of others are not looked at"), wanted);
        for nonsense in ["", "{}", r#"{"kind": "run"}"#, r#"{"kind": "event", "type": 7}"#] {
            assert!(head(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn an_empty_object_is_a_complete_end() {
        let end: EndHead = serde_json::from_str("{}").expect("all fields have defaults");
        assert_eq!(end, EndHead::default());
    }
}
