//! `yarn.lock` of version 1: lines with indents. Pure.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::graph::{Graph, Need, Package, Platform, Wrong, split};
use super::project::Project;

/// The command that updates the lock.
const MEND: &str = "yarn install";
/// Lines of a lock.
const LINES_MAX: usize = 200_000;

/// A whole lock.
#[derive(Default)]
struct Lock {
    entries: Vec<Entry>,
    /// Entries by what asks for them, such as `a@^1.0.0`.
    asked: HashMap<String, usize>,
}

/// One package.
#[derive(Default)]
struct Entry {
    /// What asks for it first.
    asked: String,
    fields: BTreeMap<String, String>,
    dependencies: BTreeMap<String, String>,
    optional: BTreeMap<String, String>,
}

/// The packages on the way from the project downwards.
struct Reading<'a> {
    lock: &'a Lock,
    resolutions: BTreeMap<&'a str, &'a str>,
    graph: Graph,
    known: HashMap<usize, usize>,
    todo: Vec<(usize, usize)>,
}

/// Reads a lock. What packages expect of those who need them is not in it.
pub(super) fn graph(text: &str, project: &Project) -> Result<Graph, Wrong> {
    let lock = Lock::parse(text)?;
    let resolutions = project.texts(&["resolutions"]);
    let graph = Graph { has_no_peers: true, ..Graph::default() };
    let mut reading = Reading { lock: &lock, resolutions, graph, known: HashMap::new(), todo: Vec::new() };
    for one in project.wanted()? {
        let need = reading.need(one.name, one.range, one.is_optional)?;
        reading.graph.root.push(need);
    }
    reading.read()
}

// === impl Reading ===

impl Reading<'_> {
    fn read(mut self) -> Result<Graph, Wrong> {
        while let Some((node, entry)) = self.todo.pop() {
            let Entry { dependencies, optional, .. } = &self.lock.entries[entry];
            let needed = dependencies.iter().filter(|(name, _)| !optional.contains_key(*name));
            let groups = needed.map(|need| (need, false)).chain(optional.iter().map(|need| (need, true)));
            for ((name, range), is_optional) in groups {
                let need = self.need(name, range, is_optional)?;
                self.graph.nodes[node].needs.push(need);
            }
        }
        Ok(self.graph)
    }

    fn need(&mut self, name: &str, range: &str, is_optional: bool) -> Result<Need, Wrong> {
        let target = self.target(name, range)?;
        Ok(Need { name: name.to_owned(), target, is_optional, is_peer: false })
    }

    /// The package that a name leads to; added on its first occurrence.
    fn target(&mut self, name: &str, range: &str) -> Result<usize, Wrong> {
        let asked = format!("{name}@{range}");
        let resolved =
            [name.to_owned(), format!("**/{name}")].iter().find_map(|key| self.resolutions.get(key.as_str()));
        let resolved = resolved.and_then(|range| self.lock.asked.get(&format!("{name}@{range}")));
        let Some(entry) = self.lock.asked.get(&asked).or(resolved).copied() else {
            return Err(Wrong::missing(&asked, MEND));
        };
        if let Some(known) = self.known.get(&entry) {
            return Ok(*known);
        }
        let node = self.graph.add(self.lock.entries[entry].package()?)?;
        self.known.insert(entry, node);
        self.todo.push((node, entry));
        Ok(node)
    }
}

// === impl Entry ===

impl Entry {
    fn package(&self) -> Result<Package, Wrong> {
        let place = &self.asked;
        let (name, range) = split(place).ok_or_else(|| Wrong::no_registry(place))?;
        if range.starts_with("file:") || range.starts_with("link:") {
            return Err(Wrong::local(place));
        }
        let alias = range.strip_prefix("npm:").and_then(|real| split(real).or(Some((real, ""))));
        let name = alias.map_or(name, |(real, _)| real);
        let version = self.fields.get("version").map_or("", String::as_str);
        let resolved = self.fields.get("resolved").map(String::as_str);
        let integrity = self.fields.get("integrity").cloned().or_else(|| sha1(resolved?));
        let platform = Platform { is_unknown: true, ..Platform::default() };
        Ok(Package { integrity, platform, ..Package::new(place, name, version, resolved)? })
    }
}

