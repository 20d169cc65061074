//! What every registry promises.

use bytes::Bytes;
use faas_ports::{COMMIT_MAX, Collection, Entry, Expect, Key, PortError, Registry, VALUE_MAX, Write};
use faas_types::ProjectId;

use super::{ok, refused};
use crate::fixture::fresh;

/// Entries, compare-and-set, all-or-nothing commits and listings. Uses its own projects.
pub async fn registry(registry: &dyn Registry) {
    values_come_back_as_they_went_in(registry).await;
    expectations_guard_writes(registry).await;
    commits_are_all_or_nothing(registry).await;
    one_of_many_racing_writers_wins(registry).await;
    listings_are_sorted_and_paged(registry).await;
    projects_and_collections_are_apart(registry).await;
    several_come_in_the_order_asked(registry).await;
    a_scan_goes_over_all_projects(registry).await;
    malformed_commits_are_refused(registry).await;
}

/// A put.
pub(super) fn put(key: &Key, value: impl Into<Bytes>, expect: Expect) -> Write {
    Write::Put { key: key.clone(), value: value.into(), expect }
}

/// A delete.
pub(super) fn delete(key: &Key, expect: Expect) -> Write {
    Write::Delete { key: key.clone(), expect }
}

/// A key of the functions' collection.
pub(super) fn key(project: ProjectId, name: &str) -> Key {
    Key::new(project, Collection::Functions, name)
}

async fn values_come_back_as_they_went_in(registry: &dyn Registry) {
    let project = fresh();
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    for (name, value) in [("a", every_byte), ("empty", Vec::new()), ("largest", vec![7; VALUE_MAX])] {
        let key = key(project, name);
        assert_eq!(ok("get before the put", registry.get(&key).await), None);
        let revision = ok("put", registry.commit(vec![put(&key, value.clone(), Expect::Absent)]).await);
        let entry = Entry { key: key.clone(), value: value.into(), revision };
        assert_eq!(ok("get", registry.get(&key).await), Some(entry), "the entry differs from what was put");
        let later = ok("delete", registry.commit(vec![delete(&key, Expect::Revision(revision))]).await);
        assert!(later > revision, "the revision did not rise: {revision} then {later}");
        assert_eq!(ok("get after the delete", registry.get(&key).await), None);
    }
}

async fn a_scan_goes_over_all_projects(registry: &dyn Registry) {
    let mut projects: Vec<ProjectId> = (0..3).map(|_| fresh()).collect();
    projects.sort();
    let named = |project: &ProjectId, name: &str| Key::new(*project, Collection::NamedLayers, name);
    let keys: Vec<Key> =
        projects.iter().flat_map(|project| ["a", "a/1", "b"].map(|name| named(project, name))).collect();
    let other = key(projects[1], "a");
    let puts = keys.iter().rev().chain([&other]).map(|key| put(key, "x", Expect::Absent)).collect();
    ok("put", registry.commit(puts).await);
    for limit in [1, 2, 100] {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = ok("scan", registry.scan(Collection::NamedLayers, after.as_ref(), limit).await);
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            // Others share the store.
            found.extend(page.into_iter().map(|entry| entry.key).filter(|key| projects.contains(&key.project)));
        }
        assert_eq!(found, keys, "pages of {limit}");
    }
}

