//! How much waits in topics.

use faas_ports::{PortError, Subscription, TopicDepth, TopicKey, TopicState};
use faas_types::{ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{finds, subscriptions};
use crate::sqlite::{self, WorkResult, id_blob, integer, timestamp, unsigned};

/// What waits in a topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// What waits in all topics of a project.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProjectUsage {
    pub(super) topics: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

const SELECT: &str = "SELECT name, messages, bytes,
         (SELECT m.at FROM messages AS m INDEXED BY messages_topic
          WHERE m.project = t.project AND m.topic = t.name ORDER BY m.seq LIMIT 1), project
     FROM topics AS t";

/// What waits in a topic; `None` when it is not there.
pub(super) fn usage(connection: &Connection, topic: &TopicKey) -> WorkResult<Option<Usage>> {
    let usage = connection
        .prepare_cached("SELECT messages, bytes FROM topics WHERE project = ?1 AND name = ?2")?
        .query_row(params![id_blob(topic.project), topic.name.as_str()], |row| {
            Ok(Usage { messages: unsigned(row.get(0)?), bytes: unsigned(row.get(1)?) })
        })
        .optional()?;
    Ok(usage)
}

pub(super) fn usage_of_project(connection: &Connection, project: ProjectId) -> WorkResult<ProjectUsage> {
    let usage = connection
        .prepare_cached(
            "SELECT count(*), coalesce(sum(messages), 0), coalesce(sum(bytes), 0) FROM topics WHERE project = ?1",
        )?
        .query_row([id_blob(project)], |row| {
            let (topics, messages, bytes) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(ProjectUsage { topics: unsigned(topics), messages: unsigned(messages), bytes: unsigned(bytes) })
        })?;
    Ok(usage)
}

/// Counts messages in or out; makes the topic where it is not there.
pub(super) fn change(connection: &Connection, topic: &TopicKey, messages: i64, bytes: i64) -> WorkResult<()> {
    connection
        .prepare_cached(
            "INSERT INTO topics (project, name, messages, bytes) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET messages = messages + ?3, bytes = bytes + ?4",
        )?
        .execute(params![id_blob(topic.project), topic.name.as_str(), messages, bytes])?;
    Ok(())
}

/// Removes the row of a topic that has neither messages nor subscriptions.
pub(super) fn forget_empty(connection: &Connection, topic: &TopicKey) -> WorkResult<()> {
    if finds(connection, "SELECT 1 FROM subscriptions WHERE project = ?1 AND topic = ?2 LIMIT 1", topic)? {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM topics WHERE project = ?1 AND name = ?2 AND messages = 0")?
        .execute(params![id_blob(topic.project), topic.name.as_str()])?;
    Ok(())
}

pub(super) fn all(connection: &Connection, project: Option<ProjectId>) -> WorkResult<Vec<(ProjectId, TopicDepth)>> {
    let sql = format!("{SELECT} WHERE ?1 IS NULL OR project = ?1 ORDER BY project, name");
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map([project.map(id_blob)], |row| Ok((sqlite::id(row.get(4)?), columns(row)?)))?;
    let read = |row: rusqlite::Result<(ProjectId, Columns)>| {
        let (project, columns) = row?;
        Ok((project, depth(columns)?))
    };
    rows.map(read).collect()
}

pub(super) fn one(connection: &Connection, topic: &TopicKey) -> WorkResult<Option<TopicState>> {
    // One snapshot: the counts belong together.
    let _snapshot = connection.unchecked_transaction()?;
    let sql = format!("{SELECT} WHERE project = ?1 AND name = ?2");
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![id_blob(topic.project), topic.name.as_str()], columns)
        .optional()?;
    let Some(found) = found else { return Ok(None) };
    let mut count = connection.prepare_cached(
        "SELECT count(*) FROM messages INDEXED BY messages_topic WHERE project = ?1 AND topic = ?2 AND seq > ?3",
    )?;
    let mut subscriptions = Vec::new();
    for (trigger, after) in subscriptions::all(connection, topic)? {
        let behind = params![id_blob(topic.project), topic.name.as_str(), integer(after)];
        let waiting = unsigned(count.query_row(behind, |row| row.get(0))?);
        subscriptions.push(Subscription { trigger, waiting });
    }
    Ok(Some(TopicState { depth: depth(found)?, subscriptions }))
}

type Columns = (String, i64, i64, Option<i64>);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn depth((name, messages, bytes, oldest): Columns) -> WorkResult<TopicDepth> {
    let name = name.parse().map_err(|_| PortError::Corrupt { what: "a topic's name".into() })?;
    let oldest: Option<Timestamp> = oldest.map(timestamp);
    Ok(TopicDepth { name, messages: unsigned(messages), bytes: unsigned(bytes), oldest })
}
