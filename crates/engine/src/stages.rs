//! Stages: vars and secrets that the functions of a project share, and what an instance of each stage gets of them.

mod book;
mod changes;
mod effective;
mod rekey;
mod secrets;
mod usage;

pub use effective::{EffectiveVar, VarSource};
pub use rekey::Rekeyed;
pub use secrets::{SecretRecord, SecretVersion, SecretView};

pub(crate) use book::StageBook;
pub(crate) use effective::{Marks, Outfit};
