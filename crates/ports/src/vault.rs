//! Seals secrets, so that a reader of the disk learns nothing.

use std::fmt;

use bytes::Bytes;
use faas_types::ProjectId;

use crate::PortResult;

/// Bytes of one secret.
pub const SECRET_MAX: usize = 64 << 10;

/// Where a sealed secret belongs. What is sealed for one place does not open in another, so that swapped rows are
/// found out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretPlace {
    /// The owner.
    pub project: ProjectId,
    /// Unique within the project.
    pub name: String,
    /// Which value of that name.
    pub version: u64,
}

/// A secret in the clear. Never printed, and wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(zeroize::Zeroizing<Vec<u8>>);

/// Seals and opens secrets under the newest of its keys. Costs microseconds and no I/O, apart from
/// [`rotate`](Self::rotate).
pub trait Vault: Send + Sync {
    /// Seals a secret for a place.
    ///
    /// # Errors
    /// [`PortError::Invalid`](crate::PortError::Invalid) when it is larger than [`SECRET_MAX`].
    fn seal(&self, place: &SecretPlace, secret: &Secret) -> PortResult<Bytes>;

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`PortError::Corrupt`](crate::PortError::Corrupt) when it was not, was changed, or its key is not here.
    fn open(&self, place: &SecretPlace, sealed: &[u8]) -> PortResult<Secret>;

    /// Makes a new key the one to seal with; older ones still open. Durable when it returns. Blocks.
    fn rotate(&self) -> PortResult<()>;

    /// The same secret under the newest key; `None` when it is under it already. The secret itself is not touched.
    fn renew(&self, place: &SecretPlace, sealed: &[u8]) -> PortResult<Option<Bytes>>;
}

// === impl SecretPlace ===

impl SecretPlace {
    /// The place as unambiguous bytes, to be authenticated with what is sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let project = self.project.to_string();
        let mut bytes = Vec::with_capacity(project.len() + self.name.len() + 16);
        for part in [project.as_bytes(), self.name.as_bytes()] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes
    }
}

// === impl Secret ===

impl Secret {
    /// Takes over the bytes of a secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(zeroize::Zeroizing::new(bytes))
    }

    /// The secret in the clear.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
