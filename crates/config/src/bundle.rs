//! Which files of a directory become a bundle. The walk itself belongs to the command line.

use std::path::Path;

use faas_languages::Language;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// A file of patterns, as in `.gitignore`, for what stays at home.
pub const IGNORE_FILE: &str = ".faasignore";

/// What stays at home unless `.faasignore` takes it back with `!pattern`, besides what languages leave beside code.
const DEFAULT_IGNORES: &[&str] = &[
    ".git/",
    ".hg/",
    ".svn/",
    ".idea/",
    ".vscode/",
    ".env",
    ".env.*",
    // What often holds a token.
    ".envrc",
    ".netrc",
    // What macOS puts beside files, and into archives.
    ".DS_Store",
    "._*",
    "__MACOSX/",
    ".AppleDouble/",
    // What Windows puts beside files.
    "Thumbs.db",
    "desktop.ini",
    // What editors write beside a file.
    "*.swp",
    "*.swo",
    "*.swx",
    "*~",
    ".#*",
    ".faas/",
    ".gitignore",
    ".faasignore",
];

/// Tells which files stay at home.
#[derive(Debug)]
pub struct IgnoreRules {
    matcher: Gitignore,
}

/// A pattern of `.faasignore` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(".faasignore:{line}: `{pattern}` is not a pattern: {reason}; write it as in .gitignore")]
pub struct InvalidPattern {
    /// The line, from 1.
    pub line: usize,
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

// === impl IgnoreRules ===

impl IgnoreRules {
    /// The default rules followed by the text of `.faasignore`.
    ///
    /// # Errors
    /// The first line that is not a pattern.
    pub fn new(faasignore: &str) -> Result<Self, InvalidPattern> {
        let mut builder = GitignoreBuilder::new("");
        let of_languages = Language::all().iter().flat_map(|language| &language.ignored).map(String::as_str);
        for pattern in DEFAULT_IGNORES.iter().copied().chain(of_languages) {
            builder.add_line(None, pattern).expect("the default patterns are valid");
        }
        for (index, pattern) in faasignore.lines().enumerate() {
            let invalid = |error: ignore::Error| InvalidPattern {
                line: index + 1,
                pattern: pattern.trim().to_owned(),
                reason: error.to_string(),
            };
            builder.add_line(None, pattern).map_err(invalid)?;
        }
        let matcher = builder.build().map_err(|error| InvalidPattern {
            line: 0,
            pattern: String::new(),
            reason: error.to_string(),
        })?;
        Ok(Self { matcher })
    }

    /// Whether a file or directory stays at home, given its path relative to the root. Files below an ignored
    /// directory are not asked for: the walk does not enter it.
    #[must_use]
    pub fn ignores(&self, relative: &Path, is_dir: bool) -> bool {
        matches!(self.matcher.matched(relative, is_dir), Match::Ignore(_))
    }
}

/// Whether the text of a `.gitignore` keeps a file out of git, given its path relative to that `.gitignore`.
#[must_use]
pub fn is_git_ignored(gitignore: &str, relative: &Path) -> bool {
    let mut builder = GitignoreBuilder::new("");
    for pattern in gitignore.lines() {
        // git passes over what is not a pattern, too.
        let _ = builder.add_line(None, pattern);
    }
    builder.build().is_ok_and(|matcher| matcher.matched_path_or_any_parents(relative, false).is_ignore())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_patterns_win() {
        let rules = IgnoreRules::new("*.csv\n!keep.csv\n!.env\n/build/\n# comment\n").expect("patterns");
        let ignored = |path: &str, is_dir: bool| rules.ignores(Path::new(path), is_dir);
        assert!(ignored("a/data.csv", false) && !ignored("keep.csv", false));
        assert!(ignored("x/__pycache__", true) && ignored("m.pyc", false) && ignored(".git", true));
        assert!(!ignored(".env", false), "taken back");
        assert!(ignored("build", true) && !ignored("src/build", true));
        assert!(!ignored("main.py", false) && !ignored("node_modules", true));
    }

    #[test]
    fn a_bad_pattern_names_its_line() {
        let error = IgnoreRules::new("ok\n[z-a]\n").expect_err("no such range");
        assert_eq!(error.line, 2);
    }
}
