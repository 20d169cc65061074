//! `requirements.txt` and the files that it refers to.

use std::collections::BTreeMap;

use faas_types::limits;

use crate::plan::PackagePlan;
use crate::refusal::{refused, shown};
use crate::sources::{ReadError, SourceFiles};

pub(super) const REQUIREMENTS: &str = "requirements.txt";
/// Files of one set of requirements.
const FILES_MAX: usize = 16;
/// Precede the address of a repository.
const REPOSITORIES: [&str; 4] = ["git+", "hg+", "svn+", "bzr+"];

/// A line of a requirements file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Passed to the installer unchanged.
    Plain,
    /// Another file of the bundle.
    Refers(&'a str),
}

pub(super) fn plan(sources: &SourceFiles) -> Result<PackagePlan, ReadError> {
    let mut files = BTreeMap::new();
    let mut todo = vec![REQUIREMENTS.to_owned()];
    while let Some(path) = todo.pop() {
        if files.contains_key(&path) {
            continue;
        }
        if files.len() == FILES_MAX {
            return Err(refused(&path, &format!("is one of more than {FILES_MAX} files of requirements")).into());
        }
        let text = sources.text(&path)?.ok_or_else(|| refused(&path, "is not in the bundle"))?;
        let lines = logical_lines(text);
        for (number, line) in &lines {
            let read = read_line(line).map_err(|why| refused(&format!("{path}:{number}"), &why))?;
            if let Line::Refers(other) = read {
                let below = resolve(&path, other);
                todo.push(below.ok_or_else(|| {
                    refused(
                        &format!("{path}:{number}"),
                        &format!("refers to `{}`, which is outside of the bundle", shown(other)),
                    )
                })?);
            }
        }
        let size: usize = text.len() + files.values().map(String::len).sum::<usize>();
        if size as u64 > limits::REQUIREMENTS_MAX {
            let most = limits::REQUIREMENTS_MAX >> 10;
            return Err(refused(&path, &format!("and the files that it belongs to have more than {most} KB")).into());
        }
        files.insert(path, lines.iter().map(|(_, line)| format!("{line}\n")).collect());
    }
    Ok(PackagePlan::install(REQUIREMENTS, REQUIREMENTS, files))
}

/// Lines as pip reads them: joined where they end in a backslash, without comments, each with the number of its first.
pub(super) fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, raw) in text.lines().enumerate() {
        let is_comment = raw.trim_start().starts_with('#');
        let (first, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        match raw.strip_suffix('\\') {
            Some(part) if !is_comment => {
                joined.push_str(part);
                open = Some((first, joined));
            }
            _ => {
                joined.push_str(raw);
                lines.push((first, joined));
            }
        }
    }
    lines.extend(open);
    let trimmed = lines.into_iter().map(|(number, line)| (number, without_comment(&line)));
    trimmed.filter(|(_, line)| !line.is_empty()).collect()
}

/// A comment begins with a `#` at the start or behind a space. Runs of spaces count as one.
fn without_comment(line: &str) -> String {
    let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
    words.collect::<Vec<_>>().join(" ")
}

/// Reads a line. What comes from neither the bundle nor an index is refused, with the reason.
pub(super) fn read_line(line: &str) -> Result<Line<'_>, String> {
    if let Some(rest) = option(line, &["-r", "--requirement", "-c", "--constraint"]) {
        return Ok(Line::Refers(rest));
    }
    if option(line, &["-e", "--editable"]).is_some() {
        return Err("asks for an editable package, which a sealed version cannot have".to_owned());
    }
    if let Some(place) = option(line, &["-f", "--find-links", "-i", "--index-url", "--extra-index-url"]) {
        let is_url = ["https://", "http://"].iter().any(|scheme| place.starts_with(scheme));
        return match (is_url, place.contains('@')) {
            (false, _) => {
                Err(format!("looks for packages in `{}`, which is not there when they are installed", shown(place)))
            }
            (true, true) => {
                Err("holds credentials of an index; the server's operator sets those in [build]".to_owned())
            }
            (true, false) => Ok(Line::Plain),
        };
    }
    if option(line, &["--trusted-host"]).is_some() {
        return Err("trusts a host; the server's operator decides that in [build]".to_owned());
    }
    if line.starts_with('-') {
        return Ok(Line::Plain);
    }
    let what = line.split_once(" @ ").map_or(line, |(_, address)| address).trim();
    if REPOSITORIES.iter().any(|scheme| what.starts_with(scheme)) || what.contains("@git+") {
        return Err("asks for a repository; name a released version instead".to_owned());
    }
    let is_local = what.starts_with(['.', '/', '~']) || what.starts_with("file:") || is_path(what);
    if is_local {
        return Err(format!("asks for the local path `{}`; put the code itself into the bundle", shown(what)));
    }
    Ok(Line::Plain)
}

