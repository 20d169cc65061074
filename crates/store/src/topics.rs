//! Topics in SQLite.

mod depth;
mod subscriptions;

use async_trait::async_trait;
use faas_ports::{
    Appended, Enqueued, HandOver, NewMessage, PortResult, TopicBounds, TopicDepth, TopicKey, TopicState, Topics,
    WaitingMessage,
};
use faas_types::{ProjectId, TriggerId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::queue::{self, SqliteQueue};
use crate::sqlite::{WorkResult, id_blob, integer, millis, timestamp, unsigned};

/// Messages that one commit removes, so that others wait for at most milliseconds.
const REMOVED_AT_ONCE: u64 = 2_000;
/// Bytes that a message takes besides its payload.
const MESSAGE_OVERHEAD: usize = 64;

#[async_trait]
impl Topics for SqliteQueue {
    async fn append(
        &self,
        topic: &TopicKey,
        messages: Vec<NewMessage>,
        subscriptions: &[TriggerId],
        bounds: TopicBounds,
    ) -> PortResult<Appended> {
        self.shared.space.admit()?;
        let (topic, subscriptions) = (topic.clone(), subscriptions.to_vec());
        let work = move |connection: &Connection| append(connection, &topic, &messages, &subscriptions, bounds);
        self.shared.main.write(work, |_| {}).await
    }

    async fn subscribe(&self, topic: &TopicKey, subscriptions: &[TriggerId]) -> PortResult<()> {
        let (wanted, subscriptions) = (topic.clone(), subscriptions.to_vec());
        let work = move |connection: &Connection| subscribe(connection, &wanted, &subscriptions);
        self.shared.main.write(work, |()| {}).await?;
        loop {
            let topic = topic.clone();
            let free = move |connection: &Connection| free(connection, &topic);
            if self.shared.main.write(free, |_| {}).await? < REMOVED_AT_ONCE {
                return Ok(());
            }
        }
    }

    async fn peek(
        &self,
        topic: &TopicKey,
        subscription: TriggerId,
        max: u32,
        bytes: u64,
    ) -> PortResult<Option<(u64, Vec<WaitingMessage>)>> {
        let topic = topic.clone();
        self.shared.main.read(move |connection| peek(connection, &topic, subscription, max, bytes)).await
    }

    async fn hand_over(&self, hand_over: HandOver) -> PortResult<Option<Vec<Enqueued>>> {
        self.shared.space.admit()?;
        let HandOver { topic, subscription, after, to, items } = hand_over;
        let rows = queue::encoded(items)?;
        let work = move |connection: &Connection| {
            if !subscriptions::advance(connection, &topic, subscription, after, to)? {
                return Ok(None);
            }
            let outcomes = queue::enqueue(connection, &rows)?;
            free(connection, &topic)?;
            Ok(Some(outcomes))
        };
        self.shared.main.write(work, |_| {}).await
    }

    async fn purge(&self, topic: &TopicKey) -> PortResult<u64> {
        let newest = {
            let topic = topic.clone();
            self.shared.main.read(move |connection| newest(connection, &topic)).await?
        };
        let mut gone = 0;
        loop {
            let remove = || {
                let topic = topic.clone();
                self.shared.main.write(move |connection| remove(connection, &topic, newest), |_| {})
            };
            let removed = self.shared.space.freeing(remove).await?;
            gone += removed;
            if removed < REMOVED_AT_ONCE {
                return Ok(gone);
            }
        }
    }

    async fn topics(&self, project: Option<ProjectId>) -> PortResult<Vec<(ProjectId, TopicDepth)>> {
        self.shared.main.read(move |connection| depth::all(connection, project)).await
    }

    async fn topic(&self, topic: &TopicKey) -> PortResult<Option<TopicState>> {
        let topic = topic.clone();
        self.shared.main.read(move |connection| depth::one(connection, &topic)).await
    }
}

fn append(
    connection: &Connection,
    topic: &TopicKey,
    messages: &[NewMessage],
    subscriptions: &[TriggerId],
    bounds: TopicBounds,
) -> WorkResult<Appended> {
    let added = messages.len() as u64;
    let bytes = messages.iter().map(|message| size(message.payload.len())).sum::<u64>();
    let own = depth::usage(connection, topic)?;
    let all = depth::usage_of_project(connection, topic.project)?;
    if own.is_none() && all.topics >= bounds.topics {
        return Ok(Appended::TooManyTopics);
    }
    let own = own.unwrap_or_default();
    if own.messages + added > bounds.topic_messages || own.bytes + bytes > bounds.topic_bytes {
        return Ok(Appended::TopicFull);
    }
    if all.messages + added > bounds.project_messages || all.bytes + bytes > bounds.project_bytes {
        return Ok(Appended::ProjectFull);
    }
    depth::change(connection, topic, integer(added), integer(bytes))?;
    subscriptions::begin(connection, topic, subscriptions)?;
    let mut insert = connection
        .prepare_cached("INSERT INTO messages (project, topic, at, hops, payload) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for message in messages {
        insert.execute(params![
            id_blob(topic.project),
            topic.name.as_str(),
            millis(message.at),
            message.hops,
            &message.payload[..]
        ])?;
    }
    Ok(Appended::Kept)
}

fn peek(
    connection: &Connection,
    topic: &TopicKey,
    subscription: TriggerId,
    max: u32,
    bytes: u64,
) -> WorkResult<Option<(u64, Vec<WaitingMessage>)>> {
    // One snapshot: the messages are those behind the place.
    let _snapshot = connection.unchecked_transaction()?;
    let Some(after) = subscriptions::place(connection, topic, subscription)? else { return Ok(None) };
    let mut select = connection.prepare_cached(
        "SELECT seq, at, payload, hops FROM messages INDEXED BY messages_topic
         WHERE project = ?1 AND topic = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4",
    )?;
    let mut rows = select.query(params![id_blob(topic.project), topic.name.as_str(), integer(after), max])?;
    let (mut found, mut total) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let payload: Vec<u8> = row.get(2)?;
        total += payload.len() as u64;
        if total > bytes && !found.is_empty() {
            break;
        }
        let (seq, at, hops) = (unsigned(row.get(0)?), timestamp(row.get(1)?), row.get(3)?);
        found.push(WaitingMessage { seq, at, hops, payload: payload.into() });
    }
    Ok(Some((after, found)))
}

