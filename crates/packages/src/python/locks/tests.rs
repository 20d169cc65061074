//! Locks that their tools wrote, beside what the same tools export.

use std::path::Path;

use super::*;

/// Directories of `tests/locks`, each with a lock of the same project, or nearly.
const WRITTEN: [(&str, Tool); 6] = [
    ("uv", Tool::Uv),
    ("pylock", Tool::Pylock),
    ("poetry", Tool::Poetry),
    ("poetry-1", Tool::Poetry),
    ("pdm", Tool::Pdm),
    ("pipenv", Tool::Pipenv),
];

/// A lock in a test's hands.
struct Written {
    tool: Tool,
    text: String,
    project: Option<String>,
    /// The packages that the tool's own export leads to on Linux, for each release of Python.
    expected: Vec<(String, Vec<String>)>,
}

// === impl Written ===

impl Written {
    fn read(folder: &Path, tool: Tool) -> Self {
        let file = |name: &str| std::fs::read_to_string(folder.join(name));
        let expected = file("expected.txt").unwrap_or_default();
        let line = |line: &str| {
            let (python, packages) = line.split_once(": ").expect("a line for each release");
            (python.to_owned(), packages.split(' ').map(str::to_owned).collect())
        };
        let expected = expected.lines().map(line).collect();
        Self { tool, text: file(tool.lock()).expect("a lock"), project: file(tool.project()).ok(), expected }
    }

    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/locks");
        WRITTEN.map(|(folder, tool)| Self::read(&root.join(folder), tool)).into()
    }

    fn of(tool: Tool) -> Self {
        Self::all().into_iter().find(|written| written.tool == tool).expect("a lock of each tool")
    }

    fn requirements(&self, python: &str) -> Result<String, Fault> {
        let lock = Lock { tool: self.tool, path: self.tool.lock(), text: &self.text, project: self.project.as_deref() };
        lock.requirements(&format!("python{python}").parse().expect("a runtime"))
    }
}

fn refusal(tool: Tool, text: &str) -> Fault {
    let written = Written { tool, text: text.to_owned(), project: None, expected: Vec::new() };
    written.requirements("3.12").expect_err(text)
}

#[test]
fn each_lock_leads_to_what_its_tool_exports() {
    for written in Written::all() {
        assert_eq!(written.expected.len(), 4);
        for (python, expected) in &written.expected {
            let text =
                written.requirements(python).unwrap_or_else(|fault| panic!("{:?} {python}: {fault}", written.tool));
            let lines: Vec<&str> = text.lines().collect();
            let packages: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
            assert_eq!(packages, *expected, "{:?} {python}", written.tool);
            assert!(lines.iter().all(|line| line.contains(" --hash=sha256:") && !line.contains(';')), "{text}");
        }
    }
}

#[test]
fn a_lock_that_is_not_of_its_project_is_refused_with_the_command_that_mends_it() {
    for tool in [Tool::Uv, Tool::Poetry, Tool::Pdm, Tool::Pipenv] {
        let mut written = Written::of(tool);
        written.project = written.project.map(|project| project.replace("httpx", "requests"));
        let fault = written.requirements("3.12").expect_err("stale");
        assert!(fault.message.contains("does not agree with"), "{tool:?}: {fault}");
        assert_eq!(fault.hint.as_deref(), Some(&*format!("create it again with: {}", tool.command())));
        // What has nothing to do with packages may change, and a lock may come alone.
        let mut written = Written::of(tool);
        written.project = written.project.map(|project| project + "\n[tool.other]\nline = 3\n");
        if tool != Tool::Pipenv {
            written.requirements("3.12").expect("another tool's settings");
        }
        written.project = None;
        written.requirements("3.12").expect("alone");
    }
}

#[test]
fn a_requirement_may_be_written_in_another_way() {
    let mut written = Written::of(Tool::Uv);
    written.project = written.project.map(|project| {
        project.replace("uvicorn >= 0.30, <1", "Uvicorn<1,>=0.30").replace("annotated-doc", "annotated_doc")
    });
    written.requirements("3.12").expect("the same");
}

