//! Records of the registry as JSON, and the keys of those that several parts read.

use bytes::Bytes;
use faas_ports::{Collection, Key, PortError, PortResult};
use faas_types::{Fault, FunctionId, FunctionName, ProjectId, Timestamp};

/// Attempts of a read-modify-write that finds another writer was first.
pub const RETRIES: u32 = 5;

/// Encodes a record.
///
/// # Errors
/// An internal fault, when it cannot be JSON.
pub fn encode<T: serde::Serialize>(value: &T) -> Result<Bytes, Fault> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| Fault::internal(format!("cannot encode a record: {error}")))
}

/// Decodes the record of a key.
///
/// # Errors
/// [`PortError::Corrupt`], naming the key.
pub fn decode<T: serde::de::DeserializeOwned>(key: &Key, value: &[u8]) -> PortResult<T> {
    serde_json::from_slice(value).map_err(|_| corrupt(key))
}

/// The error for an entry that cannot be read.
pub(crate) fn corrupt(key: &Key) -> PortError {
    PortError::Corrupt { what: format!("{} `{}`", key.collection.as_str(), key.name) }
}

/// The key of a function's record.
pub fn function_key(project: ProjectId, name: &FunctionName) -> Key {
    Key::new(project, Collection::Functions, name.as_str())
}

/// What is left of a deleted function: by its id, runs and log lines are found as long as they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tombstone {
    /// The function's id.
    pub id: FunctionId,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

/// The key of the tombstone of the function of this name that was deleted last.
pub fn tombstone_key(project: ProjectId, name: &FunctionName) -> Key {
    Key::new(project, Collection::Tombstones, name.as_str())
}

/// The key of a version's record.
pub fn version_key(project: ProjectId, function: FunctionId, number: u32) -> Key {
    Key::new(project, Collection::Versions, format!("{function}/{number:010}"))
}
