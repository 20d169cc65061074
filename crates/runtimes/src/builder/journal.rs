//! What a build writes, as far as it is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use faas_ports::BuildListener;

use crate::recipe::Build;

/// Lines that are kept; earlier ones are dropped.
const LINES_MAX: usize = 200;
/// Bytes of a line.
const LINE_MAX: usize = 1_000;
/// Of the lines that explain a failure: those in which the installer itself says what is wrong, and those at the end.
const VERDICT_LINES: usize = 8;
const LAST_LINES: usize = 6;
/// Remarks of the server's own.
const NOTES_MAX: usize = 8;

/// How the installers of a language speak.
#[derive(Clone, Debug, Default)]
pub(super) struct Sayings {
    verdicts: Vec<String>,
    noise: Vec<String>,
}

/// The last lines of a build, without secrets, and the server's remarks.
pub(super) struct Journal {
    lines: VecDeque<String>,
    /// The first lines that say what is wrong, however many follow.
    verdict: Vec<String>,
    notes: Vec<String>,
    secrets: Vec<String>,
    sayings: Sayings,
    /// Hears each line when it comes.
    listener: Arc<dyn BuildListener>,
}

// === impl Sayings ===

impl Sayings {
    pub(super) fn of(build: &Build) -> Self {
        Self { verdicts: build.verdicts.clone(), noise: build.noise.clone() }
    }

    /// Whether a line has the form in which it is said what is wrong, and says something.
    fn is_verdict(&self, line: &str) -> bool {
        self.verdict(line).is_some_and(|said| !said.trim().is_empty()) && !self.is_noise(line)
    }

    fn verdict<'l>(&self, line: &'l str) -> Option<&'l str> {
        self.verdicts.iter().find_map(|start| line.trim_start().strip_prefix(start.as_str()))
    }

    fn is_noise(&self, line: &str) -> bool {
        self.noise.iter().any(|noise| line.contains(noise.as_str()))
    }
}

// === impl Journal ===

impl Journal {
    pub(super) fn new(secrets: Vec<String>, listener: Arc<dyn BuildListener>, sayings: Sayings) -> Self {
        Self { lines: VecDeque::new(), verdict: Vec::new(), notes: Vec::new(), secrets, sayings, listener }
    }

    /// Text from inside as it may be shown.
    pub(super) fn clean(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let hide = |line: String, secret: &String| line.replace(secret, "****");
        let mut line = self.secrets.iter().fold(text.trim_end().to_owned(), hide);
        line.retain(|c| !c.is_control());
        if line.len() > LINE_MAX {
            line.truncate(line.floor_char_boundary(LINE_MAX));
            line.push('…');
        }
        line
    }

    /// Keeps a line that came from inside.
    pub(super) fn line(&mut self, bytes: &[u8]) {
        let line = self.clean(bytes);
        if line.is_empty() {
            return;
        }
        self.listener.line(&line);
        if self.verdict.len() < VERDICT_LINES && self.sayings.is_verdict(&line) {
            self.verdict.push(line.clone());
        }
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

    /// What explains a failure, a line each: the server's remarks, what the installer says is wrong, how its output ended.
    pub(super) fn last_words(&self) -> String {
        let skipped = self.lines.len().saturating_sub(LAST_LINES);
        // Some installers write all they have to say in that form, and their usage at the end.
        let end = self.lines.iter().skip(skipped).filter(|line| self.sayings.verdict(line).is_none());
        let end = end.filter(|line| !self.sayings.is_noise(line));
        let words = self.notes.iter().chain(&self.verdict).chain(end);
        words.map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// All that is kept.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.lines.drain(..).chain(self.notes.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    /// How the installers of every language speak.
    fn sayings() -> Sayings {
        let builds: Vec<Build> = Recipe::all().into_iter().filter_map(|recipe| recipe.build).collect();
        let all = |of: fn(&Build) -> &Vec<String>| builds.iter().flat_map(of).cloned().collect();
        Sayings { verdicts: all(|build| &build.verdicts), noise: all(|build| &build.noise) }
    }

    #[test]
    fn secrets_and_control_characters_are_left_out() {
        let mut journal = Journal::new(vec!["ci:s3cret".into(), "s3cret".into()], Arc::new(()), sayings());
        journal.line(b"looking at https://ci:s3cret@pkgs/simple with \x1b[31ms3cret\r\n");
        journal.line(b"   \n");
        journal.note("evil.example is not allowed".into());
        journal.note("evil.example is not allowed".into());
        let expected = "evil.example is not allowed\nlooking at https://****@pkgs/simple with [31m****";
        assert_eq!(journal.last_words(), expected);
    }

    #[test]
    fn only_the_end_is_kept() {
        let mut journal = Journal::new(Vec::new(), Arc::new(()), sayings());
        (0..1_000).for_each(|n| journal.line(format!("{n} {}", "ü".repeat(5_000)).as_bytes()));
        let lines = journal.take_lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines[0].starts_with("800 ") && lines.iter().all(|line| line.len() <= LINE_MAX + '…'.len_utf8()));
    }

    #[test]
    fn what_the_installer_says_is_wrong_is_told_however_much_follows() {
        let mut journal = Journal::new(Vec::new(), Arc::new(()), sayings());
        journal.line(b"npm error code EUSAGE");
        journal.line(b"npm error Missing: left-pad@1.3.0 from lock file");
        (0..300).for_each(|n| journal.line(format!("npm error usage {n}").as_bytes()));
        journal.line(b"npm error A complete log of this run can be found in: /tmp/x");
        let words = journal.last_words();
        assert!(
            words.starts_with("npm error code EUSAGE\nnpm error Missing: left-pad@1.3.0 from lock file\n"),
            "{words}"
        );
        assert!(words.lines().count() == VERDICT_LINES && !words.contains("complete log"), "{words}");
        let mut journal = Journal::new(Vec::new(), Arc::new(()), sayings());
        journal.line(b"  error: subprocess-exited-with-error");
        (0..300).for_each(|n| journal.line(format!("      File {n}").as_bytes()));
        journal.line(b"      KeyError: 'version'");
        let words = journal.last_words();
        assert!(words.starts_with("  error: subprocess-exited-with-error\n") && words.ends_with("KeyError: 'version'"));
        assert_eq!(words.lines().count(), 1 + LAST_LINES);
    }
}
