//! What every queue promises about the inputs of ended runs: they stay for replays, as far as there is room.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_ports::{
    ByteBounds, DeadLetterQuery, DeadLetters, FollowUps, Footprint, NewItem, RunOutcome, RunQueue, Settlement, Want,
};
use faas_types::{Digest, FunctionId, ProjectId, RunId, RunState};

use super::ok;
use crate::fixture::{at, finish, fresh, fresh_at, in_state, new_item};

/// How a run came and ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Keyless,
    WithKey,
    DeadKeyless,
    Dead,
}

struct Bench<'a> {
    letters: &'a dyn DeadLetters,
    queue: &'a dyn RunQueue,
    project: ProjectId,
    /// Runs made so far: each has a later id than those before.
    made: AtomicU64,
}

/// The inputs of ended runs are bounded, and what goes makes the least loss.
pub async fn kept_inputs(letters: &dyn DeadLetters, queue: &dyn RunQueue) {
    let bench = || Bench { letters, queue, project: fresh(), made: AtomicU64::new(0) };
    bench().a_function_keeps_its_newest().await;
    bench().what_came_with_a_key_stays_longest_then_dead_letters().await;
    bench().the_fullest_function_makes_room_for_a_project().await;
    bench().what_waits_is_never_removed().await;
    bench().what_is_purged_or_old_leaves_room().await;
}

// === impl Bench ===

impl Bench<'_> {
    fn item(&self, function: FunctionId, bytes: u64, kind: Kind) -> NewItem {
        let mut item = new_item(self.project, function);
        item.record.id = fresh_at(at(self.made.fetch_add(1, Ordering::Relaxed)));
        let keyless = matches!(kind, Kind::Keyless | Kind::DeadKeyless);
        NewItem { footprint: Footprint { bytes, keyless, blob: Some(blob(item.record.id)), reserved: 0 }, ..item }
    }

    /// Runs an item to its end.
    async fn end(&self, function: FunctionId, bytes: u64, kind: Kind, kept: ByteBounds) -> (RunId, Vec<Digest>) {
        let item = self.item(function, bytes, kind);
        let run = item.record.id;
        ok("enqueue", self.queue.enqueue(vec![item]).await);
        let want = Want { project: self.project, function, max: 1 };
        let lease = ok("lease", self.queue.lease("worker", &[want], Duration::from_secs(1), at(0)).await).remove(0);
        let end = if matches!(kind, Kind::Dead | Kind::DeadKeyless) {
            let mut record = in_state(lease.record.clone(), RunState::Failed);
            record.finished_at = Some(at(5));
            let (record, dead) = (Box::new(record), Some("why".to_owned()));
            let outcome = RunOutcome::Finish { record, dead, follow_ups: FollowUps::default() };
            Settlement { lease: lease.mark(), outcome }
        } else {
            finish(&lease)
        };
        let settled = ok("settle", self.queue.settle(vec![end], kept).await);
        assert_eq!(settled.held, [true]);
        (run, settled.freed)
    }

    async fn is_kept(&self, run: RunId) -> bool {
        ok("input", self.letters.input(self.project, run).await).is_some()
    }

    async fn a_function_keeps_its_newest(self) {
        let (function, kept) = (fresh(), ByteBounds { function: 100, project: 1_000 });
        let (first, freed) = self.end(function, 60, Kind::WithKey, kept).await;
        assert!(freed.is_empty() && self.is_kept(first).await);
        let (second, freed) = self.end(function, 60, Kind::WithKey, kept).await;
        assert_eq!(freed, [blob(first)]);
        assert!(!self.is_kept(first).await && self.is_kept(second).await);
        let (third, freed) = self.end(function, 101, Kind::WithKey, kept).await;
        assert_eq!(freed, [blob(second), blob(third)], "one that never fits is not kept");
    }

    async fn what_came_with_a_key_stays_longest_then_dead_letters(self) {
        let (function, kept) = (fresh(), ByteBounds { function: 100, project: 1_000 });
        let mut runs = Vec::new();
        for kind in [Kind::Dead, Kind::WithKey, Kind::DeadKeyless, Kind::Keyless] {
            runs.push(self.end(function, 25, kind, kept).await.0);
        }
        for (at, gone) in [(1, runs[3]), (2, runs[2]), (3, runs[1]), (4, runs[0])] {
            let (_, freed) = self.end(function, 25, Kind::Dead, kept).await;
            assert_eq!(freed, [blob(gone)], "step {at}");
        }
        let query = DeadLetterQuery {
            project: self.project,
            function: None,
            code: None,
            since: None,
            until: None,
            after: None,
            limit: 9,
        };
        let letters = ok("dead_letters", self.letters.dead_letters(&query).await);
        assert_eq!(letters.len(), 4, "a letter goes with its input");
        let rest: Vec<RunId> = letters.iter().map(|letter| letter.record.id).collect();
        assert!(!rest.contains(&runs[0]) && !rest.contains(&runs[1]));
    }

    async fn the_fullest_function_makes_room_for_a_project(self) {
        let (small, large) = (fresh(), fresh());
        let kept = ByteBounds { function: 1_000, project: 100 };
        let (own, _) = self.end(small, 30, Kind::Keyless, kept).await;
        let (first, _) = self.end(large, 60, Kind::Dead, kept).await;
        let (_, freed) = self.end(small, 20, Kind::WithKey, kept).await;
        assert_eq!(freed, [blob(first)], "who keeps most makes room");
        assert!(self.is_kept(own).await);
    }

    async fn what_waits_is_never_removed(self) {
        let (function, kept) = (fresh(), ByteBounds { function: 10, project: 10 });
        let waiting = NewItem { not_before: at(1_000), ..self.item(function, 500, Kind::Keyless) };
        ok("enqueue", self.queue.enqueue(vec![waiting.clone()]).await);
        let (run, freed) = self.end(function, 5, Kind::WithKey, kept).await;
        assert!(freed.is_empty(), "what waits is not counted");
        assert!(self.is_kept(run).await && self.is_kept(waiting.record.id).await);
        let id = waiting.record.id;
        let withdrawn = ok("withdraw", self.queue.withdraw(waiting.record, FollowUps::default(), kept).await);
        let freed = withdrawn.expect("it waited").freed;
        assert_eq!(freed, [blob(id)], "what a cancelled run leaves is not trimmed");
        assert!(self.is_kept(run).await && !self.is_kept(id).await);
    }

    async fn what_is_purged_or_old_leaves_room(self) {
        let (function, kept) = (fresh(), ByteBounds { function: 100, project: 100 });
        let (dead, _) = self.end(function, 60, Kind::Dead, kept).await;
        let purged = ok("purge", self.letters.purge(self.project, vec![dead]).await);
        assert_eq!((purged.rows, purged.freed), (1, vec![blob(dead)]));
        let (run, freed) = self.end(function, 60, Kind::WithKey, kept).await;
        assert!(freed.is_empty(), "a purged letter still counts");
        let removed = ok("expire", self.letters.expire_dead(self.project, at(1 << 40), u32::MAX).await);
        assert!(removed.freed.contains(&blob(run)));
        assert!(!self.is_kept(run).await);
        let (_, freed) = self.end(function, 60, Kind::WithKey, kept).await;
        assert!(freed.is_empty(), "an old input still counts");
    }
}

/// A blob for each run.
fn blob(run: RunId) -> Digest {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&run.as_u128().to_be_bytes());
    Digest::from_bytes(bytes)
}
