//! The server's name in a TLS ClientHello.

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// More are needed.
    Incomplete,
    /// A whole ClientHello, and the name in it in lower case, without a dot at its end. `None` where it has no name.
    ClientHello(Option<String>),
    /// What a server may take for TLS, and read another name in than is seen here.
    Unclear,
    /// Not the beginning of a TLS connection.
    Other,
}

/// A ClientHello is not longer, record headers included.
pub const CLIENT_HELLO_MAX: usize = 16 << 10;

const HANDSHAKE_RECORD: u8 = 22;
/// All kinds of records: some servers pass over others before the first handshake.
const RECORDS: std::ops::RangeInclusive<u8> = 20..=24;
/// The first byte of a record's version. Some servers look at it in later records only.
const MAJOR: u8 = 3;
const MAJOR_MAX: u8 = 0x0f;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const RECORD_MAX: usize = (1 << 14) + 256;

/// Reads fields off the front.
struct Fields<'a>(&'a [u8]);

/// Looks at the bytes that a client sent first. What begins like TLS and has not become a whole ClientHello within
/// [`CLIENT_HELLO_MAX`] bytes is [`FirstBytes::Unclear`].
pub fn inspect(bytes: &[u8]) -> FirstBytes {
    let incomplete = if bytes.len() < CLIENT_HELLO_MAX { FirstBytes::Incomplete } else { FirstBytes::Unclear };
    // Other protocols do not wait for more bytes.
    if bytes.first().is_some_and(|kind| !RECORDS.contains(kind)) || bytes.get(1).is_some_and(|major| *major > MAJOR_MAX)
    {
        return FirstBytes::Other;
    }
    let mut records = Fields(bytes);
    let mut handshake: Vec<u8> = Vec::new();
    loop {
        if let Some(whole) = message_length(&handshake)
            && handshake.len() >= whole
        {
            return server_name(&handshake[4..whole]).map_or(FirstBytes::Unclear, FirstBytes::ClientHello);
        }
        if records.0.first().is_some_and(|kind| *kind != HANDSHAKE_RECORD)
            || records.0.get(1).is_some_and(|major| *major != MAJOR)
        {
            return FirstBytes::Unclear;
        }
        let Some((_, length)) = records.take(3).zip(records.length16()) else { return incomplete };
        if length == 0 || length > RECORD_MAX {
            return FirstBytes::Unclear;
        }
        let available = length.min(records.0.len());
        handshake.extend_from_slice(records.take(available).unwrap_or_default());
        if handshake.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return FirstBytes::Unclear;
        }
        if message_length(&handshake).is_some_and(|whole| whole > CLIENT_HELLO_MAX) {
            return FirstBytes::Unclear;
        }
        if available < length && message_length(&handshake).is_none_or(|whole| handshake.len() < whole) {
            return incomplete;
        }
    }
}

/// The length of the first handshake message with its header.
fn message_length(handshake: &[u8]) -> Option<usize> {
    let [_, a, b, c] = *handshake.first_chunk()?;
    Some(4 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)))
}

/// The name in the body of a ClientHello, or that it has none; nothing where that is not clear.
fn server_name(hello: &[u8]) -> Option<Option<String>> {
    let mut fields = Fields(hello);
    // Version and random.
    fields.take(34)?;
    let _session = fields.vector8()?;
    let _ciphers = fields.vector16()?;
    let _compression = fields.vector8()?;
    if fields.0.is_empty() {
        // Old clients send no extensions at all.
        return Some(None);
    }
    let mut extensions = Fields(fields.vector16()?);
    if !fields.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let body = extensions.vector16()?;
        if kind == SERVER_NAME {
            // A second one would leave it open which of them the server takes.
            if found.is_some() {
                return None;
            }
            found = Some(host_name(body)?);
        }
    }
    Some(found)
}

/// The one entry of a list of names.
fn host_name(extension: &[u8]) -> Option<String> {
    let mut outer = Fields(extension);
    let mut list = Fields(outer.vector16()?);
    let kind = list.take(1)?;
    let name = list.vector16()?;
    let name = name.strip_suffix(b".").unwrap_or(name);
    let one = outer.0.is_empty() && list.0.is_empty() && kind == [HOST_NAME];
    (one && is_host_name(name)).then(|| name.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect())
}

