//! The head of a reply, as a sandbox sends it.

use faas_ports::ReplyHead;
use faas_proto::frame_heads;

/// Bytes of a head that is kept, so that instances that wait hold little.
const KEPT_MAX: usize = 1 << 10;

/// Reads the heads of one instance. Most handlers answer with the same head each time, which is taken apart once.
#[derive(Default)]
pub(crate) struct ReplyHeads {
    /// The last one as it came.
    payload: Vec<u8>,
    /// The same read, once it has come twice: a handler whose heads differ pays for a copy of bytes, and no more.
    head: Option<ReplyHead>,
}

// === impl ReplyHeads ===

impl ReplyHeads {
    /// As [`read`].
    pub(crate) fn read(&mut self, payload: &[u8]) -> Result<ReplyHead, &'static str> {
        if payload.is_empty() || self.payload != payload {
            self.head = None;
            self.payload.clear();
            if payload.len() <= KEPT_MAX {
                self.payload.extend_from_slice(payload);
            }
            return read(payload);
        }
        if self.head.is_none() {
            self.head = Some(read(payload)?);
        }
        self.head.clone().ok_or("malformed reply head")
    }
}

/// A head from its JSON.
///
/// # Errors
/// What is wrong with it: shims check what handlers return, so this is a forged frame.
pub(crate) fn read(payload: &[u8]) -> Result<ReplyHead, &'static str> {
    let head: frame_heads::ReplyHeadFrame = serde_json::from_slice(payload).map_err(|_| "malformed reply head")?;
    if !(100..600).contains(&head.status) {
        return Err("reply status out of range");
    }
    if !head.headers.iter().all(|(name, value)| is_header(name, value)) {
        return Err("malformed reply header");
    }
    Ok(ReplyHead { status: head.status, headers: head.headers, length: head.length })
}

/// Whether a header field can go out as it is.
fn is_header(name: &str, value: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b':';
    let is_text = |character: char| character <= '\u{ff}' && !matches!(character, '\r' | '\n' | '\0');
    !name.is_empty() && name.bytes().all(is_token) && value.chars().all(is_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_alike_however_often_they_come() {
        let heads = [
            r#"{"status":200,"headers":[["content-type","application/json"]]}"#,
            r#"{"status":404,"headers":[["content-type","text/plain"],["x-a","1"]],"length":7}"#,
            "{}",
            "",
            r#"{"status":99,"headers":[]}"#,
            r#"{"status":200,"headers":[["X","1"]]}"#,
            &format!(r#"{{"status":200,"headers":[["x-a","{}"]]}}"#, "1".repeat(KEPT_MAX)),
        ];
        let mut reader = ReplyHeads::default();
        for order in [[0, 0, 0, 1, 1, 1, 0], [2, 2, 2, 0, 0, 0, 3], [3, 3, 4, 4, 4, 5, 5], [6, 6, 6, 0, 6, 0, 0]] {
            for head in order.map(|at: usize| heads[at].as_bytes()) {
                assert_eq!(reader.read(head), read(head));
                assert!(reader.payload.len() <= KEPT_MAX);
            }
        }
    }
}
