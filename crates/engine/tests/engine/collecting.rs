//! Random histories with collections in between: what is needed stays, what was promised stays, and all else goes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_engine::{EngineSettings, GcReport, NewDeployment, NewLayer, Ports};
use faas_ports::{Blobs, Clock, Collection, Entry};
use faas_testkit::{ManualClock, MemoryBlobs, ScriptedBuilder};
use faas_types::{
    Bundle, BundleFile, Code, Digest, FunctionSettings, LayerRecord, LayerRef, LayerVersionRecord, Timestamp,
    VersionRecord,
};

use crate::house::{House, parse, ports_over, quick};

const HOUR: Duration = Duration::from_secs(3_600);
const GRACE: Duration = Duration::from_secs(24 * 3_600);

/// A house in which time passes as a history wants, with what the server has promised.
struct Attic {
    house: House,
    clock: Arc<ManualClock>,
    blobs: Arc<MemoryBlobs>,
    seed: u64,
    /// When somebody last heard that a blob is there.
    promised: HashMap<Digest, Timestamp>,
}

impl Attic {
    async fn open(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(seed));
        let blobs = Arc::new(MemoryBlobs::timed(Arc::clone(&clock) as _));
        let builder = Arc::new(ScriptedBuilder::new(Arc::clone(&blobs) as _));
        let base = ports_over(Arc::clone(&blobs) as _);
        let ports = Ports { clock: Arc::clone(&clock) as _, ids: Arc::clone(&clock) as _, builder, ..base };
        let house = House::over(ports, EngineSettings { versions_kept: 2, ..quick() }).await;
        Self { house, clock, blobs, seed: seed.wrapping_mul(2) | 1, promised: HashMap::new() }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    /// Some of a few files, so that histories share them.
    fn bundle(&mut self, first: &str) -> (Bundle, Vec<Bytes>) {
        let mut texts = vec![(first.to_owned(), format!("# {}", self.draw(4)))];
        let drawn = (0..6).filter(|_| self.draw(2) == 0);
        texts.extend(drawn.map(|n| (format!("data/{n}"), format!("content {n}"))));
        if self.draw(3) == 0 {
            texts.push(("requirements.txt".into(), format!("p{}\n", self.draw(3))));
        }
        let contents: Vec<Bytes> = texts.iter().map(|(_, text)| Bytes::from(text.clone())).collect();
        let file = |((path, _), content): ((String, String), &Bytes)| BundleFile {
            path,
            digest: Digest::from_bytes(*blake3::hash(content).as_bytes()),
            size: content.len() as u64,
            executable: false,
        };
        (Bundle { files: texts.into_iter().zip(&contents).map(file).collect() }, contents)
    }

    /// Asks what is missing, lets some time pass in which a collection may come, and uploads only that.
    async fn upload(&mut self, bundle: &Bundle, contents: &[Bytes]) {
        let engine = &self.house.engine;
        let plan = engine.uploads.check(engine.default_project(), bundle).await.expect("a plan");
        let now = self.clock.now();
        self.promised.extend(bundle.files.iter().map(|file| (file.digest, now)));
        for missing in &plan.missing {
            let at = bundle.files.iter().position(|file| file.digest == *missing).expect("one of the files");
            self.house.engine.uploads.put(contents[at].clone(), *missing).await.expect("an upload");
        }
        if self.draw(2) == 0 {
            self.clock.advance(HOUR * 11);
            self.collect().await;
        }
    }

    async fn deploy(&mut self) {
        let (bundle, contents) = self.bundle("main.py");
        self.upload(&bundle, &contents).await;
        let engine = self.house.engine.clone();
        let mut settings = FunctionSettings::new(parse("python3.12"), parse("main:handler"));
        for layer in engine.layers.list_named(engine.default_project()).await.expect("the layers") {
            if self.draw(2) == 0 {
                settings.layers.push(LayerRef { name: layer.newest.name, version: None });
            }
        }
        let name = format!("f{}", self.draw(3));
        let new = NewDeployment::new(parse(&name), settings, bundle);
        engine
            .deployments
            .deploy(engine.default_project(), new)
            .await
            .map(drop)
            .expect("a deployment whose files were uploaded");
    }

