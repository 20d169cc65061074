//! A locked package, and the line that makes an installer take exactly it.

use std::collections::BTreeMap;

use super::Refusal;
use super::condition::Condition;
use super::marker::Environment;
use super::names::checked_name;
use super::version::VERSION_MAX;

/// Packages of one lock.
pub(super) const PACKAGES_MAX: usize = 2_000;
/// Characters of an address.
const ADDRESS_MAX: usize = 1_000;
/// The default index; the server's configuration decides what replaces it.
const PUBLIC_INDEX: &str = "https://pypi.org/simple";
/// Indexes that one lock names.
const INDEXES_MAX: usize = 8;

/// A package of a lock.
#[derive(Clone, Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// Absent for packages without a release.
    pub(super) version: Option<String>,
    pub(super) origin: Origin,
    /// With the algorithm in front.
    pub(super) hashes: Vec<String>,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The server's index, or the one that is named.
    Index(Option<String>),
    /// An archive of the web.
    Address(String),
    /// The project itself.
    Project,
    /// A source that a sealed version cannot use, and why.
    Elsewhere(&'static str),
}

/// A file of a package: its name where the lock tells, and its hash.
pub(super) struct Archive<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) hash: &'a str,
}

pub(super) const REPOSITORY: Origin = Origin::Elsewhere("is of a repository; name a released version instead");
pub(super) const LOCAL: Origin = Origin::Elsewhere("is a local package; put the code itself into the bundle");

// === impl Package ===

impl Package {
    pub(super) fn new(name: &str, version: Option<&str>, origin: Origin) -> Result<Self, Refusal> {
        let shown = || Refusal::of(name, "has an invalid name or version");
        let is_part = |c: char| c.is_ascii_alphanumeric() || ".!+_-".contains(c);
        let is_version = |text: &str| !text.is_empty() && text.len() <= VERSION_MAX && text.chars().all(is_part);
        if version.is_some_and(|version| !is_version(version)) {
            return Err(shown());
        }
        let name = checked_name(name).ok_or_else(shown)?;
        Ok(Self { name, version: version.map(str::to_owned), origin, hashes: Vec::new() })
    }

