//! From a [`RunQuery`] to a walk through one index.
//!
//! Every index ends in the id and what filters ask. Pages go back in time, so a walk goes backwards through the index
//! from the cursor; what does not match is passed over without reading its row. A walk ends at
//! [`RUNS_EXAMINED_MAX`](faas_ports::RUNS_EXAMINED_MAX), so that no filter can make a request long.

use faas_ports::RunQuery;
use faas_types::{Code, RunId, RunState, Timestamp};
use rusqlite::Row;
use rusqlite::types::Value;

use crate::sqlite::{self, id_blob};

/// A walk: its statement and what it has to tell apart row by row.
pub(crate) struct RunWalk {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
    function: Option<[u8; 16]>,
    version: Option<i64>,
    state: Option<i64>,
    trigger: Option<&'static str>,
    cold: Option<bool>,
    code: Option<i64>,
    duration_min: Option<i64>,
    duration_max: Option<i64>,
}

/// Columns of a walk's rows, in order.
const COLUMNS: &str = "rowid, id, function, version, state, trigger, cold, code, duration";

// === impl RunWalk ===

impl RunWalk {
    pub(crate) fn new(query: &RunQuery) -> Self {
        let (index, condition) = index(query);
        let mut walk = Self {
            sql: format!("SELECT {COLUMNS} FROM runs INDEXED BY {index} WHERE project = ?"),
            values: vec![blob(id_blob(query.project))],
            function: query.function.map(id_blob),
            version: query.version.map(i64::from),
            state: query.state.map(state_number),
            trigger: query.trigger.map(faas_types::TriggerKind::as_str),
            cold: query.cold_start,
            code: query.code.map(code_number),
            duration_min: query.duration_min.map(micros),
            duration_max: query.duration_max.map(micros),
        };
        walk.sql.push_str(condition);
        if index == "runs_function" {
            walk.bound(" AND function = ?", walk.function);
        }
        walk.bound(" AND id >= ?", query.since.map(first_id));
        let (until, after) = (query.until.map(first_id), query.after.map(id_blob));
        walk.bound(" AND id < ?", until.into_iter().chain(after).min());
        walk.sql.push_str(" ORDER BY id DESC");
        walk
    }

    fn bound(&mut self, condition: &str, id: Option<[u8; 16]>) {
        if let Some(id) = id {
            self.sql.push_str(condition);
            self.values.push(blob(id));
        }
    }

    /// Whether the filter takes a row of the walk.
    pub(crate) fn takes(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let number = |column: usize, wanted: Option<i64>| match wanted {
            Some(wanted) => row.get::<_, Option<i64>>(column).map(|found| found == Some(wanted)),
            None => Ok(true),
        };
        if let Some(function) = &self.function
            && row.get_ref(2)?.as_blob() != Ok(function)
        {
            return Ok(false);
        }
        if let Some(trigger) = self.trigger
            && row.get_ref(5)?.as_str() != Ok(trigger)
        {
            return Ok(false);
        }
        let cold = self.cold.map(i64::from);
        let numbers = number(3, self.version)? && number(4, self.state)? && number(6, cold)? && number(7, self.code)?;
        Ok(numbers && self.takes_duration(row)?)
    }

    fn takes_duration(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        if self.duration_min.is_none() && self.duration_max.is_none() {
            return Ok(true);
        }
        let Some(took) = row.get::<_, Option<i64>>(8)? else { return Ok(false) };
        Ok(self.duration_min.is_none_or(|least| took >= least) && self.duration_max.is_none_or(|most| took <= most))
    }
}

/// The index with the fewest rows to pass over, and the condition under which a partial one is taken.
fn index(query: &RunQuery) -> (&'static str, &'static str) {
    let notable = query.state.is_some_and(|state| state != RunState::Succeeded)
        || query.code.is_some()
        || query.cold_start == Some(true);
    match query.function {
        _ if notable => ("runs_notable", " AND (state <> 2 OR cold = 1)"),
        Some(_) => ("runs_function", ""),
        None => ("runs_id", ""),
    }
}

/// The id in a row of a walk.
pub(crate) fn id_of(row: &Row<'_>) -> rusqlite::Result<RunId> {
    row.get(1).map(sqlite::id)
}

/// The smallest id of a run that was created at `time`.
pub(crate) fn first_id(time: Timestamp) -> [u8; 16] {
    const RANDOM_BITS: u32 = 80;
    const LATEST: u64 = (1 << 48) - 1;
    (u128::from(time.as_millis().min(LATEST)) << RANDOM_BITS).to_be_bytes()
}

/// A state as its column keeps it. Numbers are never given a second meaning.
pub(crate) const fn state_number(state: RunState) -> i64 {
    match state {
        RunState::Queued => 0,
        RunState::Running => 1,
        RunState::Succeeded => 2,
        RunState::Failed => 3,
        RunState::Retried => 4,
        RunState::Cancelled => 5,
    }
}

/// The number in `FN_nnn`.
pub(crate) fn code_number(code: Code) -> i64 {
    code.as_str().trim_start_matches("FN_").parse().unwrap_or_default()
}

fn micros(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn blob(bytes: [u8; 16]) -> Value {
    Value::Blob(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faas_types::{FunctionId, ProjectId, TriggerKind};
    use rusqlite::Connection;

    use super::*;

    /// Every query of every shape must walk an index and must not sort: a sort reads all rows that match.
    #[test]
    fn no_query_sorts_or_scans() {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(include_str!("schema/faas.sql")).expect("schema");
        for bits in 0_u32..512 {
            let on = |bit: u32| bits & 1 << bit != 0;
            let query = RunQuery {
                function: on(0).then(|| FunctionId::from_u128(1)),
                state: on(1).then_some(if on(4) { RunState::Failed } else { RunState::Succeeded }),
                code: on(2).then_some(Code::TimeoutExceeded),
                cold_start: on(3).then(|| on(4)),
                version: on(5).then_some(3),
                trigger: on(7).then_some(TriggerKind::Http),
                duration_min: on(8).then_some(Duration::from_secs(1)),
                since: on(6).then(|| Timestamp::from_millis(5)),
                until: on(6).then(|| Timestamp::from_millis(9)),
                ..RunQuery::newest(ProjectId::from_u128(1), 50)
            };
            let walk = RunWalk::new(&query);
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", walk.sql)).expect("prepare");
            let plan: Vec<String> = explain
                .query_map(rusqlite::params_from_iter(&walk.values), |row| row.get(3))
                .expect("explain")
                .collect::<Result<_, _>>()
                .expect("rows");
            assert_eq!(plan.len(), 1, "{} {plan:?}", walk.sql);
            // Only a walk over all functions reads rows, one after another as they were written.
            let covered = plan[0].starts_with("SEARCH runs USING COVERING INDEX");
            assert!(covered || plan[0].starts_with("SEARCH runs USING INDEX runs_id"), "{} {plan:?}", walk.sql);
        }
    }

    #[test]
    fn codes_have_the_numbers_of_their_text() {
        assert_eq!(code_number(Code::MemoryExceeded), 3);
        assert!(Code::ALL.iter().all(|code| format!("FN_{:03}", code_number(*code)) == code.as_str()));
    }
}
