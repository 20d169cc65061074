//! `faas validate --fix`: what has one obvious way out.

use std::path::Path;

use anyhow::Context;
use faas_config::{IGNORE_FILE, LoadManifestError, Manifest, SourceDir};
use faas_preflight::Policies;
use faas_source::project::{Overrides, Project};
use faas_terminal::text::visible;
use faas_types::{FunctionName, limits};

/// Bytes of a file of patterns.
const IGNORES_MAX: u64 = 1 << 20;

/// Mends what can be mended and tells what was.
pub(super) fn mend(path: &Path, overrides: &Overrides) -> anyhow::Result<Vec<String>> {
    let mut fixed = Vec::new();
    if path.is_dir() {
        fixed.extend(mend_name(path)?);
    }
    // What cannot be read is told by the check that follows.
    let Ok(projects) = Project::read(path, overrides.clone()) else { return Ok(fixed) };
    for mut project in projects {
        let root = project.root.clone();
        for finding in project.check(&Policies::default()) {
            let Some(file) = &finding.file else { continue };
            match finding.rule.as_str() {
                "env-not-ignored" => fixed.push(add_line(&root, ".gitignore", file)?),
                "env-file" => fixed.push(add_line(&root, IGNORE_FILE, &format!("/{file}"))?),
                _ => {}
            }
        }
    }
    Ok(fixed)
}

/// A name in faas.toml that only needs other letters: `Hello World` becomes `hello-world`.
fn mend_name(dir: &Path) -> anyhow::Result<Option<String>> {
    let Err(LoadManifestError::Invalid(errors)) = Manifest::load_all(dir) else { return Ok(None) };
    let Some(at) = errors.problems.iter().find(|problem| problem.field == "name").and_then(|problem| problem.at) else {
        return Ok(None);
    };
    let path = dir.join("faas.toml");
    if errors.source != "faas.toml" {
        return Ok(None);
    }
    let source = SourceDir::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    let text = source.text("faas.toml", limits::MANIFEST_MAX);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let Some(line) = lines.get_mut(at.line as usize - 1) else { return Ok(None) };
    let mended = line.trim_start().strip_prefix("name").and_then(|_| mended_line(line));
    let Some((mended, from, to)) = mended else { return Ok(None) };
    *line = mended;
    let written = source.write("faas.toml", lines.join("\n").as_bytes());
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(format!("faas.toml: the name `{}` is now `{to}`", visible(&from))))
}

/// The line with a name that is one, the name before, and the name now.
fn mended_line(line: &str) -> Option<(String, String, FunctionName)> {
    let quote = line.find(['"', '\''])?;
    let mark = line[quote..].chars().next()?;
    let length = line[quote + 1..].find(mark)?;
    let name = &line[quote + 1..quote + 1 + length];
    let mut plain = String::new();
    for letter in name.to_lowercase().chars() {
        match letter {
            'a'..='z' | '0'..='9' => plain.push(letter),
            _ if plain.ends_with('-') => {}
            _ => plain.push('-'),
        }
    }
    let plain = plain.trim_matches(|letter: char| !letter.is_ascii_lowercase() && !letter.is_ascii_digit());
    let plain: FunctionName = plain.trim_start_matches(|letter: char| !letter.is_ascii_lowercase()).parse().ok()?;
    let mended = format!("{}{plain}{}", &line[..=quote], &line[quote + 1 + length..]);
    Some((mended, name.to_owned(), plain))
}

fn add_line(dir: &Path, name: &str, line: &str) -> anyhow::Result<String> {
    let place = || format!("cannot write {}", dir.join(name).display());
    let source = SourceDir::open(dir).with_context(place)?;
    let mut text = match source.text(name, IGNORES_MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(place)?,
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    source.write(name, text.as_bytes()).with_context(place)?;
    Ok(format!("{name}: added {}", visible(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_what_it_can() {
        for (line, wanted) in [
            ("name = \"Hello World\"  # mine", Some("name = \"hello-world\"  # mine")),
            ("name = 'my_fn'", Some("name = 'my-fn'")),
            ("name = \"9lives\"", Some("name = \"lives\"")),
            ("name = \"!!\"", None),
            ("name = x", None),
        ] {
            assert_eq!(mended_line(line).map(|(line, ..)| line).as_deref(), wanted, "{line}");
        }
    }
}
