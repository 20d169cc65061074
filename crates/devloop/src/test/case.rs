//! Event files: what a function is called with, and what is expected of it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use faas_config::{EntryKind, SourceDir};
use faas_source::project::look;
use faas_terminal::failure::Failure;
use faas_terminal::failure::plain;
use faas_terminal::text::visible;
use faas_types::{RunState, limits};
use serde::Deserialize;
use serde_json::Value;

use super::unusable;

/// Directories of a project whose JSON files are cases.
const DIRECTORIES: [&str; 2] = ["tests", "events"];
/// Maximum number of event files of a directory, and of cases of a file.
const CASES_MAX: usize = 1_000;
/// Keys that tell a case from a bare event.
const MARKS: [&str; 3] = ["request", "trigger", "expect"];

/// One call and what is expected of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Case {
    /// What people call it; the file's name when absent.
    pub(super) name: String,
    /// The call.
    pub(super) request: Option<RequestDocument>,
    /// A trigger to fire instead.
    pub(super) trigger: Option<String>,
    /// What the trigger delivers.
    pub(super) body: Option<Value>,
    /// What is expected.
    pub(super) expect: Expectation,
    /// The file, and its snapshot's.
    #[serde(skip)]
    pub(super) file: PathBuf,
    #[serde(skip)]
    pub(super) snapshot: PathBuf,
}

/// A call. Without method and path it goes to the invoke API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RequestDocument {
    pub(super) method: Option<String>,
    /// Below the function's URL, with its query.
    pub(super) path: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    /// Text goes as it is, anything else as JSON.
    pub(super) body: Option<Value>,
}

/// What is expected of an answer. What is absent does not matter, but an answer of 400 or more must be expected.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expectation {
    pub(super) status: Option<u16>,
    /// The state of a run that a trigger made.
    pub(super) state: Option<RunState>,
    /// What the JSON body holds at least.
    pub(super) json: Option<Value>,
    /// The body as text, whole.
    pub(super) text: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    /// Whether status and body are those of the snapshot.
    pub(super) snapshot: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Shape {
    One(serde_json::Map<String, Value>),
    Many(Vec<serde_json::Map<String, Value>>),
    Other(serde::de::IgnoredAny),
}

/// The cases of a project; those of a single file lie beside it.
pub(super) fn beside(path: &Path) -> Result<Vec<Case>, Failure> {
    if look(path)?.is_dir() {
        return of_directory(path);
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    of_directory(above.unwrap_or_else(|| Path::new(".")))
}

/// The cases of a project, by file name.
fn of_directory(project: &Path) -> Result<Vec<Case>, Failure> {
    let mut files = Vec::new();
    let unreadable = |path: &Path, error: &std::io::Error| {
        Failure::usage(visible(&format!("cannot read {}: {}", project.join(path).display(), plain(error))))
    };
    let source = SourceDir::open(project).map_err(|error| unreadable(Path::new(""), &error))?;
    for name in DIRECTORIES {
        let entries = match source.dir(name).and_then(|dir| dir.entries()) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            listed => listed.map_err(|error| unreadable(Path::new(name), &error))?,
        };
        let paths = entries.into_iter().filter(|entry| entry.kind != EntryKind::Directory);
        let paths = paths.map(|entry| Path::new(name).join(entry.name));
        files.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "json")));
    }
    files.sort();
    if files.is_empty() {
        let message = format!("there are no event files in {}/tests or {0}/events", project.display());
        let hint = "write one, such as tests/hello.json: {\"request\": {\"body\": {}}, \"expect\": {\"status\": 200}}";
        return Err(Failure::usage(message).with_hint(hint));
    }
    if files.len() > CASES_MAX {
        return Err(Failure::usage(format!("there are more than {CASES_MAX} event files; name some with --event")));
    }
    let found: Result<Vec<_>, _> = files.iter().map(|file| read(&source, project, file, false)).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// The cases of these files. One may be a bare event, which is then the body of a call.
