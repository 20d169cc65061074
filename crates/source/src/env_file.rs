//! Files of `KEY=VALUE` lines, as `.env` files have them, changed without touching what else is in them.
//!
//! The dialect is that of `docker compose` without its expansion:
//!
//! - blank lines and lines that start with `#` are left out, and so is `export ` before a name;
//! - a value without quotes ends with its line or before a `#` that has a blank before it; blanks around it are not part of
//!   it;
//! - a value in quotes, single, double or backticks, ends with the same quote, be it on a later line; only a comment may
//!   follow. In double quotes `\n`, `\r`, `\t`, `\"` and `\\` stand for what they do everywhere, in the others nothing does;
//! - nothing is expanded.
//!
//! Whatever does not read so is an error: a value that was damaged on the way would be found too late.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context;
use faas_config::text_of;
use faas_terminal::failure::Failure;
use faas_types::limits;

/// Bytes of a file of vars: all that a function may have.
pub const VARS_FILE_MAX: u64 = limits::VARS_MAX as u64 * limits::VAR_VALUE_MAX as u64;

/// A file, entry by entry. Text that nothing was done to is written back as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvFile {
    lines: Vec<Line>,
}

/// A name and its value.
type Var = (String, String);

/// A line, or the lines of a quoted value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: String,
    /// Name and value, unless the line is blank or a comment.
    var: Option<Var>,
}

// === impl EnvFile ===

impl EnvFile {
    /// Reads a whole file; `name` names it in messages, which never quote it: it may hold secrets.
    pub fn read(text: &str, name: &str) -> Result<Self, Failure> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let (mut lines, mut rest, mut at) = (Vec::new(), text.as_str(), 1);
        while !rest.is_empty() {
            let (length, var) = entry(rest).map_err(|why| Failure::usage(format!("{name}:{at}: {why}")))?;
            let (own, after) = rest.split_at(length);
            at += own.matches('\n').count() + usize::from(after.starts_with('\n'));
            lines.push(Line { text: own.to_owned(), var });
            rest = after.strip_prefix('\n').unwrap_or(after);
        }
        Ok(Self { lines })
    }

    /// Names and values; of a name that stands there twice the last one counts.
    pub fn vars(&self) -> BTreeMap<String, String> {
        self.lines.iter().filter_map(|line| line.var.clone()).collect()
    }

    /// Sets a var where it stands, or at the end.
    pub fn set(&mut self, key: &str, value: &str) {
        let line = Line { text: format!("{key}={}", quoted(value)), var: Some((key.to_owned(), value.to_owned())) };
        let is_of = |line: &&mut Line| line.var.as_ref().is_some_and(|(known, _)| known == key);
        match self.lines.iter_mut().rfind(is_of) {
            Some(known) if known.var == line.var => {}
            Some(known) => *known = line,
            None => self.lines.push(line),
        }
    }

    /// Names a secret in a comment, unless its var or such a comment is there.
    pub fn mention(&mut self, key: &str, secrets: &[String]) {
        let head = format!("# {key}=");
        let is_there = |line: &Line| match &line.var {
            Some((known, _)) => known == key,
            None => line.text.trim_start().starts_with(&head),
        };
        if !self.lines.iter().any(is_there) {
            self.lines.push(Line { text: format!("{head} (secret {})", secrets.join(", ")), var: None });
        }
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{}", line.text);
            text
        })
    }
}

/// The first entry of a text: its length without the line end, and its name and value.
fn entry(text: &str) -> Result<(usize, Option<Var>), &'static str> {
    let line = text.split('\n').next().unwrap_or_default();
    let trimmed = line.trim_start();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok((line.len(), None));
    }
    let Some(equals) = line.find('=') else {
        return Err("this is not KEY=VALUE; put a # before comments");
    };
    let key = line[..equals].trim();
    let key = key.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(key).trim();
    if key.is_empty() {
        return Err("there is no name before the `=`");
    }
    let named = |value: String| Some((key.to_owned(), value));
    let value = line[equals + 1..].trim_start_matches([' ', '\t']);
    let begins = line.len() - value.len();
    match value.chars().next() {
        Some(quote @ ('"' | '\'' | '`')) => {
            let (length, value) = quoted_value(&text[begins + 1..], quote)?;
            let behind = text[begins + 1 + length..].split('\n').next().unwrap_or_default();
            if !behind.trim().is_empty() && !behind.trim_start().starts_with('#') {
                return Err("something stands behind the closing quote; put the whole value into the quotes");
            }
            Ok((begins + 1 + length + behind.len(), named(value)))
        }
        _ => Ok((line.len(), named(plain_value(&line[equals + 1..]).to_owned()))),
    }
}

