//! The secret scanner: formats of secrets that can be recognised in other text.

use std::sync::OnceLock;

use regex::{Regex, RegexSet};

use crate::location::line_and_column;

/// On a line, marks its matches as harmless.
pub const ALLOW_MARK: &str = "faas:allow-secret";
/// Matches that are reported for one text.
const FOUND_MAX: usize = 100;
/// Letters of a secret that are shown.
const SHOWN: usize = 4;
/// Real secrets are random; what has fewer different characters is a placeholder.
const VARIETY_MIN: usize = 8;

/// Something that looks like a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretMatch {
    /// The rule's name, such as `github-token`.
    pub rule: &'static str,
    /// What it seems to be, for people.
    pub what: &'static str,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// Its beginning and its length; never enough to use it.
    pub masked: String,
}

struct Rule {
    name: &'static str,
    what: &'static str,
    /// A text without any of these cannot match, which is cheaper to see.
    hints: &'static [&'static str],
    /// The group `s` is the secret, where there is one; else the whole match.
    pattern: &'static str,
}

/// The formats, from their issuers' documentation. Only those with a fixed beginning or context: a guess by randomness
/// alone would refuse hashes.
const RULES: &[Rule] = &[
    Rule {
        name: "aws-access-key",
        what: "an AWS access key id",
        hints: &["AKIA", "ASIA"],
        pattern: r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b",
    },
    Rule {
        name: "aws-secret-key",
        what: "an AWS secret access key",
        hints: &["aws", "AWS", "Aws"],
        pattern: r#"(?i)aws[a-z0-9_.\-]{0,20}secret[a-z0-9_.\-]{0,20}["']?\s*(?:=>|=|:)\s*["']?(?P<s>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
    },
    Rule {
        name: "github-token",
        what: "a GitHub token",
        hints: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        pattern: r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b",
    },
    Rule { name: "gitlab-token", what: "a GitLab token", hints: &["glpat-"], pattern: r"\bglpat-[A-Za-z0-9_\-]{20,}" },
    Rule {
        name: "slack-token",
        what: "a Slack token",
        hints: &["xox", "xapp-"],
        pattern: r"\b(?:xox[abeoprs]-[A-Za-z0-9\-]{20,}|xapp-[0-9]-[A-Za-z0-9\-]{20,})",
    },
    Rule {
        name: "slack-webhook",
        what: "a Slack webhook URL",
        hints: &["hooks.slack.com"],
        pattern: r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9/]{16,}",
    },
    Rule {
        name: "stripe-key",
        what: "a live Stripe key",
        hints: &["k_live_"],
        pattern: r"\b[rs]k_live_[A-Za-z0-9]{16,}\b",
    },
    Rule {
        name: "webhook-secret",
        what: "a webhook's signing secret",
        hints: &["whsec_"],
        pattern: r"\bwhsec_[A-Za-z0-9+/]{32,}",
    },
    Rule {
        name: "google-api-key",
        what: "a Google API key",
        hints: &["AIza"],
        pattern: r"\bAIza[A-Za-z0-9_\-]{35}(?:[^A-Za-z0-9_\-]|$)",
    },
    Rule {
        name: "google-oauth-secret",
        what: "a Google OAuth client secret",
        hints: &["GOCSPX-"],
        pattern: r"\bGOCSPX-[A-Za-z0-9_\-]{28}",
    },
    Rule {
        name: "private-key",
        what: "a private key",
        hints: &["PRIVATE KEY"],
        // A bare heading, as programs that read keys have it, is not a key.
        pattern: r#"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\\r|\\n|[\s"'+,]){1,40}(?:[A-Za-z\-]{3,20}: [^\n]{1,100}\n\s*){0,4}[A-Za-z0-9+/=]{40}"#,
    },
    Rule {
        name: "faas-key",
        what: "an API key of Function Cloud",
        hints: &["faas_"],
        pattern: r"\bfaas_[A-Za-z0-9_\-]{49}(?:[^A-Za-z0-9_\-]|$)",
    },
    Rule {
        name: "jwt",
        what: "a signed JSON web token",
        hints: &["eyJ"],
        pattern: r"\beyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{20,}",
    },
    Rule { name: "npm-token", what: "an npm token", hints: &["npm_"], pattern: r"\bnpm_[A-Za-z0-9]{36}\b" },
    Rule {
        name: "npm-token",
        what: "an npm token",
        hints: &["_authToken"],
        pattern: r"_authToken\s*=\s*(?P<s>[A-Za-z0-9_\-]{32,})",
    },
    Rule { name: "pypi-token", what: "a PyPI token", hints: &["pypi-"], pattern: r"\bpypi-AgE[A-Za-z0-9_\-]{50,}" },
    Rule {
        name: "openai-key",
        what: "an OpenAI key",
        hints: &["sk-"],
        pattern: r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_\-]{40,}|[A-Za-z0-9]{48}\b|[A-Za-z0-9_\-]{20,}T3BlbkFJ[A-Za-z0-9_\-]{20,})",
    },
    Rule {
        name: "anthropic-key",
        what: "an Anthropic key",
        hints: &["sk-ant-"],
        pattern: r"\bsk-ant-[A-Za-z0-9_\-]{32,}",
    },
    Rule { name: "huggingface-token", what: "a Hugging Face token", hints: &["hf_"], pattern: r"\bhf_[A-Za-z]{34,}\b" },
    Rule {
        name: "sendgrid-key",
        what: "a SendGrid key",
        hints: &["SG."],
        pattern: r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}",
    },
    Rule {
        name: "digitalocean-token",
        what: "a DigitalOcean token",
        hints: &["_v1_"],
        pattern: r"\bdo[opr]_v1_[0-9a-f]{64}\b",
    },
    Rule { name: "shopify-token", what: "a Shopify token", hints: &["shpat_"], pattern: r"\bshpat_[A-Fa-f0-9]{32}\b" },
    Rule { name: "vault-token", what: "a Vault token", hints: &["hvs."], pattern: r"\bhvs\.[A-Za-z0-9_\-]{24,}" },
];