fn is_host_name(name: &[u8]) -> bool {
    let label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    (1..=253).contains(&name.len()) && name.split(|byte| *byte == b'.').all(label)
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number16(&mut self) -> Option<u16> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*taken))
    }

    fn length16(&mut self) -> Option<usize> {
        self.number16().map(usize::from)
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.length16()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(length_bytes: usize, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32).to_be_bytes();
        [&length[4 - length_bytes..], body].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(2, body)].concat()
    }

    fn name_extension(name: &[u8]) -> Vec<u8> {
        extension(SERVER_NAME, &vector(2, &[&[HOST_NAME][..], &vector(2, name)].concat()))
    }

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vector(1, &[9; 32]),
            &vector(2, &[0x13, 1, 0x13, 2]),
            &vector(1, &[0]),
            &vector(2, extensions),
        ]
        .concat();
        [&[CLIENT_HELLO][..], &vector(3, &body)].concat()
    }

    fn records(handshake: &[u8], size: usize) -> Vec<u8> {
        handshake.chunks(size).flat_map(|part| [&[HANDSHAKE_RECORD, 3, 1][..], &vector(2, part)].concat()).collect()
    }

    fn named(name: &str) -> FirstBytes {
        FirstBytes::ClientHello(Some(name.to_owned()))
    }

    #[test]
    fn the_name_is_found_in_one_record_and_in_many() {
        let extensions =
            [extension(43, &[2, 3, 4]), name_extension(b"Api.Example.com"), extension(16, &[0; 9])].concat();
        for size in [1, 2, 5, 40, 100, 16_000] {
            let bytes = records(&hello(&extensions), size);
            assert_eq!(inspect(&bytes), named("api.example.com"), "records of {size}");
            for end in 0..bytes.len() {
                assert_eq!(inspect(&bytes[..end]), FirstBytes::Incomplete, "records of {size} cut at {end}");
            }
            let more = [&bytes[..], &[HANDSHAKE_RECORD, 3, 1, 0, 9]].concat();
            assert_eq!(inspect(&more), named("api.example.com"), "records of {size} and more");
        }
    }

    #[test]
    fn a_hello_without_a_name_has_none() {
        for extensions in [vec![], extension(16, &[1])] {
            assert_eq!(inspect(&records(&hello(&extensions), 9_000)), FirstBytes::ClientHello(None), "{extensions:?}");
        }
        let dotted = records(&hello(&name_extension(b"a.b.")), 9_000);
        assert_eq!(inspect(&dotted), named("a.b"), "servers leave the dot out");
    }

    #[test]
    fn a_hello_without_one_clear_name_is_unclear() {
        let doubled = vector(2, &[&[HOST_NAME][..], &vector(2, b"a.b"), &[HOST_NAME], &vector(2, b"c.d")].concat());
        for extensions in [
            name_extension(b""),
            name_extension(b"."),
            name_extension(b"a..b"),
            name_extension(b"a.b.."),
            name_extension(b"a b"),
            name_extension(b"a\0b"),
            name_extension(&[b'a'; 64]),
            name_extension("müller.de".as_bytes()),
            [name_extension(b"a.b"), name_extension(b"a.b")].concat(),
            extension(SERVER_NAME, &doubled),
            extension(SERVER_NAME, &[]),
            extension(SERVER_NAME, &vector(2, &[&[1][..], &vector(2, b"a.b")].concat())),
            // A length that goes past the end.
            vec![0, 0, 0xff, 0xff],
        ] {
            assert_eq!(inspect(&records(&hello(&extensions), 9_000)), FirstBytes::Unclear, "{extensions:?}");
        }
    }

    #[test]
    fn another_protocol_is_told_by_its_first_bytes() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"S", &[0, 0, 0, 8, 4, 210, 22, 47], &[22, b'A'], &[19, 3]] {
            assert_eq!(inspect(bytes), FirstBytes::Other, "{bytes:?}");
        }
        assert_eq!(inspect(b""), FirstBytes::Incomplete);
    }

    #[test]
    fn what_only_some_servers_take_for_tls_is_unclear() {
        let good = records(&hello(&name_extension(b"evil.example")), 9_000);
        let after = |begin: &[u8]| [begin, &good].concat();
        for bytes in [
            // A record without content, a warning, and a change of ciphers, before the greeting.
            after(&[22, 3, 1, 0, 0]),
            after(&[21, 3, 1, 0, 2, 1, 90]),
            after(&[20, 3, 1, 0, 1, 1]),
            // Versions of the first record that are passed over.
            [&[22, 2][..], &good[2..]].concat(),
            [&[22, 1][..], &good[2..]].concat(),
            // Another message of the handshake first, and a record that is too long.
            vec![22, 3, 1, 0, 1, 2],
            vec![22, 3, 1, 0xff, 0xff],
        ] {
            assert_eq!(inspect(&bytes), FirstBytes::Unclear, "{bytes:?}");
        }
    }

    #[test]
    fn a_hello_that_does_not_end_is_given_up() {
        let long = records(&hello(&extension(21, &[0; 20_000])), 4_000);
        assert_eq!(inspect(&long[..100]), FirstBytes::Unclear);
        let slow = records(&[CLIENT_HELLO, 0, 0x3f, 0xf0, 0], 1);
        assert_eq!(inspect(&slow), FirstBytes::Incomplete);
        // Records of one byte each: the headers count too.
        let padded = records(&hello(&extension(21, &[0; 9_000])), 1);
        assert_eq!(inspect(&padded[..CLIENT_HELLO_MAX]), FirstBytes::Unclear);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_a_name_is_always_a_host_name(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            valid in any::<bool>(),
        ) {
            if valid {
                bytes = records(&hello(&name_extension(b"a.example")), 50);
                for (place, byte) in changes {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            if let FirstBytes::ClientHello(Some(name)) = inspect(&bytes) {
                prop_assert!(is_host_name(name.as_bytes()));
            }
        }
    }
}
