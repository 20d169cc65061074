//! The checks of one upload.

use crate::allowance::AllowedSecret;
use crate::finding::{Finding, Severity};
use crate::policy::Policies;
use crate::secrets;

/// Larger files are not searched: they are data.
pub const SEARCHED_FILE_MAX: u64 = 1 << 20;
/// Bytes of one upload that are searched, files nearest to its root first.
pub const SEARCHED_BYTES_MAX: u64 = 64 << 20;
/// Findings that are reported for one file.
const FINDINGS_PER_FILE: usize = 20;
/// A zero byte among this many first bytes makes a file binary.
const BINARY_HEAD: usize = 8 << 10;

/// The checks of one upload.
#[derive(Clone, Copy, Debug)]
pub struct Preflight<'a> {
    /// The rules of operator and project.
    pub policies: &'a Policies,
    /// Exceptions that the manifest declares.
    pub allowed: &'a [AllowedSecret],
}

// === impl Preflight ===

impl Preflight<'_> {
    /// Checks the names of files.
    pub fn listing<'f>(&self, paths: impl IntoIterator<Item = &'f str>) -> Vec<Finding> {
        paths
            .into_iter()
            .filter_map(|path| self.policies.blocked_file(path).or_else(|| exposed_settings(path)))
            .collect()
    }

    /// The files to search, as indexes into `files` (path and size), within [`SEARCHED_BYTES_MAX`].
    #[must_use]
    pub fn searched(&self, files: &[(&str, u64)]) -> Vec<usize> {
        let mut indexes: Vec<usize> = (0..files.len()).filter(|at| files[*at].1 <= SEARCHED_FILE_MAX).collect();
        indexes.sort_by_key(|at| (files[*at].0.matches('/').count(), files[*at].0));
        let mut left = SEARCHED_BYTES_MAX;
        indexes.retain(|at| {
            let fits = files[*at].1 <= left;
            left = left.saturating_sub(if fits { files[*at].1 } else { 0 });
            fits
        });
        indexes
    }

    /// Checks the content of a file. Binary files are skipped.
    #[must_use]
    pub fn file(&self, path: &str, bytes: &[u8]) -> Vec<Finding> {
        if bytes.iter().take(BINARY_HEAD).any(|byte| *byte == 0) {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(bytes);
        let mut findings = Vec::new();
        if self.policies.searches_secrets() {
            let open = |secret: &secrets::SecretMatch| {
                !self.allowed.iter().any(|allowed| allowed.covers(path, secret.rule))
                    && !self.policies.allows_secret(path, secret.rule)
            };
            findings
                .extend(secrets::find(&text).into_iter().filter(open).map(|secret| Finding::of_secret(path, &secret)));
        }
        findings.extend(self.policies.blocked_text(path, &text));
        findings.truncate(FINDINGS_PER_FILE);
        findings
    }
}

/// A warning for a file of settings in the upload, which the default ignore rules leave out.
fn exposed_settings(path: &str) -> Option<Finding> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_example = [".example", ".sample", ".template"].iter().any(|end| name.ends_with(end));
    let exposed = (name == ".env" || name.starts_with(".env.")) && !is_example;
    exposed.then(|| {
        Finding::new("env-file", Severity::Warning, "files of settings usually hold secrets and stay at home")
            .in_file(path)
            .with_fix("take it out of the upload and set its values with `faas vars set`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal;

    #[test]
    fn an_upload_is_searched_within_bounds() {
        let policies = Policies::default();
        let preflight = Preflight { policies: &policies, allowed: &[] };
        let files = [("a/b/deep.py", 10), ("main.py", 10), ("big.bin", SEARCHED_FILE_MAX + 1), ("a/x.py", 10)];
        assert_eq!(preflight.searched(&files), [1, 3, 0], "the nearest first, large ones not at all");
        let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
        let many: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), SEARCHED_FILE_MAX)).collect();
        assert_eq!(preflight.searched(&many).len(), 64);
    }

    #[test]
    fn a_secret_is_refused_unless_the_manifest_or_the_line_allows_it() {
        let policies = Policies::default();
        let key = format!("KEY = '{}{}'\n", "AKIA", "Q3EGRIBSD7XWZ2YT");
        let strict = Preflight { policies: &policies, allowed: &[] };
        let found = strict.file("conf/keys.py", format!("# x\n{key}").as_bytes());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rule.as_str(), found[0].line, found[0].column), ("aws-access-key", Some(2), Some(8)));
        assert!(!found[0].message.contains("GRIBSD"), "masked: {}", found[0].message);
        let marked = key.replace('\n', " # faas:allow-secret\n");
        assert!(strict.file("conf/keys.py", marked.as_bytes()).is_empty());
        assert!(strict.file("blob", format!("\0{key}").as_bytes()).is_empty(), "binary");
        for (allowed, covers) in
            [("conf/keys.py:aws-access-key", true), ("conf/:*", true), ("*.py:jwt", false), ("other.py:*", false)]
        {
            let allowed = [allowed.parse().expect("an allowance")];
            let preflight = Preflight { policies: &policies, allowed: &allowed };
            assert_eq!(preflight.file("conf/keys.py", key.as_bytes()).is_empty(), covers, "{allowed:?}");
        }
    }

    #[test]
    fn a_file_of_settings_is_pointed_out() {
        let policies = Policies::default();
        let preflight = Preflight { policies: &policies, allowed: &[] };
        let found = preflight.listing(["main.py", "a/.env", ".env.example", ".env.local", ".environment"]);
        let files: Vec<_> = found.iter().filter_map(|finding| finding.file.as_deref()).collect();
        assert_eq!(files, ["a/.env", ".env.local"]);
        assert!(refusal(&found).is_none(), "a warning refuses nothing");
    }
}
