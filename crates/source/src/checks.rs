//! What is wrong with a function's files, as far as this machine can tell: the server's own rules and, where an interpreter
//! is here, syntax and entrypoint.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use faas_client::LocalFile;
use faas_config::{EntryKind, MANIFEST_FILES, SourceDir, closest, is_git_ignored};
use faas_languages::{EntrypointParts, Language};
use faas_packages::{DECLARATION_FILES, is_vendor_dir};
use faas_preflight::{AllowedSecret, Finding, InvalidPolicy, Policies, Policy, Preflight, Severity};
use faas_terminal::failure::Failure;
use faas_terminal::session::Session;
use faas_terminal::text::{self, visible};
use faas_types::{Code, Entrypoint};

use crate::bundle;
use crate::project::{Overrides, Project};
use crate::syntax::{self, SourceFindings};

/// How long a server has to tell its rules; without them the built-in ones are checked.
const PATIENCE: Duration = Duration::from_secs(2);
/// Directories above a function in which a repository is looked for.
const ABOVE_MAX: usize = 32;
/// A function from which on it is worth a word what is heavy in it, and the share that one directory has then.
const HEAVY_BYTES: u64 = 50 << 20;
const HEAVY_FILES: usize = 5_000;
const HEAVY_PERCENT: u64 = 50;
/// Bytes of a `.gitignore`.
const GITIGNORE_MAX: u64 = 1 << 20;

// === impl Project ===

impl Project {
    /// Reads and checks a directory or a file that holds one function.
    pub fn open(path: &Path, overrides: Overrides) -> anyhow::Result<Self> {
        let mut project = Self::read_one(path, overrides)?;
        refuse(&project.check(&Policies::default()))?;
        Ok(project)
    }

    /// Everything that is wrong with its files, the errors first. Notes what could not be checked.
    pub fn check(&mut self, policies: &Policies) -> Vec<Finding> {
        let (findings, skipped) = of(self, policies);
        self.skipped = skipped;
        findings
    }
}

/// What was found, the errors first, and what of the check could not be done.
pub fn of(project: &Project, policies: &Policies) -> (Vec<Finding>, Option<String>) {
    let mut findings = preflight(&project.files, &project.manifest.allowed_secrets, policies);
    findings.extend(exposed_to_git(project));
    findings.extend(left_beside(project));
    let skipped = match source(project) {
        Ok((found, skipped)) => {
            findings.extend(found);
            skipped
        }
        Err(found) => {
            findings.push(*found);
            None
        }
    };
    findings.sort_by_key(|finding| finding.severity);
    (findings, skipped)
}

/// Ends a command with what was found, unless it is only worth a look.
pub fn refuse(findings: &[Finding]) -> Result<(), Failure> {
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let Some(first) = errors.first() else { return Ok(()) };
    let mut failure = match errors[..] {
        [only] => {
            let mut failure = Failure::of(only.code, visible(&only.to_string()));
            let lines = only.snippet.iter().flat_map(|text| text.lines());
            failure.details.extend(lines.map(|line| format!("    {}", visible(line))));
            failure
        }
        _ => {
            let mut failure = Failure::of(first.code, format!("{} problems", errors.len()));
            failure.details.extend(errors.iter().map(|finding| visible(&finding.to_string())));
            failure
        }
    };
    failure.hint = first.fix.as_deref().map(visible);
    Err(failure)
}

/// What uploads are refused for by the server that a command speaks to; the built-in rules where it cannot be asked.
pub async fn policies(session: &Session) -> Policies {
    let Ok(client) = session.client() else { return Policies::default() };
    let Ok(policy) = client.preflight_policy_within(PATIENCE).await else { return Policies::default() };
    let compiled = || {
        let operator = Arc::new(Policy::of_operator(&policy.operator)?);
        let project = policy.project.as_ref().map(|project| Policy::of_project(&project.rules)).transpose()?;
        Ok::<_, InvalidPolicy>(Policies { operator, project: project.map(Arc::new) })
    };
    // What a newer server takes may be none here; it looks at every upload itself.
    compiled().unwrap_or_default()
}