async fn expectations_guard_writes(registry: &dyn Registry) {
    let key = key(fresh(), "guarded");
    let conflicts = |what: &'static str, result| {
        let error = refused(what, result);
        assert!(matches!(&error, PortError::Conflict { key: named } if *named == key), "{what}: {error}");
    };
    ok("delete of nothing", registry.commit(vec![delete(&key, Expect::Any)]).await);
    ok("delete of what must be absent", registry.commit(vec![delete(&key, Expect::Absent)]).await);
    conflicts("a revision of nothing", registry.commit(vec![put(&key, "x", Expect::Revision(1))]).await);
    conflicts("a delete of a revision of nothing", registry.commit(vec![delete(&key, Expect::Revision(1))]).await);
    let first = ok("first put", registry.commit(vec![put(&key, "1", Expect::Absent)]).await);
    conflicts("a put of what exists", registry.commit(vec![put(&key, "2", Expect::Absent)]).await);
    let second = ok("guarded put", registry.commit(vec![put(&key, "2", Expect::Revision(first))]).await);
    conflicts("a put over an old revision", registry.commit(vec![put(&key, "3", Expect::Revision(first))]).await);
    conflicts("a delete of an old revision", registry.commit(vec![delete(&key, Expect::Revision(first))]).await);
    let entry = ok("get", registry.get(&key).await).expect("the entry is there");
    assert_eq!((entry.revision, &entry.value[..]), (second, &b"2"[..]), "a refused write changed something");
    ok("unguarded put", registry.commit(vec![put(&key, "4", Expect::Any)]).await);
}

async fn commits_are_all_or_nothing(registry: &dyn Registry) {
    let project = fresh();
    let keys = ["a", "b", "c"].map(|name| key(project, name));
    let all = keys.iter().map(|key| put(key, "1", Expect::Absent)).collect();
    let revision = ok("commit of three", registry.commit(all).await);
    for key in &keys {
        let entry = ok("get", registry.get(key).await).expect("every write of a commit is there");
        assert_eq!(entry.revision, revision, "writes of one commit have one revision");
    }
    let mixed = vec![
        put(&keys[0], "2", Expect::Revision(revision)),
        delete(&keys[1], Expect::Any),
        put(&key(project, "d"), "2", Expect::Absent),
        put(&keys[2], "2", Expect::Absent),
    ];
    let error = refused("a commit with one stale write", registry.commit(mixed).await);
    assert!(
        matches!(&error, PortError::Conflict { key } if *key == keys[2]),
        "the conflict names another key: {error}"
    );
    let left = ok("list", registry.list(project, Collection::Functions, "", None, 10).await);
    let left: Vec<_> = left.iter().map(|entry| (entry.key.name.as_str(), &entry.value[..], entry.revision)).collect();
    let was = [("a", &b"1"[..], revision), ("b", b"1", revision), ("c", b"1", revision)];
    assert_eq!(left, was, "a refused commit left traces");
}

async fn one_of_many_racing_writers_wins(registry: &dyn Registry) {
    let key = key(fresh(), "raced");
    let revision = ok("put", registry.commit(vec![put(&key, "0", Expect::Absent)]).await);
    let racers = (0..32_u8).map(|n| registry.commit(vec![put(&key, vec![n], Expect::Revision(revision))]));
    let outcomes = futures_util::future::join_all(racers).await;
    let won: Vec<usize> = (0..outcomes.len()).filter(|&n| outcomes[n].is_ok()).collect();
    assert_eq!(won.len(), 1, "{} writers won a compare-and-set", won.len());
    let entry = ok("get", registry.get(&key).await).expect("the entry is there");
    assert_eq!(usize::from(entry.value[0]), won[0], "the value is not the winner's");
}

