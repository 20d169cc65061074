//! A disk that fills up: new work is refused early, deletes work to the end, nothing is lost, nothing is fatal.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{ByteBounds, Collection, Expect, Expiry, Key, PortError, Write};
use faas_store::{Store, StoreConfig};
use faas_testkit::fixture::{EPOCH, at, everything, finish, fresh, new_item, queued_run, succeeded};
use faas_types::{Digest, FunctionId, ProjectId};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

const MIB: u64 = 1 << 20;
const LOW_WATER: u64 = 8 * MIB;
/// More than a write-ahead log gives back, so that what it gives back is not taken for room again.
const BALLAST: u64 = 24 * MIB;

/// A small file system for one test.
struct SmallDisk {
    _parent: tempfile::TempDir,
    path: PathBuf,
}

// === impl SmallDisk ===

impl SmallDisk {
    /// `None` where this user may not mount.
    #[expect(clippy::print_stderr, reason = "a test that cannot run must say so")]
    fn mount(mib: u64) -> Option<Self> {
        let parent = tempfile::tempdir().expect("temp dir");
        let path = parent.path().join("disk");
        std::fs::create_dir(&path).expect("mount point");
        let options = std::ffi::CString::new(format!("size={mib}m,mode=700")).expect("no zero byte");
        match mount("tmpfs", &path, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, options.as_c_str()) {
            Ok(()) => Some(Self { _parent: parent, path }),
            Err(error) => {
                eprintln!("NOT RUN: the full-disk test needs to mount a tmpfs, run it as root ({error})");
                None
            }
        }
    }

    /// Takes every byte that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::options().append(true).create(true).open(&path).expect("create");
        for block in [1 << 16, 1 << 12, 1 << 8] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}

fn open(dir: &Path, low_water: u64, fatal: &Arc<AtomicBool>) -> Store {
    let fatal = Arc::clone(fatal);
    let on_fatal = Arc::new(move |_: &str| fatal.store(true, Ordering::SeqCst));
    let config = StoreConfig { low_water, ballast: BALLAST, on_fatal, ..StoreConfig::new(dir.join("data")) };
    Store::open(&config).expect("open")
}

fn put(project: ProjectId, name: &str, bytes: usize) -> Vec<Write> {
    let key = Key::new(project, Collection::Functions, name);
    vec![Write::Put { key, value: vec![7; bytes].into(), expect: Expect::Any }]
}

fn delete(project: ProjectId, name: &str) -> Vec<Write> {
    vec![Write::Delete { key: Key::new(project, Collection::Functions, name), expect: Expect::Any }]
}

#[track_caller]
fn full<T: std::fmt::Debug>(what: &str, result: Result<T, PortError>) {
    match result {
        Err(PortError::StorageFull) => {}
        other => panic!("{what}: {other:?}"),
    }
}

async fn fill_with_blobs(store: &Store) -> Vec<Digest> {
    let mut stored = Vec::new();
    for n in 0..1000_u32 {
        let bytes: Bytes = n.to_le_bytes().repeat(1 << 17).into();
        match store.blobs().put(bytes).await {
            Ok(digest) => stored.push(digest),
            Err(error) => {
                assert!(matches!(error, PortError::StorageFull), "{error}");
                return stored;
            }
        }
    }
    panic!("a small disk never filled up");
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_low_water_mark_only_new_work_is_refused() {
    let Some(disk) = SmallDisk::mount(80) else { return };
    let fatal = Arc::new(AtomicBool::new(false));
    let store = open(&disk.path, LOW_WATER, &fatal);
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    store.registry().commit(put(project, "kept", 10)).await.expect("put");
    let item = new_item(project, function);
    store.queue().enqueue(vec![item.clone()]).await.expect("enqueue");
    let blobs = fill_with_blobs(&store).await;

    full("registry put", store.registry().commit(put(project, "new", 10)).await);
    full("enqueue", store.queue().enqueue(vec![new_item(project, function)]).await);
    full("blob put", store.blobs().put("new".into()).await);
    full("seal", store.layers().seal(&Digest::from_bytes([1; 32]), Box::new(|_| Ok(()))).await);
    let wants = [everything(project, function)];
    let lease = store.queue().lease("test", &wants, Duration::from_secs(9), EPOCH).await.expect("lease").remove(0);
    store.history().record(vec![succeeded(queued_run(project, function, at(0)))]).await.expect("record an outcome");
    assert_eq!(store.queue().settle(vec![finish(&lease)], ByteBounds::NONE).await.expect("settle").held, [true]);
    store.registry().commit(delete(project, "kept")).await.expect("delete");
    for digest in &blobs {
        store.blobs().get(digest).await.expect("read");
    }
    for digest in &blobs {
        store.blobs().delete(digest).await.expect("delete");
    }
    store.registry().commit(put(project, "new", 10)).await.expect("put when there is room again");
    assert!(!fatal.load(Ordering::SeqCst), "a full disk is not fatal");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_the_ballast_lets_deletes_work() {
    let Some(disk) = SmallDisk::mount(96) else { return };
    let fatal = Arc::new(AtomicBool::new(false));
    // Without a mark, so that SQLite and the file system are the ones to say that the disk is full.
    let store = open(&disk.path, 0, &fatal);
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    for n in 0..200 {
        store.registry().commit(put(project, &format!("n{n}"), 1 << 16)).await.expect("put");
    }
    store.queue().enqueue(vec![new_item(project, function)]).await.expect("enqueue");
    store.history().record(vec![succeeded(queued_run(project, function, at(0)))]).await.expect("record");
    let wants = [everything(project, function)];
    let lease = store.queue().lease("test", &wants, Duration::from_secs(9), EPOCH).await.expect("lease").remove(0);
    let filler = disk.fill();

    full("blob put", store.blobs().put(vec![1; 1 << 20].into()).await);
    let build = |draft: &Path| std::fs::write(draft.join("x"), vec![1; 1 << 20]);
    full("seal", store.layers().seal(&Digest::from_bytes([1; 32]), Box::new(build)).await);
    // The write-ahead log has space left at first.
    while store.registry().commit(put(project, "overwritten", 1 << 19)).await.is_ok() {}
    assert!(!disk.path.join("data/ballast").exists(), "the ballast was not released");
    full("a small put into the ballast's room", store.registry().commit(put(project, "new", 10)).await);
    store.registry().commit(delete(project, "overwritten")).await.expect("delete on a full disk");
    for n in 0..200 {
        store.registry().commit(delete(project, &format!("n{n}"))).await.expect("delete on a full disk");
    }
    let settled = store.queue().settle(vec![finish(&lease)], ByteBounds::NONE).await.expect("settle on a full disk");
    assert_eq!(settled.held, [true]);
    let all = Expiry { runs_before: at(1000), ..Expiry::nothing(project, 10) };
    assert_eq!(store.history().expire(&all).await.expect("expire on a full disk").runs, 2);

    std::fs::remove_file(filler).expect("make room");
    store.registry().commit(put(project, "after", 10)).await.expect("put when there is room again");
    assert!(disk.path.join("data/ballast").exists(), "the ballast did not come back");
    assert!(!fatal.load(Ordering::SeqCst), "a full disk is not fatal");
    drop(store);
    let store = open(&disk.path, 0, &fatal);
    store.check().await.expect("sound after a full disk");
    let left = store.registry().list(project, Collection::Functions, "", None, 100).await.expect("list");
    assert_eq!(left.iter().map(|entry| entry.key.name.as_str()).collect::<Vec<_>>(), ["after"]);
}
