use std::path::Path;

use faas_client::rest::BundleFileBody;

use super::*;

fn bundle(dir: &Path, files: &[(&str, &str)]) -> Vec<LocalFile> {
    let write = |&(path, text): &(&str, &str)| {
        let local = dir.join(path);
        std::fs::create_dir_all(local.parent().expect("below the directory")).expect("a directory");
        std::fs::write(&local, text).expect("a file");
        let entry =
            BundleFileBody { path: path.into(), digest: String::new(), size: text.len() as u64, executable: false };
        LocalFile { local, entry }
    };
    files.iter().map(write).collect()
}

/// Packages and where they come from, in the order of the report.
fn told(runtime: &str, files: &[(&str, &str)]) -> (Vec<(String, Option<String>, Source)>, Report) {
    let dir = tempfile::tempdir().expect("a directory");
    let files = bundle(dir.path(), files);
    let runtime = runtime.parse().expect("a runtime");
    let report = examine(&files, &runtime).expect("readable").expect("an interpreter is here");
    let modules = report.modules.iter();
    (modules.map(|found| (found.module.clone(), found.package.clone(), found.source)).collect(), report)
}

fn declarations(language: &str) -> &'static dyn faas_packages::Declarations {
    packages_of(language).and_then(|known| known.reading).expect(language).declarations
}

fn row(module: &str, package: Option<&str>, source: Source) -> (String, Option<String>, Source) {
    (module.to_owned(), package.map(str::to_owned), source)
}

#[test]
fn what_the_tools_of_python_declare_is_declared() {
    let project = ("pyproject.toml", "[project]\ndependencies = ['PyYAML']\n");
    let poetry = ("pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.10'\npyyaml = '^6'\n");
    let settings = ("pyproject.toml", "[tool.ruff]\nline-length = 100\n");
    let pipfile = ("Pipfile", "[packages]\nPyYAML = '*'\n[dev-packages]\nrequests = '*'\n");
    let main = ("main.py", "import yaml\n");
    for files in [vec![main, project], vec![main, poetry], vec![main, pipfile], vec![main, settings, pipfile]] {
        let (modules, report) = told("python", &files);
        assert_eq!(modules[0].2, Source::Declared, "{files:?}");
        assert!(report.missing().is_empty());
    }
    let (modules, _) = told("python", &[main, ("requirements.txt", "\n"), project]);
    assert_eq!(modules[0].2, Source::Missing, "nothing but requirements.txt is installed where there is one");
}

#[test]
fn python_modules_are_told_apart() {
    let main = "import os, yaml, cv2\nimport own, requests.adapters\nfrom google.cloud import storage\nfrom . import x\n\
        try:\n    import orjson\nexcept ImportError:\n    orjson = None\n\
        import psycopg2\nimport importlib\nimportlib.import_module('jwt')\n";
    let (modules, report) = told(
        "python",
        &[
            ("main.py", main),
            ("own/__init__.py", "import vendored_thing\n"),
            ("broken.py", "def f(:\n"),
            (
                "requirements.txt",
                "PyYAML[x]>=6  # text\npsycopg2==2.9 ; python_version > '3'\nunused-one\n-r more.txt\n",
            ),
            ("more.txt", "google_cloud.storage\n-r requirements.txt\n--hash=sha256:00\nhttps://example.org/x.whl\n"),
            ("vendor/vendored_thing/__init__.py", "import never_looked_at\n"),
            ("vendor/vendored_thing-1.0.dist-info/RECORD", "vendored_thing/__init__.py,sha256=x,1\n"),
        ],
    );
    assert_eq!(
        modules,
        [
            row("cv2", Some("opencv-python"), Source::Missing),
            row("google.cloud.storage", Some("google-cloud-storage"), Source::Declared),
            row("importlib", None, Source::Builtin),
            row("jwt", Some("PyJWT"), Source::Missing),
            row("orjson", Some("orjson"), Source::Optional),
            row("os", None, Source::Builtin),
            row("own", None, Source::Local),
            row("psycopg2", Some("psycopg2"), Source::Declared),
            row("requests", Some("requests"), Source::Missing),
            row("vendored_thing", Some("vendored-thing"), Source::Bundled),
            row("yaml", Some("PyYAML"), Source::Declared),
        ]
    );
    assert_eq!(report.unused, ["unused-one"]);
    assert_eq!(report.unread, ["broken.py"]);
    assert_eq!(report.missing().into_iter().collect::<Vec<_>>(), ["PyJWT", "opencv-python", "requests"]);
}