fn newest(connection: &Connection, topic: &TopicKey) -> WorkResult<u64> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(seq) FROM messages WHERE project = ?1 AND topic = ?2")?
        .query_row(params![id_blob(topic.project), topic.name.as_str()], |row| row.get(0))?;
    Ok(newest.map_or(0, unsigned))
}

/// Removes messages that every subscription has received; none without a subscription. Returns how many.
fn free(connection: &Connection, topic: &TopicKey) -> WorkResult<u64> {
    match subscriptions::last(connection, topic)? {
        Some(after) => remove(connection, topic, after),
        None => Ok(0),
    }
}

/// Removes some of the messages up to a place; returns how many went.
fn remove(connection: &Connection, topic: &TopicKey, up_to: u64) -> WorkResult<u64> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM messages WHERE seq IN (
             SELECT seq FROM messages INDEXED BY messages_topic
             WHERE project = ?1 AND topic = ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4)
         RETURNING length(payload)",
    )?;
    let owner = (id_blob(topic.project), topic.name.as_str());
    let mut rows = delete.query(params![owner.0, owner.1, integer(up_to), integer(REMOVED_AT_ONCE)])?;
    let (mut gone, mut bytes) = (0_u64, 0_u64);
    while let Some(row) = rows.next()? {
        let length: i64 = row.get(0)?;
        gone += 1;
        bytes += size(usize::try_from(length).unwrap_or_default());
    }
    drop(rows);
    if gone > 0 {
        depth::change(connection, topic, -integer(gone), -integer(bytes))?;
    }
    depth::forget_empty(connection, topic)?;
    Ok(gone)
}

/// What a message counts for.
fn size(payload: usize) -> u64 {
    (payload + MESSAGE_OVERHEAD) as u64
}

/// Whether a topic has a row that a query finds.
fn finds(connection: &Connection, sql: &str, topic: &TopicKey) -> WorkResult<bool> {
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![id_blob(topic.project), topic.name.as_str()], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// Makes these the subscriptions of a topic.
fn subscribe(connection: &Connection, topic: &TopicKey, wanted: &[TriggerId]) -> WorkResult<()> {
    let known = subscriptions::all(connection, topic)?;
    if wanted.is_empty()
        && let Some(had) = known.iter().map(|(_, after)| *after).min()
    {
        // What all of them had must not wait for the next one.
        while remove(connection, topic, had)? > 0 {}
    }
    for (trigger, _) in known.iter().filter(|(trigger, _)| !wanted.contains(trigger)) {
        connection
            .prepare_cached("DELETE FROM subscriptions WHERE project = ?1 AND topic = ?2 AND trigger = ?3")?
            .execute(params![id_blob(topic.project), topic.name.as_str(), id_blob(*trigger)])?;
    }
    if wanted.is_empty() {
        return depth::forget_empty(connection, topic);
    }
    depth::change(connection, topic, 0, 0)?;
    subscriptions::begin(connection, topic, wanted)
}
