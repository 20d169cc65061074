//! A secret as the registry stores it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use faas_ports::{Collection, Key, PortError, PortResult, Secret, SecretPlace, Vault};
use faas_types::{ProjectId, SecretName, Stage, Timestamp, limits};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::rekeyer::SealedRecord;

/// A secret as the registry keeps it. The disk holds nothing of its values in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Counts the values that there were; the newest is of this number.
    pub made: u64,
    /// Values that are kept, the newest first.
    pub versions: Vec<SecretVersion>,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When its newest value was set.
    pub updated_at: Timestamp,
}

/// One value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// Its number, from 1.
    pub number: u64,
    /// The value, sealed and in base64.
    pub sealed: String,
    /// When it was set.
    pub made_at: Timestamp,
    /// The earlier version whose value it has, where it was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<u64>,
}

/// Identifies a secret.
#[derive(Clone, Copy)]
pub struct SecretId<'a> {
    /// The project.
    pub project: ProjectId,
    /// The stage that has it.
    pub stage: Stage,
    /// Its name.
    pub name: &'a SecretName,
}

// === impl SecretRecord ===

impl SecretRecord {
    /// A record without a value.
    pub fn empty(now: Timestamp) -> Self {
        Self { made: 0, versions: Vec::new(), created_at: now, updated_at: now }
    }

    /// A value in the clear.
    ///
    /// # Errors
    /// [`PortError::Corrupt`] for a number that is not kept or a value that does not open.
    pub fn open(&self, vault: &dyn Vault, id: SecretId<'_>, number: u64) -> PortResult<Zeroizing<String>> {
        let SecretId { stage, name, .. } = id;
        let corrupt = || PortError::Corrupt { what: format!("the secret `{name}` of stage {stage}") };
        let version = self.versions.iter().find(|version| version.number == number).ok_or_else(corrupt)?;
        let sealed = BASE64_STANDARD.decode(&version.sealed).map_err(|_| corrupt())?;
        let opened = vault.open(&secret_place(id, number), &sealed)?;
        let text = std::str::from_utf8(opened.reveal()).map_err(|_| corrupt())?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Puts a value in front; the oldest is dropped past the limit.
    ///
    /// # Errors
    /// When the value cannot be sealed.
    pub fn add(&mut self, id: SecretId<'_>, vault: &dyn Vault, value: &Secret, now: Timestamp) -> PortResult<()> {
        let number = self.made + 1;
        let sealed = vault.seal(&secret_place(id, number), value)?;
        let sealed = BASE64_STANDARD.encode(sealed);
        self.versions.insert(0, SecretVersion { number, sealed, made_at: now, restored_from: None });
        self.versions.truncate(limits::SECRET_VERSIONS_MAX);
        (self.made, self.updated_at) = (number, now);
        Ok(())
    }
}

impl SealedRecord for SecretRecord {
    const COLLECTION: Collection = Collection::Secrets;

    fn sealed_values<'a>(&'a mut self, key: &Key) -> Vec<(SecretPlace, &'a mut String)> {
        let Some((stage, name)) = secret_of(&key.name) else { return Vec::new() };
        let id = SecretId { project: key.project, stage, name: &name };
        let place = |number| secret_place(id, number);
        self.versions.iter_mut().map(|version| (place(version.number), &mut version.sealed)).collect()
    }
}

/// The key of a secret.
pub fn secret_key(project: ProjectId, stage: Stage, name: &SecretName) -> Key {
    Key::new(project, Collection::Secrets, format!("{stage}/{name}"))
}

/// Stage and name of a secret by its key's name.
pub(crate) fn secret_of(name: &str) -> Option<(Stage, SecretName)> {
    let (stage, name) = name.split_once('/')?;
    Some((stage.parse().ok()?, name.parse().ok()?))
}

/// The place that a value is sealed for.
pub(crate) fn secret_place(id: SecretId<'_>, number: u64) -> SecretPlace {
    let SecretId { project, stage, name } = id;
    SecretPlace { project, name: format!("secrets/{stage}/{name}"), version: number }
}
