//! What every registry's watch promises.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_ports::{Change, Collection, Entry, Expect, Key, Registry, Watch};
use faas_types::ProjectId;
use futures_util::StreamExt;

use super::registry::{delete, key, put};
use super::{ok, soon};
use crate::fixture::fresh;

/// Snapshot, then news in commit order, without gap or repetition. Other projects may be busy meanwhile.
pub async fn watch(registry: Arc<dyn Registry>) {
    snapshot_then_news(&*registry).await;
    refused_commits_are_no_news(&*registry).await;
    no_commit_falls_between_snapshot_and_news(registry).await;
}

/// A watcher that does not read while `registry`, whose watchers may lag `lag` changes behind, changes more than that.
pub async fn lagged_watch(registry: &dyn Registry, lag: usize) {
    let project: ProjectId = fresh();
    let mut watch = ok("watch", registry.watch(Collection::Functions).await);
    for round in 0..=lag / 500 {
        let write = |n| put(&key(project, &format!("n{n}")), round.to_string(), Expect::Any);
        ok("commit", registry.commit((0..1000).map(write).collect()).await);
    }
    loop {
        match soon("the mark of a lagged watch", watch.next()).await {
            Some(Change::Lagged) => break,
            Some(_) => {}
            None => panic!("a lagged watch ended without saying so"),
        }
    }
    assert_eq!(soon("the end of a lagged watch", watch.next()).await, None, "something follows `Lagged`");
    let mut anew = ok("watch anew", registry.watch(Collection::Functions).await);
    assert_eq!(until_synced(&mut anew, project).await.len(), 1000, "a new watch tells what is there");
}

/// The next change of a project.
async fn next(watch: &mut Watch, project: ProjectId) -> Change {
    loop {
        let change = soon("a change", watch.next()).await.expect("the watch goes on");
        match &change {
            Change::Put(entry) if entry.key.project == project => return change,
            Change::Deleted { key, .. } if key.project == project => return change,
            Change::Synced | Change::Lagged => return change,
            _ => {}
        }
    }
}

/// What the snapshot holds of a project.
async fn until_synced(watch: &mut Watch, project: ProjectId) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        match next(watch, project).await {
            Change::Put(entry) => entries.push(entry),
            Change::Synced => return entries,
            other => panic!("{other:?} before `Synced`"),
        }
    }
}

async fn snapshot_then_news(registry: &dyn Registry) {
    let project: ProjectId = fresh();
    let [a, b, c] = ["a", "b", "c"].map(|name| key(project, name));
    let elsewhere = Key::new(project, Collection::Versions, "elsewhere");
    let first = ok("put", registry.commit(vec![put(&b, "1", Expect::Any), put(&a, "1", Expect::Any)]).await);
    ok("put", registry.commit(vec![put(&c, "1", Expect::Any)]).await);
    ok("delete", registry.commit(vec![delete(&c, Expect::Any)]).await);
    let mut watch = ok("watch", registry.watch(Collection::Functions).await);
    let mut known = until_synced(&mut watch, project).await;
    known.sort_by(|x, y| x.key.cmp(&y.key));
    let entry = |key: &Key, value: &'static str, revision| Entry { key: key.clone(), value: value.into(), revision };
    assert_eq!(known, [entry(&a, "1", first), entry(&b, "1", first)], "the snapshot is not what is there");

    let second = ok("commit", registry.commit(vec![put(&c, "2", Expect::Any), delete(&a, Expect::Any)]).await);
    ok("commit elsewhere", registry.commit(vec![put(&elsewhere, "2", Expect::Any)]).await);
    ok("delete of nothing", registry.commit(vec![delete(&key(project, "nothing"), Expect::Any)]).await);
    let third = ok("commit", registry.commit(vec![put(&a, "3", Expect::Absent)]).await);
    assert_eq!(next(&mut watch, project).await, Change::Put(entry(&c, "2", second)));
    assert_eq!(next(&mut watch, project).await, Change::Deleted { key: a.clone(), revision: second });
    let news = next(&mut watch, project).await;
    assert_eq!(news, Change::Put(entry(&a, "3", third)), "other collections, and deletes of nothing, are no news");
}

async fn refused_commits_are_no_news(registry: &dyn Registry) {
    let project: ProjectId = fresh();
    let [a, b] = ["a", "b"].map(|name| key(project, name));
    let mut watch = ok("watch", registry.watch(Collection::Functions).await);
    assert!(until_synced(&mut watch, project).await.is_empty());
    let stale = vec![put(&a, "1", Expect::Any), put(&b, "1", Expect::Revision(1))];
    assert!(registry.commit(stale).await.is_err(), "a stale commit was taken");
    let revision = ok("commit", registry.commit(vec![put(&b, "2", Expect::Any)]).await);
    let news = Change::Put(Entry { key: b, value: "2".into(), revision });
    assert_eq!(next(&mut watch, project).await, news, "a refused commit was told");
}

/// Watches that begin amid commits must all arrive at the same state, each revision told once and in order.
async fn no_commit_falls_between_snapshot_and_news(registry: Arc<dyn Registry>) {
    const COMMITS: u32 = 200;
    let project: ProjectId = fresh();
    let writer = Arc::clone(&registry);
    let writing = tokio::spawn(async move {
        for n in 0..COMMITS {
            let name = key(project, &format!("k{}", n % 7));
            let write = if n % 5 == 4 { delete(&name, Expect::Any) } else { put(&name, n.to_string(), Expect::Any) };
            ok("commit", writer.commit(vec![write]).await);
        }
        ok("last commit", writer.commit(vec![put(&key(project, "end"), "end", Expect::Any)]).await);
    });
    let mut watchers = Vec::new();
    for _ in 0..20 {
        let watch = ok("watch", registry.watch(Collection::Functions).await);
        watchers.push(tokio::spawn(follow(watch, project)));
        tokio::task::yield_now().await;
    }
    writing.await.expect("the writer ends well");
    let there = ok("list", registry.list(project, Collection::Functions, "", None, 100).await);
    for watcher in watchers {
        let seen = watcher.await.expect("the watcher ends well");
        assert_eq!(seen.into_values().collect::<Vec<_>>(), there, "a watcher arrived at another state");
    }
}

async fn follow(mut watch: Watch, project: ProjectId) -> BTreeMap<Key, Entry> {
    let mut state: BTreeMap<Key, Entry> =
        until_synced(&mut watch, project).await.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    let mut newest = state.values().map(|entry| entry.revision).max().unwrap_or(0);
    while !state.keys().any(|key| key.name == "end") {
        let revision = match next(&mut watch, project).await {
            Change::Put(entry) => {
                let revision = entry.revision;
                state.insert(entry.key.clone(), entry);
                revision
            }
            Change::Deleted { key, revision } => {
                state.remove(&key);
                revision
            }
            other => panic!("{other:?} amid the news"),
        };
        assert!(revision > newest, "revision {revision} was told after {newest}");
        newest = revision;
    }
    state
}
