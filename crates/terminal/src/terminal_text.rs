//! Text as a terminal may be shown it: what steers it, and what it would not show, is spelled out.

use icu_properties::props::{DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

const JOINER: char = '\u{200d}';
const AS_PICTURE: char = '\u{fe0f}';

/// Text in which every letter is seen: control characters, the C1 ones too, what has no shape (formats, tags, fillers,
/// selectors of variants) and what turns or breaks lines unseen are spelled out. Whatever is printed to a terminal passes
/// this in [`Output`](crate::output::Output).
pub fn visible(text: &str) -> String {
    escaped(text, |c, out| out.extend(c.escape_default()))
}

/// The same for the text of a JSON document, which means the same afterwards.
pub fn visible_json(text: &str) -> String {
    escaped(text, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> String {
    if text.chars().all(|c| c.is_ascii() && !is_unseen(c)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if is_unseen(c) && !is_of_picture(before, c, rest.clone().next()) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
        before = Some(c);
    }
    out
}

fn is_unseen(c: char) -> bool {
    match c {
        '\t' | '\n' => false,
        ' '..='~' => false,
        _ => {
            let category = CodePointMapData::<GeneralCategory>::new().get(c);
            let has_no_shape = matches!(
                category,
                GeneralCategory::Control
                    | GeneralCategory::Format
                    | GeneralCategory::LineSeparator
                    | GeneralCategory::ParagraphSeparator
            );
            has_no_shape || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        }
    }
}

/// Whether it is a part of a picture made of several letters, such as a family: between two of them, or behind one.
fn is_of_picture(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is_picture = |c: char| CodePointSetData::new::<ExtendedPictographic>().contains(c);
    let is_modifier = |c: char| c == AS_PICTURE || CodePointSetData::new::<EmojiModifier>().contains(c);
    match c {
        JOINER => before.is_some_and(|c| is_picture(c) || is_modifier(c)) && after.is_some_and(is_picture),
        AS_PICTURE => before.is_some_and(is_picture),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(visible("a\tb\x1b]0;x\x07\u{202e}"), "a\tb\\u{1b}]0;x\\u{7}\\u{202e}");
        let unseen = [
            0x9b, 0x7f, 0x0d, 0xad, 0x34f, 0x600, 0x61c, 0x70f, 0x115f, 0x17b4, 0x180e, 0x200b, 0x200c, 0x200d, 0x200e,
            0x200f, 0x2028, 0x2029, 0x202a, 0x2060, 0x2064, 0x2066, 0x206f, 0x3164, 0xfe00, 0xfe0f, 0xfeff, 0xffa0,
            0xfff9, 0x110bd, 0x1d173, 0xe0001, 0xe0041, 0xe007f, 0xe0100,
        ];
        for code in unseen {
            let text = char::from_u32(code).expect("a letter").to_string();
            assert_eq!(visible(&text), text.escape_default().to_string());
            assert!(visible(&format!("a{text}b")).starts_with("a\\"), "{text:?}");
            let json = serde_json::to_string(&text).expect("text");
            assert!(visible_json(&json).is_ascii(), "{text:?}");
            assert_eq!(serde_json::from_str::<String>(&visible_json(&json)).expect("JSON"), text);
        }
    }

    #[test]
    fn what_is_seen_stays() {
        for plain in
            ["ä\tß\n", "👩\u{200d}👧", "👩🏽\u{200d}💻", "❤\u{fe0f}", "🏳\u{fe0f}\u{200d}🌈", "日本", "न", "a\u{301}"]
        {
            assert_eq!(visible(plain), plain);
        }
        assert_eq!(visible("👩\u{200d}x"), "👩\\u{200d}x");
        assert_eq!(visible("1\u{fe0f}"), "1\\u{fe0f}");
    }
}