/// The names of all rules.
pub(crate) fn rules() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.name)
}

/// The first 100 places of a text that look like secrets, in order. Lines with [`ALLOW_MARK`] are skipped.
#[must_use]
pub fn find(text: &str) -> Vec<SecretMatch> {
    let mut found: Vec<(usize, SecretMatch)> = Vec::new();
    // One pass for the hints of all rules: most texts have none.
    for at in hints().matches(text) {
        let (rule, pattern) = (&RULES[at], &patterns()[at]);
        let compile = || Regex::new(rule.pattern).expect("constant, and every rule has a test");
        for groups in pattern.get_or_init(compile).captures_iter(text).take(FOUND_MAX) {
            let Some(matched) = groups.name("s").or_else(|| groups.get(0)) else { continue };
            if is_placeholder(matched.as_str()) || line_of(text, matched.start()).contains(ALLOW_MARK) {
                continue;
            }
            found.push((matched.start(), secret(rule, text, matched.start(), matched.as_str())));
        }
    }
    found.sort_by_key(|(at, _)| *at);
    // An Anthropic key may be taken for another one by its beginning; one finding is enough.
    found.dedup_by_key(|(at, _)| *at);
    found.truncate(FOUND_MAX);
    found.into_iter().map(|(_, secret)| secret).collect()
}

/// Which rules a text can match at all.
fn hints() -> &'static RegexSet {
    static HINTS: OnceLock<RegexSet> = OnceLock::new();
    HINTS.get_or_init(|| {
        let any = |rule: &Rule| rule.hints.iter().map(|hint| regex::escape(hint)).collect::<Vec<_>>().join("|");
        RegexSet::new(RULES.iter().map(any)).expect("escaped text is a pattern")
    })
}

/// Where the compiled pattern of each rule is kept, once a text has needed it.
fn patterns() -> &'static [OnceLock<Regex>] {
    static PATTERNS: OnceLock<Vec<OnceLock<Regex>>> = OnceLock::new();
    PATTERNS.get_or_init(|| RULES.iter().map(|_| OnceLock::new()).collect())
}

fn secret(rule: &Rule, text: &str, start: usize, matched: &str) -> SecretMatch {
    let (line, column) = line_and_column(text, start);
    SecretMatch { rule: rule.name, what: rule.what, line, column, masked: mask(rule, matched) }
}

fn mask(rule: &Rule, matched: &str) -> String {
    if rule.name == "private-key" {
        return "-----BEGIN … PRIVATE KEY-----".to_owned();
    }
    let shown: String = matched.chars().take(SHOWN).collect();
    format!("{shown}… of {} characters", matched.chars().count())
}