    async fn publish(&mut self) {
        let (bundle, contents) = self.bundle("shared.py");
        self.upload(&bundle, &contents).await;
        let has_packages = bundle.files.iter().any(|file| file.path == "requirements.txt");
        let name = format!("l{}", self.draw(3));
        let new = NewLayer {
            name: parse(&name),
            runtimes: vec![parse("python3.12")],
            bundle,
            install: has_packages && self.draw(2) == 0,
            note: None,
            author: None,
            allowed_secrets: Vec::new(),
        };
        let engine = &self.house.engine;
        engine.layers.publish(engine.default_project(), new).await.map(drop).expect("a version");
    }

    /// Removes a function or a layer; one that is in use refuses.
    async fn remove(&mut self) {
        let (kind, at) = (self.draw(3), self.draw(3));
        let (engine, project) = (self.house.engine.clone(), self.house.engine.default_project());
        let refused = match kind {
            0 => match engine.catalog().find(project, &format!("f{at}")) {
                Ok(entry) => engine.deployments.delete_function(&entry).await.err(),
                Err(_) => None,
            },
            1 => {
                let layer = format!("l{at}").parse::<LayerRef>().expect("a layer");
                engine.layers.remove_versions(project, &layer).await.err()
            }
            _ => {
                let layers = engine.layers.list(project).await.expect("the layers");
                match layers.first() {
                    Some(layer) => engine.layers.remove(project, layer.record.id).await.err(),
                    None => None,
                }
            }
        };
        let code = refused.map(|fault| fault.code);
        assert!(matches!(code, None | Some(Code::Conflict | Code::NotFound)), "{code:?}");
    }

    async fn collect(&mut self) -> GcReport {
        let dry = self.house.engine.gc.collect(true, false).await.expect("a dry run");
        let held = self.blobs.count() as u64;
        assert_eq!(dry.needed + dry.young + dry.blobs, held, "a dry run removes nothing and passes over nothing");
        let found = self.house.engine.gc.collect(false, false).await.expect("a collection");
        // Spent versions are dropped in the background meanwhile.
        assert!(found.blobs >= dry.blobs, "a dry run tells what will go: {dry:?}, {found:?}");
        assert_eq!(self.blobs.count() as u64, held - found.blobs);
        self.check().await;
        found
    }

    /// Everything that is needed is there, and so is what was promised lately.
    async fn check(&self) {
        let now = self.clock.now();
        for (digest, at) in &self.promised {
            if now.since(*at) < GRACE {
                assert!(self.blobs.is_older(digest, now.plus(HOUR)).await.unwrap(), "{digest} was promised");
            }
        }
        let registry = &self.house.registry;
        for entry in registry.scan(Collection::Versions, None, 10_000).await.unwrap() {
            let version: VersionRecord = serde_json::from_slice(&entry.value).unwrap();
            for list in [Some(version.bundle), version.compiled, version.dependencies].into_iter().flatten() {
                self.check_list(&list).await;
            }
            for list in &version.layers {
                self.check_list(list).await;
            }
        }
        for entry in registry.scan(Collection::Layers, None, 10_000).await.unwrap() {
            self.check_list(&serde_json::from_slice::<LayerRecord>(&entry.value).unwrap().bundle).await;
        }
        for entry in registry.scan(Collection::NamedLayers, None, 10_000).await.unwrap() {
            if entry.key.name.starts_with("versions/") {
                self.check_list(&serde_json::from_slice::<LayerVersionRecord>(&entry.value).unwrap().bundle).await;
            }
        }
    }

    async fn check_list(&self, digest: &Digest) {
        let list = self.blobs.get(digest).await.expect("a list of files that is needed");
        assert!(self.house.ports.layers.find(digest).is_some(), "it is laid out");
        for file in Bundle::from_canonical_bytes(&list).expect("a list").files {
            self.blobs.get(&file.digest).await.expect("a file that is needed");
        }
    }

