//! What a build writes, as far as it is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use faas_ports::BuildListener;

/// Lines that are kept; earlier ones are dropped.
const LINES_MAX: usize = 200;
/// Bytes of a line.
const LINE_MAX: usize = 1_000;
/// Lines that explain a failure.
const LAST_WORDS: usize = 10;
/// Remarks of the server's own.
const NOTES_MAX: usize = 8;

/// The last lines of a build, without secrets, and the server's remarks.
pub(super) struct Journal {
    lines: VecDeque<String>,
    notes: Vec<String>,
    secrets: Vec<String>,
    /// Hears each line when it comes.
    listener: Arc<dyn BuildListener>,
}

// === impl Journal ===

impl Journal {
    pub(super) fn new(secrets: Vec<String>, listener: Arc<dyn BuildListener>) -> Self {
        Self { lines: VecDeque::new(), notes: Vec::new(), secrets, listener }
    }

    /// Text from inside as it may be shown.
    pub(super) fn clean(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let hide = |line: String, secret: &String| line.replace(secret, "****");
        let mut line = self.secrets.iter().fold(text.trim_end().to_owned(), hide);
        line.retain(|c| !c.is_control());
        line.truncate(line.floor_char_boundary(LINE_MAX));
        line
    }

    /// Keeps a line that came from inside.
    pub(super) fn line(&mut self, bytes: &[u8]) {
        let line = self.clean(bytes);
        if line.is_empty() {
            return;
        }
        self.listener.line(&line);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Keeps a remark of the server's own, once.
    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < NOTES_MAX && !self.notes.contains(&note) {
            self.listener.line(&note);
            self.notes.push(note);
        }
    }

    /// What explains a failure: the server's remarks, then how the output ended.
    pub(super) fn last_words(&self) -> String {
        let skipped = self.lines.len().saturating_sub(LAST_WORDS);
        let words: Vec<&str> = self.notes.iter().chain(self.lines.iter().skip(skipped)).map(String::as_str).collect();
        words.join(" / ")
    }

    /// All that is kept.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.lines.drain(..).chain(self.notes.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_control_characters_are_left_out() {
        let mut journal = Journal::new(vec!["ci:s3cret".into(), "s3cret".into()], Arc::new(()));
        journal.line(b"looking at https://ci:s3cret@pkgs/simple with \x1b[31ms3cret\r\n");
        journal.line(b"   \n");
        journal.note("evil.example is not allowed".into());
        journal.note("evil.example is not allowed".into());
        let expected = "evil.example is not allowed / looking at https://****@pkgs/simple with [31m****";
        assert_eq!(journal.last_words(), expected);
    }

    #[test]
    fn only_the_end_is_kept() {
        let mut journal = Journal::new(Vec::new(), Arc::new(()));
        (0..1_000).for_each(|n| journal.line(format!("{n} {}", "ü".repeat(5_000)).as_bytes()));
        let lines = journal.take_lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines[0].starts_with("800 ") && lines.iter().all(|line| line.len() <= LINE_MAX));
    }
}
