//! The forms of keys that services hand out, so that one that lies where it does not belong can be told from other text.
//!
//! Only forms that hardly anything else has: a prefix of the service's own, then so many characters of an alphabet.

use std::ops::Range;

/// The form of a service's keys.
struct Form {
    service: &'static str,
    prefix: &'static str,
    /// Characters after the prefix at the least.
    rest_min: usize,
    alphabet: fn(u8) -> bool,
}

/// A key that was found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// What it is, such as `a GitHub token`.
    pub what: &'static str,
    /// Where it stands, in bytes.
    pub place: Range<usize>,
}

const fn form(service: &'static str, prefix: &'static str, rest_min: usize, alphabet: fn(u8) -> bool) -> Form {
    Form { service, prefix, rest_min, alphabet }
}

const FORMS: [Form; 28] = [
    form("an AWS access key", "AKIA", 16, is_upper),
    form("an AWS access key", "ASIA", 16, is_upper),
    form("an Anthropic key", "sk-ant-", 20, is_wide),
    form("an OpenAI key", "sk-proj-", 20, is_wide),
    form("a DigitalOcean token", "dop_v1_", 64, is_alphanumeric),
    form("a Function Cloud key", "faas_", 49, is_wide),
    form("a GitHub token", "ghp_", 36, is_alphanumeric),
    form("a GitHub token", "gho_", 36, is_alphanumeric),
    form("a GitHub token", "ghu_", 36, is_alphanumeric),
    form("a GitHub token", "ghs_", 36, is_alphanumeric),
    form("a GitHub token", "ghr_", 36, is_alphanumeric),
    form("a GitHub token", "github_pat_", 22, is_wide),
    form("a GitLab token", "glpat-", 20, is_wide),
    form("a Google API key", "AIza", 35, is_wide),
    form("a Hugging Face token", "hf_", 34, is_alphanumeric),
    form("an npm token", "npm_", 36, is_alphanumeric),
    form("a PyPI token", "pypi-AgE", 50, is_wide),
    form("a SendGrid key", "SG.", 60, is_dotted),
    form("a Shopify token", "shpat_", 32, is_alphanumeric),
    form("a Slack token", "xoxa-", 20, is_wide),
    form("a Slack token", "xoxb-", 20, is_wide),
    form("a Slack token", "xoxp-", 20, is_wide),
    form("a Slack token", "xoxr-", 20, is_wide),
    form("a Slack token", "xoxs-", 20, is_wide),
    form("a Stripe key", "rk_live_", 20, is_alphanumeric),
    form("a Stripe key", "sk_live_", 20, is_alphanumeric),
    form("a webhook's secret", "whsec_", 24, is_base64),
    form("a Vault token", "hvs.", 24, is_wide),
];

/// What encloses a private key in PEM.
const PEM: (&str, &str) = ("-----BEGIN ", "PRIVATE KEY-----");

fn is_upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

fn is_alphanumeric(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

fn is_wide(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

fn is_dotted(b: u8) -> bool {
    is_wide(b) || b == b'.'
}

fn is_base64(b: u8) -> bool {
    is_wide(b) || b"+/=".contains(&b)
}

/// The keys in a text, in order. Costs one pass for each form.
#[must_use]
pub fn find_keys(text: &str) -> Vec<FoundKey> {
    let mut found: Vec<FoundKey> = FORMS.iter().flat_map(|form| of_form(text, form)).collect();
    found.extend(private_keys(text));
    found.sort_by_key(|key| (key.place.start, key.place.end));
    found.dedup_by(|later, before| later.place.start < before.place.end);
    found
}

/// What a value looks like that belongs among the secrets: a key of a known form, or a URL with a password in it.
#[must_use]
pub fn looks_secret(value: &str) -> Option<&'static str> {
    match find_keys(value).first() {
        Some(key) => Some(key.what),
        None => has_password(value).then_some("a URL with a password"),
    }
}

fn of_form<'t>(text: &'t str, form: &'static Form) -> impl Iterator<Item = FoundKey> + 't {
    let bytes = text.as_bytes();
    text.match_indices(form.prefix).filter_map(move |(start, prefix)| {
        // Within a longer word it is chance.
        let is_inside = start.checked_sub(1).is_some_and(|before| is_wide(bytes[before]));
        let rest = &bytes[start + prefix.len()..];
        let length = rest.iter().take_while(|b| (form.alphabet)(**b)).count();
        let end = start + prefix.len() + length;
        (!is_inside && length >= form.rest_min).then_some(FoundKey { what: form.service, place: start..end })
    })
}

fn private_keys(text: &str) -> impl Iterator<Item = FoundKey> {
    let (begin, end) = PEM;
    text.match_indices(begin).filter_map(move |(start, _)| {
        let line = text[start..].lines().next()?;
        let length = line.find(end)? + end.len();
        Some(FoundKey { what: "a private key", place: start..start + length })
    })
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
    fn keys_are_told_from_other_text() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let text = format!("token = \"{token}\"; x_{token}; ghp_short; -----BEGIN RSA PRIVATE KEY-----");
        let found = find_keys(&text);
        let told: Vec<_> = found.iter().map(|key| (key.what, &text[key.place.clone()])).collect();
        assert_eq!(told, [("a GitHub token", token.as_str()), ("a private key", "-----BEGIN RSA PRIVATE KEY-----"),]);
        assert!(find_keys("-----BEGIN PUBLIC KEY----- AKIAIOSFODNN ask-anthropic sk-ant-no").is_empty());
    }

    #[test]
    fn passwords_in_urls_are_noticed_and_references_are_not() {
        for secret in ["postgres://u:pw@h/db", "https://a:b@c", "amqp://u:p@h:1/%2f?x=@"] {
            assert_eq!(looks_secret(secret), Some("a URL with a password"), "{secret}");
        }
        for plain in
            ["postgres://u@h", "http://h:80/a@b:c", "u:p@h", "postgres://u:${secrets.PW}@h", "https://h/?a:b@c"]
        {
            assert_eq!(looks_secret(plain), None, "{plain}");
        }
    }

    #[test]
    fn any_text_is_read() {
        for text in ["", "ghp_", "é-----BEGIN ", "://@:", "-----BEGIN \u{0}PRIVATE KEY-----", "AKIAé"] {
            let _ = (find_keys(text), looks_secret(text));
        }
    }
}