/// What is before the closing quote, and the length of it with the quote.
fn quoted_value(text: &str, quote: char) -> Result<(usize, String), &'static str> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return Ok((at + 1, value));
        }
        let is_escape = letter == '\\' && quote == '"';
        let escaped = if is_escape { letters.clone().next().and_then(|(_, next)| meaning(next)) } else { None };
        if escaped.is_some() {
            letters.next();
        }
        value.push(escaped.unwrap_or(letter));
    }
    Err("the quote that opens here is not closed")
}

/// A value without quotes, and without the comment behind it.
fn plain_value(text: &str) -> &str {
    let comment = text.match_indices('#').find(|(at, _)| text[..*at].ends_with([' ', '\t']));
    comment.map_or(text, |(at, _)| &text[..at]).trim()
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

/// Reads a file of vars that the command line names, or standard input for `-`.
///
/// # Errors
/// It cannot be read, or is too large.
pub fn read_vars_file(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let outcome = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(VARS_FILE_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(VARS_FILE_MAX + 1).read_to_end(&mut bytes))
    };
    let text = outcome.and_then(|_| text_of(bytes)).with_context(|| format!("cannot read {}", path.display()))?;
    if text.len() as u64 > VARS_FILE_MAX {
        return Err(Failure::usage(format!("{} is larger than all vars together may be", path.display())).into());
    }
    Ok(text)
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
    fn comments_quotes_and_lines_are_those_of_other_programs() {
        let value =
            |text: &str| EnvFile::read(text, "x").expect(text).vars().remove("A").unwrap_or_else(|| panic!("{text}"));
        for (text, wanted) in [
            ("A=\"abc # def\" # note", "abc # def"),
            ("A=abc # a note", "abc"),
            ("A=abc#not", "abc#not"),
            ("A= # nothing", ""),
            ("A=#no-blank", "#no-blank"),
            ("A='it is' # ok", "it is"),
            ("A=it's", "it's"),
            ("A=`x # y`", "x # y"),
            ("A=`it's \"so\"\\n` # note", "it's \"so\"\\n"),
            ("A=x`y", "x`y"),
            ("A='a\\n'", "a\\n"),
            ("\u{feff}A=1", "1"),
            ("export\tA=1", "1"),
            ("exported=2\nA=1", "1"),
            ("A=\"-----BEGIN X-----\nabc\n-----END X-----\"\nB=1", "-----BEGIN X-----\nabc\n-----END X-----"),
            ("A=\"first\nYWJj==\nlast=\"", "first\nYWJj==\nlast="),
            ("A='a\n# no comment\nb' # one\n", "a\n# no comment\nb"),
            ("A=\"a\r\nb\"\r\n", "a\nb"),
            ("A=1 \r\n", "1"),
        ] {
            assert_eq!(value(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_unclear_is_an_error_and_not_quoted() {
        for (text, told) in [
            ("B=1\n\nA=\"secret\nB=2\n", "x.env:3: the quote that opens here is not closed"),
            ("A='secret", "x.env:1: the quote"),
            ("A=`secret", "x.env:1: the quote"),
            ("A=\"b\" secret", "x.env:1: something stands behind the closing quote"),
            ("A=\"x\ny\"\nsecret", "x.env:3: this is not KEY=VALUE"),
            ("=secret", "x.env:1: there is no name"),
        ] {
            let failure = EnvFile::read(text, "x.env").expect_err(text);
            assert!(failure.message.starts_with(told) && !failure.message.contains("secret"), "{failure:?}");
        }
    }

    #[test]
    fn a_value_of_several_lines_is_replaced_whole() {
        let mut file = EnvFile::read("A=\"1\n2\" # x\nB='3\n4'\n", "x").expect("good lines");
        file.set("A", "5");
        assert_eq!(file.text(), "A=5\nB='3\n4'\n");
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
