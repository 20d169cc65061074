//! References to secrets in the values of vars: `${secrets.NAME}`, alone or within text.

use crate::SecretName;

const OPEN: &str = "${secrets.";
/// What stands for [`OPEN`] as plain text.
const ESCAPED: &str = "$${secrets.";

/// A part of a var's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VarPart<'a> {
    /// Text as it stands.
    Text(&'a str),
    /// The value of a secret.
    Secret(SecretName),
}

/// Why a value is not one: a reference in it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a reference to a secret is written ${{secrets.NAME}}, with a name of A-Z, a-z, 0-9 and _; write $${{secrets. for plain text"
)]
pub struct InvalidSecretRef;

/// Takes a var's value apart. Text without a reference is one part.
///
/// # Errors
/// Where a reference is not closed or its name is none.
pub fn var_parts(value: &str) -> Result<Vec<VarPart<'_>>, InvalidSecretRef> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find(OPEN) {
        let is_escaped = rest[..at].ends_with('$');
        if is_escaped {
            // The first dollar sign goes, what follows it stays.
            push(&mut parts, &rest[..at - 1]);
            push(&mut parts, OPEN);
            rest = &rest[at - 1 + ESCAPED.len()..];
            continue;
        }
        push(&mut parts, &rest[..at]);
        let (name, after) = rest[at + OPEN.len()..].split_once('}').ok_or(InvalidSecretRef)?;
        parts.push(VarPart::Secret(name.parse().map_err(|_| InvalidSecretRef)?));
        rest = after;
    }
    push(&mut parts, rest);
    Ok(parts)
}

/// The secrets that a value refers to. What cannot be read refers to none.
pub fn secret_refs(value: &str) -> impl Iterator<Item = SecretName> {
    let parts = if value.contains(OPEN) { var_parts(value).unwrap_or_default() } else { Vec::new() };
    parts.into_iter().filter_map(|part| match part {
        VarPart::Secret(name) => Some(name),
        VarPart::Text(_) => None,
    })
}

fn push<'a>(parts: &mut Vec<VarPart<'a>>, text: &'a str) {
    if !text.is_empty() {
        parts.push(VarPart::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: &str) -> Result<String, InvalidSecretRef> {
        let parts = var_parts(value)?.into_iter().map(|part| match part {
            VarPart::Text(text) => text.to_owned(),
            VarPart::Secret(name) => format!("<{name}>"),
        });
        Ok(parts.collect())
    }

    #[test]
    fn references_are_found_within_text() {
        let cases = [
            ("${secrets.API_KEY}", "<API_KEY>"),
            ("postgres://u:${secrets.PW}@h/${secrets.DB}", "postgres://u:<PW>@h/<DB>"),
            ("$${secrets.PW}", "${secrets.PW}"),
            ("$$${secrets.PW}", "$${secrets.PW}"),
            ("${other} $$ ${ $${x}", "${other} $$ ${ $${x}"),
            ("", ""),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value).as_deref(), Ok(expected), "{value}");
        }
        for bad in ["${secrets.}", "${secrets.A", "${secrets.a-b}", "${secrets.1}", "x ${secrets.A B} }"] {
            assert_eq!(text(bad), Err(InvalidSecretRef), "{bad}");
        }
        assert_eq!(secret_refs("${secrets.A}${secrets.B}").count(), 2);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_without_a_loss(value in "[$a-c{}.]{0,12}|(\\$|\\{|\\}|secrets\\.|\\$\\{secrets\\.|A){0,8}") {
            if let Ok(told) = text(&value) {
                prop_assert!(value.contains(OPEN) || told == value);
            }
        }
    }
}
