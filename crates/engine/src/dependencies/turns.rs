//! Who builds: one at a time for each layer, few at once, and not too many that wait.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use faas_ports::Key;
use faas_types::{Code, Fault};
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::core::stopping;

/// Builds that wait for a place.
const WAITING_MAX: usize = 32;
/// When it is worth asking again whether there is room.
const RETRY_S: u32 = 30;

/// Turns of builds.
pub(crate) struct BuildTurns {
    /// One turn for each layer that somebody wants.
    layers: Mutex<HashMap<Key, Weak<Turn<()>>>>,
    places: Arc<Semaphore>,
    /// Those that build and those that wait.
    all: Arc<Semaphore>,
}

/// Held while a build is under way.
pub(crate) struct Place {
    _place: OwnedSemaphorePermit,
    _one_of_all: OwnedSemaphorePermit,
}

// === impl BuildTurns ===

impl BuildTurns {
    pub(crate) fn new(at_once: usize) -> Self {
        let places = Arc::new(Semaphore::new(at_once));
        Self { layers: Mutex::default(), places, all: Arc::new(Semaphore::new(at_once + WAITING_MAX)) }
    }

    /// Waits until nobody builds this layer.
    pub(crate) async fn of(&self, layer: &Key) -> OwnedMutexGuard<()> {
        self.of_telling(layer, || {}).await
    }

    /// The same; `waits` is called where that takes time.
    pub(crate) async fn of_telling(&self, layer: &Key, waits: impl FnOnce()) -> OwnedMutexGuard<()> {
        let turn = {
            let mut layers = self.layers.lock();
            layers.retain(|_, turn| turn.strong_count() > 0);
            layers.get(layer).and_then(Weak::upgrade).unwrap_or_else(|| {
                let turn = Arc::new(Turn::new(()));
                layers.insert(layer.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        if let Ok(free) = Arc::clone(&turn).try_lock_owned() {
            return free;
        }
        waits();
        turn.lock_owned().await
    }

    /// Waits for a place to build at; `waits` is called where that takes time.
    pub(crate) async fn place(&self, stop: &CancellationToken, waits: impl FnOnce()) -> Result<Place, Fault> {
        let Ok(one_of_all) = Arc::clone(&self.all).try_acquire_owned() else {
            return Err(Fault::new(Code::Overloaded, "too many builds of packages wait already")
                .with_hint("deploy again later, or raise build.at_once of the server")
                .with_retry_after(RETRY_S));
        };
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place { _place: place, _one_of_all: one_of_all });
        }
        waits();
        let place = tokio::select! {
            place = Arc::clone(&self.places).acquire_owned() => place.map_err(|_| stopping())?,
            () = stop.cancelled() => return Err(stopping()),
        };
        Ok(Place { _place: place, _one_of_all: one_of_all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_is_told_so() {
        let (turns, stop) = (Arc::new(BuildTurns::new(1)), CancellationToken::new());
        let first = turns.place(&stop, || {}).await.expect("room");
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let (turns, stop) = (Arc::clone(&turns), stop.clone());
                tokio::spawn(async move { turns.place(&stop, || {}).await.map(drop) })
            })
            .collect();
        while turns.all.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = turns.place(&stop, || {}).await.err().expect("no room");
        assert_eq!((refused.code, refused.retry_after), (Code::Overloaded, Some(RETRY_S)));
        drop(first);
        for one in waiting {
            assert!(one.await.expect("ran").is_ok());
        }
    }
}
