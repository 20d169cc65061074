//! A reply as it is stored for repetitions of its request.

use bytes::Bytes;
use faas_types::Fault;

/// A function's whole reply. Stored as one line of JSON with status and headers, and the body behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReply {
    /// The status.
    pub status: u16,
    /// The headers. Each character of a value stands for one byte.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

// === impl StoredReply ===

impl StoredReply {
    pub(crate) fn encode(&self) -> Result<Bytes, Fault> {
        let head = serde_json::to_vec(&(self.status, &self.headers));
        let mut encoded = head.map_err(|error| Fault::internal(format!("a reply does not encode: {error}")))?;
        encoded.reserve_exact(self.body.len() + 1);
        encoded.push(b'\n');
        encoded.extend_from_slice(&self.body);
        Ok(encoded.into())
    }

    pub(crate) fn decode(stored: &Bytes) -> Result<Self, Fault> {
        let unreadable = || Fault::internal("the stored reply cannot be read");
        let end = stored.iter().position(|byte| *byte == b'\n').ok_or_else(unreadable)?;
        let (status, headers) = serde_json::from_slice(&stored[..end]).map_err(|_| unreadable())?;
        Ok(Self { status, headers, body: stored.slice(end + 1..) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_comes_back_as_it_was_stored() {
        let headers = vec![("x-text".to_owned(), "é\n\u{1}".to_owned()), ("x-text".to_owned(), String::new())];
        for body in [&b""[..], b"a\nb", b"\xff\x00"] {
            let reply = StoredReply { status: 201, headers: headers.clone(), body: Bytes::copy_from_slice(body) };
            assert_eq!(StoredReply::decode(&reply.encode().expect("encodes")).expect("decodes"), reply);
        }
        for broken in [&b""[..], b"200", b"{}\nbody"] {
            assert!(StoredReply::decode(&Bytes::copy_from_slice(broken)).is_err(), "{broken:?}");
        }
    }
}