pub(super) fn of_files(files: &[PathBuf]) -> Result<Vec<Case>, Failure> {
    let found: Result<Vec<_>, _> = files.iter().map(|file| named(file)).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// The cases of a file that the command line names, be it by a link.
fn named(file: &Path) -> Result<Vec<Case>, Failure> {
    let real = file.canonicalize();
    let real = real.map_err(|error| Failure::usage(format!("cannot read {}: {}", file.display(), plain(&error))))?;
    let (dir, name) = (real.parent().unwrap_or(Path::new("/")), real.file_name().unwrap_or_default());
    let source = SourceDir::open(dir);
    let source =
        source.map_err(|error| Failure::usage(format!("cannot read {}: {}", file.display(), plain(&error))))?;
    read(&source, file.parent().unwrap_or(Path::new("")), Path::new(name), true)
}

/// The cases of a file below an open directory, which is at `dir`.
fn read(source: &SourceDir, dir: &Path, path: &Path, may_be_bare: bool) -> Result<Vec<Case>, Failure> {
    let file = dir.join(path);
    let shown = file.display().to_string();
    let text = match source.text(path, limits::BODY_MAX) {
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            return Err(unusable(&shown, "it is larger than the body of a call may be"));
        }
        read => read.map_err(|error| Failure::usage(format!("cannot read {shown}: {}", plain(&error))))?,
    };
    let mut cases = parse(&shown, &text, may_be_bare)?;
    if cases.len() > CASES_MAX {
        return Err(unusable(&shown, format!("it has more than {CASES_MAX} cases")));
    }
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("case").to_owned();
    let is_alone = cases.len() == 1;
    for (index, case) in cases.iter_mut().enumerate() {
        let own = if is_alone { stem.clone() } else { format!("{stem}-{}", index + 1) };
        case.snapshot = file.with_file_name("__snapshots__").join(format!("{own}.json"));
        case.file.clone_from(&file);
        if case.name.is_empty() {
            case.name = own;
        }
        check(case).map_err(|message| unusable(&shown, message))?;
    }
    Ok(cases)
}

fn parse(file: &str, text: &str, may_be_bare: bool) -> Result<Vec<Case>, Failure> {
    let malformed = |error: serde_json::Error| {
        let place = format!("{file}:{}:{}", error.line(), error.column());
        let message = error.to_string();
        unusable(&place, message.split(" at line ").next().unwrap_or(&message))
    };
    let is_case = |object: &serde_json::Map<String, Value>| MARKS.iter().any(|mark| object.contains_key(*mark));
    match serde_json::from_str(text).map_err(malformed)? {
        Shape::One(object) if is_case(&object) => Ok(vec![serde_json::from_str(text).map_err(malformed)?]),
        Shape::Many(objects) if !objects.is_empty() && objects.iter().all(is_case) => {
            serde_json::from_str(text).map_err(malformed)
        }
        Shape::One(_) | Shape::Many(_) | Shape::Other(_) if may_be_bare => {
            let body = Some(serde_json::from_str(text).map_err(malformed)?);
            Ok(vec![Case { request: Some(RequestDocument { body, ..RequestDocument::default() }), ..Case::default() }])
        }
        _ => Err(unusable(file, "a case has `request` or `trigger`, and `expect`")),
    }
}

fn check(case: &Case) -> Result<(), &'static str> {
    let expect = &case.expect;
    match (&case.request, &case.trigger) {
        (Some(_), Some(_)) => Err("`request` and `trigger` exclude each other; keep one"),
        (Some(_), None) if case.body.is_some() => Err("`body` belongs into `request`"),
        (None, Some(_)) if !expect.headers.is_empty() || expect.text.is_some() => {
            Err("a run that a trigger makes has `state`, `status` and `json`, but neither `headers` nor `text`")
        }
        (_, None) if expect.state.is_some() => Err("`state` is that of a run that a `trigger` makes"),
        _ if expect.json.is_some() && expect.text.is_some() => Err("`json` and `text` exclude each other; keep one"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, may_be_bare: bool) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a.json");
        std::fs::write(&file, text).expect("written");
        let source = SourceDir::open(dir.path()).expect("opened");
        let message = read(&source, dir.path(), Path::new("a.json"), may_be_bare).expect_err(text).message;
        message.split("a.json").nth(1).unwrap_or_default().to_owned()
    }

    #[test]
    fn mistakes_have_their_place() {
        assert!(told("{\"request\": {},\n \"expcet\": {}}", false).starts_with(":2:9: unknown field `expcet`"));
        assert!(told("{\"request\": {", false).starts_with(":1:13: EOF"));
        assert!(told("{\"a\": 1}", false).contains("a case has `request`"));
        assert!(told("{\"request\": {}, \"trigger\": \"cron-1\"}", true).contains("exclude each other"));
        assert!(told("{\"trigger\": \"a\", \"expect\": {\"text\": \"\"}}", true).contains("neither `headers`"));
    }

    #[test]
    fn a_file_holds_a_case_several_or_an_event() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("tests")).expect("made");
        let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).expect("written");
        write("tests/b.json", "[{\"request\": {}}, {\"name\": \"two\", \"trigger\": \"cron-1\"}]");
        write("tests/a.json", "{\"expect\": {\"status\": 200}}");
        write("event.json", "{\"type\": \"x\"}");
        let names: Vec<_> = of_directory(dir.path()).expect("cases").into_iter().map(|case| case.name).collect();
        assert_eq!(names, ["a", "b-1", "two"]);
        let bare = of_files(&[dir.path().join("event.json")]).expect("an event");
        assert_eq!(
            bare[0].request.as_ref().and_then(|request| request.body.clone()),
            Some(serde_json::json!({"type": "x"}))
        );
    }
}
