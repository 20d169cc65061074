//! Rows of runs in `faas.db`.

use std::collections::BTreeMap;
use std::io;
use std::sync::LazyLock;

use faas_ports::{PortError, PortResult};
use faas_types::{ProjectId, RunRecord};
use rusqlite::{Connection, ErrorCode, Statement, params};

use crate::run_filter::{code_number, state_number};
use crate::sqlite::{WorkResult, id_blob, integer};

/// What a run takes besides its record, with its share of the indexes.
const RUN_COST: i64 = 256;
/// More than the record of a run that succeeded takes. Grown from nothing, it would be copied some times.
const ENCODED_LEN: usize = 1 << 10;
/// Columns of a row.
const COLUMNS: usize = 11;
/// Rows that one statement inserts; more of them gain next to nothing.
const TOGETHER: usize = 16;

static INSERT_TOGETHER: LazyLock<String> = LazyLock::new(|| {
    let values = vec![format!("({})", ["?"; COLUMNS].join(", ")); TOGETHER].join(", ");
    "INSERT INTO runs (project, id, function, version, state, trigger, ended, cold, code, duration, record) VALUES "
        .to_owned()
        + &values
});

/// A run with its encoded form.
pub(crate) struct Row {
    pub(crate) run: RunRecord,
    pub(crate) json: String,
}

/// Takes the JSON of a record, which comes as some two hundred parts, most of them a single byte: that is pushed, and not
/// copied by a call.
struct JsonBuffer(Vec<u8>);

// === impl JsonBuffer ===

impl io::Write for JsonBuffer {
    #[inline]
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.write_all(part).map(|()| part.len())
    }

    #[inline]
    fn write_all(&mut self, part: &[u8]) -> io::Result<()> {
        match part {
            [byte] => self.0.push(*byte),
            part => self.0.extend_from_slice(part),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Row ===

impl Row {
    /// Encodes on the caller's thread: the writer's is the scarce one.
    pub(crate) fn new(run: RunRecord) -> PortResult<Self> {
        let json = encoded(&run)?;
        Ok(Self { run, json })
    }

    /// Sets the parameters of its columns, the first of which comes after `before` others.
    fn bind(&self, statement: &mut Statement<'_>, before: usize) -> rusqlite::Result<()> {
        let Self { run, json } = self;
        statement.raw_bind_parameter(before + 1, id_blob(run.project))?;
        statement.raw_bind_parameter(before + 2, id_blob(run.id))?;
        statement.raw_bind_parameter(before + 3, id_blob(run.function().id))?;
        statement.raw_bind_parameter(before + 4, run.function().version)?;
        statement.raw_bind_parameter(before + 5, state_number(run.state()))?;
        statement.raw_bind_parameter(before + 6, run.trigger.as_str())?;
        statement.raw_bind_parameter(before + 7, run.state().is_terminal())?;
        statement.raw_bind_parameter(before + 8, run.cold_start)?;
        statement.raw_bind_parameter(before + 9, run.code.map(code_number))?;
        statement.raw_bind_parameter(before + 10, run.duration_us.map(integer))?;
        statement.raw_bind_parameter(before + COLUMNS, json)
    }

    /// Adds what it takes, once it is there.
    fn count_in(&self, grown: &mut BTreeMap<ProjectId, i64>) {
        *grown.entry(self.run.project).or_default() += i64::try_from(self.json.len()).unwrap_or(i64::MAX) + RUN_COST;
    }
}

/// Records runs: those that are not there yet many at a time, since a statement costs more than its row.
pub(crate) fn record(connection: &Connection, rows: &[Row]) -> WorkResult<()> {
    let mut grown: BTreeMap<ProjectId, i64> = BTreeMap::new();
    let mut chunks = rows.chunks_exact(TOGETHER);
    for chunk in chunks.by_ref() {
        if insert_together(connection, chunk)? {
            chunk.iter().for_each(|row| row.count_in(&mut grown));
        } else {
            record_singly(connection, chunk, &mut grown)?;
        }
    }
    record_singly(connection, chunks.remainder(), &mut grown)?;
    let mut usage = connection.prepare_cached(
        "INSERT INTO run_usage (project, bytes) VALUES (?1, ?2)
         ON CONFLICT (project) DO UPDATE SET bytes = bytes + excluded.bytes",
    )?;
    for (project, bytes) in grown {
        usage.execute(params![id_blob(project), bytes])?;
    }
    Ok(())
}

/// Inserts all of `TOGETHER` rows, or none because one of them is there; whether it did.
fn insert_together(connection: &Connection, rows: &[Row]) -> WorkResult<bool> {
    let mut insert = connection.prepare_cached(&INSERT_TOGETHER)?;
    for (at, row) in rows.iter().enumerate() {
        row.bind(&mut insert, at * COLUMNS)?;
    }
    match insert.raw_execute() {
        Ok(_) => Ok(true),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn record_singly(connection: &Connection, rows: &[Row], grown: &mut BTreeMap<ProjectId, i64>) -> WorkResult<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO runs (project, id, function, version, state, trigger, ended, cold, code, duration, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (project, id) DO NOTHING",
    )?;
    // A terminal state stays.
    let mut replace = connection.prepare_cached(
        "UPDATE runs SET function = ?3, version = ?4, state = ?5, trigger = ?6, ended = ?7, cold = ?8, code = ?9,
             duration = ?10, record = ?11
         WHERE project = ?1 AND id = ?2 AND ended <= ?7",
    )?;
    for row in rows {
        row.bind(&mut insert, 0)?;
        if insert.raw_execute()? == 0 {
            row.bind(&mut replace, 0)?;
            replace.raw_execute()?;
        } else {
            row.count_in(grown);
        }
    }
    Ok(())
}

pub(crate) fn decode(json: &str) -> WorkResult<RunRecord> {
    serde_json::from_str(json).map_err(|error| PortError::Corrupt { what: format!("a run's record ({error})") }.into())
}

pub(crate) fn encoded(run: &RunRecord) -> PortResult<String> {
    let mut json = JsonBuffer(Vec::with_capacity(ENCODED_LEN));
    serde_json::to_writer(&mut json, run).map_err(|error| PortError::failed("cannot encode a run", error))?;
    String::from_utf8(json.0).map_err(|error| PortError::failed("cannot encode a run", error))
}
