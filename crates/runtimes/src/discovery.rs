//! Which runtimes this machine has.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_ports::RuntimeDescription;
use faas_types::RuntimeName;
use serde::{Deserialize, Serialize};

use crate::recipe::{Discover, Probed, Recipe};

/// How long one program may take to describe itself.
const PROBE_TIME: Duration = Duration::from_secs(5);
/// Bytes of a description.
const PROBE_MAX: u64 = 64 << 10;
/// The most programs that are asked.
const CANDIDATES_MAX: usize = 64;

/// An installation that can be sealed.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) recipe: Recipe,
    /// What its program says of itself; `None` where nothing of this machine is needed.
    pub(crate) probed: Option<Probed>,
    /// Which of the recipe's versions it is, such as `3.12`.
    pub(crate) release: String,
    pub(crate) description: RuntimeDescription,
    /// Of its program.
    stamp: Option<Stamp>,
    /// The configuration names it, so that it wins over a newer patch that was found.
    configured: bool,
}

/// Tells whether a program was replaced since it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    mtime_ns: i64,
    size: u64,
}

/// Answers of earlier starts, by language and program: a program that the configuration names is asked by every recipe.
/// `None` is that of another program.
type Answers = BTreeMap<String, BTreeMap<PathBuf, (Stamp, Option<Probed>)>>;

// === impl Found ===

impl Found {
    /// What its layers' digests hang on.
    pub(crate) fn identity(&self) -> String {
        let exact = &self.description.exact;
        match self.probed.as_ref().zip(self.stamp.as_ref()) {
            Some((probed, Stamp { mtime_ns, size })) => {
                format!("{exact} {} {mtime_ns} {size}", probed.program.from.display())
            }
            None => exact.clone(),
        }
    }

    /// Its program on this machine.
    pub(crate) fn program(&self) -> Option<&Path> {
        self.probed.as_ref().map(|probed| probed.program.from.as_path())
    }

    /// Sorts by language, newest release first, and within one the configured and then the newest patch first.
    fn rank(&self) -> impl Ord + use<> {
        let numbers = self.numbers();
        (self.recipe.language.clone(), Reverse(version_numbers(&self.release)), !self.configured, Reverse(numbers))
    }

    fn numbers(&self) -> Vec<u32> {
        version_numbers(&self.description.exact)
    }
}

// === impl Stamp ===

impl Stamp {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self { mtime_ns: meta.mtime().saturating_mul(1_000_000_000) + meta.mtime_nsec(), size: meta.len() })
    }
}

/// Looks for the installations of every recipe, newest first and one per release. Blocks for as long as the
/// programs that `cache` does not know take to answer.
pub(crate) fn discover(recipes: &[Recipe], extra: &[PathBuf], cache: &Path) -> Vec<Found> {
    discover_within(recipes, extra, cache, PROBE_TIME)
}

/// The same with another time for each program that is asked.
fn discover_within(recipes: &[Recipe], extra: &[PathBuf], cache: &Path, time: Duration) -> Vec<Found> {
    let begun = Instant::now();
    let known: Answers = fs::read(cache).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let mut answers = Answers::new();
    let mut found: Vec<Found> = Vec::new();
    for recipe in recipes {
        let Some(looked_for) = &recipe.discover else {
            found.extend(recipe.versions.iter().filter_map(|version| brought_along(recipe, version)));
            continue;
        };
        for path in candidates(looked_for, extra) {
            let Some(stamp) = Stamp::of(&path) else {
                continue;
            };
            let answer = match known.get(&recipe.language).and_then(|of| of.get(&path)) {
                Some((then, answer)) if *then == stamp => answer.clone(),
                _ => match probe(recipe, looked_for, &path, time) {
                    Ok(answer) => answer,
                    // Not kept: a busy machine or a cold disk may have held it up, and the next start asks again.
                    Err(error) => {
                        tracing::warn!(program = %path.display(), %error, "program did not describe itself");
                        continue;
                    }
                },
            };
            let described = answer.clone().and_then(|probed| describe(recipe, probed, stamp.clone(), path.clone()));
            let configured = extra.iter().filter_map(|place| fs::canonicalize(place).ok()).any(|p| path.starts_with(p));
            found.extend(described.map(|found| Found { configured, ..found }));
            answers.entry(recipe.language.clone()).or_default().insert(path, (stamp, answer));
        }
    }
    // A stable sort, so that of equals the one that was found first stays.
    found.sort_by_key(Found::rank);
    found.dedup_by(|later, kept| later.description.name == kept.description.name);
    if answers != known {
        keep(cache, &answers);
    }
    let names: Vec<&str> = found.iter().map(|found| found.description.name.as_str()).collect();
    tracing::info!(runtimes = ?names, seconds = begun.elapsed().as_secs_f32(), "runtimes discovered");
    found
}

