//! Follows what a client sends on HTTP/1.1, as strictly as RFC 9112 allows.
//!
//! hyper accepts a bare line feed as the end of a line, and a request whose length is given in two ways. A server in front of
//! this one may read either differently: what it takes for a body would here be a request that it never saw (request smuggling).
//! Such a line end is replaced with a byte that no head may contain, so that hyper refuses the request.

/// What is kept of a line: enough for the fields that say where a body ends.
const LINE_KEPT: usize = 256;
/// A byte that no head may contain.
const INVALID: u8 = 0;

/// Where in the requests of a connection the input stands.
#[derive(Debug, Default)]
pub(crate) struct Http1Framing {
    position: Position,
    /// The line so far, without its end.
    line: Vec<u8>,
    /// Whether the last byte was a carriage return.
    returned: bool,
    head: RequestHead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    #[default]
    Head,
    /// Bytes of a body, or of a chunk with its line end.
    Bytes {
        left: u64,
        chunked: bool,
    },
    ChunkSize,
    Trailer,
    /// The request cannot be served, and is the connection's last.
    Lost,
}

/// What a head has said so far.
#[derive(Clone, Copy, Debug, Default)]
struct RequestHead {
    has_begun: bool,
    length: Option<u64>,
    chunked: bool,
}

// === impl Http1Framing ===

impl Http1Framing {
    /// Follows bytes as they come, and makes a request that could be read in two ways invalid.
    pub(crate) fn follow(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() && self.position != Position::Lost {
            if let Position::Bytes { left, chunked } = self.position {
                let step = left.min((bytes.len() - at) as u64);
                // No more than the slice has.
                at += usize::try_from(step).unwrap_or(bytes.len());
                self.position = match left - step {
                    0 if chunked => Position::ChunkSize,
                    0 => Position::Head,
                    left => Position::Bytes { left, chunked },
                };
                continue;
            }
            let rest = &bytes[at..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.keep(rest);
                return;
            };
            self.keep(&rest[..end]);
            let is_good = std::mem::take(&mut self.returned) && self.line_ended();
            self.line.clear();
            if !is_good {
                bytes[at + end] = INVALID;
                self.position = Position::Lost;
            }
            at += end + 1;
        }
    }

    /// Whether all requests so far have come as a whole.
    pub(crate) fn is_between(&self) -> bool {
        self.position == Position::Head && !self.head.has_begun && self.line.is_empty()
    }

    fn keep(&mut self, part: &[u8]) {
        let Some(last) = part.last() else { return };
        self.returned = *last == b'\r';
        let room = LINE_KEPT.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// Goes on behind a line; `false` where no request can go on like this.
    fn line_ended(&mut self) -> bool {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        match self.position {
            Position::Head if line.is_empty() && self.head.has_begun => {
                let RequestHead { length, chunked, .. } = std::mem::take(&mut self.head);
                if chunked && length.is_some() {
                    return false;
                }
                self.position = match length {
                    _ if chunked => Position::ChunkSize,
                    Some(left @ 1..) => Position::Bytes { left, chunked: false },
                    _ => Position::Head,
                };
            }
            // Before a request, one that an old client sends too many.
            Position::Head if line.is_empty() => {}
            Position::Head if !self.head.has_begun => self.head.has_begun = true,
            Position::Head => return self.head.read(line),
            Position::ChunkSize => match chunk_size(line) {
                Some(0) => self.position = Position::Trailer,
                Some(size) => self.position = Position::Bytes { left: size.saturating_add(2), chunked: true },
                None => return false,
            },
            Position::Trailer if line.is_empty() => self.position = Position::Head,
            Position::Trailer | Position::Bytes { .. } | Position::Lost => {}
        }
        true
    }
}

// === impl RequestHead ===

impl RequestHead {
    /// Takes in a field; `false` where it makes the body's length unclear.
    fn read(&mut self, line: &[u8]) -> bool {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return true };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let number = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let Some(length) = number.and_then(|text| text.parse().ok()) else { return false };
            return self.length.replace(length).is_none_or(|before| before == length);
        }
        // Other codings than this one are refused where the request is admitted.
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        }
        true
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library gets, whatever parts the bytes come in.
    fn followed(text: &str) -> String {
        let whole = {
            let mut bytes = text.as_bytes().to_vec();
            Http1Framing::default().follow(&mut bytes);
            bytes
        };
        let mut framing = Http1Framing::default();
        let mut single = text.as_bytes().to_vec();
        single.chunks_mut(1).for_each(|byte| framing.follow(byte));
        assert_eq!(whole, single, "parts make no difference");
        String::from_utf8(whole).expect("it was text")
    }

    #[test]
    fn good_requests_pass_as_they_are() {
        for good in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\na\n\nbGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n\n\n\n\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(followed(good), good);
        }
    }

    #[test]
    fn a_request_is_whole_with_its_body() {
        let is_between = |text: &str| {
            let mut framing = Http1Framing::default();
            framing.follow(&mut text.as_bytes().to_vec());
            framing.is_between()
        };
        for whole in ["", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"] {
            assert!(is_between(whole), "{whole:?}");
        }
        for part in ["G", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na"] {
            assert!(!is_between(part), "{part:?}");
        }
        assert!(!is_between("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"), "no last line");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_made_invalid() {
        for bad in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\naGET / HTTP/1.1\nHost: x\r\n\r\n",
        ] {
            let followed = followed(bad);
            assert_eq!(followed.matches('\0').count(), 1, "{bad:?} became {followed:?}");
        }
    }
}
