//! Files of `KEY=VALUE` lines, as `.env` files have them, changed without touching what else is in them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::failure::Failure;

/// A file, line by line. Text that nothing was done to is written back as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EnvFile {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: String,
    /// Name and value, unless the line is blank or a comment.
    var: Option<(String, String)>,
}

// === impl EnvFile ===

impl EnvFile {
    /// Blank lines and `#` comments are left out; `export ` and one pair of quotes around a value are taken off. Within
    /// double quotes `\n`, `\r`, `\t`, `\"` and `\\` stand for what they do everywhere. Nothing is expanded.
    pub(crate) fn read(text: &str, name: &str) -> Result<Self, Failure> {
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            let var = if trimmed.is_empty() || trimmed.starts_with('#') {
                None
            } else {
                let pair = trimmed.strip_prefix("export ").unwrap_or(trimmed);
                // The line itself is not printed: it may hold what nobody should see.
                let Some((key, value)) = pair.split_once('=') else {
                    let at = index + 1;
                    return Err(Failure::usage(format!("{name}:{at}: this is not KEY=VALUE; put a # before comments")));
                };
                Some((key.trim().to_owned(), unquoted(value.trim())))
            };
            lines.push(Line { text: line.to_owned(), var });
        }
        Ok(Self { lines })
    }

    /// Names and values; of a name that stands there twice the last one counts.
    pub(crate) fn vars(&self) -> BTreeMap<String, String> {
        self.lines.iter().filter_map(|line| line.var.clone()).collect()
    }

    /// Sets a var where it stands, or at the end.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let line = Line { text: format!("{key}={}", quoted(value)), var: Some((key.to_owned(), value.to_owned())) };
        let is_of = |line: &&mut Line| line.var.as_ref().is_some_and(|(known, _)| known == key);
        match self.lines.iter_mut().rfind(is_of) {
            Some(known) if known.var == line.var => {}
            Some(known) => *known = line,
            None => self.lines.push(line),
        }
    }

    /// Names a secret in a comment, unless its var or such a comment is there.
    pub(crate) fn mention(&mut self, key: &str, secrets: &[String]) {
        let head = format!("# {key}=");
        let is_there = |line: &Line| match &line.var {
            Some((known, _)) => known == key,
            None => line.text.trim_start().starts_with(&head),
        };
        if !self.lines.iter().any(is_there) {
            self.lines.push(Line { text: format!("{head} (secret {})", secrets.join(", ")), var: None });
        }
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{}", line.text);
            text
        })
    }
}

fn unquoted(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return inner.to_owned();
    }
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        let escaped = if letter == '\\' { letters.clone().next().and_then(meaning) } else { None };
        if escaped.is_some() {
            letters.next();
        }
        text.push(escaped.unwrap_or(letter));
    }
    text
}

fn meaning(escaped: char) -> Option<char> {
    match escaped {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '"' | '\\' => Some(escaped),
        _ => None,
    }
}

/// A value as it is read back, and as shells and others read it too.
fn quoted(value: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&b);
    if value.bytes().all(is_plain) {
        return value.to_owned();
    }
    if !value.contains(['\'', '\n', '\r', '\t']) {
        return format!("'{value}'");
    }
    let escape = |letter: char| match letter {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '"' | '\\' => format!("\\{letter}"),
        other => other.to_string(),
    };
    format!("\"{}\"", value.chars().map(escape).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_they_are() {
        let text = "# a comment\n\nexport A=1\nB = \"two words\"\nC='x'\nD=a=b\nE=\nF=\"a\\nb\\x\\\\\"\nA=2\n";
        let file = EnvFile::read(text, "x.env").expect("good lines");
        let expected = [("A", "2"), ("B", "two words"), ("C", "x"), ("D", "a=b"), ("E", ""), ("F", "a\nb\\x\\")];
        assert_eq!(file.vars(), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert_eq!(file.text(), text);
        let failure = EnvFile::read("A=1\nsecret-text\n", "x.env").expect_err("no equals sign");
        assert!(failure.message.starts_with("x.env:2:") && !failure.message.contains("secret"), "{failure:?}");
    }

    #[test]
    fn what_others_wrote_stays() {
        let mut file = EnvFile::read("# mine\nLOCAL=1\n  export A='old' \n\n# end", "x").expect("good lines");
        file.set("A", "it's new");
        file.set("LOCAL", "1");
        file.set("B", "x");
        file.mention("KEY", &["STRIPE".to_owned()]);
        file.mention("KEY", &["STRIPE".to_owned()]);
        file.mention("LOCAL", &["OTHER".to_owned()]);
        assert_eq!(file.text(), "# mine\nLOCAL=1\nA=\"it's new\"\n\n# end\nB=x\n# KEY= (secret STRIPE)\n");
    }

    #[test]
    fn every_value_comes_back() {
        for value in ["", "a b", "it's", "\"", "\\", "a\nb\r\tc", "'\n\"\\n", "#x", " x ", "$HOME", "ä", "'a'"] {
            let mut file = EnvFile::default();
            file.set("A", value);
            let again = EnvFile::read(&file.text(), "x").expect("good lines");
            assert_eq!(again.vars()["A"], value, "{}", file.text());
        }
    }
}
