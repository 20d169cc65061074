//! From a [`RunQuery`] to SQL: one index for each shape of query, so that a page costs what it shows.
//!
//! Every index ends in the id. Pages go back in time, so they walk the index backwards from the cursor and stop at the
//! limit. The planner is told which index to take: its own guess changes with statistics that we do not keep.

use faas_ports::RunQuery;
use faas_types::{Code, RunState, Timestamp};
use rusqlite::types::Value;

use crate::sqlite::id_blob;

/// A statement with its parameters.
pub(crate) struct RunSelect {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

// === impl RunSelect ===

impl RunSelect {
    /// Selects the records of a page and one more, which tells whether another page follows.
    pub(crate) fn new(query: &RunQuery) -> Self {
        let mut select = Self { sql: String::new(), values: Vec::new() };
        select.sql = format!("SELECT record FROM runs INDEXED BY {} WHERE ", index(query));
        select.matches("project =", Some(blob(id_blob(query.project))));
        select.matches(" AND function =", query.function.map(|id| blob(id_blob(id))));
        select.matches(" AND state =", query.state.map(|state| state_number(state).into()));
        select.matches(" AND version =", query.version.map(|version| i64::from(version).into()));
        select.matches(" AND code =", query.code.map(|code| code_number(code).into()));
        match query.cold_start {
            // Written out, because a partial index is taken only where its condition is seen.
            Some(true) => select.sql.push_str(" AND cold = 1"),
            Some(false) => select.sql.push_str(" AND cold = 0"),
            None => {}
        }
        select.matches(" AND id >=", query.since.map(|since| blob(first_id(since))));
        select.matches(" AND id <", query.until.map(|until| blob(first_id(until))));
        select.matches(" AND id <", query.after.map(|after| blob(id_blob(after))));
        select.sql.push_str(" ORDER BY id DESC");
        select.matches(" LIMIT", Some((i64::from(query.limit) + 1).into()));
        select
    }

    fn matches(&mut self, condition: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.values.push(value);
            self.sql.push_str(condition);
            self.sql.push_str(" ?");
        }
    }
}

/// The most selective index that fits, rarest things first.
fn index(query: &RunQuery) -> &'static str {
    let one = query.function.is_some();
    match query {
        RunQuery { code: Some(_), .. } if one => "runs_function_code",
        RunQuery { code: Some(_), .. } => "runs_code",
        RunQuery { cold_start: Some(true), .. } if one => "runs_function_cold",
        RunQuery { cold_start: Some(true), .. } => "runs_cold",
        RunQuery { version: Some(_), .. } if one => "runs_function_version",
        RunQuery { state: Some(_), .. } if one => "runs_function_state",
        RunQuery { state: Some(_), .. } => "runs_state",
        _ if one => "runs_function",
        _ => "runs_id",
    }
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

fn blob(bytes: [u8; 16]) -> Value {
    Value::Blob(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use faas_types::{FunctionId, ProjectId};
    use rusqlite::Connection;

    use super::*;

    /// Every query of every shape must run and must not sort: a sort reads all rows that match.
    #[test]
    fn no_query_sorts_or_scans() {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(include_str!("schema/faas_1.sql")).expect("schema");
        for bits in 0_u32..128 {
            let on = |bit: u32| bits & 1 << bit != 0;
            let query = RunQuery {
                function: on(0).then(|| FunctionId::from_u128(1)),
                state: on(1).then_some(RunState::Failed),
                code: on(2).then_some(Code::TimeoutExceeded),
                cold_start: on(3).then(|| on(4)),
                version: on(5).then_some(3),
                since: on(6).then(|| Timestamp::from_millis(5)),
                until: on(6).then(|| Timestamp::from_millis(9)),
                ..RunQuery::newest(ProjectId::from_u128(1), 50)
            };
            let select = RunSelect::new(&query);
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", select.sql)).expect("prepare");
            let plan: Vec<String> = explain
                .query_map(rusqlite::params_from_iter(&select.values), |row| row.get(3))
                .expect("explain")
                .collect::<Result<_, _>>()
                .expect("rows");
            assert_eq!(plan.len(), 1, "{} {plan:?}", select.sql);
            assert!(plan[0].starts_with("SEARCH runs USING INDEX"), "{} {plan:?}", select.sql);
        }
    }

    #[test]
    fn codes_have_the_numbers_of_their_text() {
        assert_eq!(code_number(Code::MemoryExceeded), 3);
        assert!(Code::ALL.iter().all(|code| format!("FN_{:03}", code_number(*code)) == code.as_str()));
    }
}
