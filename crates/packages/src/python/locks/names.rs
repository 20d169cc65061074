//! Names of packages, and requirements as text ([PEP 508](https://peps.python.org/pep-0508/)).

/// Characters of a name.
const NAME_MAX: usize = 128;

/// A requirement as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::python) struct Requirement<'a> {
    /// As the index compares it.
    pub(in crate::python) name: String,
    pub(in crate::python) extras: Vec<String>,
    /// Version conditions, separated by commas; empty for an address.
    pub(in crate::python) versions: &'a str,
    pub(in crate::python) address: Option<&'a str>,
    pub(in crate::python) marker: Option<&'a str>,
}

/// A name as the index compares it: runs of `-`, `_` and `.` are one `-`.
pub(in crate::python) fn canonical(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// The canonical form of a valid name.
pub(super) fn checked_name(name: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends = |c: char| c.is_ascii_alphanumeric();
    let is_name = name.len() <= NAME_MAX && name.starts_with(ends) && name.ends_with(ends) && name.chars().all(is_part);
    is_name.then(|| canonical(name))
}

// === impl Requirement ===

impl<'a> Requirement<'a> {
    /// `None` for a text that is not a requirement.
    pub(in crate::python) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(text.len());
        let name = checked_name(&text[..end])?;
        let mut rest = text[end..].trim_start();
        let mut extras = Vec::new();
        if let Some(inner) = rest.strip_prefix('[') {
            let (names, after) = inner.split_once(']')?;
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            extras = names.map(checked_name).collect::<Option<_>>()?;
            rest = after.trim_start();
        }
        if let Some(address) = rest.strip_prefix('@') {
            // Behind an address a marker begins with a space, since addresses may hold semicolons.
            let (address, marker) =
                address.split_once(" ;").map_or((address, None), |(address, marker)| (address, Some(marker)));
            return Some(Self {
                name,
                extras,
                versions: "",
                address: Some(address.trim()),
                marker: marker.map(str::trim),
            });
        }
        let (versions, marker) =
            rest.split_once(';').map_or((rest, None), |(rest, marker)| (rest, Some(marker.trim())));
        let versions = versions.trim();
        let versions = versions.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(versions).trim();
        Some(Self { name, extras, versions, address: None, marker })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_index_does() {
        assert_eq!(canonical("Foo__Bar.-baz"), "foo-bar-baz");
        for bad in ["", "-a", "a-", "a b", "a\n", "ä", "../a", &"a".repeat(200)] {
            assert_eq!(checked_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn requirements_are_taken_apart() {
        let read = Requirement::parse("Uvicorn[Standard, x_y] (>=0.3,<1) ; python_version < '4'").expect("one");
        assert_eq!((read.name.as_str(), read.extras), ("uvicorn", vec!["standard".to_owned(), "x-y".to_owned()]));
        assert_eq!((read.versions, read.marker, read.address), (">=0.3,<1", Some("python_version < '4'"), None));
        let read = Requirement::parse("a @ https://x/a;b.whl ; os_name == 'nt'").expect("one");
        assert_eq!((read.address, read.marker), (Some("https://x/a;b.whl"), Some("os_name == 'nt'")));
        assert_eq!(Requirement::parse("a>=1").expect("one").versions, ">=1");
        for bad in ["", "-e .", "a[", "a[b", "./x", "[x]"] {
            assert_eq!(Requirement::parse(bad), None, "{bad}");
        }
    }
}