/// The rules that the server has too.
pub fn preflight(files: &[LocalFile], allowed: &[AllowedSecret], policies: &Policies) -> Vec<Finding> {
    let preflight = Preflight { policies, allowed };
    let listing: Vec<(&str, u64)> = files.iter().map(|file| (file.entry.path.as_str(), file.entry.size)).collect();
    let mut findings = preflight.listing(listing.iter().map(|(path, _)| *path));
    for at in preflight.searched(&listing) {
        // The upload reports a file that cannot be read any more.
        if let Ok(bytes) = bundle::read(&files[at]) {
            findings.extend(preflight.file(listing[at].0, &bytes));
        }
    }
    findings
}

/// What lies beside a file that is deployed alone, and would count if its directory were deployed.
fn left_beside(project: &Project) -> Option<Finding> {
    let dir = project.root.parent().filter(|_| project.is_single)?;
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let source = SourceDir::open(dir).ok()?;
    let left: Vec<&str> = MANIFEST_FILES.into_iter().chain(DECLARATION_FILES).filter(|name| source.has(name)).collect();
    let [first, others @ ..] = left.as_slice() else { return None };
    let own = project.root.file_name()?.to_string_lossy();
    let (listed, are) = match others {
        [] => ((*first).to_owned(), "is"),
        [middle @ .., last] => {
            let before: String = middle.iter().map(|name| format!(", {name}")).collect();
            (format!("{first}{before} and {last}"), "are")
        }
    };
    let message = format!("only {own} is sent: {listed} beside it {are} not");
    let finding = Finding::new("left-beside", Severity::Warning, message);
    Some(finding.with_fix(format!("to send all of it, deploy the directory: faas deploy {}", dir.display())))
}

/// A `.env` beside the function that the next commit would take along.
fn exposed_to_git(project: &Project) -> Option<Finding> {
    let has_env = |source: SourceDir| source.kind(".env").is_ok_and(|kind| kind == Some(EntryKind::File));
    if project.is_single || !SourceDir::open(&project.root).is_ok_and(has_env) {
        return None;
    }
    let root = project.root.canonicalize().ok()?;
    let mut ignores = Vec::new();
    for dir in root.ancestors().take(ABOVE_MAX) {
        let source = SourceDir::open(dir).ok()?;
        ignores.push((dir, source.text(".gitignore", GITIGNORE_MAX).unwrap_or_default()));
        if source.has(".git") {
            let file = root.join(".env");
            let ignored = ignores
                .iter()
                .any(|(dir, text)| file.strip_prefix(dir).is_ok_and(|relative| is_git_ignored(text, relative)));
            let message = "git would take .env along, which usually holds secrets";
            let finding = Finding::new("env-not-ignored", Severity::Warning, message).in_file(".env");
            return (!ignored).then(|| finding.with_fix("add a line .env to .gitignore (`faas validate --fix` does)"));
        }
    }
    None
}

/// Syntax and entrypoint.
fn source(project: &Project) -> Result<(Vec<Finding>, Option<String>), Box<Finding>> {
    let settings = &project.manifest.settings;
    let language = Language::named(settings.runtime.language()).unwrap_or_else(Language::standard);
    let parts = language.entrypoint_parts(&settings.entrypoint).map_err(|error| {
        Box::new(Finding::new("entrypoint", Severity::Error, error.to_string()).with_code(Code::InvalidConfiguration))
    })?;
    let entry = entry_file(&project.files, (&settings.entrypoint, parts), language)?;
    if let Some(finding) = unimportable(entry, language) {
        return Err(Box::new(finding));
    }
    let Some((tools, check)) = syntax::checker(language) else {
        // The server loads the entrypoint before it lets a version serve, and tells what it finds.
        return Ok((Vec::new(), None));
    };
    let (files, runtime) = (&project.files, &settings.runtime);
    let Some(findings) = syntax::check((language, tools, check), files, &entry.local, runtime) else {
        let wanted = match settings.runtime.version() {
            Some(_) => format!("no {} or newer", settings.runtime),
            None => format!("no {}", tools.interpreters(None).last().unwrap_or_default()),
        };
        let skipped = format!("syntax not checked here: {wanted} is installed; the server checks it before it serves");
        return Ok((Vec::new(), Some(skipped)));
    };
    Ok((in_source(&findings, &entry.entry.path, (&settings.entrypoint, parts), project.is_single), None))
}

