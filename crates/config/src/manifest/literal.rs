//! Reads the literal of `export default { … }`, of `module.exports = { … }` or of a JSON file. Nothing is evaluated: whatever
//! is not a literal is refused, since a manifest is read on machines that must not run its code.
//!
//! What it takes: objects, arrays, strings, template literals without `${`, numbers, booleans, `null`, comments, trailing
//! commas; before them `import type`, behind them `as const` and `satisfies Type`.

use super::node::{Key, Node, Position, Value};
use super::problem::ManifestErrors;
use super::reader::shorten;
use super::syntax::DEPTH_MAX;

/// What stands around the literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The export of a module.
    Module,
    /// Nothing.
    Bare,
}

/// What is wrong, and where.
type Refusal = (Position, String);

/// Where reading stands.
struct Cursor<'t> {
    rest: &'t str,
    at: Position,
}

/// Reads a whole file.
pub(super) fn read(source: &str, text: &str, frame: Frame) -> Result<Node, ManifestErrors> {
    let mut cursor =
        Cursor { rest: text.strip_prefix('\u{feff}').unwrap_or(text), at: Position { line: 1, column: 1 } };
    cursor.file(frame).map_err(|(at, message)| ManifestErrors::whole(source, Some(at), message))
}

// === impl Cursor ===

