//! `faas validate --fix`: what has one obvious way out.

use std::fs;
use std::path::Path;

use anyhow::Context;
use faas_config::preflight::Policies;
use faas_config::{IGNORE_FILE, LoadManifestError, Manifest};
use faas_types::FunctionName;

use crate::project::{Project, Wishes};
use crate::text::visible;

/// Mends what can be mended and tells what was.
pub(super) fn mend(path: &Path, wishes: &Wishes) -> anyhow::Result<Vec<String>> {
    let mut fixed = Vec::new();
    if path.is_dir() {
        fixed.extend(mend_name(path)?);
    }
    // What cannot be read is told by the check that follows.
    let Ok(projects) = Project::read(path, wishes.clone()) else { return Ok(fixed) };
    for mut project in projects {
        let root = project.root.clone();
        for finding in project.check(&Policies::default()) {
            let Some(file) = &finding.file else { continue };
            match finding.rule.as_str() {
                "env-not-ignored" => fixed.push(add_line(&root.join(".gitignore"), file)?),
                "env-file" => fixed.push(add_line(&root.join(IGNORE_FILE), &format!("/{file}"))?),
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
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let Some(line) = lines.get_mut(at.line as usize - 1) else { return Ok(None) };
    let mended = line.trim_start().strip_prefix("name").and_then(|_| mended_line(line));
    let Some((mended, from, to)) = mended else { return Ok(None) };
    *line = mended;
    fs::write(&path, lines.join("\n")).with_context(|| format!("cannot write {}", path.display()))?;
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

fn add_line(path: &Path, line: &str) -> anyhow::Result<String> {
    let mut text = fs::read_to_string(path).unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
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
