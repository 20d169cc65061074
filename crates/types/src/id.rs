//! Identifiers: a kind's prefix, an underscore and a ULID in Crockford base 32 (`run_01JD…`).
//!
//! Ids sort by creation time. They are names, never proofs: knowing one grants nothing.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::Timestamp;

/// Bytes of the longest id: prefixes have two or three letters.
const TEXT_MAX: usize = 3 + 1 + ulid::ULID_LEN;

/// What an [`Id`] names; gives the prefix.
pub trait IdKind: Copy + Eq + Ord + std::hash::Hash + Send + Sync + 'static {
    /// The part before the underscore, such as `run`.
    const PREFIX: &'static str;
}

/// A typed identifier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K> {
    ulid: Ulid,
    kind: PhantomData<K>,
}

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}_ and 26 characters")]
pub struct InvalidId {
    text: String,
    prefix: &'static str,
}

// === impl Id ===

impl<K: IdKind> Id<K> {
    /// Makes an id from the time of creation and 80 random bits (the upper 48 of `entropy` are ignored).
    #[must_use]
    pub fn mint(at: Timestamp, entropy: u128) -> Self {
        Self { ulid: Ulid::from_parts(at.as_millis(), entropy), kind: PhantomData }
    }

    /// The creation time inside the id, to the millisecond.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        Timestamp::from_millis(self.ulid.timestamp_ms())
    }

    /// The id without its prefix, for wire formats where the kind is known.
    #[must_use]
    pub fn as_u128(&self) -> u128 {
        self.ulid.0
    }

    /// The inverse of [`Id::as_u128`].
    #[must_use]
    pub const fn from_u128(raw: u128) -> Self {
        Self { ulid: Ulid(raw), kind: PhantomData }
    }
}

impl<K: IdKind> Id<K> {
    /// The id as text, in a buffer that every id fits into: each call writes several of them.
    fn text<'b>(&self, buffer: &'b mut [u8; TEXT_MAX]) -> &'b str {
        let mut ulid = [0; ulid::ULID_LEN];
        let (prefix, ulid) = (K::PREFIX.as_bytes(), self.ulid.array_to_str(&mut ulid).as_bytes());
        let length = prefix.len() + 1 + ulid.len();
        buffer[..prefix.len()].copy_from_slice(prefix);
        buffer[prefix.len()] = b'_';
        buffer[prefix.len() + 1..length].copy_from_slice(ulid);
        std::str::from_utf8(&buffer[..length]).unwrap_or_default()
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; TEXT_MAX]))
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: IdKind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .filter(|rest| rest.len() == ulid::ULID_LEN)
            .and_then(|rest| Ulid::from_string(rest).ok())
            .map(|ulid| Self { ulid, kind: PhantomData })
            .ok_or_else(|| InvalidId { text: text.chars().take(64).collect(), prefix: K::PREFIX })
    }
}

impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; TEXT_MAX]))
    }
}

impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! id_kinds {
    ($($(#[$doc:meta])* $alias:ident = $kind:ident($prefix:literal);)*) => {
        /// The kinds of [`Id`], one empty type each.
        pub mod kind {
            $(
                #[doc = concat!("The kind behind the prefix `", $prefix, "_`.")]
                #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
                pub enum $kind {}
                impl super::IdKind for $kind {
                    const PREFIX: &'static str = $prefix;
                }
            )*
        }
        $($(#[$doc])* pub type $alias = Id<kind::$kind>;)*
    };
}

id_kinds! {
    /// The tenant.
    ProjectId = Project("prj");
    /// A named callable.
    FunctionId = Function("fn");
    /// An immutable version of a function.
    VersionId = Version("ver");
    /// A deployment, or another move of an alias.
    DeploymentId = Deployment("dep");
    /// Functions that are deployed in one commit.
    DeploymentGroupId = DeploymentGroup("dgr");
    /// What creates runs.
    TriggerId = Trigger("trg");
    /// One accepted execution.
    RunId = Run("run");
    /// One try of a run.
    AttemptId = Attempt("att");
    /// A sealed directory tree.
    LayerId = Layer("lay");
    /// A boundary around processes.
    SandboxId = Sandbox("sbx");
    /// A live runtime inside a sandbox.
    InstanceId = Instance("ins");
    /// An API key.
    KeyId = Key("key");
    /// A message of a topic.
    MessageId = Message("msg");
    /// An event that a function published without an id of its own.
    EventId = Event("evt");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_sorts_by_time() {
        let early = RunId::mint(Timestamp::from_millis(1_000), 7);
        let late = RunId::mint(Timestamp::from_millis(2_000), 3);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<RunId>(), Ok(early));
        assert_eq!(early.created_at().as_millis(), 1_000);
    }

    #[test]
    fn another_kind_or_a_cut_text_is_refused() {
        let id = RunId::mint(Timestamp::from_millis(1), 1).to_string();
        assert!(id.parse::<FunctionId>().is_err());
        assert!(id[..id.len() - 1].parse::<RunId>().is_err());
        assert!("run_".parse::<RunId>().is_err());
    }
}
