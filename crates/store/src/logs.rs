//! Log lines in `logs.db`.

use faas_ports::{LogPage, LogQuery};
use faas_types::{LogLevel, LogLine, LogStream, ProjectId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};

use crate::sqlite::{self, WorkResult, id_blob, integer, millis, timestamp, unsigned};

/// Lines arrive nearly in the order of their times. The first line at or after a time is looked for among this many
/// that follow it by time; lines whose stamps are further out of order are not found by time.
const DISORDER: i64 = 1000;
const COLUMNS: &str = "id, project, function, run, at, level, stream, message";

pub(crate) fn append(connection: &Connection, lines: &[LogLine]) -> WorkResult<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO lines (project, function, run, at, level, stream, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
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
    }
    Ok(())
}

pub(crate) fn page(connection: &Connection, query: &LogQuery) -> WorkResult<LogPage> {
    let first = match query.since {
        Some(since) => match first_since(connection, query.project, since)? {
            Some(first) => first,
            None => return Ok(LogPage::default()),
        },
        None => 0,
    };
    let (sql, values) = select(query, first);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), line)?;
    let mut lines: Vec<_> = rows.collect::<Result<_, _>>()?;
    if query.tail {
        lines.reverse();
    }
    Ok(LogPage { lines })
}

/// Removes the oldest lines that were written before a time, some at a time.
pub(crate) fn forget(connection: &Connection, project: ProjectId, before: Timestamp, limit: u32) -> WorkResult<u64> {
    let gone = connection
        .prepare_cached(
            "DELETE FROM lines WHERE id IN (
                 SELECT id FROM lines INDEXED BY lines_at WHERE project = ?1 AND at < ?2 ORDER BY at LIMIT ?3)",
        )?
        .execute(params![id_blob(project), millis(before), limit])?;
    Ok(gone as u64)
}

/// Where to begin for lines since a time, so that older ones are not read; `None` when there is none.
fn first_since(connection: &Connection, project: ProjectId, since: Timestamp) -> WorkResult<Option<i64>> {
    let first = connection
        .prepare_cached(
            "SELECT min(id) FROM (
                 SELECT id FROM lines INDEXED BY lines_at WHERE project = ?1 AND at >= ?2 ORDER BY at LIMIT ?3)",
        )?
        .query_row(params![id_blob(project), millis(since), DISORDER], |row| row.get(0))?;
    Ok(first)
}

fn select(query: &LogQuery, first: i64) -> (String, Vec<Value>) {
    let index = match (query.run, query.function) {
        (Some(_), _) => "lines_run",
        (None, Some(_)) => "lines_function",
        (None, None) => "lines_project",
    };
    let mut sql = format!("SELECT {COLUMNS} FROM lines INDEXED BY {index} WHERE project = ? AND id >= ?");
    let after = query.after.map_or(0, |after| integer(after).saturating_add(1));
    let mut values = vec![Value::Blob(id_blob(query.project).to_vec()), first.max(after).into()];
    let mut also = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            sql.push_str(condition);
            values.push(value);
        }
    };
    also(" AND run = ?", query.run.map(|run| Value::Blob(id_blob(run).to_vec())));
    also(" AND function = ?", query.function.map(|function| Value::Blob(id_blob(function).to_vec())));
    also(" AND level >= ?", query.level.map(|level| level_number(level).into()));
    also(" AND at >= ?", query.since.map(|since| millis(since).into()));
    let needle = query.search.as_ref().map(|text| Value::Text(text.to_ascii_lowercase()));
    also(" AND instr(lower(message), ?) > 0", needle);
    let order = if query.tail { " ORDER BY id DESC LIMIT ?" } else { " ORDER BY id LIMIT ?" };
    also(order, Some(i64::from(query.limit).into()));
    (sql, values)
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

const fn level_number(level: LogLevel) -> i64 {
    match level {
        LogLevel::Debug => 0,
        LogLevel::Info => 1,
        LogLevel::Warn => 2,
        LogLevel::Error => 3,
    }
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
