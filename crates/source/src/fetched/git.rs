//! Files of a git repository, by the system's git: one commit, no work tree, no hooks, no submodules, no questions.

use std::fmt;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use faas_terminal::failure::Failure;
use faas_terminal::text::visible;

use crate::helper::{NOT_FOUND, limited};
use crate::scratch::Worker;

/// How long a repository may take to come.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether git has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that a repository may bring.
const REPOSITORY_MAX: u64 = 2 << 30;
/// Letters of what git says that are shown.
const WORDS_MAX: usize = 600;
/// The attributes of every file, whatever the repository says of them: files come as they were committed, and no filter of
/// this machine, such as LFS, runs on them. This file goes before the repository's own.
const ATTRIBUTES: &str =
    "* !text !eol !ident !filter !working-tree-encoding !export-subst !export-ignore !diff !merge\n";
const SETTINGS: [&str; 9] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.bigFileThreshold=16m",
    "fetch.fsckObjects=true",
    "fetch.unpackLimit=1",
    "pack.threads=1",
    "submodule.recurse=false",
    "gc.auto=0",
];

/// A commit of a repository, and a directory in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repository {
    url: String,
    reference: String,
    subdir: Option<String>,
}

// === impl Repository ===

impl Repository {
    /// Reads `git+https://host/path@ref#subdir`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let rest = text.strip_prefix("git+").unwrap_or(text);
        let (rest, subdir) = rest.split_once('#').map_or((rest, None), |(rest, subdir)| (rest, Some(subdir)));
        // An `@` before the last slash is part of the host: git@example.org.
        let name = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (url, reference) = match rest[name..].rfind('@') {
            Some(at) => (&rest[..name + at], Some(&rest[name + at + 1..])),
            None => (rest, None),
        };
        Self::new(url, reference, subdir)
    }

    pub(super) fn new(url: &str, reference: Option<&str>, subdir: Option<&str>) -> Result<Self, Failure> {
        let url = url.strip_prefix("git+").unwrap_or(url);
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Failure::usage(format!("`{}` is not the URL of a repository", visible(url)))
                .with_hint("write it as https://host/path, ssh://user@host/path or file:///path"));
        };
        if !["https", "ssh", "file"].contains(&scheme) {
            return Err(Failure::usage(format!("repositories are not fetched by `{}`", visible(scheme)))
                .with_hint("use https, ssh or file"));
        }
        let host = rest.split('/').next().unwrap_or_default();
        if host.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(Failure::usage(
                "the repository's URL holds a password, which others can read in the list of processes",
            )
            .with_hint("leave it out and let git's credential helper supply it"));
        }
        let reference = reference.unwrap_or("HEAD");
        if reference.is_empty()
            || !reference.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-+".contains(&b))
            || reference.starts_with('-')
        {
            return Err(Failure::usage(format!("`{}` is not a branch, a tag or a commit", visible(reference))));
        }
        let subdir = subdir.map(|dir| dir.trim_matches('/')).filter(|dir| !dir.is_empty() && *dir != ".");
        if subdir.is_some_and(|dir| dir.split('/').any(|part| part.is_empty() || part == "..") || dir.starts_with('-'))
        {
            return Err(Failure::usage(
                "the directory in the repository must be a plain path, such as functions/hello",
            ));
        }
        Ok(Self { url: url.to_owned(), reference: reference.to_owned(), subdir: subdir.map(str::to_owned) })
    }

    /// Fetches the commit into `scratch` and packs its files; returns the archive. Links and paths in it are checked by who
    /// unpacks it.
    pub(super) fn fetch(&self, scratch: &Path) -> anyhow::Result<PathBuf> {
        let dir = scratch.join("repository.git");
        let tar = scratch.join("files.tar");
        self.run(&dir, limited("git").args(["init", "-q", "--bare", "--template="]).arg(&dir), Stdio::null())?;
        let info = dir.join("info");
        std::fs::create_dir_all(&info)
            .and_then(|()| std::fs::write(info.join("attributes"), ATTRIBUTES))
            .context("cannot write to a temporary directory")?;
        let mut fetch = self.git(&dir);
        fetch.args(["fetch", "-q", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]);
        fetch.args(["--end-of-options", &self.url, &format!("+{}:refs/heads/wanted", self.reference)]);
        self.run(&dir, &mut fetch, Stdio::null())?;
        let tree = match &self.subdir {
            Some(subdir) => format!("refs/heads/wanted:{subdir}"),
            None => "refs/heads/wanted".to_owned(),
        };
        let mut archive = self.git(&dir);
        archive.args(["archive", "--format=tar", &tree]);
        let file = File::create(&tar).context("cannot make a temporary file")?;
        self.run(&dir, &mut archive, file.into())?;
        Ok(tar)
    }

    /// git with what a stranger's repository must not decide.
    fn git(&self, dir: &Path) -> Command {
        let mut command = limited("git");
        command.arg("--git-dir").arg(dir);
        let scheme = self.url.split("://").next().unwrap_or_default();
        command.args(["-c", "protocol.allow=never", "-c", &format!("protocol.{scheme}.allow=always")]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
    }

    fn run(&self, dir: &Path, command: &mut Command, stdout: Stdio) -> anyhow::Result<()> {
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        // Nobody is there to be asked, and nothing of the repository may run.
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "true").env("SSH_ASKPASS", "true");
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes").env("GIT_LFS_SKIP_SMUDGE", "1").env("LC_ALL", "C");
        for inherited in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PROXY_COMMAND"] {
            command.env_remove(inherited);
        }
        // Ends with this command, with all that it starts.
        let child = command.process_group(0).spawn().context("cannot start git")?;
        let _worker = Worker::of(child.id());
        let output = wait(child, dir)?;
        if output.status.success() {
            return Ok(());
        }
        if output.status.code() == Some(NOT_FOUND) {
            let failure = Failure::usage("git is not installed here");
            return Err(failure.with_hint("install it, or deploy a directory or an archive").into());
        }
        let words: String = String::from_utf8_lossy(&output.stderr).chars().take(WORDS_MAX).collect();
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let failure = Failure { exit: 1, ..Failure::usage(format!("cannot fetch {self}: {}", visible(&words))) };
        Err(failure.with_hint("check the URL, the ref and the directory; git asks for no password here").into())
    }
}