    /// Adds the hashes of the archives that this machine can install; of all archives when it can install none of them.
    pub(super) fn with_archives(
        mut self,
        archives: &[Archive<'_>],
        environment: &Environment,
    ) -> Result<Self, Refusal> {
        if let Some(bad) = archives.iter().find(|archive| !is_hash(archive.hash)) {
            return Err(Refusal::of(&self.name, &format!("has the invalid hash `{}`", super::shown(bad.hash))));
        }
        // The strong ones are those that installers compare.
        let strong = || {
            archives.iter().filter(|archive| !archive.hash.starts_with("md5:") && !archive.hash.starts_with("sha1:"))
        };
        let fits = |archive: &&Archive<'_>| archive.name.is_none_or(|name| is_fit(name, environment));
        self.hashes = strong().filter(fits).map(|archive| archive.hash.to_owned()).collect();
        if self.hashes.is_empty() {
            self.hashes = strong().map(|archive| archive.hash.to_owned()).collect();
        }
        self.hashes.sort();
        self.hashes.dedup();
        Ok(self)
    }

    fn line(&self, when: &Condition) -> Result<String, Refusal> {
        let what = match (&self.origin, &self.version) {
            (Origin::Address(address), _) => {
                check_address(address).map_err(|why| Refusal::of(&self.name, why))?;
                format!("{} @ {address}", self.name)
            }
            (Origin::Elsewhere(why), _) => return Err(Refusal::of(&self.name, why)),
            (_, Some(version)) => format!("{}=={version}", self.name),
            (_, None) => return Err(Refusal::of(&self.name, "has no version")),
        };
        let marker = if when.is_always() { String::new() } else { format!(" ; {when}") };
        let hashes: String = self.hashes.iter().map(|hash| format!(" --hash={hash}")).collect();
        Ok(format!("{what}{marker}{hashes}\n"))
    }
}

/// The text of requirements for these packages and no others. The same packages make the same text.
pub(super) fn requirements(chosen: Vec<(Package, Condition)>) -> Result<String, Refusal> {
    let mut chosen: Vec<_> =
        chosen.into_iter().filter(|(package, when)| !when.is_never() && package.origin != Origin::Project).collect();
    chosen.sort_by(|(one, _), (two, _)| (&one.name, &one.version).cmp(&(&two.name, &two.version)));
    for pair in chosen.windows(2) {
        if let [(one, first), (two, second)] = pair
            && one.name == two.name
            && (first.is_always() || second.is_always())
        {
            return Err(Refusal::of(
                &one.name,
                "is locked more than once for the function's Python; create the lock file again",
            ));
        }
    }
    let is_hashed = chosen.iter().any(|(package, _)| !package.hashes.is_empty());
    if let Some((bare, _)) = chosen.iter().find(|(package, _)| is_hashed && package.hashes.is_empty()) {
        // One that nothing vouches for would make the others' hashes pointless, and pip refuses it.
        chosen_line(bare)?;
        return Err(Refusal::of(&bare.name, "has no hashes, and others have; create the lock file again"));
    }
    let mut indexes = BTreeMap::new();
    for (package, _) in &chosen {
        if let Origin::Index(Some(index)) = &package.origin {
            check_address(index).map_err(|why| Refusal::of(&package.name, why))?;
            if index.trim_end_matches('/') != PUBLIC_INDEX {
                indexes.insert(index.trim_end_matches('/'), ());
            }
        }
    }
    if indexes.len() > INDEXES_MAX {
        return Err(Refusal::whole(&format!("names more than {INDEXES_MAX} indexes")));
    }
    let mut text: String = indexes.keys().map(|index| format!("--extra-index-url {index}\n")).collect();
    for (package, when) in &chosen {
        text.push_str(&package.line(when)?);
    }
    Ok(text)
}

/// Reports a package without a usable source before its missing hashes.
fn chosen_line(package: &Package) -> Result<(), Refusal> {
    package.line(&Condition::always()).map(drop)
}

/// Whether an address can stand in a line as it is, and leads to the web.
fn check_address(address: &str) -> Result<(), &'static str> {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err("comes from a place that is not of the web; name a released version instead");
    };
    if rest.split('/').next().is_some_and(|host| host.contains('@')) {
        return Err("comes from an address with credentials; the server's operator sets those in [build]");
    }
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!&*+,=%".contains(c);
    if address.len() > ADDRESS_MAX || !address.chars().all(is_fit) {
        return Err("comes from an address that cannot be read");
    }
    Ok(())
}

fn is_hash(hash: &str) -> bool {
    const LENGTHS: [(&str, usize); 5] = [("sha256", 64), ("sha384", 96), ("sha512", 128), ("md5", 32), ("sha1", 40)];
    let Some((algorithm, digits)) = hash.split_once(':') else { return false };
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    LENGTHS.contains(&(algorithm, digits.len())) && is_hex(digits)
}