/// The file that a line takes in: `None` for other lines, nothing inside for a file outside of the bundle.
pub(super) fn include_of(file: &str, line: &str) -> Option<Option<String>> {
    option(line, &["-r", "--requirement"]).map(|other| resolve(file, other))
}

/// `folder/package` and `package.whl`, as opposed to `package[extra]>=1; python_version < "3.12"` and addresses.
fn is_path(what: &str) -> bool {
    let name = what.split([';', ' ', '[', '=', '<', '>', '!', '~']).next().unwrap_or_default();
    let is_archive = [".whl", ".tar.gz", ".zip"].iter().any(|suffix| what.ends_with(suffix));
    !what.contains("://") && (name.contains('/') || is_archive)
}

/// The value of a line that begins with one of these options.
fn option<'l>(line: &'l str, names: &[&str]) -> Option<&'l str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let is_short = !name.starts_with("--");
        let is_whole = rest.is_empty() || rest.starts_with([' ', '=']);
        (is_short || is_whole).then(|| rest.trim_start_matches([' ', '=']).trim())
    })
}

/// The path that a file names relative to itself; `None` when it leaves the bundle.
fn resolve(file: &str, other: &str) -> Option<String> {
    if other.is_empty() || other.starts_with('/') || other.contains("://") {
        return None;
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in other.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_comments_do_not_count() {
        let text =
            "# top\nflask==3.0 \\\n  --hash=sha256:aa \\\n  --hash=sha256:bb  # why\n\n  \nrich>=13#not-a-comment\n";
        let lines = logical_lines(text);
        let expected =
            [(2, "flask==3.0 --hash=sha256:aa --hash=sha256:bb".to_owned()), (7, "rich>=13#not-a-comment".to_owned())];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_an_index_has_is_taken() {
        for line in [
            "flask",
            "Flask[async]>=3,<4; python_version < '3.13'",
            "--hash=sha256:aa",
            "--require-hashes",
            "--pre",
            "--index-url https://pypi.org/simple",
            "thing @ https://files.pythonhosted.org/thing-1-py3-none-any.whl",
            "a~=1.0",
        ] {
            assert_eq!(read_line(line), Ok(Line::Plain), "{line}");
        }
        assert_eq!(read_line("-r more/base.txt"), Ok(Line::Refers("more/base.txt")));
        assert_eq!(read_line("--constraint=limits.txt"), Ok(Line::Refers("limits.txt")));
    }

    #[test]
    fn what_leads_elsewhere_is_refused_with_the_reason() {
        for (line, why) in [
            ("-e .", "editable"),
            ("-e.", "editable"),
            ("--editable=./lib", "editable"),
            ("git+https://example.com/x.git", "repository"),
            ("x @ git+ssh://git@example.com/x", "repository"),
            ("./lib", "local path"),
            ("../lib", "local path"),
            ("/srv/lib", "local path"),
            ("lib/package", "local path"),
            ("package-1.0-py3-none-any.whl", "local path"),
            ("x @ file:///etc", "local path"),
            ("--find-links ./wheels", "looks for packages in"),
            ("-i https://user:secret@pkgs/simple", "credentials"),
            ("--trusted-host pkgs", "trusts a host"),
        ] {
            let refusal = read_line(line).expect_err(line);
            assert!(refusal.contains(why), "{line}: {refusal}");
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }

    #[test]
    fn files_refer_to_files_of_the_bundle_only() {
        assert_eq!(resolve("requirements.txt", "base.txt").as_deref(), Some("base.txt"));
        assert_eq!(resolve("deps/all.txt", "../base.txt").as_deref(), Some("base.txt"));
        assert_eq!(resolve("requirements.txt", "../x.txt"), None);
        assert_eq!(resolve("requirements.txt", "/etc/passwd"), None);
        assert_eq!(resolve("requirements.txt", "https://example.com/r.txt"), None);
    }
}
