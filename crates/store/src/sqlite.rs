//! SQLite as this crate uses it: one writer thread with group commit and a few readers for each database file.

mod connection;
mod database;
mod failure;
mod migrations;
mod readers;
mod values;
mod writer;

pub(crate) use connection::Durability;
pub(crate) use database::{Database, DatabaseConfig};
pub(crate) use failure::{WorkError, WorkResult};
pub(crate) use values::{id, id_blob, integer, millis, timestamp, unsigned};
pub(crate) use writer::WriterHooks;