/// The best of `found` for a manifest's name: the language alone, or the beginning of a version.
pub(crate) fn select<'a>(found: &'a [Arc<Found>], name: &RuntimeName) -> Option<&'a Arc<Found>> {
    let wanted = name.version().map(version_numbers).unwrap_or_default();
    found
        .iter()
        .filter(|found| found.recipe.language == name.language())
        .find(|found| found.numbers().starts_with(&wanted))
}

/// A release that needs nothing of this machine.
fn brought_along(recipe: &Recipe, version: &str) -> Option<Found> {
    let name = format!("{}{version}", recipe.language).parse().ok()?;
    let description = RuntimeDescription { name, exact: version.to_owned(), origin: PathBuf::new() };
    let (recipe, release) = (recipe.clone(), version.to_owned());
    Some(Found { recipe, probed: None, release, description, stamp: None, configured: false })
}

fn describe(recipe: &Recipe, probed: Probed, stamp: Stamp, origin: PathBuf) -> Option<Found> {
    let numbers = version_numbers(&probed.version);
    let wanted = recipe.discover.as_ref().map(|discover| &discover.implementation);
    if !probed.is_final || Some(&probed.implementation) != wanted {
        return None;
    }
    let release = recipe.versions.iter().find(|version| numbers.starts_with(&version_numbers(version)))?.clone();
    let name = format!("{}{release}", recipe.language).parse().ok()?;
    let description = RuntimeDescription { name, exact: probed.version.clone(), origin };
    let (probed, stamp) = (Some(probed), Some(stamp));
    Some(Found { recipe: recipe.clone(), probed, release, description, stamp, configured: false })
}

fn version_numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Programs to ask, without their duplicates behind symbolic links and without wrapper scripts.
fn candidates(looked_for: &Discover, extra: &[PathBuf]) -> Vec<PathBuf> {
    let from_path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = extra.iter().filter(|path| path.is_dir()).cloned().collect();
    directories.extend(std::env::split_paths(&from_path));
    directories.extend(looked_for.places.iter().flat_map(|place| expand(place)));
    let named = directories.iter().flat_map(|directory| looked_for.programs.iter().map(|name| directory.join(name)));
    let mut found: Vec<PathBuf> = Vec::new();
    for path in extra.iter().filter(|path| path.is_file()).cloned().chain(named) {
        let Ok(real) = fs::canonicalize(&path) else {
            continue;
        };
        if is_elf(&real) && !found.contains(&real) && found.len() < CANDIDATES_MAX {
            found.push(real);
        }
    }
    found
}

/// Directories that a place such as `~/.pyenv/versions/*/bin` stands for.
fn expand(place: &str) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("/")];
    for part in place.split('/') {
        let variable = match part {
            "~" => Some("HOME"),
            _ => part.strip_prefix('$'),
        };
        match (variable, part) {
            (Some(name), _) => match std::env::var_os(name) {
                Some(value) => paths = vec![PathBuf::from(value)],
                None => return Vec::new(),
            },
            (None, "*") => paths = paths.iter().flat_map(|path| subdirectories(path)).collect(),
            (None, part) => paths.iter_mut().for_each(|path| path.push(part)),
        }
    }
    paths
}

fn subdirectories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten();
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}

pub(crate) fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

