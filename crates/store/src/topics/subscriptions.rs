//! How far each subscription of a topic is.

use faas_ports::TopicKey;
use faas_types::TriggerId;
use rusqlite::{Connection, OptionalExtension, params};

use super::newest;
use crate::sqlite::{self, WorkResult, id_blob, integer, unsigned};

/// Makes those known that are new: the only one begins with the oldest message, others with the next one.
pub(super) fn begin(connection: &Connection, topic: &TopicKey, wanted: &[TriggerId]) -> WorkResult<()> {
    let known = all(connection, topic)?;
    let mut fresh = wanted.iter().filter(|trigger| known.iter().all(|(other, _)| other != *trigger)).peekable();
    if fresh.peek().is_none() {
        return Ok(());
    }
    let after = if known.is_empty() { 0 } else { newest(connection, topic)? };
    let mut insert = connection
        .prepare_cached("INSERT INTO subscriptions (project, topic, trigger, after) VALUES (?1, ?2, ?3, ?4)")?;
    for trigger in fresh {
        insert.execute(params![id_blob(topic.project), topic.name.as_str(), id_blob(*trigger), integer(after)])?;
    }
    Ok(())
}

/// Moves a subscription on; whether it was at that place.
pub(super) fn advance(
    connection: &Connection,
    topic: &TopicKey,
    trigger: TriggerId,
    after: u64,
    to: u64,
) -> WorkResult<bool> {
    let moved = connection
        .prepare_cached(
            "UPDATE subscriptions SET after = ?5 WHERE project = ?1 AND topic = ?2 AND trigger = ?3 AND after = ?4",
        )?
        .execute(params![id_blob(topic.project), topic.name.as_str(), id_blob(trigger), integer(after), integer(to)])?;
    Ok(moved > 0)
}

/// The place that a subscription has come to.
pub(super) fn place(connection: &Connection, topic: &TopicKey, trigger: TriggerId) -> WorkResult<Option<u64>> {
    let after: Option<i64> = connection
        .prepare_cached("SELECT after FROM subscriptions WHERE project = ?1 AND topic = ?2 AND trigger = ?3")?
        .query_row(params![id_blob(topic.project), topic.name.as_str(), id_blob(trigger)], |row| row.get(0))
        .optional()?;
    Ok(after.map(unsigned))
}

/// The position that every subscription has reached; `None` without a subscription.
pub(super) fn last(connection: &Connection, topic: &TopicKey) -> WorkResult<Option<u64>> {
    Ok(all(connection, topic)?.iter().map(|(_, after)| *after).min())
}

/// Every subscription of a topic with its place.
pub(super) fn all(connection: &Connection, topic: &TopicKey) -> WorkResult<Vec<(TriggerId, u64)>> {
    let mut select =
        connection.prepare_cached("SELECT trigger, after FROM subscriptions WHERE project = ?1 AND topic = ?2")?;
    let rows = select.query_map(params![id_blob(topic.project), topic.name.as_str()], |row| {
        Ok((sqlite::id(row.get(0)?), unsigned(row.get(1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
