//! A write that the disk refuses ends the server.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use faas_ports::{Collection, Expect, Key, Write};
use faas_store::{Store, StoreConfig};
use faas_testkit::fixture::fresh;

use crate::Role;

fn config(dir: &Path) -> StoreConfig {
    StoreConfig { low_water: 0, ballast: 0, ..StoreConfig::new(dir) }
}

/// The process that ends: a store whose files may not grow, which to SQLite is a failing disk.
pub(crate) async fn write_until_the_disk_fails(dir: &Path) {
    let on_fatal = Arc::new(|message: &str| {
        let named = message.contains("faas.db");
        std::process::exit(if named { 42 } else { 43 });
    });
    let store = Store::open(&StoreConfig { on_fatal, ..config(dir) }).expect("open");
    let project = fresh();
    for n in 0.. {
        let key = Key::new(project, Collection::Functions, format!("n{n}"));
        let put = Write::Put { key, value: vec![7; 50_000].into(), expect: Expect::Any };
        store.registry().commit(vec![put]).await.expect("put");
    }
}

pub(crate) async fn a_failed_write_is_fatal() {
    let dir = tempfile::tempdir().expect("temp dir");
    let child = Role::FailingDisk.command(dir.path());
    // A limit of 4 MiB on the size of files; ignored signals stay ignored across `exec`.
    let ended = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\""])
        .arg(child.get_program())
        .args(child.get_args())
        .output()
        .expect("the child starts");
    assert_eq!(ended.status.code(), Some(42), "{}", String::from_utf8_lossy(&ended.stderr));
    Store::open(&config(dir.path())).expect("what was committed opens again");
}