/// A file that no import reaches, for its name.
fn unimportable(entry: &LocalFile, language: &Language) -> Option<Finding> {
    let rules = language.source.as_ref()?.modules.as_ref()?;
    let name = entry.entry.path.rsplit('/').next().unwrap_or_default();
    let (stem, suffix) = language.suffixes().find_map(|suffix| Some((name.strip_suffix(suffix)?, suffix)))?;
    let is_top = !entry.entry.path.contains('/');
    let (why, fix) = if is_top && rules.builtin.iter().any(|module| module == stem) {
        let why = format!("{} has a module `{stem}` built in, which it takes in place of {name}", language.title);
        (why, format!("call the file something else, such as my_{stem}{suffix}"))
    } else if stem.contains(rules.separator) {
        let (path, separator) = (&entry.entry.path, rules.separator);
        let why = format!("{path} cannot be imported: `{separator}` in the name of a module leads into a directory");
        (why, format!("call it {}{suffix}", stem.replace(separator, "_")))
    } else {
        return None;
    };
    let finding = Finding::new("entrypoint", Severity::Error, why).with_code(Code::DeploymentFailed);
    Some(finding.in_file(&entry.entry.path).with_fix(fix))
}

fn in_source(
    findings: &SourceFindings,
    entry_path: &str,
    (entrypoint, parts): (&Entrypoint, EntrypointParts<'_>),
    is_single: bool,
) -> Vec<Finding> {
    if !findings.errors.is_empty() {
        let finding = |error: &faas_types::FunctionError| Finding {
            snippet: error.snippet.clone(),
            ..Finding::new("syntax", Severity::Error, format!("{}: {}", error.kind, error.message))
                .with_code(Code::DeploymentFailed)
                .in_file(error.file.as_deref().unwrap_or(entry_path))
                .at(error.line, error.column)
                .with_fix("fix the syntax and deploy again")
        };
        return findings.errors.iter().map(finding).collect();
    }
    let Some(symbol) = parts.symbol else { return Vec::new() };
    let (file, top) = (parts.file, symbol.split('.').next().unwrap_or_default());
    match &findings.names {
        Some(names) if !names.iter().any(|name| name == top) => {
            let public = names.iter().map(String::as_str).filter(|name| !name.starts_with('_'));
            let fix = match closest(top, public.clone()).or_else(|| single_of(public)) {
                Some(meant) if is_single => {
                    format!("to call `{meant}`, add --entrypoint {file}:{meant}")
                }
                Some(meant) => format!("did you mean `{file}:{meant}`?"),
                None => format!("define `{top}` in {entry_path}, or set `entrypoint` to a name that is there"),
            };
            let why = format!("{entry_path} does not define `{top}`");
            vec![no_entrypoint(entrypoint, &why).with_fix(fix)]
        }
        _ => Vec::new(),
    }
}

/// The file that an entrypoint names: `api/main`, `api.main`, a package, or the file with its suffix.
fn entry_file<'f>(
    files: &'f [LocalFile],
    (entrypoint, parts): (&Entrypoint, EntrypointParts<'_>),
    language: &Language,
) -> Result<&'f LocalFile, Box<Finding>> {
    let candidates = candidates(parts, language);
    let found = candidates.iter().find_map(|path| files.iter().find(|file| file.entry.path == *path));
    found.ok_or_else(|| {
        let wanted = &candidates[0];
        let base = |path: &'f str| language.suffixes().find_map(|suffix| path.strip_suffix(suffix));
        let sources = files.iter().filter_map(|file| base(&file.entry.path));
        let sources_of = |ending: &str| files.iter().find(|file| file.entry.path == format!("{}{ending}", parts.file));
        let compiled = language.compiled.as_ref();
        let compiled = compiled.and_then(|of| Some((of, of.endings.iter().find_map(|ending| sources_of(ending))?)));
        let fix = match closest(parts.file, sources.clone()).or_else(|| single_of(sources)) {
            _ if let Some((of, source)) = compiled => {
                let path = &source.entry.path;
                format!("{path} is {}, which is not compiled here: build it to {wanted} first", of.name)
            }
            Some(path) if let Some(symbol) = parts.symbol => format!("did you mean `{path}:{symbol}`?"),
            _ => format!("create {wanted} or set `entrypoint` to {}", language.entrypoint_form.example()),
        };
        Box::new(no_entrypoint(entrypoint, &format!("there is no {wanted} in the bundle")).with_fix(fix))
    })
}