    /// Removes everything and lets the grace pass: nothing may be left.
    async fn empty(&mut self) {
        let (engine, project) = (self.house.engine.clone(), self.house.engine.default_project());
        let versions = self.house.registry.scan(Collection::Versions, None, 10_000).await.unwrap();
        let version = |entry: &Entry| serde_json::from_slice::<VersionRecord>(&entry.value).unwrap().bundle;
        let laid_out: Vec<Digest> = versions.iter().map(version).collect();
        for name in ["f0", "f1", "f2"] {
            if let Ok(entry) = engine.catalog().find(project, name) {
                engine.deployments.delete_function(&entry).await.expect("deleted");
            }
        }
        for layer in engine.layers.list_named(project).await.expect("the layers") {
            let layer = LayerRef { name: layer.newest.name, version: None };
            engine.layers.remove_versions(project, &layer).await.expect("nothing stands on it");
        }
        for layer in engine.layers.list(project).await.expect("the layers") {
            engine.layers.remove(project, layer.record.id).await.expect("nothing stands on it");
        }
        self.clock.advance(GRACE - HOUR);
        self.collect().await;
        for digest in laid_out {
            assert!(self.house.ports.layers.find(&digest).is_some(), "instances of what was deleted may run on");
        }
        self.clock.advance(HOUR * 2);
        self.collect().await;
        assert_eq!(self.blobs.count(), 0);
    }
}

#[tokio::test]
async fn without_the_grace_all_goes_but_what_is_relied_on() {
    let mut attic = Attic::open(7).await;
    let (engine, project) = (attic.house.engine.clone(), attic.house.engine.default_project());
    let second = Duration::from_secs(1);
    let (bundle, contents) = attic.bundle("main.py");
    let plan = engine.uploads.check(project, &bundle).await.expect("a plan");
    for (file, content) in bundle.files.iter().zip(&contents).filter(|(file, _)| plan.missing.contains(&file.digest)) {
        engine.uploads.put(content.clone(), file.digest).await.expect("an upload");
    }
    attic.clock.advance(second);
    let held = attic.blobs.count();
    assert_eq!(engine.gc.collect(false, true).await.expect("a collection").blobs, 0, "they are about to be deployed");
    let settings = FunctionSettings::new(parse("python3.12"), parse("main:handler"));
    let deployed = engine
        .deployments
        .deploy(project, NewDeployment::new(parse("f0"), settings, bundle))
        .await
        .expect("a deployment");
    attic.clock.advance(second);
    let found = engine.gc.collect(false, true).await.expect("a collection");
    assert!(found.needed >= held as u64 && found.young == 0, "{found:?}");
    engine.deployments.delete_function(&deployed.entry).await.expect("deleted");
    attic.clock.advance(second);
    assert_eq!(engine.gc.collect(false, false).await.expect("a collection").blobs, 0, "the grace holds otherwise");
    let dry = engine.gc.collect(true, true).await.expect("a dry run");
    // A layer of packages stays until it is removed itself.
    assert!(dry.blobs >= held as u64 && attic.blobs.count() as u64 == dry.blobs + dry.needed, "{dry:?}");
    for layer in engine.layers.list(project).await.expect("the layers") {
        engine.layers.remove(project, layer.record.id).await.expect("nothing stands on it");
    }
    engine.gc.collect(false, true).await.expect("a collection");
    assert_eq!(attic.blobs.count(), 0);
}

#[tokio::test]
async fn nothing_needed_ever_goes_and_all_else_does() {
    let mut total = 0;
    for seed in 0..24 {
        let mut attic = Attic::open(seed).await;
        let mut collected = 0;
        for _ in 0..40 {
            match attic.draw(10) {
                0..=3 => attic.deploy().await,
                4 | 5 => attic.publish().await,
                6 => attic.remove().await,
                7 => {
                    let hours = u32::try_from(attic.draw(40)).unwrap();
                    attic.clock.advance(HOUR * hours);
                }
                _ => collected += attic.collect().await.blobs,
            }
        }
        attic.empty().await;
        total += collected;
    }
    assert!(total > 20, "the histories have something to collect: {total}");
}

#[tokio::test]
async fn what_cannot_be_read_stops_a_collection() {
    let mut attic = Attic::open(7).await;
    attic.deploy().await;
    let versions = attic.house.registry.scan(Collection::Versions, None, 10).await.unwrap();
    let version: VersionRecord = serde_json::from_slice(&versions[0].value).unwrap();
    attic.blobs.delete(&version.bundle).await.unwrap();
    attic.clock.advance(GRACE + HOUR);
    let (held, fault) = (attic.blobs.count(), attic.house.engine.gc.collect(false, false).await.unwrap_err());
    assert!(fault.message.contains(&version.bundle.to_string()), "{fault}");
    assert_eq!(attic.blobs.count(), held, "what is not known to be unneeded stays");
}
