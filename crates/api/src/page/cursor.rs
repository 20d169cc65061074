//! The text of cursors: where a list goes on, and of which list it is. Only the server reads it.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use faas_types::Timestamp;

/// Says which form the rest has.
const FORM: u8 = 1;

/// Where a list goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// What list it is, with its filters.
    pub(super) digest: u64,
    /// The time of the first page.
    pub(super) began_at: Timestamp,
    /// The key of the last row that was shown.
    pub(super) after: String,
}

// === impl Cursor ===

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let rest = bytes.strip_prefix(&[FORM])?;
        let (digest, rest) = rest.split_first_chunk()?;
        let (began_at, after) = rest.split_first_chunk()?;
        Some(Self {
            digest: u64::from_be_bytes(*digest),
            began_at: Timestamp::from_millis(u64::from_be_bytes(*began_at)),
            after: std::str::from_utf8(after).ok()?.to_owned(),
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![FORM];
        bytes.extend(self.digest.to_be_bytes());
        bytes.extend(self.began_at.as_millis().to_be_bytes());
        bytes.extend(self.after.as_bytes());
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// What tells a list with its filters from others.
pub(super) fn digest(kind: &str, owner: &str, descends: bool, filters: &[(String, String)]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    add(kind);
    add(owner);
    add(if descends { "desc" } else { "asc" });
    for (name, value) in filters {
        add(name);
        add(value);
    }
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let cursor = Cursor { digest: 7, began_at: Timestamp::from_millis(9), after: "a\0b".to_owned() };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
    }
}
