//! What a push asks for: the lines before its pack, and the answer to one that is refused before git sees it.

use axum::body::BodyDataStream;
use bytes::{BufMut, Bytes, BytesMut};
use faas_types::{Code, Fault};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

/// Bytes of the lines of one push.
const COMMANDS_MAX: usize = 1 << 20;
/// Bytes of a line's length, in hexadecimal; they count.
const LENGTH: usize = 4;
/// What ends the lines.
const FLUSH: &[u8] = b"0000";
/// Bytes of text in one packet of an answer.
const TEXT_MAX: usize = 900;
/// Channels of an answer in several: the report of what became of each ref, and what git shows to the user who pushes.
const REPORT: u8 = 1;
const SHOWN: u8 = 2;

/// The lines before a pack.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Commands {
    /// All that was read, which may hold the beginning of the pack.
    pub(super) head: Bytes,
    refs: Vec<Vec<u8>>,
    /// Whether a ref comes or moves; otherwise all are deleted.
    pub(super) brings: bool,
    capabilities: Vec<u8>,
}

// === impl Commands ===

impl Commands {
    /// Reads up to the end of the lines.
    ///
    /// # Errors
    /// `FN_012` for what is no push, `FN_011` for more lines than a push may have.
    pub(super) async fn read(body: &mut BodyDataStream, deadline: Instant) -> Result<Self, Fault> {
        let (mut head, mut commands, mut read) = (BytesMut::new(), Self::default(), 0);
        loop {
            if commands.follow(&head, &mut read)? {
                return Ok(Self { head: head.freeze(), ..commands });
            }
            if head.len() > COMMANDS_MAX {
                let message = format!("a push may change refs with {} KB of names", COMMANDS_MAX >> 10);
                return Err(Fault::new(Code::PayloadTooLarge, message).with_hint("push fewer branches at once"));
            }
            match timeout_at(deadline, body.next()).await {
                Ok(Some(Ok(chunk))) => head.extend_from_slice(&chunk),
                _ => return Err(Fault::new(Code::BadRequest, "the push broke off before its pack")),
            }
        }
    }

    /// Takes the lines that are whole, from `read` on; whether all are there. Each is looked at once, however small the parts
    /// are in which they come.
    fn follow(&mut self, bytes: &[u8], read: &mut usize) -> Result<bool, Fault> {
        loop {
            let Some((length, after)) = bytes[*read..].split_at_checked(LENGTH) else { return Ok(false) };
            if length == FLUSH {
                return Ok(true);
            }
            let length = std::str::from_utf8(length).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
            let length = length.and_then(|length| length.checked_sub(LENGTH));
            let length = length.ok_or_else(|| Fault::new(Code::BadRequest, "this is no push of git"))?;
            let Some(line) = after.get(..length) else { return Ok(false) };
            self.take(line);
            *read += LENGTH + length;
        }
    }

    /// A line `old new ref`, the first with what the client understands behind a zero byte. Others are for git alone.
    fn take(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (command, capabilities) = match line.iter().position(|byte| *byte == 0) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        if !capabilities.is_empty() {
            self.capabilities = capabilities.to_vec();
        }
        let mut words = command.splitn(3, |byte| *byte == b' ');
        let (Some(_), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
            // As of a clone without all history: git looks at it, and it brings a pack.
            self.brings = true;
            return;
        };
        self.brings |= new.iter().any(|byte| *byte != b'0');
        self.refs.push(name.to_vec());
    }

    /// Whether nothing is asked for. git sends that before a large push, to see whether it is let in.
    pub(super) fn is_probe(&self) -> bool {
        self.refs.is_empty() && !self.brings
    }