/// The hash behind an address, where old locks have it, as integrity is written.
fn sha1(url: &str) -> Option<String> {
    let (_, hex) = url.split_once('#')?;
    let bytes: Option<Vec<u8>> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
    bytes.filter(|bytes| bytes.len() == 20).map(|bytes| format!("sha1-{}", STANDARD.encode(bytes)))
}

// === impl Lock ===

impl Lock {
    /// Headers stand at the margin, fields at two spaces, and what a group has at four.
    fn parse(text: &str) -> Result<Self, Wrong> {
        let mut lock = Self::default();
        let mut group = String::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |why: &str| Wrong::at(format!("line {}", index + 1), why);
            if index >= LINES_MAX {
                return Err(wrong("is one too many"));
            }
            let body = line.trim_start_matches(' ');
            if body.is_empty() || body.starts_with('#') {
                continue;
            }
            match line.len() - body.len() {
                0 => lock.begin(body).ok_or_else(|| wrong("is no line of a yarn.lock"))?,
                indent => {
                    let entry = lock.entries.last_mut().ok_or_else(|| wrong("belongs to no package"))?;
                    let words = words(body).ok_or_else(|| wrong("has a quote without its end"))?;
                    match (indent, words.as_slice()) {
                        (2, [key]) if key.ends_with(':') => group = key.trim_end_matches(':').to_owned(),
                        (2, [key, value]) => drop(entry.fields.insert(key.clone(), value.clone())),
                        (4, [name, range]) if group == "dependencies" => {
                            entry.dependencies.insert(name.clone(), range.clone());
                        }
                        (4, [name, range]) if group == "optionalDependencies" => {
                            entry.optional.insert(name.clone(), range.clone());
                        }
                        (4, [_, _]) => {}
                        _ => return Err(wrong("is no line of a yarn.lock")),
                    }
                }
            }
        }
        Ok(lock)
    }

    /// A header: what asks for the package, with commas between, and a colon.
    fn begin(&mut self, header: &str) -> Option<()> {
        let asked: Vec<String> = words(header.strip_suffix(':')?)?;
        self.entries.push(Entry { asked: asked.first()?.clone(), ..Entry::default() });
        let index = self.entries.len() - 1;
        self.asked.extend(asked.into_iter().map(|asked| (asked, index)));
        Some(())
    }
}

/// Words between spaces and commas; quotes hold one together.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').filter(|(word, _)| !word.contains('\\'))?,
            None => rest.split_at(rest.find([' ', ',']).unwrap_or(rest.len())),
        };
        let after_quote = after.strip_prefix(':').filter(|after| after.is_empty());
        words.push(if after_quote.is_some() { format!("{word}:") } else { word.to_owned() });
        rest = after_quote.unwrap_or(after).trim_start_matches([' ', ',']);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_be_quoted() {
        let two = ["@s/a@^1.0.0 || 2", "b@3"].map(str::to_owned);
        assert_eq!(words("\"@s/a@^1.0.0 || 2\", b@3").as_deref(), Some(&two[..]));
        assert_eq!(words("\"open"), None);
    }

    #[test]
    fn old_locks_hash_behind_the_address() {
        let hash = sha1("https://r/a.tgz#da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(hash.as_deref(), Some("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="));
        assert_eq!((sha1("https://r/a.tgz"), sha1("https://r/a.tgz#ü123")), (None, None));
    }

    #[test]
    fn what_is_no_lock_is_refused_with_its_line() {
        for text in ["a@1\n", "  version \"1\"\n", "a@1:\n      b c\n", "a@1:\n  version \"1\n"] {
            assert!(Lock::parse(text).err().expect("refused").place.starts_with("line "));
        }
    }
}
