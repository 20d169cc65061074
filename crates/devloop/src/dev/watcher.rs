//! Watches what becomes the bundle. Directories that stay at home are not watched at all, so that a server's state or a
//! virtual environment costs nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use faas_config::{IGNORE_FILE, IgnoreRules};
use faas_source::bundle;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::reload_gate::ReloadGate;

/// How long nothing may change before the change counts as whole: editors write beside the file and rename, and tools
/// write several files.
const QUIET: Duration = Duration::from_millis(15);
/// How long a change may go on before what is there is deployed.
const MOST: Duration = Duration::from_millis(250);
/// How often a directory is looked for that is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Maximum number of watched directories.
const DIRECTORIES_MAX: usize = 20_000;

/// Tells when something changed that is deployed.
pub(super) struct Watcher {
    scene: Arc<Scene>,
    inner: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

/// State of the thread that receives events.
struct Scene {
    root: PathBuf,
    /// The only file of interest, where it is not a directory that is deployed.
    single: Option<PathBuf>,
    env_file: PathBuf,
    rules: RwLock<IgnoreRules>,
    gate: Arc<ReloadGate>,
    changed: Notify,
    /// Whether directories came or went, or the rules changed, since they were last looked at.
    stale: AtomicBool,
}

// === impl Watcher ===

impl Watcher {
    /// Watches a directory, or the file; nothing is watched below it until `refresh`.
    pub(super) fn start(path: &Path, env_file: PathBuf, gate: Arc<ReloadGate>) -> anyhow::Result<Self> {
        let real = fs::canonicalize(path).with_context(|| format!("cannot open {}", path.display()))?;
        let (root, single) = match real.parent() {
            Some(parent) if !real.is_dir() => (parent.to_owned(), Some(real.clone())),
            _ => (real, None),
        };
        let scene = Arc::new(Scene {
            root,
            single,
            env_file: fs::canonicalize(&env_file).unwrap_or(env_file),
            rules: RwLock::new(IgnoreRules::new("")?),
            gate,
            changed: Notify::new(),
            stale: AtomicBool::new(true),
        });
        let hearing = Arc::clone(&scene);
        let inner = notify::recommended_watcher(move |event| hearing.hear(event)).context("cannot watch files")?;
        Ok(Self { scene, inner, watched: BTreeSet::new() })
    }

    /// Watches directories that have come. Called before the files are read, so that what changes meanwhile is heard of.
    pub(super) fn refresh(&mut self) -> anyhow::Result<()> {
        if !self.scene.stale.swap(false, Ordering::SeqCst) && !self.watched.is_empty() {
            return Ok(());
        }
        let rules = bundle::ignore_rules(&self.scene.root)?;
        let found = match &self.scene.single {
            Some(_) => BTreeSet::from([self.scene.root.clone()]),
            None => directories(&self.scene.root, &rules),
        };
        *self.scene.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        for gone in self.watched.difference(&found) {
            // The kernel has forgotten it already where it was removed.
            let _ = self.inner.unwatch(gone);
        }
        let before = std::mem::take(&mut self.watched);
        for dir in found {
            if before.contains(&dir) || self.watch(&dir)? {
                self.watched.insert(dir);
            }
        }
        Ok(())
    }

    /// Whether the directory is watched now; one that went meanwhile is not.
    fn watch(&mut self, dir: &Path) -> anyhow::Result<bool> {
        match self.inner.watch(dir, RecursiveMode::NonRecursive) {
            Ok(()) => Ok(true),
            Err(_) if !dir.is_dir() => Ok(false),
            Err(error) => {
                let advice =
                    "list what the function does not need in .faasignore, or raise fs.inotify.max_user_watches";
                Err(anyhow::anyhow!("cannot watch {}: {error}; {advice}", dir.display()))
            }
        }
    }

    /// Waits for a change, and until it is whole.
    pub(super) async fn changed(&self) {
        let changed = &self.scene.changed;
        while timeout(LOOK_AGAIN, changed.notified()).await.is_err() {
            if self.is_lost() {
                self.scene.stale.store(true, Ordering::SeqCst);
                return;
            }
        }
        let latest = Instant::now() + MOST;
        while timeout_at(latest.min(Instant::now() + QUIET), changed.notified()).await.is_ok() {}
    }

    /// Whether the directory was away and nothing of it is watched, though it may be back.
    fn is_lost(&self) -> bool {
        !self.watched.contains(&self.scene.root)
    }
}

// === impl Scene ===

impl Scene {
    /// Called on the watching thread for every event.
    fn hear(&self, event: notify::Result<Event>) {
        let Ok(event) = event else { return self.note(true) };
        if event.need_rescan() {
            return self.note(true);
        }
        let counts = match event.kind {
            EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
            _ => true,
        };
        if counts && event.paths.iter().any(|path| self.is_of_interest(path)) {
            let moved = matches!(event.kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(_));
            let alters = |path: &PathBuf| !path.is_file() || path.ends_with(IGNORE_FILE);
            self.note(moved && event.paths.iter().any(alters));
        }
    }

    fn note(&self, alters_directories: bool) {
        if alters_directories {
            self.stale.store(true, Ordering::SeqCst);
        }
        self.gate.notice();
        self.changed.notify_one();
    }

    fn is_of_interest(&self, path: &Path) -> bool {
        if path == self.env_file || path == self.root.join(IGNORE_FILE) {
            return true;
        }
        if let Some(single) = &self.single {
            return path == single;
        }
        let Ok(relative) = path.strip_prefix(&self.root) else { return false };
        if relative.as_os_str().is_empty() {
            return true;
        }
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        match fs::symlink_metadata(path) {
            Ok(meta) => !rules.ignores(relative, meta.is_dir()),
            // What it was is not known any more.
            Err(_) => !rules.ignores(relative, true) && !rules.ignores(relative, false),
        }
    }
}

/// The directories whose files are deployed.
fn directories(root: &Path, rules: &IgnoreRules) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        // One that cannot be listed is reported when the files are read.
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap_or(&path);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !rules.ignores(relative, true) {
                waiting.push(path);
            }
        }
        found.insert(dir);
        if found.len() == DIRECTORIES_MAX {
            break;
        }
    }
    found
}
