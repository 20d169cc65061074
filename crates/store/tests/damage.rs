//! Damage is noticed, named and, where it can be, mended.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use bytes::Bytes;
use faas_ports::{Collection, Expect, Key, PortError, Write};
use faas_store::{Store, StoreConfig, StoreError};
use faas_testkit::fixture::fresh;
use faas_types::ProjectId;

const PAGE: u64 = 4096;

fn config(dir: &Path) -> StoreConfig {
    StoreConfig { low_water: 0, ballast: 0, ..StoreConfig::new(dir) }
}

async fn fill(store: &Store, project: ProjectId) {
    for n in 0..20 {
        let put = |m| Write::Put {
            key: Key::new(project, Collection::Functions, format!("n{n}.{m}")),
            value: vec![7; 500].into(),
            expect: Expect::Any,
        };
        store.registry().commit((0..100).map(put).collect()).await.expect("put");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_blob_is_noticed_and_mended() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = Store::open(&config(dir.path())).expect("open");
    let bytes = Bytes::from(vec![5; 10_000]);
    let digest = store.blobs().put(bytes.clone()).await.expect("put");
    let name = digest.to_string();
    let path = dir.path().join("blobs").join(&name[..2]).join(&name[2..]);
    assert_eq!(fs::metadata(&path).expect("the file is there").permissions().mode() & 0o777, 0o600);
    let flip = || {
        let file = OpenOptions::new().write(true).open(&path).expect("open the blob");
        file.write_all_at(&[4], 5_000).expect("flip");
    };
    flip();
    let refused = store.blobs().get(&digest).await;
    assert!(matches!(&refused, Err(PortError::Corrupt { what }) if what.contains(&name)), "{refused:?}");
    assert_eq!(store.blobs().missing(&[digest]).await.expect("missing"), [digest], "a damaged blob counts as there");
    store.blobs().put(bytes.clone()).await.expect("put again");
    assert_eq!(store.blobs().get(&digest).await.expect("get"), bytes);
    flip();
    store.blobs().put(bytes.clone()).await.expect("put over a damaged file");
    assert_eq!(store.blobs().get(&digest).await.expect("get"), bytes);
}

#[tokio::test]
async fn a_damaged_page_is_noticed() {
    let dir = tempfile::tempdir().expect("temp dir");
    let project: ProjectId = fresh();
    let store = Store::open(&config(dir.path())).expect("open");
    fill(&store, project).await;
    store.check().await.expect("sound before the damage");
    drop(store);
    let path = dir.path().join("faas.db");
    let pages = fs::metadata(&path).expect("the database is there").len() / PAGE;
    let file = OpenOptions::new().write(true).open(&path).expect("open the database");
    for page in (pages / 3)..(pages / 3 + 40) {
        file.write_all_at(&[0xff; 64], page * PAGE).expect("damage");
    }
    let store = Store::open(&config(dir.path())).expect("the schema is sound");
    let found = store.check().await;
    assert!(matches!(&found, Err(PortError::Corrupt { what }) if what.contains("faas.db")), "{found:?}");
    let read = store.registry().list(project, Collection::Functions, "", None, 10_000).await;
    assert!(matches!(read, Err(PortError::Corrupt { .. })), "damage was read as if it were whole");
}

#[test]
fn a_lost_database_is_not_replaced_by_an_empty_one() {
    let dir = tempfile::tempdir().expect("temp dir");
    drop(Store::open(&config(dir.path())).expect("open"));
    let remove = |name: &str| match fs::remove_file(dir.path().join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{name}: {error}"),
        _ => {}
    };
    for emptied in [true, false] {
        ["faas.db", "faas.db-wal", "faas.db-shm"].into_iter().for_each(remove);
        if emptied {
            fs::write(dir.path().join("faas.db"), "").expect("an empty file");
        }
        let refused = Store::open(&config(dir.path())).expect_err("it was in use");
        assert!(matches!(&refused, StoreError::LostDatabase { .. }), "{refused}");
    }
    // A first start that was cut short before its keys were made had nothing to lose.
    remove("secret.keys");
    Store::open(&config(dir.path())).expect("open");
}

#[tokio::test]
async fn lost_keys_are_not_replaced_while_something_is_sealed_under_them() {
    let dir = tempfile::tempdir().expect("temp dir");
    let keys = dir.path().join("secret.keys");
    drop(Store::open(&config(dir.path())).expect("open"));
    fs::remove_file(&keys).expect("remove");
    let store = Store::open(&config(dir.path())).expect("nothing was sealed yet");
    let key = Key::new(fresh(), Collection::Secrets, "sec_1");
    let put = Write::Put { key, value: b"{}".to_vec().into(), expect: Expect::Absent };
    store.registry().commit(vec![put]).await.expect("commit");
    drop(store);
    let kept = fs::read(&keys).expect("read");
    fs::remove_file(&keys).expect("remove");
    let refused = Store::open(&config(dir.path())).expect_err("a secret was sealed");
    let text = refused.to_string();
    assert!(matches!(refused, StoreError::LostKeys { .. }) && text.contains("restore it from a backup"), "{text}");
    assert!(!keys.exists(), "a start that is refused leaves no other keys behind");
    fs::write(&keys, kept).expect("restore");
    Store::open(&config(dir.path())).expect("open");
}

#[tokio::test]
async fn what_is_no_database_or_from_the_future_does_not_open() {
    let dir = tempfile::tempdir().expect("temp dir");
    drop(Store::open(&config(dir.path())).expect("open"));
    let path = dir.path().join("faas.db");
    let sound = fs::read(&path).expect("read");
    let mut newer = sound.clone();
    // The file format keeps `user_version` in bytes 60 to 63, big-endian.
    newer[63] = 99;
    fs::write(&path, newer).expect("write");
    let refused = Store::open(&config(dir.path()));
    assert!(matches!(refused, Err(StoreError::NewerDatabase { found: 99, .. })), "{refused:?}");
    fs::write(&path, vec![0x55; 8192]).expect("write");
    let refused = Store::open(&config(dir.path()));
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    fs::write(&path, sound).expect("write");
    Store::open(&config(dir.path())).expect("open");
}