/// The files that an entrypoint may mean, the best first.
fn candidates(parts: EntrypointParts<'_>, language: &Language) -> Vec<String> {
    let file = parts.file;
    if parts.symbol.is_none() {
        return vec![file.to_owned()];
    }
    let dotted = file.replace('.', "/");
    let with_ending = |base: &str| language.files.iter().map(|ending| format!("{base}{ending}")).collect::<Vec<_>>();
    let mut candidates = [with_ending(file), with_ending(&dotted)].concat();
    if language.suffixes().any(|suffix| file.ends_with(suffix)) {
        candidates.push(file.to_owned());
    }
    candidates
}

fn no_entrypoint(entrypoint: &Entrypoint, why: &str) -> Finding {
    let message = format!("entrypoint `{entrypoint}` does not exist: {why}");
    Finding::new("entrypoint", Severity::Error, message).with_code(Code::DeploymentFailed)
}

fn single_of<'p>(mut paths: impl Iterator<Item = &'p str>) -> Option<&'p str> {
    let first = paths.next()?;
    paths.next().is_none().then_some(first)
}

/// Warning lines for findings that do not refuse a deployment.
pub fn warnings(findings: &[Finding]) -> impl Iterator<Item = String> + '_ {
    findings.iter().filter(|finding| finding.severity == Severity::Warning).map(|finding| {
        let fix = finding.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        visible(&format!("{finding}{fix}"))
    })
}

/// What is heavy in a function that is, for people.
pub fn heavy(project: &Project) -> Option<String> {
    let bytes = project.bytes();
    if bytes < HEAVY_BYTES && project.files.len() < HEAVY_FILES {
        return None;
    }
    let mut shares: HashMap<&str, (usize, u64)> = HashMap::new();
    for LocalFile { entry, .. } in &project.files {
        let Some((top, _)) = entry.path.split_once('/') else { continue };
        let share = shares.entry(top).or_default();
        *share = (share.0 + 1, share.1 + entry.size);
    }
    let (top, (files, size)) = shares.into_iter().max_by_key(|(_, share)| (share.1, share.0))?;
    let percent = (size * 100).checked_div(bytes)?;
    (percent >= HEAVY_PERCENT).then(|| {
        let (files, size) = (text::counted(files, "file"), text::bytes(size));
        let advice = match top {
            _ if is_vendor_dir(top) => {
                "the server installs what a lock or a file of requirements names, so that it need not be uploaded"
            }
            _ => "list in .faasignore what is not needed when the function runs",
        };
        format!("{} is {percent} % of it: {files}, {size}; {advice}", visible(top))
    })
}

/// How much was checked, for people.
pub fn extent(project: &Project) -> String {
    format!("{}, {}", text::counted(project.files.len(), "file"), text::bytes(project.bytes()))
}
