//! Log lines in `logs.db`.

use std::collections::BTreeMap;

use faas_ports::{LogPage, LogQuery};
use faas_types::{LogLevel, LogLine, LogStream, ProjectId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::log_filter::{LineWalk, level_number};
use crate::sqlite::{self, WorkResult, id_blob, integer, millis, timestamp, unsigned};

/// What a line takes besides its text, with its share of the indexes.
const LINE_COST: i64 = 128;

pub(crate) fn append(connection: &Connection, lines: &[LogLine]) -> WorkResult<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO lines (project, function, run, at, level, stream, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut grown: BTreeMap<ProjectId, i64> = BTreeMap::new();
    for line in lines {
        insert.execute(params![
            id_blob(line.project),
            id_blob(line.function),
            line.run.map(id_blob),
            millis(line.at),
            level_number(line.level),
            stream_number(line.stream),
            line.message,
        ])?;
        *grown.entry(line.project).or_default() += cost(line.message.len());
    }
    grown.into_iter().try_for_each(|(project, bytes)| grow(connection, project, bytes))
}

pub(crate) fn page(connection: &Connection, query: &LogQuery) -> WorkResult<LogPage> {
    // One snapshot: the newest position and the lines up to it belong together.
    let _snapshot = connection.unchecked_transaction()?;
    let newest: Option<i64> =
        connection.prepare_cached("SELECT max(id) FROM lines")?.query_row([], |row| row.get(0))?;
    let asked = query.after.unwrap_or(0);
    let mut page = LogPage { next: newest.map_or(asked, |newest| unsigned(newest).max(asked)), ..LogPage::default() };
    let Some(mut walk) = LineWalk::new(connection, query)? else { return Ok(page) };
    let mut statement = connection.prepare_cached(&walk.sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(&walk.values))?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        if walk.is_over() || page.lines.len() == query.limit as usize {
            stop(&mut page, query, last);
            break;
        }
        if walk.takes(row)? {
            page.lines.push(line(row)?);
        }
        last = Some(unsigned(row.get(0)?));
    }
    page.examined = walk.examined;
    if query.tail {
        page.lines.reverse();
    }
    Ok(page)
}

/// The page ends before its walk does.
fn stop(page: &mut LogPage, query: &LogQuery, last: Option<u64>) {
    if query.tail {
        page.previous = last.or(query.before);
    } else {
        page.next = last.or(query.after).unwrap_or(0);
        page.more = true;
    }
}

/// Removes the oldest lines that were written before `lines_before`, or that are too many; returns how many went and
/// the bytes that are left.
pub(crate) fn forget(connection: &Connection, expiry: &faas_ports::Expiry) -> WorkResult<(u64, u64)> {
    let project = id_blob(expiry.project);
    let mut bytes = used(connection, expiry.project)?;
    let most = integer(expiry.log_bytes_max);
    let before = bytes;
    let (mut gone, mut last) = (0, None);
    // Lines whose own time is wrong, and their bytes, since the last line that goes.
    let (mut passed, mut passed_bytes) = (0, 0);
    {
        let mut oldest = connection.prepare_cached(
            "SELECT id, at, length(CAST(message AS BLOB)) FROM lines INDEXED BY lines_project
             WHERE project = ?1 ORDER BY id LIMIT ?2",
        )?;
        let mut rows = oldest.query(params![project, expiry.limit])?;
        while let Some(row) = rows.next()? {
            let (at, size) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)? + LINE_COST);
            if at >= millis(expiry.lines_before) && bytes <= most {
                if at <= millis(expiry.now) {
                    break;
                }
                (passed, passed_bytes) = (passed + 1, passed_bytes + size);
                continue;
            }
            bytes -= size + std::mem::take(&mut passed_bytes);
            gone += 1 + std::mem::take(&mut passed);
            last = Some(row.get::<_, i64>(0)?);
        }
    }
    if let Some(last) = last {
        connection
            .prepare_cached(
                "DELETE FROM lines WHERE id IN (
                     SELECT id FROM lines INDEXED BY lines_project WHERE project = ?1 AND id <= ?2)",
            )?
            .execute(params![project, last])?;
        grow(connection, expiry.project, bytes - before)?;
    }
    Ok((gone, unsigned(bytes)))
}

fn used(connection: &Connection, project: ProjectId) -> WorkResult<i64> {
    let mut select = connection.prepare_cached("SELECT bytes FROM usage WHERE project = ?1")?;
    Ok(select.query_row([id_blob(project)], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn grow(connection: &Connection, project: ProjectId, bytes: i64) -> WorkResult<()> {
    connection
        .prepare_cached(
            "INSERT INTO usage (project, bytes) VALUES (?1, ?2)
             ON CONFLICT (project) DO UPDATE SET bytes = bytes + excluded.bytes",
        )?
        .execute(params![id_blob(project), bytes])?;
    Ok(())
}

fn cost(message: usize) -> i64 {
    i64::try_from(message).unwrap_or(i64::MAX).saturating_add(LINE_COST)
}

fn line(row: &Row<'_>) -> rusqlite::Result<(u64, LogLine)> {
    let line = LogLine {
        project: sqlite::id(row.get(1)?),
        function: sqlite::id(row.get(2)?),
        run: row.get::<_, Option<_>>(3)?.map(sqlite::id),
        at: timestamp(row.get(4)?),
        level: level(row.get(5)?),
        stream: stream(row.get(6)?),
        message: row.get(7)?,
    };
    Ok((unsigned(row.get(0)?), line))
}

/// A number from a later release reads as the nearest that is known.
const fn level(number: i64) -> LogLevel {
    match number {
        0 => LogLevel::Debug,
        1 => LogLevel::Info,
        2 => LogLevel::Warn,
        _ => LogLevel::Error,
    }
}

const fn stream_number(stream: LogStream) -> i64 {
    match stream {
        LogStream::Stdout => 0,
        LogStream::Stderr => 1,
        LogStream::Logger => 2,
        LogStream::Platform => 3,
    }
}

const fn stream(number: i64) -> LogStream {
    match number {
        0 => LogStream::Stdout,
        1 => LogStream::Stderr,
        2 => LogStream::Logger,
        _ => LogStream::Platform,
    }
}
