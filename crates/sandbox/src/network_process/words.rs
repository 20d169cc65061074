//! What the process writes to its standard error, as the server's log takes it.
//!
//! It reads what strangers send and may have been taken over by one: what it writes is bounded in length and number, and
//! nothing in it can look like another line of the log.

use std::io::Read;
use std::time::{Duration, Instant};

/// No line is longer in the log.
const LINE_MAX: usize = 500;
/// Lines in a while; further ones are counted.
const LINES_MAX: u32 = 50;
const WHILE: Duration = Duration::from_secs(60);

/// Lines that may still be told.
struct Allowance {
    begun: Instant,
    told: u32,
    left_out: u64,
}

/// Reads to the end, and tells what there is to tell. Returns the last line.
pub(super) fn take_down(from: impl Read) -> String {
    relay(from, |line| tracing::warn!(line, "the network process writes"))
}

fn relay(mut from: impl Read, mut tell: impl FnMut(&str)) -> String {
    let mut allowance = Allowance { begun: Instant::now(), told: 0, left_out: 0 };
    let (mut line, mut last) = (Vec::new(), String::new());
    let mut part = [0; 4 << 10];
    loop {
        let count = match from.read(&mut part) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for byte in &part[..count] {
            match byte {
                b'\n' => finish(&mut line, &mut last, &mut allowance, &mut tell),
                _ if line.len() < LINE_MAX => line.push(*byte),
                // The rest of it is left out.
                _ => {}
            }
        }
    }
    finish(&mut line, &mut last, &mut allowance, &mut tell);
    last
}

fn finish(line: &mut Vec<u8>, last: &mut String, allowance: &mut Allowance, tell: &mut impl FnMut(&str)) {
    if line.is_empty() {
        return;
    }
    *last = String::from_utf8_lossy(line).escape_debug().collect();
    line.clear();
    if let Some(left_out) = allowance.one(Instant::now()) {
        if left_out > 0 {
            tell(&format!("({left_out} lines were left out)"));
        }
        tell(last);
    }
}

// === impl Allowance ===

impl Allowance {
    /// Whether one more line may be told, and how many were not before it.
    fn one(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.begun) > WHILE {
            (self.begun, self.told) = (now, 0);
        }
        if self.told == LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_escaped_and_the_last_one_is_kept() {
        let mut told = Vec::new();
        let text = [b"one\n\x1b[2Jtwo\r\0\n\n".as_slice(), &[b'x'; 9_000], b"\nthe last"].concat();
        let last = relay(&text[..], |line| told.push(line.to_owned()));
        assert_eq!(told[..2], ["one", "\\u{1b}[2Jtwo\\r\\0"]);
        assert_eq!((told[2].len(), told.len(), last.as_str()), (LINE_MAX, 4, "the last"));
        assert_eq!(relay(&b""[..], |_| panic!("nothing was written")), "");
    }

    #[test]
    fn a_flood_of_lines_is_counted_and_not_told() {
        let mut told = 0;
        assert_eq!(relay("again\n".repeat(100_000).as_bytes(), |_| told += 1), "again");
        assert_eq!(told, LINES_MAX);
        let mut allowance = Allowance { begun: Instant::now(), told: LINES_MAX, left_out: 0 };
        assert_eq!((allowance.one(Instant::now()), allowance.one(Instant::now())), (None, None));
        let later = Instant::now() + 2 * WHILE;
        assert_eq!((allowance.one(later), allowance.one(later)), (Some(2), Some(0)));
    }
}