impl Cursor<'_> {
    fn file(&mut self, frame: Frame) -> Result<Node, Refusal> {
        if frame == Frame::Module {
            self.opening()?;
        }
        let node = self.value(0)?;
        if frame == Frame::Module {
            self.closing()?;
        }
        self.trivia()?;
        match self.peek() {
            None => Ok(node),
            Some(_) => self.refuse("nothing may follow the configuration; it is read, never run"),
        }
    }

    /// Up to the object: `import type …;` and the export.
    fn opening(&mut self) -> Result<(), Refusal> {
        self.trivia()?;
        while self.rest.starts_with("import type ") {
            while self.peek().is_some_and(|letter| letter != ';' && letter != '\n') {
                self.take();
            }
            self.trivia_and(';')?;
        }
        let at = self.at;
        let exports: [&[&str]; 2] = [&["export", "default"], &["module", ".", "exports", "="]];
        for words in exports {
            if self.rest.starts_with(words[0]) {
                for word in words {
                    self.trivia()?;
                    if !self.skip(word) {
                        return self.refuse(format!("expected `{}`", words.join(" ")));
                    }
                }
                return Ok(());
            }
        }
        let message =
            "a configuration is one literal, `export default { … }` or `module.exports = { … }`; it is read, never run";
        Err((at, message.to_owned()))
    }

    /// `as const`, `satisfies Type` and the semicolon.
    fn closing(&mut self) -> Result<(), Refusal> {
        loop {
            self.trivia()?;
            if !(self.skip("as ") || self.skip("satisfies ")) {
                break;
            }
            self.trivia()?;
            while self.peek().is_some_and(|letter| is_of_name(letter) || letter == '.') {
                self.take();
            }
        }
        self.trivia_and(';')
    }

    /// Blanks and comments, then perhaps this sign.
    fn trivia_and(&mut self, sign: char) -> Result<(), Refusal> {
        self.trivia()?;
        if self.peek() == Some(sign) {
            self.take();
        }
        self.trivia()
    }

    fn value(&mut self, depth: usize) -> Result<Node, Refusal> {
        if depth > DEPTH_MAX {
            return self.refuse(format!("it is nested deeper than {DEPTH_MAX} levels; make it flatter"));
        }
        self.trivia()?;
        let at = self.at;
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some(quote @ ('"' | '\'' | '`')) => Value::Text(self.text(quote)?),
            Some('-' | '+' | '.' | '0'..='9') => self.number()?,
            Some(letter) if is_of_name(letter) => self.word()?,
            Some(_) => return self.refuse("expected a literal: text in quotes, a number, true, false, [ … ] or { … }"),
            None => return self.refuse("the file ends before the configuration does"),
        };
        Ok(Node { value, at: Some(at) })
    }

    fn object(&mut self, depth: usize) -> Result<Value, Refusal> {
        self.take();
        let mut rows: Vec<(Key, Node)> = Vec::new();
        loop {
            self.trivia()?;
            if self.peek() == Some('}') {
                self.take();
                return Ok(Value::Table(rows));
            }
            let key = self.key()?;
            if rows.iter().any(|(other, _)| other.text == key.text) {
                return Err((key.at.unwrap_or(self.at), format!("the key `{}` is there twice", shorten(&key.text))));
            }
            self.trivia()?;
            if self.peek() != Some(':') {
                let key = shorten(&key.text);
                return self
                    .refuse(format!("expected `:` and a literal behind `{key}`; functions and variables are not run"));
            }
            self.take();
            rows.push((key, self.value(depth + 1)?));
            self.comma('}')?;
        }
    }

    fn key(&mut self) -> Result<Key, Refusal> {
        let at = self.at;
        let text = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.text(quote)?,
            Some(letter) if is_of_name(letter) => self.name(),
            Some('.') => return self.refuse("`...` is code; write the keys out"),
            Some('[') => return self.refuse("a computed key is code; write the key itself"),
            None => return self.refuse("the file ends before the configuration does"),
            Some(_) => return self.refuse("expected a key"),
        };
        Ok(Key { text, at: Some(at) })
    }

    fn array(&mut self, depth: usize) -> Result<Value, Refusal> {
        self.take();
        let mut items = Vec::new();
        loop {
            self.trivia()?;
            if self.peek() == Some(']') {
                self.take();
                return Ok(Value::List(items));
            }
            items.push(self.value(depth + 1)?);
            self.comma(']')?;
        }
    }

    /// The comma behind an entry, which the last may have or not.
    fn comma(&mut self, end: char) -> Result<(), Refusal> {
        self.trivia()?;
        match self.peek() {
            Some(',') => {
                self.take();
                Ok(())
            }
            Some(found) if found == end => Ok(()),
            None => self.refuse("the file ends before the configuration does"),
            Some(_) => self
                .refuse(format!("expected `,` or `{end}`; only literals are read, so calls and operators do not work")),
        }
    }

    fn word(&mut self) -> Result<Value, Refusal> {
        let at = self.at;
        let word = self.name();
        match word.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" | "undefined" => Ok(Value::Null),
            _ => {
                let word = shorten(&word);
                Err((at, format!("`{word}` is code; a configuration holds literals only and is never run")))
            }
        }
    }

    fn number(&mut self) -> Result<Value, Refusal> {
        let at = self.at;
        let mut digits = String::new();
        while let Some(letter) = self.peek().filter(|c| c.is_ascii_alphanumeric() || "+-._".contains(*c)) {
            if letter != '_' {
                digits.push(letter);
            }
            self.take();
        }
        if let Ok(whole) = digits.parse::<i64>() {
            return Ok(Value::Int(whole));
        }
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err((at, "this is not a number that is understood; write it in decimal digits".to_owned())),
        }
    }

    fn text(&mut self, quote: char) -> Result<String, Refusal> {
        let began = self.at;
        self.take();
        let mut text = String::new();
        loop {
            let at = self.at;
            match self.take() {
                Some(letter) if letter == quote => return Ok(text),
                Some('\\') => self.escape(&mut text)?,
                Some('$') if quote == '`' && self.peek() == Some('{') => {
                    return Err((at, "`${` in a template literal is code; write the text in plain quotes".to_owned()));
                }
                Some('\n') if quote != '`' => return Err((began, "the text does not end on its line".to_owned())),
                Some(letter) => text.push(letter),
                None => return Err((began, "the text does not end".to_owned())),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), Refusal> {
        let at = self.at;
        let meant = match self.take() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some('\n') => return Ok(()),
            Some('u') => self.unicode().ok_or((at, "this is not a Unicode character".to_owned()))?,
            Some('x') => self.hex(2).and_then(char::from_u32).ok_or((at, "`\\x` wants two hex digits".to_owned()))?,
            Some(sign @ ('\\' | '/' | '"' | '\'' | '`' | '$')) => sign,
            _ => return Err((at, "this escape is not known".to_owned())),
        };
        text.push(meant);
        Ok(())
    }

    /// Behind `\u`: four hex digits, a pair of surrogates, or up to six in braces.
    fn unicode(&mut self) -> Option<char> {
        if self.peek() == Some('{') {
            self.take();
            let end = self.rest.find('}').filter(|end| (1..=6).contains(end))?;
            let code = self.hex(end)?;
            self.take();
            return char::from_u32(code);
        }
        let first = self.hex(4)?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first);
        }
        let second = self.skip("\\u").then(|| self.hex(4)).flatten().filter(|code| (0xDC00..0xE000).contains(code))?;
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let text = self.rest.get(..digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let number = u32::from_str_radix(text, 16).ok();
        self.skip(text);
        number
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(letter) = self.peek().filter(|letter| is_of_name(*letter)) {
            name.push(letter);
            self.take();
        }
        name
    }

    /// Skips blanks and comments.
    fn trivia(&mut self) -> Result<(), Refusal> {
        loop {
            if self.rest.starts_with("//") {
                while self.peek().is_some_and(|letter| letter != '\n') {
                    self.take();
                }
            } else if self.rest.starts_with("/*") {
                let began = self.at;
                while !self.skip("*/") {
                    if self.take().is_none() {
                        return Err((began, "the comment does not end".to_owned()));
                    }
                }
            } else if self.peek().is_some_and(char::is_whitespace) {
                self.take();
            } else {
                return Ok(());
            }
        }
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.rest.starts_with(word);
        if found {
            for _ in word.chars() {
                self.take();
            }
        }
        found
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.rest = &self.rest[letter.len_utf8()..];
        if letter == '\n' {
            self.at = Position { line: self.at.line.saturating_add(1), column: 1 };
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(letter)
    }

    fn refuse<T>(&self, message: impl Into<String>) -> Result<T, Refusal> {
        Err((self.at, message.into()))
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}
