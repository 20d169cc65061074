//! The common form of all lock files: packages, and which package each one means by a name. Pure.

use faas_types::limits::BUNDLE_PATH_MAX;

/// The registry of locks that name none. Builds use the operator's instead when one is configured.
const REGISTRY: &str = "https://registry.npmjs.org/";
/// What Yarn calls the same registry.
const YARN_REGISTRY: &str = "https://registry.yarnpkg.com/";
/// Packages and their variants in one lock.
const PACKAGES_MAX: usize = 5_000;
/// Bytes of a name; the registry takes no longer ones.
const NAME_MAX: usize = 214;
/// Bytes of a version.
const VERSION_MAX: usize = 256;

/// A part of a lock file that cannot be installed: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) place: String,
    pub(super) why: String,
}

/// A package that a lock pins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Package {
    /// Its own name, whatever others call it.
    pub(super) name: String,
    pub(super) version: String,
    /// Where its archive is.
    pub(super) resolved: String,
    /// What the archive must hash to; `None` where the lock does not say.
    pub(super) integrity: Option<String>,
    pub(super) platform: Platform,
}

/// Where a package can be used, in the words of its `package.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) os: Vec<String>,
    pub(super) cpu: Vec<String>,
    pub(super) libc: Vec<String>,
    /// Whether the lock leaves it open, so that the registry must be asked.
    pub(super) is_unknown: bool,
}

/// A name that a package, or the project, imports, and what it means there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) name: String,
    /// Index of a node.
    pub(super) target: usize,
    /// Whether the package that needs it works without it.
    pub(super) is_optional: bool,
    /// Whether it must be the copy that the dependents of this package see.
    pub(super) is_peer: bool,
}

/// A package with what it needs. One package may have several: with other peers it means other things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) package: Package,
    pub(super) needs: Vec<Need>,
}

/// A whole lock, from the project downwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// What the project itself needs.
    pub(super) root: Vec<Need>,
    /// Whether the lock does not list peers: anything that is needed beside a package may be one.
    pub(super) has_no_peers: bool,
}

// === impl Wrong ===

impl Wrong {
    pub(super) fn at(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place: place.into(), why: why.into() }
    }

    pub(super) fn local(place: &str) -> Self {
        Self::at(place, "is a local package; put the code itself into the bundle")
    }

    pub(super) fn no_registry(place: &str) -> Self {
        Self::at(place, "is of no registry; name a released version instead")
    }

    pub(super) fn patched(place: &str) -> Self {
        Self::at(place, "is patched, and patches are not applied; release the changed package under a name of its own")
    }

    pub(super) fn missing(place: &str, command: &str) -> Self {
        Self::at(place, format!("is not in the lock; bring it up to date with: {command}"))
    }
}

// === impl Package ===

impl Package {
    /// A package of a registry. Its archive is where registries keep it, unless the lock says otherwise.
    pub(super) fn new(place: &str, name: &str, version: &str, resolved: Option<&str>) -> Result<Self, Wrong> {
        if !is_name(name) {
            return Err(Wrong::at(place, "has a name that no registry takes"));
        }
        let is_version = version.len() <= VERSION_MAX
            && version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
        if !is_version {
            return Err(Wrong::no_registry(place));
        }
        let resolved = match resolved {
            Some(url) => web(place, url)?,
            None => {
                let file = name.rsplit('/').next().unwrap_or(name);
                format!("{REGISTRY}{name}/-/{file}-{version}.tgz")
            }
        };
        let (name, version) = (name.to_owned(), version.to_owned());
        Ok(Self { name, version, resolved, ..Self::default() })
    }
}

// === impl Graph ===

impl Graph {
    pub(super) fn add(&mut self, package: Package) -> Result<usize, Wrong> {
        if self.nodes.len() >= PACKAGES_MAX {
            return Err(Wrong::at(&package.name, format!("is the package after the {PACKAGES_MAX}th; depend on less")));
        }
        self.nodes.push(Node { package, needs: Vec::new() });
        Ok(self.nodes.len() - 1)
    }
}

/// The address of an archive, as far as it is one on the web that needs no credentials.
pub(super) fn web(place: &str, url: &str) -> Result<String, Wrong> {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(Wrong::no_registry(place));
    }
    if url.split('/').nth(2).is_some_and(|host| host.contains('@')) {
        return Err(Wrong::at(place, "holds credentials; the server's operator sets those in [build]"));
    }
    let url = url.split('#').next().unwrap_or(url);
    Ok(url.strip_prefix(YARN_REGISTRY).map_or_else(|| url.to_owned(), |below| format!("{REGISTRY}{below}")))
}

/// Whether a name is valid for a package and for a directory.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!'()*".contains(c))
    };
    let fits = name.len() <= NAME_MAX.min(BUNDLE_PATH_MAX) && name != "node_modules";
    fits && match name.strip_prefix('@').map(|scoped| scoped.split_once('/')) {
        Some(Some((scope, rest))) => is_part(scope) && is_part(rest),
        Some(None) => false,
        None => is_part(name),
    }
}

/// `a` and `b` of `a@b`, where `a` may have a scope.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.char_indices().skip(1).find(|(_, c)| *c == '@')?.0;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_of_the_web_and_has_a_name() {
        let resolved = |url| Package::new("a", "@s/a", "1.0.0", url).map(|package| package.resolved);
        assert_eq!(resolved(None).expect("of a registry"), "https://registry.npmjs.org/@s/a/-/a-1.0.0.tgz");
        let yarn = "https://registry.yarnpkg.com/@s/a/-/a-1.0.0.tgz#0123";
        assert_eq!(resolved(Some(yarn)), resolved(None));
        for (url, why) in [
            ("git+ssh://git@example.com/a.git#1", "no registry"),
            ("file:../a.tgz", "no registry"),
            ("https://u:p@example.com/a.tgz", "credentials"),
        ] {
            assert!(resolved(Some(url)).expect_err(url).why.contains(why));
        }
        for name in ["..", "a/b", "@s", "@/a", "@s/..", "", "a b", "node_modules", ".bin", &"a".repeat(300)] {
            assert!(Package::new("a", name, "1.0.0", None).is_err(), "{name}");
        }
        for version in ["", "../1", "latest", "1.0.0/..", "file:1"] {
            assert!(Package::new("a", "a", version, None).is_err(), "{version}");
        }
        assert_eq!(split("@s/a@npm:1@2"), Some(("@s/a", "npm:1@2")));
        assert_eq!((split("a"), split("@s/a")), (None, None));
    }
}
