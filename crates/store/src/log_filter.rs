//! From a [`LogQuery`] to a walk through one index of the lines.
//!
//! A walk ends at [`LINES_EXAMINED_MAX`] lines or at [`BYTES_EXAMINED_MAX`] of text, so that no search can make a request
//! long.

use std::time::Duration;

use faas_ports::{LINES_EXAMINED_MAX, LogQuery};
use faas_types::{LogLevel, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::sqlite::{WorkResult, id_blob, integer, millis};

/// Text that one page searches, in bytes.
const BYTES_EXAMINED_MAX: u64 = 8 << 20;
/// Lines arrive nearly in the order of their times: none is stored this much later than one that was written after it.
const DISORDER: Duration = Duration::from_secs(60);
const COLUMNS: &str = "id, project, function, run, at, level, stream, message";

/// A walk: its statement and what it has to tell apart row by row.
pub(crate) struct LineWalk {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
    /// Lines that were looked at.
    pub(crate) examined: u64,
    bytes: u64,
    function: Option<[u8; 16]>,
    level: Option<i64>,
    since: Option<i64>,
    until: Option<i64>,
    /// In lower case.
    needle: Option<String>,
}

// === impl LineWalk ===

impl LineWalk {
    /// `None` when no line can match.
    pub(crate) fn new(connection: &Connection, query: &LogQuery) -> WorkResult<Option<Self>> {
        let Some((first, end)) = span(connection, query)? else { return Ok(None) };
        let (index, own) = match (query.run, query.function) {
            (Some(run), _) => ("lines_run", Some((" AND run = ?", id_blob(run)))),
            (None, Some(function)) => ("lines_function", Some((" AND function = ?", id_blob(function)))),
            (None, None) => ("lines_project", None),
        };
        let mut sql = format!("SELECT {COLUMNS} FROM lines INDEXED BY {index} WHERE project = ?");
        let mut values = vec![Value::Blob(id_blob(query.project).to_vec())];
        if let Some((condition, id)) = own {
            sql.push_str(condition);
            values.push(Value::Blob(id.to_vec()));
        }
        sql.push_str(" AND id >= ? AND id < ? ORDER BY id");
        sql.push_str(if query.tail { " DESC" } else { "" });
        values.extend([first.into(), end.into()]);
        Ok(Some(Self {
            sql,
            values,
            examined: 0,
            bytes: 0,
            function: query.function.filter(|_| query.run.is_some()).map(id_blob),
            level: query.level.map(level_number),
            since: query.since.map(millis),
            until: query.until.map(millis),
            needle: query.search.as_ref().map(|text| text.to_ascii_lowercase()),
        }))
    }

    /// Whether the page has looked at as much as it may.
    pub(crate) fn is_over(&self) -> bool {
        self.examined == LINES_EXAMINED_MAX || self.bytes >= BYTES_EXAMINED_MAX
    }

    /// Whether the filter takes a row of the walk.
    pub(crate) fn takes(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        self.examined += 1;
        if let Some(function) = &self.function
            && row.get_ref(2)?.as_blob() != Ok(function)
        {
            return Ok(false);
        }
        let at: i64 = row.get(4)?;
        let fits = self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until);
        let level: i64 = row.get(5)?;
        if !fits || self.level.is_some_and(|least| level < least) {
            return Ok(false);
        }
        let Some(needle) = &self.needle else { return Ok(true) };
        let text = row.get_ref(7)?.as_bytes()?;
        self.bytes += text.len() as u64;
        Ok(contains(text, needle.as_bytes()))
    }
}

/// The positions that can match: from the first to before the second.
fn span(connection: &Connection, query: &LogQuery) -> WorkResult<Option<(i64, i64)>> {
    let mut first = query.after.map_or(0, |after| integer(after).saturating_add(1));
    let mut end = query.before.map_or(i64::MAX, integer);
    if let Some(since) = query.since {
        let early = since.as_millis().saturating_sub(millis_of(DISORDER));
        first = first.max(first_at(connection, Timestamp::from_millis(early))?);
    }
    if let Some(until) = query.until {
        end = end.min(first_at(connection, until.plus(DISORDER))?);
    }
    Ok((first < end).then_some((first, end)))
}

/// The position of the first line that was written at or after a time, found by halving.
fn first_at(connection: &Connection, time: Timestamp) -> WorkResult<i64> {
    let bound = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<i64>>(0));
    let (Some(mut low), Some(last)) = (bound("SELECT min(id) FROM lines")?, bound("SELECT max(id) FROM lines")?) else {
        return Ok(0);
    };
    let mut high = last.saturating_add(1);
    let mut probe = connection.prepare_cached("SELECT id, at FROM lines WHERE id >= ?1 ORDER BY id LIMIT 1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = probe.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((id, at)) if id < high && at < millis(time) => low = id + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

fn millis_of(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a text holds another, which is in lower case, ignoring case of ASCII letters.
fn contains(text: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    let Some(starts) = (text.len() + 1).checked_sub(needle.len()) else { return false };
    (0..starts)
        .any(|at| text[at].eq_ignore_ascii_case(first) && text[at + 1..at + needle.len()].eq_ignore_ascii_case(rest))
}

pub(crate) const fn level_number(level: LogLevel) -> i64 {
    match level {
        LogLevel::Debug => 0,
        LogLevel::Info => 1,
        LogLevel::Warn => 2,
        LogLevel::Error => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_is() {
        for (text, needle, found) in [
            ("abc", "", true),
            ("", "", true),
            ("", "a", false),
            ("xABc", "abc", true),
            ("ab", "abc", false),
            ("aab", "ab", true),
            ("Ärger", "ärger", false),
        ] {
            assert_eq!(contains(text.as_bytes(), needle.as_bytes()), found, "{needle:?} in {text:?}");
        }
    }

    #[test]
    fn a_time_is_found_by_halving() {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(include_str!("schema/logs.sql")).expect("schema");
        assert_eq!(first_at(&connection, Timestamp::from_millis(5)).expect("none"), 0);
        // Positions 10, 20, … with holes; two lines a millisecond.
        for n in 1..=100_i64 {
            let insert = "INSERT INTO lines VALUES (?1, x'00', x'00', NULL, ?2, 1, 0, 'x')";
            connection.execute(insert, [n * 10, n / 2]).expect("insert");
        }
        for (time, wanted) in [(0, 10), (1, 20), (2, 40), (50, 1000)] {
            let first = first_at(&connection, Timestamp::from_millis(time)).expect("found");
            let shown: i64 = connection
                .query_row("SELECT min(id) FROM lines WHERE id >= ?1", [first], |row| row.get(0))
                .expect("a line");
            assert_eq!(shown, wanted, "time {time}");
        }
        assert!(first_at(&connection, Timestamp::from_millis(51)).expect("past the end") > 1000);
    }
}
