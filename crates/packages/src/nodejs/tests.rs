//! Locks that the programs themselves have written, of the same projects, and where their packages go.

use std::path::{Path, PathBuf};

use super::graph::Package;
use super::plan::Plan;
use super::*;

/// Locks of one project, and who keeps them.
const FILES: [(&str, Keeper); 5] = [
    ("pnpm-6.yaml", Keeper::Pnpm),
    ("pnpm-9.yaml", Keeper::Pnpm),
    ("yarn-1.lock", Keeper::Yarn),
    ("yarn-berry.lock", Keeper::Yarn),
    ("bun.lock", Keeper::Bun),
];
const PROJECTS: [&str; 4] = ["express", "overrides", "peers", "platform"];

fn folder(project: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/locks").join(project)
}

fn read(project: &str, file: &str) -> String {
    std::fs::read_to_string(folder(project).join(file)).expect("a fixture")
}

fn project_of(name: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Project {
    let mut table = table(PACKAGE, &read(name, PACKAGE)).expect("a table");
    change(&mut table);
    Project { table }
}

fn plan_of(project: &str, file: &str, keeper: Keeper) -> Plan {
    keeper
        .plan(&read(project, file), &project_of(project, |_| {}))
        .unwrap_or_else(|wrong| panic!("{project} {file}: {wrong:?}"))
}

/// A line for each package.
fn lines(plan: &Plan) -> String {
    let rows = plan.places.iter().map(|(path, place)| {
        let Package { name, version, integrity, platform, .. } = &place.package;
        let alias = if path.ends_with(name.as_str()) { String::new() } else { format!(" {name}") };
        let optional = if place.is_optional { " optional" } else { "" };
        let words: Vec<&str> =
            [&platform.os, &platform.cpu, &platform.libc].into_iter().flatten().map(String::as_str).collect();
        let on = if words.is_empty() { String::new() } else { format!(" on {}", words.join(" ")) };
        let unchecked = if integrity.is_none() { " unchecked" } else { "" };
        format!("{path}{alias} {version}{optional}{on}{unchecked}\n")
    });
    rows.collect()
}

#[test]
fn real_locks_lead_to_the_expected_places() {
    for project in PROJECTS {
        for (file, keeper) in FILES {
            let plan = lines(&plan_of(project, file, keeper));
            let expected = format!("{file}.plan");
            if std::env::var_os("UPDATE_PLANS").is_some() {
                std::fs::write(folder(project).join(&expected), &plan).expect("written");
            }
            assert_eq!(plan, read(project, &expected), "{project} {file}; UPDATE_PLANS=1 writes what is");
        }
    }
}

#[test]
fn one_order_serves_both_versions_of_a_format() {
    for project in PROJECTS {
        let order = |file| Order::of(&plan_of(project, file, Keeper::Pnpm));
        assert_eq!(order("pnpm-6.yaml").package.to_string(), order("pnpm-9.yaml").package.to_string());
        let places = |file| plan_of(project, file, Keeper::Pnpm).places.into_keys().collect::<Vec<_>>();
        assert_eq!(places("pnpm-6.yaml"), places("pnpm-9.yaml"), "{project}");
    }
}

#[test]
fn a_lock_of_another_package_json_is_refused_with_the_command_that_mends_it() {
    for (file, keeper) in FILES {
        let lock = read("express", file);
        let wrong = |change: &dyn Fn(&mut Map<String, Value>)| {
            keeper.plan(&lock, &project_of("express", change)).expect_err(file)
        };
        let moved = wrong(&|package| package["dependencies"]["express"] = json!("^3.0.0"));
        let added = wrong(&|package| package["dependencies"]["left-pad"] = json!("^1.0.0"));
        assert!(moved.why.contains(" install") && added.why.contains(" install"), "{file}: {moved:?} {added:?}");
        assert!(added.place.contains("left-pad"), "{added:?}");
    }
}

#[test]
fn what_is_no_release_of_a_registry_is_refused() {
    let package = |range: &str| Project { table: Map::from_iter([("dependencies".into(), json!({ "a": range }))]) };
    let pnpm = |resolution: &str, version: &str| {
        let lock = format!(
            "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a: {{specifier: x, version: '{version}'}}\n\
             packages:\n  'a@{version}':\n    resolution: {{{resolution}}}\n"
        );
        Keeper::Pnpm.plan(&lock, &package("x")).expect_err(resolution).why
    };
    assert!(pnpm("integrity: sha512-x", "link:../a").contains("local package"));
    assert!(pnpm("directory: a, type: directory", "1.0.0").contains("local package"));
    assert!(pnpm("commit: 1, repo: r, type: git", "1.0.0").contains("no registry"));
    assert!(pnpm("tarball: 'https://u:p@x/a.tgz'", "1.0.0").contains("credentials"));
    assert!(pnpm("integrity: sha512-x", "1.0.0(patch_hash=1)").contains("patched"));
    let berry = |resolution: &str| {
        let lock = format!(
            "__metadata:\n  version: 8\n\"a@x\":\n  resolution: \"{resolution}\"\n\"p@workspace:.\":\n  resolution: \
             \"p@workspace:.\"\n  dependencies:\n    a: x\n"
        );
        Keeper::Yarn.plan(&lock, &package("x")).expect_err(resolution).why
    };
    assert!(berry("a@portal:../a").contains("local package"));
    assert!(berry("a@https://github.com/a/a.git#commit=1").contains("no registry"));
    assert!(berry("a@patch:a@npm%3A1.0.0#./p.patch::version=1.0.0").contains("patched"));
    let bun = |entry: &str| {
        let lock = format!(
            r#"{{"lockfileVersion": 1, "workspaces": {{"": {{"dependencies": {{"a": "x"}}}}}}, "packages": {{"a": {entry},}}}}"#
        );
        Keeper::Bun.plan(&lock, &package("x")).expect_err(entry).why
    };
    assert!(bun(r#"["a@workspace:a"]"#).contains("local package"));
    assert!(bun(r#"["a@github:a/a#1", {}, "a-a-1"]"#).contains("no registry"));
    let yarn = |resolved: &str| {
        let lock = format!("a@x:\n  version \"1.0.0\"\n  resolved \"{resolved}\"\n");
        Keeper::Yarn.plan(&lock, &package("x")).expect_err(resolved).why
    };
    assert!(yarn("git+https://github.com/a/a.git#1").contains("no registry"));
    assert!(yarn("https://token@r.example/a.tgz").contains("credentials"));
}

#[test]
fn hostile_yaml_ends_soon() {
    let project = project_of("express", |_| {});
    let bomb = (1..30)
        .fold("a0: &a0 [x, x]\n".to_owned(), |text, n| text + &format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1));
    let deep = format!("lockfileVersion: '9.0'\npackages: {}1{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let wide = (0..500_000).fold("packages:\n".to_owned(), |text, n| text + &format!("  a{n}: 1\n"));
    for text in [bomb, deep, wide] {
        let began = std::time::Instant::now();
        assert!(Keeper::Pnpm.plan(&text, &project).is_err());
        assert!(Keeper::Yarn.plan(&format!("__metadata: 1\n{text}"), &project).is_err());
        assert!(began.elapsed().as_secs() < 20);
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Keeper::Bun.plan(&deep, &project).is_err());
}

fn project_from(text: &str) -> Project {
    Project { table: table(PACKAGE, text).expect("a table") }
}

#[test]
fn the_named_program_decides_between_locks() {
    let pick = |package: &str, there: &[&str]| {
        chosen(&project_from(package), |name| there.contains(&name)).map(|chosen| chosen.map(|(name, _)| name))
    };
    assert_eq!(pick("{}", &["yarn.lock"]), Ok(Some("yarn.lock")));
    assert_eq!(pick("{}", &[]), Ok(None));
    let both = ["pnpm-lock.yaml", "yarn.lock"];
    assert_eq!(pick(r#"{"packageManager": "yarn@4.1.0+sha224.1"}"#, &both), Ok(Some("yarn.lock")));
    let fault = pick("{}", &both).expect_err("refused");
    assert!(both.iter().all(|name| fault.message.contains(name)), "{}", fault.message);
    assert!(pick(r#"{"packageManager": "npm@10"}"#, &both).is_err());
    assert_eq!(pick("{}", &["package-lock.json", "npm-shrinkwrap.json"]), Ok(Some("npm-shrinkwrap.json")));
    assert!(pick("{}", &["bun.lockb"]).expect_err("refused").message.contains("--save-text-lockfile"));
}

#[test]
fn scripts_run_for_what_is_named() {
    let names = BTreeSet::from(["esbuild".to_owned(), "sharp".to_owned()]);
    let package = project_from(r#"{"pnpm": {"onlyBuiltDependencies": ["sharp", "gone"]}, "trustedDependencies": [1]}"#);
    let run = |scripts: &[&str]| {
        let scripts: Vec<String> = scripts.iter().map(|name| (*name).to_owned()).collect();
        running(&package.trusted().map(str::to_owned).collect::<Vec<_>>(), &scripts, &names, "bun.lock")
            .map(|names| names.into_iter().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(run(&[]).as_deref(), Ok("sharp"));
    assert_eq!(run(&["esbuild"]).as_deref(), Ok("esbuild sharp"));
    assert!(run(&["esbiuld"]).expect_err("refused").message.contains("esbiuld"));
}