async fn listings_are_sorted_and_paged(registry: &dyn Registry) {
    let project: ProjectId = fresh();
    let names = ["a", "a-b", "a.b", "a/1", "a/10", "a/2", "aa", "B", "b", "z", "Z_"];
    let writes = names.iter().rev().map(|name| put(&key(project, name), *name, Expect::Absent)).collect();
    ok("put", registry.commit(writes).await);
    let list = async |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        let entries = ok("list", registry.list(project, Collection::Functions, prefix, after, limit).await);
        assert!(entries.iter().all(|entry| entry.value == entry.key.name), "a listed value is another's");
        entries.into_iter().map(|entry| entry.key.name).collect()
    };
    let mut sorted = names.map(str::to_owned).to_vec();
    sorted.sort_unstable();
    assert_eq!(list("", None, 100).await, sorted, "names are listed in byte order");
    assert_eq!(list("a/", None, 100).await, ["a/1", "a/10", "a/2"], "only names with the prefix are listed");
    assert_eq!(list("a/", Some("a/1"), 1).await, ["a/10"], "`after` excludes its own name and `limit` bounds");
    assert_eq!(list("a/", Some("a/15"), 9).await, ["a/2"], "`after` need not exist");
    assert_eq!(list("a", Some("0"), 2).await, ["a", "a-b"], "`after` before the prefix does not widen it");
    assert!(list("a/", Some("b"), 9).await.is_empty(), "`after` behind the prefix lists nothing");
    assert!(list("nothing", None, 9).await.is_empty(), "an unknown prefix lists nothing");
    assert!(list("", None, 0).await.is_empty(), "a limit of 0 lists nothing");
    let (mut paged, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = list("", after.as_deref(), 3).await;
        after = page.last().cloned();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, sorted, "pages put together are the whole");
}

async fn projects_and_collections_are_apart(registry: &dyn Registry) {
    let (mine, other): (ProjectId, ProjectId) = (fresh(), fresh());
    for collection in Collection::ALL {
        let (key, twin) = (Key::new(mine, collection, "same"), Key::new(other, collection, "same"));
        ok("put", registry.commit(vec![put(&key, collection.as_str(), Expect::Absent)]).await);
        assert_eq!(ok("get", registry.get(&twin).await), None, "another project sees {collection:?}");
        let seen = ok("list", registry.list(other, collection, "", None, 10).await);
        assert!(seen.is_empty(), "another project lists {collection:?}");
        ok("delete of the twin", registry.commit(vec![delete(&twin, Expect::Any)]).await);
        let entry = ok("get", registry.get(&key).await).expect("another project's delete leaves it");
        assert_eq!(entry.value, collection.as_str(), "collections share a name");
    }
}

async fn several_come_in_the_order_asked(registry: &dyn Registry) {
    let project = fresh();
    let keys: Vec<Key> = ["b", "none", "a"].iter().map(|name| key(project, name)).collect();
    let puts = [&keys[0], &keys[2]].map(|key| put(key, key.name.clone(), Expect::Absent));
    ok("put two", registry.commit(puts.to_vec()).await);
    let found = ok("get all", registry.get_all(&keys).await);
    let values: Vec<_> = found.into_iter().map(|entry| entry.map(|entry| entry.value)).collect();
    assert_eq!(values, [Some(Bytes::from("b")), None, Some(Bytes::from("a"))]);
}

async fn malformed_commits_are_refused(registry: &dyn Registry) {
    let project: ProjectId = fresh();
    let good = key(project, "good");
    let many = |count| (0..count).map(|n| put(&key(project, &format!("n{n}")), "", Expect::Any)).collect::<Vec<_>>();
    let mut bad = vec![
        ("an empty commit", Vec::new()),
        ("a commit of too many", many(COMMIT_MAX + 1)),
        ("a value that is too large", vec![put(&good, vec![0; VALUE_MAX + 1], Expect::Any)]),
        ("a key twice", vec![put(&good, "1", Expect::Any), delete(&good, Expect::Any)]),
    ];
    for name in ["", "a b", "ü", "a\0", "a\n", "%", &"x".repeat(201)] {
        bad.push(("a malformed key", vec![put(&good, "1", Expect::Any), put(&key(project, name), "1", Expect::Any)]));
    }
    for (what, writes) in bad {
        let error = refused(what, registry.commit(writes).await);
        assert!(matches!(error, PortError::Invalid(_)), "{what}: {error}");
    }
    let left = ok("list", registry.list(project, Collection::Functions, "", None, 10).await);
    assert!(left.is_empty(), "a refused commit left {left:?}");
    ok("the largest commit", registry.commit(many(COMMIT_MAX)).await);
}