    /// The answer that refuses all: what is wrong, as git shows it, and that no ref has changed.
    pub(super) fn refusal(&self, fault: &Fault) -> Bytes {
        let understands = |word: &[u8]| self.capabilities.split(|byte| *byte == b' ').any(|one| one == word);
        let mut report = BytesMut::new();
        if understands(b"report-status") || understands(b"report-status-v2") {
            packet(&mut report, &[b"unpack refused\n"]);
            for name in &self.refs {
                packet(&mut report, &[b"ng ", name, b" refused\n"]);
            }
            report.put_slice(FLUSH);
        }
        if !understands(b"side-band-64k") {
            return report.freeze();
        }
        let mut answer = BytesMut::new();
        let hint = fault.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        let text = format!("error[{}]: {}{hint}\n", fault.code, fault.message);
        for (channel, bytes) in [(SHOWN, text.as_bytes()), (REPORT, &report[..])] {
            bytes.chunks(TEXT_MAX).for_each(|part| packet(&mut answer, &[&[channel], part]));
        }
        answer.put_slice(FLUSH);
        answer.freeze()
    }
}

/// A packet with these bytes, which are short.
fn packet(into: &mut BytesMut, parts: &[&[u8]]) {
    let length = LENGTH + parts.iter().map(|part| part.len()).sum::<usize>();
    into.put_slice(format!("{length:04x}").as_bytes());
    parts.iter().for_each(|part| into.put_slice(part));
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1111111111111111111111111111111111111111";

    fn line(text: &str) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        packet(&mut bytes, &[text.as_bytes()]);
        bytes.to_vec()
    }

    async fn read(bytes: Vec<u8>) -> Result<Commands, Fault> {
        // In small parts, as a slow connection brings them.
        let parts: Vec<_> = bytes.chunks(7).map(|part| Ok::<_, std::io::Error>(Bytes::copy_from_slice(part))).collect();
        let body = Body::from_stream(futures_util::stream::iter(parts));
        Commands::read(&mut body.into_data_stream(), Instant::now() + std::time::Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn what_a_push_asks_for_is_read_up_to_its_pack() {
        let first = line(&format!("{ZERO} {ONE} refs/heads/main\0 report-status side-band-64k agent=git/2"));
        let second = line(&format!("{ONE} {ZERO} refs/heads/old"));
        let both = read([&first[..], &second, FLUSH, b"PACK"].concat()).await.expect("a push");
        assert!(both.brings && !both.is_probe());
        assert!(both.head.ends_with(b"0000PACK"), "what is read is handed on");
        let deletion = read([&second[..], FLUSH].concat()).await.expect("a push");
        assert!(!deletion.brings && !deletion.is_probe());
        assert!(read(FLUSH.to_vec()).await.expect("a probe").is_probe());
        for bad in [&b"GET "[..], b"0003", b"", &first] {
            assert_eq!(read(bad.to_vec()).await.expect_err("no push").code, Code::BadRequest);
        }
        let endless = read(second.repeat(COMMANDS_MAX / second.len() + 2)).await.expect_err("too many lines");
        assert_eq!(endless.code, Code::PayloadTooLarge);
        let shallow = read([&line(&format!("shallow {ONE}"))[..], FLUSH].concat()).await.expect("a push");
        assert!(shallow.brings);
    }

    #[tokio::test]
    async fn a_refusal_says_why_and_names_each_ref() {
        let first = line(&format!("{ZERO} {ONE} refs/heads/main\0report-status side-band-64k"));
        let push = read([&first[..], FLUSH].concat()).await.expect("a push");
        let answer = push.refusal(&Fault::new(Code::StorageFull, "no room").with_hint("delete a branch"));
        let shown = b"0032\x02error[FN_018]: no room\nhint: delete a branch\n";
        assert!(answer.starts_with(shown), "{answer:?}");
        let report = b"0013unpack refused\n001fng refs/heads/main refused\n0000";
        assert!(answer.ends_with(&[&report[..], FLUSH].concat()), "{answer:?}");
        let plain = Commands { capabilities: b"report-status".to_vec(), ..push };
        assert_eq!(plain.refusal(&Fault::internal("x")), report[..]);
    }
}
