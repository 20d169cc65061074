//! A vault in memory: what it gives out is only a key.

use std::collections::HashMap;

use bytes::Bytes;
use faas_ports::{PortError, PortResult, SECRET_MAX, Secret, SecretPlace, Vault};
use parking_lot::Mutex;

/// Secrets in a map, under random tickets.
#[derive(Debug, Default)]
pub struct MemoryVault {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    secrets: HashMap<Bytes, (SecretPlace, Secret, u64)>,
}

// === impl MemoryVault ===

impl MemoryVault {
    fn keep(&self, place: &SecretPlace, secret: Secret) -> Bytes {
        let key: faas_types::RunId = crate::fixture::fresh();
        let key = Bytes::from(key.to_string());
        let mut state = self.state.lock();
        let generation = state.generation;
        state.secrets.insert(key.clone(), (place.clone(), secret, generation));
        key
    }
}

impl Vault for MemoryVault {
    fn seal(&self, place: &SecretPlace, secret: &Secret) -> PortResult<Bytes> {
        if secret.reveal().len() > SECRET_MAX {
            return Err(PortError::Invalid(format!("`{}` is larger than {SECRET_MAX} bytes", place.name)));
        }
        Ok(self.keep(place, secret.clone()))
    }

    fn open(&self, place: &SecretPlace, sealed: &[u8]) -> PortResult<Secret> {
        let state = self.state.lock();
        let found = state.secrets.get(sealed).filter(|(home, ..)| home == place);
        let corrupt = || PortError::Corrupt { what: format!("the sealed secret `{}`", place.name) };
        found.map(|(_, secret, _)| secret.clone()).ok_or_else(corrupt)
    }

    fn rotate(&self) -> PortResult<()> {
        self.state.lock().generation += 1;
        Ok(())
    }

    fn renew(&self, place: &SecretPlace, sealed: &[u8]) -> PortResult<Option<Bytes>> {
        let secret = self.open(place, sealed)?;
        let state = self.state.lock();
        let is_newest = state.secrets.get(sealed).is_some_and(|(.., generation)| *generation == state.generation);
        drop(state);
        Ok((!is_newest).then(|| self.keep(place, secret)))
    }
}