/// Whether a file of this name can be installed here. A name of an unknown form may be.
fn is_fit(name: &str, environment: &Environment) -> bool {
    let Some(stem) = name.strip_suffix(".whl") else { return true };
    let mut parts = stem.rsplit('-');
    let (Some(platforms), Some(abis)) = (parts.next(), parts.next()) else { return true };
    let (major, minor) = environment.python;
    let own = format!("cp{major}{minor}");
    let here =
        |platform: &str| platform == "any" || platform.contains("linux") && platform.ends_with(environment.machine);
    let fits = |abi: &str| abi == "none" || abi == "abi3" || abi == own;
    platforms.split('.').any(here) && abis.split('.').any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Environment = Environment { python: (3, 12), machine: "x86_64" };

    fn package(name: &str, version: &str, hashes: &[&str]) -> Package {
        let archives: Vec<Archive<'_>> = hashes.iter().map(|hash| Archive { name: None, hash }).collect();
        let package = Package::new(name, Some(version), Origin::Index(None)).expect("a package");
        package.with_archives(&archives, &HERE).expect("hashes")
    }

    fn from(origin: Origin) -> Result<String, Refusal> {
        let package = Package { origin, ..package("thing", "1", &[]) };
        requirements(vec![(package, Condition::always())])
    }

    #[test]
    fn lines_are_those_that_pip_and_uv_take() {
        let (a, b) = (format!("sha256:{}", "a".repeat(64)), format!("sha512:{}", "b".repeat(128)));
        let patch = Condition::part("python_full_version < \"3.12.4\"".into());
        let text = requirements(vec![
            (package("Zoo.Keeper", "1.0+cpu", &[&b, &a, &a]), Condition::always()),
            (package("ape", "2", &[&a]), patch),
            (package("never", "1", &[&a]), Condition::never()),
        ]);
        let expected = format!(
            "ape==2 ; python_full_version < \"3.12.4\" --hash={a}\nzoo-keeper==1.0+cpu --hash={a} --hash={b}\n"
        );
        assert_eq!(text.expect("a text"), expected);
    }

    #[test]
    fn other_indexes_are_named_and_never_with_credentials() {
        let index = |url: &str| from(Origin::Index(Some(url.to_owned())));
        assert_eq!(index("https://pypi.org/simple/").expect("public"), "thing==1\n");
        assert_eq!(
            index("https://x.example/whl/").expect("other"),
            "--extra-index-url https://x.example/whl\nthing==1\n"
        );
        for (url, why) in [
            ("https://ci:s3cret@x.example/simple", "credentials"),
            ("file:///srv/wheels", "not of the web"),
            ("../wheels", "not of the web"),
            ("https://x.example/a b", "cannot be read"),
            ("https://x.example/${PIP_INDEX_URL}", "cannot be read"),
            ("https://x.example/\n-e .", "cannot be read"),
        ] {
            let refusal = index(url).expect_err(url);
            assert!(refusal.why.contains(why) && !format!("{refusal:?}").contains("s3cret"), "{refusal:?}");
        }
        assert_eq!(from(Origin::Address("https://x/a.whl".into())).expect("an archive"), "thing @ https://x/a.whl\n");
        assert!(from(REPOSITORY).is_err() && from(LOCAL).is_err());
        assert_eq!(from(Origin::Project).expect("left out"), "");
    }

    #[test]
    fn what_cannot_be_held_to_is_refused() {
        let hash = format!("sha256:{}", "a".repeat(64));
        let twice = vec![
            (package("a", "1", &[&hash]), Condition::always()),
            (package("a", "2", &[&hash]), Condition::part("platform_release == \"x\"".into())),
        ];
        assert!(requirements(twice).expect_err("twice").why.contains("more than once"));
        let bare =
            vec![(package("a", "1", &[&hash]), Condition::always()), (package("b", "1", &[]), Condition::always())];
        assert!(requirements(bare).expect_err("bare").why.contains("no hashes"));
        for (name, version) in [("a b", "1"), ("a", "1 ; -e ."), ("a", ""), ("-e", "1")] {
            assert!(Package::new(name, Some(version), Origin::Index(None)).is_err(), "{name} {version}");
        }
        let archive = |hash| package("a", "1", &[]).with_archives(&[Archive { name: None, hash }], &HERE);
        for bad in ["sha256:aa", "aa", "sha256:zz", &format!("crc:{}", "a".repeat(64))] {
            assert!(archive(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hashes_of_files_for_other_machines_are_left_out() {
        for (name, fits) in [
            ("a-1-py3-none-any.whl", true),
            ("a-1.tar.gz", true),
            ("a-1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", true),
            ("a-1-cp39-abi3-manylinux_2_17_x86_64.whl", true),
            ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", false),
            ("a-1-cp312-cp312-manylinux_2_17_aarch64.whl", false),
            ("a-1-cp312-cp312-win_amd64.whl", false),
            ("a-1-cp312-cp312-macosx_11_0_x86_64.whl", false),
            ("odd.whl", true),
        ] {
            assert_eq!(is_fit(name, &HERE), fits, "{name}");
        }
    }
}
