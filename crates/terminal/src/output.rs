//! Where everything that is printed goes: data to standard output, the rest to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;
use crate::global_args::Format;
use crate::table::Table;
use crate::text::{visible, visible_json};

/// The two streams and what they are connected to.
#[derive(Clone, Debug)]
pub struct Output {
    /// How data is printed.
    pub format: Format,
    /// Whether a person reads standard error.
    pub stderr_tty: bool,
    /// Whether a person reads standard output.
    pub stdout_tty: bool,
    colours: bool,
}

/// What a piece of text means; colour follows from it.
#[derive(Clone, Copy, Debug)]
pub enum Tone {
    /// Something to look at.
    Warning,
    /// A failure.
    Bad,
    /// A detail of less weight.
    Faint,
}

/// Whether an error is a reader that went away, as `head` does: not a failure of ours.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

// === impl Output ===

impl Output {
    /// Looks at the streams and at `NO_COLOR`.
    pub fn detect(format: Format) -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { format, stderr_tty: io::stderr().is_terminal(), stdout_tty: io::stdout().is_terminal(), colours }
    }

    /// Columns of the terminal that shows the data; `None` where no person reads it.
    pub fn width(&self) -> Option<u16> {
        if self.stdout_tty { comfy_table::Table::new().width() } else { None }
    }

    /// A line of data.
    pub fn line(&self, text: impl Display) -> anyhow::Result<()> {
        let text = text.to_string();
        let text = if self.stdout_tty { shown(&text) } else { text };
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }

    /// Data as it is; on a terminal as text that does not steer it.
    pub fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.stdout_tty {
            stdout.write_all(shown(&String::from_utf8_lossy(bytes)).as_bytes())?;
        } else {
            stdout.write_all(bytes)?;
        }
        Ok(stdout.flush()?)
    }

    /// One JSON document: over several lines for `json`, on one for `ndjson`.
    pub fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Ndjson => serde_json::to_string(value)?,
            Format::Json | Format::Table => serde_json::to_string_pretty(value)?,
        };
        self.line(visible_json(&text))
    }

    /// One JSON document on one line, whatever the format.
    pub fn json_line(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line(visible_json(&serde_json::to_string(value)?))
    }

    /// A list: a table of its rows, the whole document as the API gives it, or one row a line.
    pub fn list<T: Serialize>(
        &self,
        document: &impl Serialize,
        rows: &[T],
        table: impl FnOnce(&[T]) -> Table,
    ) -> anyhow::Result<()> {
        match self.format {
            Format::Table if rows.is_empty() => Ok(()),
            Format::Table => self.bytes(table(rows).render().as_bytes()),
            Format::Json => self.json(document),
            Format::Ndjson => rows.iter().try_for_each(|row| self.json(row)),
        }
    }

    /// One thing: a table of its properties, or one JSON document.
    pub fn item<T: Serialize>(&self, item: &T, table: impl FnOnce(&T) -> Table) -> anyhow::Result<()> {
        match self.format {
            Format::Table => self.bytes(table(item).render().as_bytes()),
            Format::Json | Format::Ndjson => self.json(item),
        }
    }

    /// An act that leaves nothing to show: a remark for people, a document for programs.
    pub fn done(&self, remark: impl Display, report: &impl Serialize) -> anyhow::Result<()> {
        match self.format {
            Format::Table => {
                self.note(remark);
                Ok(())
            }
            Format::Json | Format::Ndjson => self.json(report),
        }
    }

    /// An act that the API answers without a body: a remark for people, nothing for programs.
    pub fn remark(&self, remark: impl Display) {
        if self.format == Format::Table {
            self.note(remark);
        }
    }

    /// A remark for a person; never data. A closed standard error is not worth a failure.
    pub fn note(&self, text: impl Display) {
        let _ = writeln!(io::stderr().lock(), "{}", shown(&text.to_string()));
    }

    /// A remark that only makes sense on a terminal.
    pub fn aside(&self, text: impl Display) {
        if self.stderr_tty {
            self.note(self.on_stderr(Tone::Faint, text));
        }
    }

    /// What to do about a list that is empty. Programs that read JSON see that it is.
    pub fn empty(&self, remark: impl Display) {
        self.remark(remark);
    }

    /// The last words of a command that failed: lines for people, one line of JSON for programs.
    pub fn failure(&self, failure: &Failure) {
        if self.format != Format::Table {
            let _ = writeln!(io::stderr().lock(), "{}", visible_json(&failure.to_json().to_string()));
            return;
        }
        self.note(format_args!("{}: {}", self.on_stderr(Tone::Bad, failure.head()), failure.message));
        failure.further_lines().iter().for_each(|line| self.note(line));
    }

    /// Text for standard output in the colour of its meaning, where there are colours.
    pub fn on_stdout(&self, tone: Tone, text: impl Display) -> String {
        paint(self.colours && self.stdout_tty, tone, text)
    }

    /// The same for standard error.
    pub fn on_stderr(&self, tone: Tone, text: impl Display) -> String {
        paint(self.colours && self.stderr_tty, tone, text)
    }
}

const WARNING: &str = "\x1b[33m";
const BAD: &str = "\x1b[1;31m";
const FAINT: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

fn paint(coloured: bool, tone: Tone, text: impl Display) -> String {
    let colour = match tone {
        Tone::Warning => WARNING,
        Tone::Bad => BAD,
        Tone::Faint => FAINT,
    };
    if coloured { format!("{colour}{text}{PLAIN}") } else { text.to_string() }
}

/// What a person may be shown: the colours of this program, and nothing else that steers a terminal.
fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        let (before, sequence) = rest.split_at(at);
        safe.push_str(&visible(before));
        let own = [WARNING, BAD, FAINT, PLAIN].into_iter().find(|colour| sequence.starts_with(colour));
        let length = own.map_or(1, str::len);
        safe.push_str(&own.map_or_else(|| visible(&sequence[..length]), str::to_owned));
        rest = &sequence[length..];
    }
    safe + &visible(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_colours_reach_a_terminal() {
        let painted = paint(true, Tone::Bad, "error");
        assert_eq!(shown(&painted), painted);
        let hostile = "\x1b]52;c;aGk=\x07\x1b[2J\x1b[8mhidden\u{9b}2J\x1b";
        let safe = shown(&format!("{painted}{hostile}"));
        assert_eq!(safe.matches('\x1b').count(), 2, "{safe:?}");
        assert!(!safe.contains(['\x07', '\u{9b}']), "{safe:?}");
    }
}