/// Whether a word on the command line is a repository's URL without the `git+` that would say so.
pub(super) fn is_repository(text: &str) -> bool {
    let is_short = text.starts_with("git@") && text.contains(':');
    is_short || ["https://", "http://", "ssh://", "file://", "git://"].iter().any(|scheme| text.starts_with(scheme))
}

/// How such a word is written.
pub(super) fn bare(text: &str) -> Failure {
    let url = match text.strip_prefix("git@").and_then(|rest| rest.split_once(':')) {
        Some((host, path)) => format!("ssh://git@{host}/{path}"),
        None => text.to_owned(),
    };
    let failure = Failure::usage(format!("`{}` is a URL, not a file or a directory", visible(text)));
    match Repository::new(&url, None, None) {
        Ok(_) => failure.with_hint(format!("of a git repository it is git+{0}, or --git {0}", visible(&url))),
        Err(refused) => Failure { hint: refused.hint, ..failure },
    }
}

/// Waits for git within its time and its space on the disk.
fn wait(mut child: Child, dir: &Path) -> anyhow::Result<std::process::Output> {
    let end = Instant::now() + PATIENCE;
    let stop = |child: &mut Child, why: &str| {
        let _ = child.kill();
        let _ = child.wait();
        anyhow::Error::from(Failure { exit: 7, ..Failure::usage(why) })
    };
    let mut looks = 0_u32;
    loop {
        if child.try_wait()?.is_some() {
            return Ok(child.wait_with_output()?);
        }
        if Instant::now() > end {
            return Err(stop(&mut child, "the repository did not come within 5 minutes"));
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(50) && size_of(dir) > REPOSITORY_MAX {
            return Err(stop(&mut child, "the repository is larger than 2 GB"));
        }
        std::thread::sleep(LOOK);
    }
}

/// Bytes below a directory of git's, as far as they can be seen.
fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", visible(&self.url), self.reference)?;
        self.subdir.iter().try_for_each(|dir| write!(f, "#{}", visible(dir)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_read_from_one_word() {
        for (text, url, reference, subdir) in [
            ("git+https://example.org/a/b.git@v1.2#src/x/", "https://example.org/a/b.git", "v1.2", Some("src/x")),
            ("git+ssh://git@example.org/a/b", "ssh://git@example.org/a/b", "HEAD", None),
            ("git+file:///tmp/r@main", "file:///tmp/r", "main", None),
        ] {
            let wanted = Repository { url: url.into(), reference: reference.into(), subdir: subdir.map(Into::into) };
            assert_eq!(Repository::parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_bare_url_is_told_how_to_be_written() {
        for (text, meant) in [
            ("https://example.org/a/b.git", "git+https://example.org/a/b.git"),
            ("git@example.org:a/b.git", "git+ssh://git@example.org/a/b.git"),
            ("file:///srv/r", "--git file:///srv/r"),
            ("http://example.org/x", "use https, ssh or file"),
        ] {
            assert!(is_repository(text), "{text}");
            assert!(bare(text).hint.is_some_and(|hint| hint.contains(meant)), "{text}");
        }
        assert!(!is_repository("hello.py") && !is_repository("git@home"));
    }

    #[test]
    fn what_could_run_something_is_refused() {
        for text in [
            "git+ext::sh -c id",
            "git+http://example.org/x",
            "git+/tmp/x",
            "git+https://example.org/x@--upload-pack=id",
            "git+https://example.org/x@",
            "git+https://user:word@example.org/x",
            "git+https://example.org/x@main#../y",
            "git+https://example.org/x@main#--output=x",
        ] {
            assert!(Repository::parse(text).is_err(), "{text}");
        }
    }
}
