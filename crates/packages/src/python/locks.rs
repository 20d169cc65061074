//! The locks of Python's project tools, turned into exact requirements. Pure.
//!
//! A lock is written for many machines and carries more than a function needs: development groups, extras, hashes of other
//! platforms, versions for other releases of Python. The function's runtime decides all of that except what depends on a patch
//! release, which is left to the installer as a marker. So functions whose locks agree for their runtime share a layer,
//! whichever tool wrote them.

mod condition;
mod constraint;
mod fresh;
mod graph;
mod marker;
mod names;
mod package;
mod pdm;
mod pipfile;
mod poetry;
mod pylock;
mod uv;
mod version;

use faas_types::{Code, Fault, RuntimeName};
use serde::de::DeserializeOwned;

use condition::Condition;
use constraint::Constraint;
use graph::too_complex;
use marker::{Environment, Marker, Wanted};
pub(super) use names::{Requirement, canonical};
use package::{PACKAGES_MAX, requirements};
use version::{Specifier, Version};

use crate::refusal::shown;

/// The tool that wrote a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Any tool, as [PEP 751](https://peps.python.org/pep-0751/) says.
    Pylock,
    Uv,
    Poetry,
    Pdm,
    Pipenv,
}

/// Why a lock cannot be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The package, unless the whole lock is meant.
    package: Option<String>,
    why: String,
    mending: Mending,
}

/// What the author can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mending {
    /// Change the lock, or do not install it.
    Change,
    /// Create the lock again.
    LockAgain,
}

/// A lock with the project file that it was made from.
#[derive(Clone, Copy)]
pub(super) struct Lock<'a> {
    pub(super) tool: Tool,
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    /// `pyproject.toml` or `Pipfile`, where there is one.
    pub(super) project: Option<&'a str>,
}

// === impl Tool ===

impl Tool {
    /// Tools whose lock has a fixed name, in the order of precedence.
    pub(super) const ALL: [Self; 5] = [Self::Pylock, Self::Uv, Self::Poetry, Self::Pdm, Self::Pipenv];

    pub(super) const fn lock(self) -> &'static str {
        match self {
            Self::Pylock => "pylock.toml",
            Self::Uv => "uv.lock",
            Self::Poetry => "poetry.lock",
            Self::Pdm => "pdm.lock",
            Self::Pipenv => "Pipfile.lock",
        }
    }

    /// The file that people write.
    pub(super) const fn project(self) -> &'static str {
        match self {
            Self::Pipenv => "Pipfile",
            _ => "pyproject.toml",
        }
    }

    /// The command that locks.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Pylock => "uv export --format pylock.toml -o pylock.toml",
            Self::Uv => "uv lock",
            Self::Poetry => "poetry lock",
            Self::Pdm => "pdm lock",
            Self::Pipenv => "pipenv lock",
        }
    }
}

// === impl Refusal ===

impl Refusal {
    fn of(package: &str, why: &str) -> Self {
        Self { package: Some(shown(package)), why: why.to_owned(), mending: Mending::Change }
    }

    fn whole(why: &str) -> Self {
        Self { package: None, why: why.to_owned(), mending: Mending::Change }
    }

    fn stale(why: &str) -> Self {
        Self { package: None, why: why.to_owned(), mending: Mending::LockAgain }
    }
}

// === impl Lock ===

impl Lock<'_> {
    /// The requirements for exactly the packages that are locked for a runtime; may be empty.
    ///
    /// # Errors
    /// `FN_006` for what cannot be read or installed, with the place, and for a lock that is not of its project.
    pub(super) fn requirements(&self, runtime: &RuntimeName) -> Result<String, Fault> {
        let read = environment(runtime).and_then(|environment| {
            let chosen = match self.tool {
                Tool::Pylock => pylock::read(self.text, &environment),
                Tool::Uv => uv::read(self.text, self.project, &environment),
                Tool::Poetry => poetry::read(self.text, self.project, &environment),
                Tool::Pdm => pdm::read(self.text, self.project, &environment),
                Tool::Pipenv => pipfile::read(self.text, self.project, &environment),
            };
            requirements(chosen?)
        });
        read.map_err(|refusal| self.fault(&refusal))
    }

    fn fault(&self, Refusal { package, why, mending }: &Refusal) -> Fault {
        let place = match package {
            Some(package) => format!("{}: the package `{package}`", self.path),
            None => self.path.to_owned(),
        };
        let hint = match mending {
            Mending::Change => {
                "fix it, or set dependencies = \"none\" in [build] of the manifest to install nothing".to_owned()
            }
            Mending::LockAgain => format!("create it again with: {}", self.tool.command()),
        };
        Fault::new(Code::InvalidConfiguration, format!("{place} {why}")).with_hint(hint)
    }
}

fn environment(runtime: &RuntimeName) -> Result<Environment, Refusal> {
    let release = runtime.version().and_then(|version| {
        let mut numbers = version.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    let python = release.ok_or_else(|| Refusal::whole("cannot be read for a Python whose release is not known"))?;
    Ok(Environment { python, machine: std::env::consts::ARCH })
}

fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    toml::from_str(text).map_err(|error| {
        let place = error.span().map_or_else(String::new, |span| {
            format!(" in line {}", text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1))
        });
        Refusal::whole(&format!("cannot be read{place}: {}", shown(error.message())))
    })
}

fn check_count(packages: usize) -> Result<(), Refusal> {
    if packages > PACKAGES_MAX {
        return Err(Refusal::whole(&format!("has more than {PACKAGES_MAX} packages")));
    }
    Ok(())
}

/// When a marker holds; without one, always.
fn decide(marker: Option<&str>, environment: &Environment, wanted: Wanted<'_>) -> Result<Condition, Refusal> {
    let Some(text) = marker.filter(|text| !text.trim().is_empty()) else { return Ok(Condition::always()) };
    let marker = Marker::parse(text)
        .ok_or_else(|| Refusal::whole(&format!("has the marker `{}`, which cannot be read", shown(text))))?;
    marker.decide(environment, wanted).map_err(|_| too_complex())
}

/// Refuses a lock that was made for other releases of Python.
fn check_python(asked: Option<&str>, environment: &Environment) -> Result<(), Refusal> {
    let Some(specifiers) = asked.and_then(Specifier::parse_all) else { return Ok(()) };
    if specifiers.iter().all(|asked| asked.admits_patches_of(environment.python) != Some(false)) {
        return Ok(());
    }
    let ((major, minor), asked) = (environment.python, shown(asked.unwrap_or_default()));
    Err(Refusal::stale(&format!(
        "is for Python {asked}, and the function runs on {major}.{minor}; set another runtime, or change what the project asks for"
    )))
}

/// Whether a condition in the notation of PEP 440, or else of Poetry, admits an exact version. `None` for a condition in neither
/// notation.
pub(super) fn admits(asked: &str, exact: &str) -> Option<bool> {
    let version = Version::parse(exact)?;
    match Specifier::parse_all(asked) {
        Some(specifiers) => Some(specifiers.iter().all(|specifier| specifier.admits(&version))),
        None => Constraint::parse(asked).map(|constraint| constraint.admits(&version)),
    }
}

#[cfg(test)]
mod tests;
