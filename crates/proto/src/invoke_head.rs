//! The payload of the frame that begins a call.

/// Payload of invoke: the request without its body.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct InvokeHead<'a> {
    /// The run's id.
    pub run: &'a str,
    /// The HTTP method.
    pub method: &'a str,
    /// The path, percent-encoded.
    pub path: &'a str,
    /// The query without its question mark.
    pub query: &'a str,
    /// Names in lower case; values as Latin-1 text.
    pub headers: &'a [(String, String)],
    /// When the caller stops waiting, in milliseconds since the Unix epoch.
    pub deadline: u64,
}

/// What JSON puts around a header, and around all of an invocation with its id.
const FIELD_FRAME: usize = r#"["",""],"#.len();
const HEAD_FRAME: usize = 160;

// === impl InvokeHead ===

impl InvokeHead<'_> {
    /// The head as JSON. Each call writes one of some twenty strings, of which few need an escape: looked for all at once, that
    /// takes half the time of looking byte by byte.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let fields: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + FIELD_FRAME).sum();
        let mut json = Vec::with_capacity(HEAD_FRAME + self.path.len() + self.query.len() + fields);
        let texts = [
            ("{\"run\":", self.run),
            (",\"method\":", self.method),
            (",\"path\":", self.path),
            (",\"query\":", self.query),
        ];
        for (key, text) in texts {
            json.extend_from_slice(key.as_bytes());
            push_text(&mut json, text);
        }
        json.extend_from_slice(b",\"headers\":[");
        for (at, (name, value)) in self.headers.iter().enumerate() {
            json.extend_from_slice(if at == 0 { b"[" } else { b",[" });
            push_text(&mut json, name);
            json.push(b',');
            push_text(&mut json, value);
            json.push(b']');
        }
        json.extend_from_slice(b"],\"deadline\":");
        serde_json::to_writer(&mut json, &self.deadline).expect("a number always serialises");
        json.push(b'}');
        json
    }
}

fn push_text(json: &mut Vec<u8>, text: &str) {
    let is_plain = |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, is_plain) {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
    } else {
        serde_json::to_writer(json, text).expect("a text always serialises");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_a_serialiser_writes(
            texts in proptest::array::uniform4(".*|[\"\\\\\\x00-\\x7f]*"),
            headers in proptest::collection::vec(("[a-z-]{1,12}", "\\PC*|[\\x00-\\xff]*"), 0..5),
            deadline in any::<u64>(),
        ) {
            let [run, method, path, query] = texts.each_ref().map(String::as_str);
            let head = InvokeHead { run, method, path, query, headers: &headers, deadline };
            let expected = serde_json::to_string(&head).expect("it serialises");
            prop_assert_eq!(String::from_utf8(head.to_json()).expect("text"), expected);
        }
    }
}