#[test]
fn a_lock_for_another_python_is_refused() {
    for (tool, text) in [
        (Tool::Uv, "version = 1\nrequires-python = '>=3.13'\n"),
        (Tool::Pylock, "lock-version = '1.0'\nrequires-python = '<3.12'\n"),
        (Tool::Poetry, "[metadata]\nlock-version = '2.1'\npython-versions = '^3.13'\n"),
        (
            Tool::Pdm,
            "[metadata]\nlock_version = '4.5.0'\nstrategy = ['inherit_metadata']\n[[metadata.targets]]\nrequires_python = '==3.11.*'\n",
        ),
        (Tool::Pipenv, r#"{"_meta": {"requires": {"python_version": "3.11"}}}"#),
    ] {
        let fault = refusal(tool, text);
        assert!(fault.message.contains("is for Python") && fault.message.contains("3.12"), "{fault}");
    }
    assert!(
        refusal(Tool::Pylock, "lock-version = '1.0'\nenvironments = [\"sys_platform == 'win32'\"]\n")
            .message
            .contains("environments")
    );
    let uv = "version = 1\nsupported-markers = [\"sys_platform == 'darwin'\"]\n";
    assert!(refusal(Tool::Uv, uv).message.contains("environments"));
}

/// A lock of uv whose project wants `x`, which is this.
fn uv_with(package: &str) -> String {
    format!(
        "version = 1\n[[package]]\nname = 'app'\nsource = {{ virtual = '.' }}\ndependencies = [{{ name = 'x' }}]\n[[package]]\nname = 'x'\n{package}\n"
    )
}

#[test]
fn what_no_index_has_is_refused_by_name_where_it_is_wanted() {
    for (package, why) in [
        ("source = { git = 'https://example.com/x?rev=1#1' }", "repository"),
        ("source = { directory = '../x' }", "local package"),
        ("source = { editable = 'packages/x' }", "local package"),
        ("source = { path = 'x.whl' }", "local package"),
        ("version = '1'\nsource = { registry = '../wheels' }", "not of the web"),
        ("version = '1'\nsource = { registry = 'https://u:s3cret@example.com/simple' }", "credentials"),
        ("source = { url = 'https://u:s3cret@example.com/x.whl' }", "credentials"),
        ("source = { registry = 'https://pypi.org/simple' }", "no version"),
        ("version = '1 -e .'\nsource = { registry = 'https://pypi.org/simple' }", "name or version"),
    ] {
        let fault = refusal(Tool::Uv, &uv_with(package));
        assert!(fault.message.starts_with("uv.lock: the package `x` ") && fault.message.contains(why), "{fault}");
        assert!(!format!("{fault:?}").contains("s3cret"));
    }
    let git = "[metadata]\nlock-version = '2.1'\n[[package]]\nname = 'x'\nversion = '1'\ngroups = ['main']\n[package.source]\ntype = 'git'\nurl = 'https://example.com/x'\n";
    assert!(refusal(Tool::Poetry, git).message.contains("poetry.lock: the package `x` is of a repository"));
    let pdm = "[metadata]\nlock_version = '4.5.0'\nstrategy = ['inherit_metadata']\n[[package]]\nname = 'x'\nversion = '1'\ngroups = ['default']\npath = './x'\n";
    assert!(refusal(Tool::Pdm, pdm).message.contains("local package"));
    let pipenv = r#"{"_meta": {}, "default": {"x": {"git": "https://example.com/x", "ref": "1"}}}"#;
    assert!(refusal(Tool::Pipenv, pipenv).message.contains("repository"));
    let pylock = "lock-version = '1.0'\n[[packages]]\nname = 'x'\nvcs = { type = 'git' }\n";
    assert!(refusal(Tool::Pylock, pylock).message.contains("repository"));
    // For development, or for another machine, it does not matter.
    let other = pylock.replace("vcs", "marker = \"sys_platform == 'win32'\"\nvcs");
    let written = Written { tool: Tool::Pylock, text: other, project: None, expected: Vec::new() };
    assert_eq!(written.requirements("3.12").expect("not wanted"), "");
}

#[test]
fn what_is_no_lock_is_refused() {
    for (tool, text, why) in [
        (Tool::Uv, "version = 2\n", "version 2"),
        (Tool::Uv, "version = 1\n", "no project at its root"),
        (Tool::Uv, "version = [", "line 1"),
        (
            Tool::Uv,
            "version = 1\n[[package]]\nname = 'app'\nsource = { virtual = '.' }\ndependencies = [{ name = 'gone' }]\n",
            "not in it",
        ),
        (Tool::Pylock, "lock-version = '2.0'\n", "version"),
        (Tool::Poetry, "[metadata]\nlock-version = '3.0'\n", "version"),
        (Tool::Poetry, "[metadata]\nlock-version = '2.0'\n", "development"),
        (Tool::Pdm, "[metadata]\nlock_version = '5.0'\n", "version"),
        (Tool::Pdm, "[metadata]\nlock_version = '4.4'\n", "inherit_metadata"),
        (Tool::Pipenv, "[]", "cannot be read"),
    ] {
        let fault = refusal(tool, text);
        assert!(fault.code == Code::InvalidConfiguration && fault.message.contains(why), "{why}: {fault}");
    }
    let many: String = (0..2_001).map(|at| format!("[[packages]]\nname = 'a{at}'\nversion = '1'\n")).collect();
    assert!(refusal(Tool::Pylock, &format!("lock-version = '1.0'\n{many}")).message.contains("2000 packages"));
    let marker = format!("os_name == 'x'{}", " or os_name == 'x'".repeat(1_000));
    let long = format!("lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1'\nmarker = \"{marker}\"\n");
    assert!(refusal(Tool::Pylock, &long).message.contains("marker"));
}

#[test]
fn circles_and_extras_are_followed_to_their_end() {
    let package = |name: &str, rest: &str| {
        format!(
            "[[package]]\nname = '{name}'\nversion = '1'\nsource = {{ registry = 'https://pypi.org/simple' }}\n{rest}\n"
        )
    };
    let text = [
        "version = 1\n[[package]]\nname = 'app'\nsource = { editable = '.' }\ndependencies = [{ name = 'a', extra = ['More'] }]\n".to_owned(),
        package("a", "dependencies = [{ name = 'b' }]\n[package.optional-dependencies]\nmore = [{ name = 'c', marker = \"python_full_version < '3.12.4'\" }]"),
        package("b", "dependencies = [{ name = 'a' }, { name = 'app' }]"),
        package("c", "dependencies = [{ name = 'd' }, { name = 'never', marker = \"sys_platform == 'win32'\" }]"),
        package("d", ""),
        package("never", ""),
        package("unwanted", ""),
    ]
    .concat();
    let written = Written { tool: Tool::Uv, text, project: None, expected: Vec::new() };
    let patch = "python_full_version < \"3.12.4\"";
    assert_eq!(written.requirements("3.12").expect("a text"), format!("a==1\nb==1\nc==1 ; {patch}\nd==1 ; {patch}\n"));
    assert_eq!(written.requirements("3.13").expect("a text"), "a==1\nb==1\n");
}

#[test]
fn a_poetry_lock_of_old_takes_the_version_that_all_can_take() {
    let package = |name: &str, version: &str, rest: &str| {
        format!("[[package]]\nname = '{name}'\nversion = '{version}'\npython-versions = '>=3.8'\n{rest}\n")
    };
    let text = [
        package("a", "1", "[package.dependencies]\nshared = '>=1'"),
        package("b", "1", "[package.dependencies]\nshared = '<2'"),
        package("shared", "1.5", ""),
        package("shared", "2.5", ""),
        "[metadata]\nlock-version = '1.1'\npython-versions = '^3.8'\n[metadata.files]\na = []\n".to_owned(),
    ]
    .concat();
    let project = |needs: &str| Some(format!("[tool.poetry.dependencies]\npython = '^3.8'\n{needs}\n"));
    let mut written = Written { tool: Tool::Poetry, text, project: project("a = '*'\nb = '*'"), expected: Vec::new() };
    assert_eq!(written.requirements("3.12").expect("a text"), "a==1\nb==1\nshared==1.5\n");
    written.project = project("a = '*'");
    assert_eq!(written.requirements("3.12").expect("a text"), "a==1\nshared==2.5\n");
    written.project =
        project("a = '*'\nb = { version = '*', optional = true }\n[tool.poetry.group.dev.dependencies]\nb = '*'");
    assert_eq!(written.requirements("3.12").expect("a text"), "a==1\nshared==2.5\n");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    /// Real locks with a piece cut out or doubled.
    #[test]
    fn damaged_locks_are_read_or_refused(which in 0_usize..6, at in 0_usize..20_000, length in 0_usize..400, doubled: bool) {
        let mut written = Written::all().remove(which);
        let bytes = written.text.into_bytes();
        let (at, end) = (at % bytes.len(), (at % bytes.len() + length).min(bytes.len()));
        let middle = if doubled { bytes[at..end].repeat(2) } else { Vec::new() };
        written.text = String::from_utf8_lossy(&[&bytes[..at], &middle, &bytes[end..]].concat()).into_owned();
        if let Ok(text) = written.requirements("3.12") {
            for line in text.lines() {
                proptest::prop_assert!(line.contains("==") || line.starts_with("--extra-index-url https://"), "{}", line);
            }
        }
    }
}
