//! Copies of files and trees into drafts of layers.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Copies a tree without the names in `skip`; symbolic links become what they point to. Returns the bytes copied.
pub(crate) fn copy_tree(from: &Path, to: &Path, skip: &[String]) -> io::Result<u64> {
    fs::create_dir_all(to)?;
    let mut bytes = 0;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if skip.iter().any(|pattern| matches(pattern, &text)) {
            continue;
        }
        // A link whose target is gone is left out.
        let Ok(meta) = fs::metadata(entry.path()) else {
            continue;
        };
        let target = to.join(&name);
        if meta.is_dir() {
            bytes += copy_tree(&entry.path(), &target, skip)?;
        } else if meta.is_file() {
            bytes += copy_file(&entry.path(), &target)?;
        }
    }
    Ok(bytes)
}

/// Copies a file, making its directory. Returns its size.
pub(crate) fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", from.display())))
}

/// Writes a file, making its directory.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::File::create(path)?.write_all(content)
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_whole_names() {
        assert!(matches("*.a", "libpython.a") && matches("config-*", "config-3.12") && matches("test", "test"));
        assert!(matches("_test*.so", "_testcapi.cpython-312.so"));
        assert!(!matches("test", "testing") && !matches("*.a", "a.all") && !matches("aa*aa", "aaa"));
    }
}
