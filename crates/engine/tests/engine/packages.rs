//! Packages of versions: built once, shared, found again, and told of.

use std::sync::Arc;

use bytes::Bytes;
use faas_engine::{Deployed, NewDeployment, Ports};
use faas_ports::Blobs;
use faas_testkit::{MemoryBlobs, ScriptedBuilder};
use faas_types::{Bundle, BundleFile, Code, DependencyMode, Fault, FunctionSettings};
use tokio::sync::Semaphore;

use crate::house::{House, parse, ports_over};

/// A house whose builder a test holds in its hands.
struct Yard {
    house: House,
    builder: Arc<ScriptedBuilder>,
    gate: Arc<Semaphore>,
}

impl Yard {
    async fn open(permits: usize) -> Self {
        let blobs: Arc<dyn Blobs> = Arc::new(MemoryBlobs::default());
        let gate = Arc::new(Semaphore::new(permits));
        let builder = Arc::new(ScriptedBuilder::new(Arc::clone(&blobs)).held_by(Arc::clone(&gate)));
        let ports = Ports { builder: Arc::clone(&builder) as _, ..ports_over(blobs) };
        Self { house: House::of(ports).await, builder, gate }
    }

    async fn deploy(&self, name: &str, files: &[(&str, &str)], mode: DependencyMode) -> Result<Deployed, Fault> {
        let mut bundle = Bundle::default();
        for (path, text) in files {
            let content = Bytes::copy_from_slice(text.as_bytes());
            let (size, digest) = (content.len() as u64, self.house.blobs.put(content).await?);
            bundle.files.push(BundleFile { path: (*path).into(), digest, size, executable: false });
        }
        let mut settings = FunctionSettings::new(parse("python3.12"), parse("main:handler"));
        settings.dependencies = mode;
        let new = NewDeployment::new(parse(name), settings, bundle);
        self.house.engine.deployments.deploy(self.house.engine.default_project(), new).await
    }

    async fn bring(&self, name: &str, requirements: &str) -> Result<Deployed, Fault> {
        self.deploy(name, &[("main.py", ""), ("requirements.txt", requirements)], DependencyMode::Auto).await
    }
}

#[tokio::test]
async fn whoever_asks_for_the_same_waits_for_one_build() {
    let yard = Yard::open(0).await;
    let (first, second) = tokio::join!(yard.bring("first", "a\nb\n"), async {
        while yard.builder.builds() == 0 {
            tokio::task::yield_now().await;
        }
        let second = yard.bring("second", "# same\na\nb  # really\n");
        let (second, ()) = tokio::join!(second, async { yard.gate.add_permits(10) });
        second
    });
    let (first, second) = (first.unwrap().dependencies.unwrap(), second.unwrap().dependencies.unwrap());
    assert_eq!((first.reused, second.reused, yard.builder.builds()), (false, true, 1));
    assert_eq!(first.layer.unwrap().id, second.layer.unwrap().id);
}

#[tokio::test]
async fn a_failed_build_leaves_the_old_version_and_no_layer() {
    let yard = Yard::open(10).await;
    yard.bring("steady", "a\n").await.unwrap();
    let fault = yard.bring("steady", "broken\n").await.err().unwrap();
    assert_eq!(fault.code, Code::DeploymentFailed);
    let project = yard.house.engine.default_project();
    assert_eq!(yard.house.engine.layers.list(project).await.unwrap().len(), 1);
    assert_eq!(yard.house.engine.catalog().find(project, "steady").unwrap().live_version(), Some(1));
    // Not remembered as failed either.
    yard.bring("steady", "broken\n").await.err().unwrap();
    assert_eq!(yard.builder.builds(), 3);
}

#[tokio::test]
async fn a_manifest_says_whether_packages_are_installed() {
    let yard = Yard::open(10).await;
    let files = [("main.py", ""), ("requirements.txt", "a\n"), ("vendor/a.py", "")];
    let auto = yard.deploy("auto", &files, DependencyMode::Auto).await.unwrap().dependencies.unwrap();
    assert!(auto.layer.is_none() && auto.note.unwrap().contains("vendor/"));
    assert!(yard.deploy("none", &files, DependencyMode::None).await.unwrap().dependencies.is_none());
    let install = yard.deploy("install", &files, DependencyMode::Install).await.unwrap().dependencies.unwrap();
    assert!(install.layer.is_some());
    assert!(yard.bring("nothing", "# only a comment\n").await.unwrap().dependencies.is_none());
    assert_eq!(yard.builder.builds(), 1);
}

