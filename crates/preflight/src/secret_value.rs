//! Values that belong among the secrets rather than the vars.

use crate::secrets;

/// What a value looks like that belongs among the secrets: a key of a known format, or a URL with a password in it.
#[must_use]
pub fn looks_secret(value: &str) -> Option<&'static str> {
    match secrets::find(value).first() {
        Some(secret) => Some(secret.what),
        None => has_password(value).then_some("a URL with a password"),
    }
}

/// Whether a URL's user has a password that stands there itself, and not a reference to a secret.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !password.contains("${"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_passwords_in_urls_are_noticed_and_references_are_not() {
        assert_eq!(looks_secret(&format!("ghp_{}", "a1B2".repeat(9))), Some("a GitHub token"));
        for secret in ["postgres://u:pw@h/db", "https://a:b@c", "amqp://u:p@h:1/%2f?x=@"] {
            assert_eq!(looks_secret(secret), Some("a URL with a password"), "{secret}");
        }
        for plain in [
            "postgres://u@h",
            "http://h:80/a@b:c",
            "u:p@h",
            "postgres://u:${secrets.PW}@h",
            "https://h/?a:b@c",
            "://@:",
        ] {
            assert_eq!(looks_secret(plain), None, "{plain}");
        }
    }
}
