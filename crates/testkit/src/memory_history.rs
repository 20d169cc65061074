//! A run history in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use faas_ports::{LogPage, LogQuery, PortResult, RunHistory, RunPage, RunQuery};
use faas_types::{LogLine, ProjectId, RunId, RunRecord, Timestamp};
use parking_lot::Mutex;

/// Runs in a map, lines in a list.
#[derive(Debug, Default)]
pub struct MemoryHistory {
    runs: Mutex<BTreeMap<(ProjectId, RunId), RunRecord>>,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    last: u64,
    kept: BTreeMap<u64, LogLine>,
}

#[async_trait]
impl RunHistory for MemoryHistory {
    async fn record(&self, runs: Vec<RunRecord>) -> PortResult<()> {
        let mut known = self.runs.lock();
        for run in runs {
            let key = (run.project, run.id);
            let ended = known.get(&key).is_some_and(|known| known.state.is_terminal());
            if !ended || run.state.is_terminal() {
                known.insert(key, run);
            }
        }
        Ok(())
    }

    async fn run(&self, project: ProjectId, id: RunId) -> PortResult<Option<RunRecord>> {
        Ok(self.runs.lock().get(&(project, id)).cloned())
    }

    async fn runs(&self, query: &RunQuery) -> PortResult<RunPage> {
        let limit = query.limit as usize;
        let runs = self.runs.lock();
        let wanted = runs.values().rev().filter(|run| takes_run(query, run));
        let mut page: Vec<RunRecord> = wanted.take(limit.saturating_add(1)).cloned().collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|run| run.id);
        Ok(RunPage { runs: page, next })
    }

    async fn append_logs(&self, lines: Vec<LogLine>) -> PortResult<()> {
        let mut all = self.lines.lock();
        for line in lines {
            all.last += 1;
            let position = all.last;
            all.kept.insert(position, line);
        }
        Ok(())
    }

    async fn logs(&self, query: &LogQuery) -> PortResult<LogPage> {
        let all = self.lines.lock();
        let after = query.after.unwrap_or(0);
        let wanted = all.kept.range(after + 1..).filter(|(_, line)| takes_line(query, line));
        let mut lines: Vec<_> = wanted.map(|(position, line)| (*position, line.clone())).collect();
        let limit = query.limit as usize;
        if query.tail {
            lines.drain(..lines.len().saturating_sub(limit));
        } else {
            lines.truncate(limit);
        }
        Ok(LogPage { lines })
    }

    async fn expire(&self, project: ProjectId, before: Timestamp, limit: u32) -> PortResult<u64> {
        let mut left = u64::from(limit);
        let mut runs = self.runs.lock();
        runs.retain(|_, run| {
            let old = run.project == project && run.id.created_at() < before && run.state.is_terminal();
            let goes = old && left > 0;
            left -= u64::from(goes);
            !goes
        });
        self.lines.lock().kept.retain(|_, line| {
            let goes = line.project == project && line.at < before && left > 0;
            left -= u64::from(goes);
            !goes
        });
        Ok(u64::from(limit) - left)
    }
}

fn takes_run(query: &RunQuery, run: &RunRecord) -> bool {
    run.project == query.project
        && query.function.is_none_or(|function| run.function == function)
        && query.state.is_none_or(|state| run.state == state)
        && query.code.is_none_or(|code| run.code == Some(code))
        && query.cold_start.is_none_or(|cold| run.cold_start == cold)
        && query.version.is_none_or(|version| run.version == version)
        && query.since.is_none_or(|since| run.id.created_at() >= since)
        && query.until.is_none_or(|until| run.id.created_at() < until)
        && query.after.is_none_or(|after| run.id < after)
}

fn takes_line(query: &LogQuery, line: &LogLine) -> bool {
    line.project == query.project
        && query.function.is_none_or(|function| line.function == function)
        && query.run.is_none_or(|run| line.run == Some(run))
        && query.level.is_none_or(|level| line.level >= level)
        && query.since.is_none_or(|since| line.at >= since)
        && query.search.as_ref().is_none_or(|text| contains(&line.message, text))
}

fn contains(message: &str, text: &str) -> bool {
    message.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
}