#[test]
fn a_file_of_the_functions_own_is_never_a_missing_package() {
    let main = "from util import f\nimport lib.words\nimport redis\nimport packed\nimport distutils\n";
    let (modules, report) = told(
        "python",
        &[
            ("src/main.py", main),
            ("src/util.py", "def f(): pass\n"),
            ("src/lib/words.py", ""),
            ("src/redis.py", ""),
            ("deep\\packed.py", ""),
            ("requirements.txt", "redis\n"),
        ],
    );
    for local in ["util", "lib", "packed"] {
        assert_eq!(modules.iter().find(|row| row.0 == local).map(|row| row.2), Some(Source::Local), "{local}");
    }
    assert_eq!(report.unused, Vec::<String>::new());
    assert!(!report.missing().iter().any(|name| *name == "distutils"));
    let (_, report) = told(
        "node",
        &[
            ("index.mjs", "import 'src/util';\nimport '@/store';\nimport 'helper';\n"),
            ("src/util.js", ""),
            ("lib/helper.js", ""),
        ],
    );
    assert!(report.missing().is_empty(), "{:?}", report.missing());
}

#[test]
fn node_packages_are_told_apart() {
    let esm = "// import \"comment\"\nimport fs from 'node:fs';\nimport path from 'path';\nimport a from '@scope/pkg/sub';\n\
        import './own.mjs';\nconst r = /require(\"regex\")/, t = `require(\"template\")`;\n\
        try { await import('maybe') } catch {}\nexport default { fetch: () => import('left-pad') };\n";
    let (modules, report) = told(
        "node",
        &[
            ("index.mjs", esm),
            ("other.cjs", "const e = require('express');\nmodule.exports = { half: 1 / require(\"div\") };\n"),
            ("package.json", r#"{"dependencies": {"express": "^4", "never": "1"}}"#),
            ("node_modules/@scope/pkg/index.js", "require('not-looked-at')"),
        ],
    );
    assert_eq!(
        modules,
        [
            row("./own.mjs", None, Source::Local),
            row("@scope/pkg", Some("@scope/pkg"), Source::Bundled),
            row("div", Some("div"), Source::Missing),
            row("express", Some("express"), Source::Declared),
            row("left-pad", Some("left-pad"), Source::Missing),
            row("maybe", Some("maybe"), Source::Optional),
            row("node:fs", None, Source::Builtin),
            row("path", None, Source::Builtin),
        ]
    );
    assert_eq!(report.unused, ["never"]);
    let text = report.declared.with(&["div", "left-pad"]);
    assert!(text.is_err(), "the directory is gone by now");
}

#[test]
fn what_is_added_keeps_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let added = |name: &str, text: &str, language| {
        let files = bundle(dir.path(), &[(name, text)]);
        Declared::read(&files, declarations(language)).and_then(|declared| declared.with(&["b-package"]))
    };
    let python = added("requirements.txt", "# mine\nPyYAML==6", "python").expect("text");
    assert_eq!(python, "# mine\nPyYAML==6\nb-package\n");
    let node = added("package.json", r#"{"name": "x", "dependencies": {"a": "1"}}"#, "node").expect("text");
    assert_eq!(
        node,
        "{\n  \"name\": \"x\",\n  \"dependencies\": {\n    \"a\": \"1\",\n    \"b-package\": \"*\"\n  }\n}\n"
    );
    let refused = added("pyproject.toml", "[project]\ndependencies = ['PyYAML>=6']\n", "python");
    let refusal = faas_terminal::failure::Failure::from_error(&refused.expect_err("a person's file"));
    assert!(refusal.hint.is_some_and(|hint| hint.contains("\"b-package\"")));
    let nothing = Declared::read(&[], declarations("python")).and_then(|none| none.with(&["one"])).expect("text");
    assert_eq!(nothing, "one\n");
}
