//! Lines whose end has not been written.

use faas_types::limits::LOG_LINE_MAX;

use crate::LogEntry;

/// The beginnings of lines, at most one for each stream. A process that ends or is ended never writes the rest, and what
/// it wrote last is what is wanted most.
#[derive(Debug, Default)]
pub struct UnfinishedLines(Vec<LogEntry>);

// === impl UnfinishedLines ===

impl UnfinishedLines {
    /// Keeps the beginning of a line, or more of one that has begun. What is over the bound of a line is cut.
    pub fn extend(&mut self, part: LogEntry) {
        match self.0.iter_mut().find(|line| line.stream == part.stream) {
            Some(line) => append(&mut line.message, &part.message),
            None => self.0.push(part),
        }
    }

    /// The whole line that `entry` ends.
    #[must_use]
    pub fn complete(&mut self, entry: LogEntry) -> LogEntry {
        let Some(index) = self.0.iter().position(|line| line.stream == entry.stream) else {
            return entry;
        };
        let mut message = self.0.swap_remove(index).message;
        append(&mut message, &entry.message);
        LogEntry { message, ..entry }
    }

    /// What is there, as lines: nothing follows.
    #[must_use]
    pub fn take(&mut self) -> Vec<LogEntry> {
        std::mem::take(&mut self.0)
    }
}

fn append(line: &mut String, part: &str) {
    let room = LOG_LINE_MAX.saturating_sub(line.len());
    line.push_str(&part[..part.floor_char_boundary(room)]);
}

#[cfg(test)]
mod tests {
    use faas_types::{LogLevel, LogStream, Timestamp};

    use super::*;

    fn entry(stream: LogStream, message: &str) -> LogEntry {
        LogEntry { at: Timestamp::default(), level: LogLevel::Info, stream, message: message.to_owned() }
    }

    #[test]
    fn parts_make_one_line_of_their_stream() {
        let mut lines = UnfinishedLines::default();
        lines.extend(entry(LogStream::Stdout, "a"));
        lines.extend(entry(LogStream::Stderr, "x"));
        lines.extend(entry(LogStream::Stdout, "b"));
        assert_eq!(lines.complete(entry(LogStream::Logger, "other")).message, "other");
        assert_eq!(lines.complete(entry(LogStream::Stdout, "c")).message, "abc");
        assert_eq!(lines.complete(entry(LogStream::Stdout, "d")).message, "d");
        assert_eq!(lines.take(), [entry(LogStream::Stderr, "x")]);
        assert_eq!(lines.take(), []);
    }

    #[test]
    fn a_line_keeps_to_its_bound_at_a_character() {
        let mut lines = UnfinishedLines::default();
        lines.extend(entry(LogStream::Stdout, &"x".repeat(LOG_LINE_MAX - 1)));
        lines.extend(entry(LogStream::Stdout, "é"));
        lines.extend(entry(LogStream::Stdout, &"y".repeat(9)));
        assert_eq!(lines.take()[0].message.len(), LOG_LINE_MAX);
    }
}
