//! Removes secrets from what the platform keeps of a function's output: log lines, errors, results. A function can always
//! disguise a secret; this protects those that print one by mistake.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use faas_types::{Fault, FunctionError, SecretName, limits};

/// Bytes of all patterns of one instance. Beyond that, secrets are found only verbatim.
const PATTERNS_MAX: usize = 256 << 10;
/// Shorter lines of a multi-line secret are not secret by themselves.
const LINE_MIN: usize = 16;

/// Finds the secrets of one pool's instances, verbatim and in the forms that programs commonly print.
pub struct Redactor {
    automaton: AhoCorasick,
    /// The replacement of each pattern.
    marks: Vec<String>,
}

// === impl Redactor ===

impl Redactor {
    /// `None` when no secret is long enough.
    pub fn new<'a>(secrets: impl Iterator<Item = (&'a SecretName, &'a str)>) -> Option<Self> {
        let mut patterns: BTreeMap<String, String> = BTreeMap::new();
        let mut size = 0;
        for (name, secret) in secrets.filter(|(_, secret)| secret.trim().len() >= limits::REDACTED_MIN) {
            let mark = format!("[secret {name}]");
            patterns.insert(secret.trim().to_owned(), mark.clone());
            for form in forms(secret.trim()) {
                size += form.len();
                if size <= PATTERNS_MAX {
                    patterns.entry(form).or_insert_with(|| mark.clone());
                }
            }
        }
        let (patterns, marks): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostLongest).kind(Some(AhoCorasickKind::ContiguousNFA));
        let automaton = builder.build(&patterns).ok().filter(|_| !patterns.is_empty())?;
        Some(Self { automaton, marks })
    }

    /// The text without secrets.
    pub fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.automaton.is_match(text) {
            Cow::Owned(self.automaton.replace_all(text, &self.marks))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// Removes secrets from a text.
    pub fn clean_in_place(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.clean(text) {
            *text = clean;
        }
    }

    /// Removes secrets from an error of the function.
    pub fn error(&self, error: &mut FunctionError) {
        let FunctionError { kind, message, stack, file, snippet, hint, denial, .. } = error;
        let optional = [file, snippet, hint, denial].into_iter().flatten();
        [kind, message].into_iter().chain(stack).chain(optional).for_each(|text| self.clean_in_place(text));
    }

    /// The fault without secrets.
    pub fn fault(&self, mut fault: Fault) -> Fault {
        self.clean_in_place(&mut fault.message);
        fault.hint.iter_mut().for_each(|hint| self.clean_in_place(hint));
        for error in &mut fault.errors {
            self.clean_in_place(&mut error.message);
            error.value.iter_mut().for_each(|value| self.clean_in_place(value));
        }
        fault.function_error.iter_mut().for_each(|error| self.error(error));
        fault
    }
}

/// A secret as it looks inside JSON, a URL, base64, and line by line.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    if let Ok(quoted) = serde_json::to_string(secret) {
        forms.push(quoted[1..quoted.len() - 1].to_owned());
    }
    forms.push(escaped(secret));
    forms.push(percent_encoded(secret));
    for offset in 0..3 {
        forms.extend(in_base64(secret, offset));
    }
    if secret.contains('\n') {
        let lines = secret.lines().map(str::trim);
        forms.extend(lines.filter(|line| line.len() >= LINE_MIN && !line.starts_with("-----")).map(str::to_owned));
    }
    forms.retain(|form| form != secret && form.len() >= limits::REDACTED_MIN);
    forms
}

/// With every character beyond ASCII as `\uXXXX`, as Python's `json` writes it.
fn escaped(secret: &str) -> String {
    let mut text = String::with_capacity(secret.len());
    for c in secret.chars() {
        if c.is_ascii() {
            let quoted = serde_json::to_string(&c).unwrap_or_default();
            text.push_str(quoted.trim_start_matches('"').strip_suffix('"').unwrap_or(&quoted));
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    text
}

fn percent_encoded(secret: &str) -> String {
    let mut text = String::with_capacity(secret.len());
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The characters of base64 that a secret alone decides when it begins `offset` bytes into a group of three, such as
/// after the user's name in an `Authorization` header; in both alphabets.
fn in_base64(secret: &str, offset: usize) -> [String; 2] {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(secret.as_bytes());
    let first = (offset * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    let cut = |text: String| text.get(first..last).unwrap_or_default().to_owned();
    [cut(BASE64_STANDARD_NO_PAD.encode(&bytes)), cut(BASE64_URL_SAFE_NO_PAD.encode(&bytes))]
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn redactor(secrets: &[(&str, &str)]) -> Option<Redactor> {
        let named: Vec<(SecretName, &str)> =
            secrets.iter().map(|(name, value)| (name.parse().expect("a name"), *value)).collect();
        Redactor::new(named.iter().map(|(name, value)| (name, *value)))
    }

    #[test]
    fn secrets_are_found_in_the_forms_that_programs_print() {
        let secret = "p\"w/ä+9\\x~secret";
        let redactor = redactor(&[("PW", secret), ("LONGER", "p\"w/ä+9\\x~secret-and-more")]).expect("long enough");
        let json = serde_json::json!({ "a": secret }).to_string();
        let python_json = "{\"a\": \"p\\\"w/\\u00e4+9\\\\x~secret\"}";
        let basic = BASE64_STANDARD.encode(format!("user:{secret}"));
        let url = format!("postgres://u:{}@h", percent_encoded(secret));
        let texts = [format!("x{secret}y"), json, python_json.to_owned(), BASE64_STANDARD.encode(secret), basic, url];
        for text in texts {
            let clean = redactor.clean(&text);
            assert!(clean.contains("[secret PW]") && !clean.contains("secret\""), "{text}: {clean}");
        }
        assert_eq!(redactor.clean("p\"w/ä+9\\x~secret-and-more"), "[secret LONGER]");
        assert!(matches!(redactor.clean("nothing here"), Cow::Borrowed(_)));
    }

    #[test]
    fn every_offset_in_base64_is_found() {
        let redactor = redactor(&[("KEY", "correct-horse-battery")]).expect("long enough");
        for before in 0..9 {
            let text = BASE64_STANDARD.encode(format!("{}correct-horse-battery!", "u".repeat(before)));
            assert!(redactor.clean(&text).contains("[secret KEY]"), "{before}");
        }
    }

    #[test]
    fn lines_of_a_key_are_found_one_by_one() {
        let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n";
        let redactor = redactor(&[("PEM", pem)]).expect("long enough");
        assert_eq!(redactor.clean("AQEFAASCBKcwggSjAgEAAoIB"), "[secret PEM]");
        assert_eq!(redactor.clean("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
    }

    #[test]
    fn short_secrets_stay_and_large_ones_are_bounded() {
        assert!(redactor(&[("A", "1234567"), ("B", "")]).is_none());
        let large = "0123456789abcdef".repeat(2048);
        let secrets: Vec<(String, String)> = (0..20).map(|n| (format!("S{n}"), format!("{n}{large}"))).collect();
        let borrowed: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (&**name, &**value)).collect();
        let redactor = redactor(&borrowed).expect("long enough");
        assert_eq!(redactor.clean(&secrets[19].1), "[secret S19]");
    }
}
