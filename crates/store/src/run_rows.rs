//! Rows of runs in `faas.db`.

use std::collections::BTreeMap;

use faas_ports::{PortError, PortResult};
use faas_types::{ProjectId, RunRecord};
use rusqlite::{Connection, params};

use crate::run_filter::{code_number, state_number};
use crate::sqlite::{WorkResult, id_blob, integer};

/// What a run takes besides its record, with its share of the indexes.
const RUN_COST: i64 = 256;
/// More than the record of a run that succeeded takes. Grown from nothing, it would be copied some times.
const ENCODED_LEN: usize = 1 << 10;

/// A run with its encoded form.
pub(crate) struct Row {
    pub(crate) run: RunRecord,
    pub(crate) json: String,
}

// === impl Row ===

impl Row {
    /// Encodes on the caller's thread: the writer's is the scarce one.
    pub(crate) fn new(run: RunRecord) -> PortResult<Self> {
        let json = encoded(&run)?;
        Ok(Self { run, json })
    }
}

pub(crate) fn record(connection: &Connection, rows: &[Row]) -> WorkResult<()> {
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
    let mut grown: BTreeMap<ProjectId, i64> = BTreeMap::new();
    for Row { run, json } in rows {
        let values = params![
            id_blob(run.project),
            id_blob(run.id),
            id_blob(run.function().id),
            run.function().version,
            state_number(run.state()),
            run.trigger.as_str(),
            run.state().is_terminal(),
            run.cold_start,
            run.code.map(code_number),
            run.duration_us.map(integer),
            json,
        ];
        if insert.execute(values)? == 0 {
            replace.execute(values)?;
        } else {
            *grown.entry(run.project).or_default() += i64::try_from(json.len()).unwrap_or(i64::MAX) + RUN_COST;
        }
    }
    let mut usage = connection.prepare_cached(
        "INSERT INTO run_usage (project, bytes) VALUES (?1, ?2)
         ON CONFLICT (project) DO UPDATE SET bytes = bytes + excluded.bytes",
    )?;
    for (project, bytes) in grown {
        usage.execute(params![id_blob(project), bytes])?;
    }
    Ok(())
}

pub(crate) fn decode(json: &str) -> WorkResult<RunRecord> {
    serde_json::from_str(json).map_err(|error| PortError::Corrupt { what: format!("a run's record ({error})") }.into())
}

pub(crate) fn encoded(run: &RunRecord) -> PortResult<String> {
    let mut json = Vec::with_capacity(ENCODED_LEN);
    serde_json::to_writer(&mut json, run).map_err(|error| PortError::failed("cannot encode a run", error))?;
    String::from_utf8(json).map_err(|error| PortError::failed("cannot encode a run", error))
}