/// What a program says of itself; `None` where it is not the recipe's.
///
/// # Errors
/// When it did not come to an answer: that says nothing about the next time.
fn probe(recipe: &Recipe, looked_for: &Discover, path: &Path, time: Duration) -> io::Result<Option<Probed>> {
    let mut child = Command::new(path)
        .args(recipe.arguments(&looked_for.probe, &[]))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let ended = wait(&mut child, Instant::now() + time);
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait()?;
    if !ended {
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {time:?}")));
    }
    if status.code().is_none() {
        return Err(io::Error::other(status.to_string()));
    }
    let mut output = Vec::new();
    if let Some(answer) = child.stdout.take() {
        answer.take(PROBE_MAX).read_to_end(&mut output)?;
    }
    Ok(if status.success() { serde_json::from_slice(&output).ok() } else { None })
}

/// Whether the child ended before the deadline. Its output is small enough for the pipe to hold.
fn wait(child: &mut Child, deadline: Instant) -> bool {
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            _ => return true,
        }
    }
    false
}

fn keep(cache: &Path, answers: &Answers) {
    let draft = cache.with_extension("draft");
    let written = serde_json::to_vec(answers)
        .map_err(std::io::Error::from)
        .and_then(|text| fs::write(&draft, text))
        .and_then(|()| fs::rename(&draft, cache));
    if let Err(error) = written {
        tracing::warn!(%error, "runtimes could not be cached");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_python_and_the_cache_knows_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = dir.path().join("runtimes.json");
        let found = discover(&Recipe::all(), &[], &cache);
        assert!(!found.is_empty(), "these tests need a CPython 3.10 to 3.13");
        let begun = Instant::now();
        let again = discover(&Recipe::all(), &[], &cache);
        let names = |found: &[Found]| found.iter().map(|f| f.description.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found), names(&again));
        assert!(begun.elapsed() < PROBE_TIME, "no program is asked twice");
    }

    #[test]
    fn a_program_that_is_named_stays_known_whichever_recipe_asks_it_last() {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, cache) = (dir.path().join("first.json"), dir.path().join("runtimes.json"));
        let mut recipes = Recipe::all();
        let python = discover(&recipes, &[], &first).into_iter().find(|found| found.recipe.language == "python");
        let python = python.expect("these tests need a CPython").description;
        recipes.sort_by_key(|recipe| recipe.language != "python");
        for start in ["the first start", "the second start"] {
            let found = discover(&recipes, std::slice::from_ref(&python.origin), &cache);
            assert!(found.iter().any(|found| found.description == python), "{start}");
        }
    }

    #[test]
    fn a_program_without_an_answer_is_asked_again_at_the_next_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = dir.path().join("runtimes.json");
        let hurried = discover_within(&Recipe::all(), &[], &cache, Duration::ZERO);
        assert!(hurried.iter().all(|found| found.probed.is_none()), "nothing answers that fast");
        let found = discover(&Recipe::all(), &[], &cache);
        assert!(found.iter().any(|found| found.recipe.language == "python"));
    }

    #[test]
    fn names_select_the_newest_that_begins_so() {
        let recipe = Recipe::all().into_iter().find(|recipe| recipe.language == "python").expect("embedded");
        let copied = |to: &str| crate::recipe::Copied { from: "/x".into(), to: to.into(), skip: Vec::new() };
        let fake = |version: &str| {
            let probed = Probed {
                implementation: "cpython".into(),
                version: version.into(),
                is_final: true,
                program: copied("bin/x"),
                tree: Some(copied("lib")),
            };
            describe(&recipe, probed, Stamp { mtime_ns: 0, size: 0 }, "/x".into()).expect("supported")
        };
        let found = [fake("3.13.0"), fake("3.12.1"), fake("3.10.13")].map(Arc::new);
        let pick = |name: &str| select(&found, &name.parse().expect("valid")).map(|f| f.description.exact.as_str());
        assert_eq!(pick("python"), Some("3.13.0"));
        assert_eq!(pick("python3"), Some("3.13.0"));
        assert_eq!(pick("python3.12"), Some("3.12.1"));
        assert_eq!(pick("python3.12.1"), Some("3.12.1"));
        assert_eq!(pick("python3.1"), None);
        assert_eq!(pick("python3.11"), None);
        assert_eq!(pick("node"), None);
    }
}