/// What documentation has in the place of a key.
fn is_placeholder(matched: &str) -> bool {
    let upper = matched.to_ascii_uppercase();
    let mut letters: Vec<char> = matched.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    letters.len() < VARIETY_MIN || upper.contains("EXAMPLE") || upper.contains("XXXXXX")
}

fn line_of(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something random enough of `length` letters, so that no real-looking key stands in this file.
    fn letters(alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..length).map(|n| alphabet[(n * 7 + n / alphabet.len() + 3) % alphabet.len()]).collect()
    }

    fn samples() -> Vec<(&'static str, String)> {
        let any = |length| letters("abcdefghijkmnopqrstuvwyzABCDEFGHJKMNPQRSTUVWYZ0123456789", length);
        let alpha = |length| letters("abcdefghijkmnopqrstuvwyzABCDEFGHJKMNPQRSTUVWYZ", length);
        let upper = |length| letters("ABCDEFGHIJKLMNOPQRSTUVWYZ234567", length);
        vec![
            ("aws-access-key", format!("AKIA{}", upper(16))),
            ("aws-secret-key", format!("AWS_SECRET_ACCESS_KEY = \"{}\"", any(40))),
            ("aws-secret-key", format!("{{\"awsSecretAccessKey\": \"{}\"}}", any(40))),
            ("github-token", format!("ghp_{}", any(36))),
            ("github-token", format!("github_pat_{}_{}", any(22), any(59))),
            ("gitlab-token", format!("glpat-{}", any(20))),
            ("slack-token", format!("xoxb-{}", any(40))),
            ("slack-webhook", format!("https://hooks.slack.com/services/T{}/B{}/{}", upper(8), upper(8), any(24))),
            ("stripe-key", format!("sk_live_{}", any(24))),
            ("webhook-secret", format!("whsec_{}", any(32))),
            ("google-api-key", format!("AIza{}", any(35))),
            ("google-oauth-secret", format!("GOCSPX-{}", any(28))),
            ("private-key", format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n", any(64))),
            ("private-key", format!("'-----BEGIN PRIVATE KEY-----\\n{}'", any(64))),
            ("private-key", format!("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{}", any(64))),
            ("faas-key", format!("faas_{}", any(49))),
            ("jwt", format!("eyJ{}.eyJ{}.{}", any(30), any(60), any(43))),
            ("npm-token", format!("npm_{}", any(36))),
            ("npm-token", format!("//registry.npmjs.org/:_authToken={}", any(36))),
            ("pypi-token", format!("pypi-AgE{}", any(80))),
            ("openai-key", format!("sk-{}", any(48))),
            ("openai-key", format!("sk-proj-{}", any(60))),
            ("anthropic-key", format!("sk-ant-api03-{}", any(80))),
            ("huggingface-token", format!("hf_{}", alpha(34))),
            ("sendgrid-key", format!("SG.{}.{}", any(22), any(43))),
            ("digitalocean-token", format!("dop_v1_{}", letters("0123456789abcdef", 64))),
            ("shopify-token", format!("shpat_{}", letters("0123456789abcdef", 32))),
            ("vault-token", format!("hvs.{}", any(90))),
        ]
    }

    #[test]
    fn every_rule_finds_its_format_and_masks_it() {
        for (rule, sample) in samples() {
            let text = format!("# ü\nvalue: {sample}\n");
            let found = find(&text);
            assert_eq!(found.iter().map(|secret| secret.rule).collect::<Vec<_>>(), [rule], "{sample}");
            assert_eq!(found[0].line, 2, "{sample}");
            let core: String = sample.chars().rev().take(12).collect::<String>().chars().rev().collect();
            assert!(!found[0].masked.contains(&core), "{found:?}");
            assert!(find(&format!("value: {sample} # {ALLOW_MARK}").replace('\n', " ")).is_empty(), "{sample}");
        }
        let tested: Vec<_> = samples().iter().map(|(rule, _)| *rule).collect();
        assert!(rules().all(|rule| tested.contains(&rule)));
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "if '-----BEGIN RSA PRIVATE KEY-----' in text:\n    raise ValueError('a key where none belongs')",
            "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA7Q",
            "sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
            "//registry.npmjs.org/:_authToken=${NPM_TOKEN}",
            "import aws_secretsmanager_caching; task-sk-1; disk-",
            "faas_client.faas_publish(x)",
        ] {
            assert_eq!(find(text), [], "{text}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_secrets_is_bounded() {
        let text = format!("{}\n", samples()[3].1).repeat(10_000);
        assert_eq!(find(&text).len(), 100);
    }
}