#[tokio::test]
async fn a_lock_goes_before_what_leaves_versions_open() {
    let yard = Yard::open(10).await;
    let hash = format!("sha256:{}", "a".repeat(64));
    let lock = format!(
        "lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1'\nsdist = {{ hashes = {{ sha256 = '{}' }} }}\n",
        "a".repeat(64)
    );
    let project = ("pyproject.toml", "[project]\ndependencies = ['a']\n");
    let both = [("main.py", ""), ("pylock.toml", lock.as_str()), project];
    let both = yard.deploy("both", &both, DependencyMode::Auto).await.unwrap().dependencies.unwrap().layer.unwrap();
    assert_eq!(both.source, "pylock.toml");
    // Under whichever name: what is installed is the same.
    let named = [("main.py", ""), ("pylock.prod.toml", lock.as_str())];
    let named = yard.deploy("named", &named, DependencyMode::Auto).await.unwrap().dependencies.unwrap();
    assert!(named.reused && named.layer.unwrap().id == both.id);
    let exported = format!("a==1 --hash={hash}\n");
    let exported = [("main.py", ""), ("pylock.toml", lock.as_str()), ("requirements.txt", exported.as_str())];
    let exported = yard.deploy("exported", &exported, DependencyMode::Auto).await.unwrap().dependencies.unwrap();
    assert_eq!(exported.layer.unwrap().source, "requirements.txt");
    let only = [("main.py", ""), project];
    let only = yard.deploy("only", &only, DependencyMode::Auto).await.unwrap().dependencies.unwrap().layer.unwrap();
    assert!(only.source == "pyproject.toml" && only.id != both.id);
    let two = [("main.py", ""), ("pylock.a.toml", lock.as_str()), ("pylock.b.toml", lock.as_str())];
    let fault = yard.deploy("two", &two, DependencyMode::Auto).await.err().unwrap();
    assert!(fault.code == Code::InvalidConfiguration && fault.hint.unwrap().contains("pylock.toml"));
}

#[tokio::test]
async fn what_only_its_tool_can_lock_is_not_passed_over() {
    let yard = Yard::open(10).await;
    for (name, path, text, command) in [
        ("poetry", "pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.10'\na = '^1'\n", "poetry lock"),
        ("pipenv", "Pipfile", "[packages]\na = '*'\n", "pipenv lock"),
    ] {
        let told = yard.deploy(name, &[("main.py", ""), (path, text)], DependencyMode::Auto).await.unwrap();
        let told = told.dependencies.unwrap();
        assert!(told.layer.is_none() && told.note.unwrap().contains(command));
    }
    let stale = [("main.py", ""), ("uv.lock", "version = 9\n")];
    let fault = yard.deploy("stale", &stale, DependencyMode::Auto).await.err().unwrap();
    assert!(fault.message.contains("uv.lock is of version 9"), "{}", fault.message);
}

#[tokio::test]
async fn a_layer_in_use_stays() {
    let yard = Yard::open(10).await;
    let (engine, project) = (&yard.house.engine, yard.house.engine.default_project());
    let layer = yard.bring("user", "a\n").await.unwrap().dependencies.unwrap().layer.unwrap();
    let refused = engine.layers.remove(project, layer.id).await.unwrap_err();
    assert!(refused.code == Code::Conflict && refused.message.contains("user"));
    assert_eq!(engine.layers.get(project, layer.id).await.unwrap().used_by.len(), 1);
    let entry = engine.catalog().find(project, "user").unwrap();
    engine.deployments.delete_function(&entry).await.unwrap();
    engine.layers.remove(project, layer.id).await.unwrap();
    assert_eq!(engine.layers.get(project, layer.id).await.unwrap_err().code, Code::NotFound);
    assert!(!yard.bring("user", "a\n").await.unwrap().dependencies.unwrap().reused);
}
