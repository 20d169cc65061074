//! A run history in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use faas_ports::{
    Expired, Expiry, LINES_EXAMINED_MAX, LogPage, LogQuery, PortResult, RUNS_EXAMINED_MAX, RunHistory, RunPage,
    RunQuery,
};
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
            let ended = known.get(&key).is_some_and(|known| known.state().is_terminal());
            if !ended || run.state().is_terminal() {
                known.insert(key, run);
            }
        }
        Ok(())
    }

    async fn run(&self, project: ProjectId, id: RunId) -> PortResult<Option<RunRecord>> {
        Ok(self.runs.lock().get(&(project, id)).cloned())
    }

    async fn runs(&self, query: &RunQuery) -> PortResult<RunPage> {
        let runs = self.runs.lock();
        let mut page = RunPage::default();
        let mut last = None;
        for run in runs.values().rev().filter(|run| is_in_range(query, run)) {
            if page.examined == RUNS_EXAMINED_MAX {
                page.next = last;
                break;
            }
            page.examined += 1;
            if takes_run(query, run) {
                if page.runs.len() == query.limit as usize {
                    page.next = page.runs.last().map(|run| run.id);
                    break;
                }
                page.runs.push(run.clone());
            }
            last = Some(run.id);
        }
        Ok(page)
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
        let mut page = LogPage { next: all.last.max(after), ..LogPage::default() };
        let mine = |line: &LogLine| {
            line.project == query.project
                && query.run.map_or(query.function.is_none_or(|function| line.function == function), |run| {
                    line.run == Some(run)
                })
        };
        let before = query.before.unwrap_or(u64::MAX);
        let range: Vec<_> = all.kept.range(after + 1..before.max(after + 1)).filter(|(_, line)| mine(line)).collect();
        let ordered: Vec<_> = if query.tail { range.into_iter().rev().collect() } else { range };
        let mut last = None;
        for (position, line) in ordered {
            if page.examined == LINES_EXAMINED_MAX || page.lines.len() == query.limit as usize {
                if query.tail {
                    page.previous = last.or(query.before);
                } else {
                    (page.next, page.more) = (last.unwrap_or(after), true);
                }
                break;
            }
            page.examined += 1;
            if takes_line(query, line) {
                page.lines.push((*position, line.clone()));
            }
            last = Some(*position);
        }
        if query.tail {
            page.lines.reverse();
        }
        Ok(page)
    }

    async fn expire(&self, expiry: &Expiry) -> PortResult<Expired> {
        let mut done = Expired::default();
        let limit = u64::from(expiry.limit);
        let mut runs = self.runs.lock();
        let is_mine = |run: &RunRecord| run.project == expiry.project && run.state().is_terminal();
        runs.retain(|_, run| {
            let goes = is_mine(run) && run.id.created_at() < expiry.runs_before && done.runs < limit;
            done.runs += u64::from(goes);
            !goes
        });
        let size = |run: &RunRecord| serde_json::to_string(run).map_or(0, |json| json.len() as u64);
        let mut bytes: u64 = runs.values().filter(|run| run.project == expiry.project).map(size).sum();
        // In the order of their ids, which is that of their creation.
        runs.retain(|_, run| {
            let goes = is_mine(run) && bytes > expiry.run_bytes_max && done.runs < limit;
            bytes -= if goes { size(run) } else { 0 };
            done.runs += u64::from(goes);
            !goes
        });
        for run in runs.values_mut().filter(|run| is_mine(run) && run.id.created_at() < expiry.results_before) {
            if done.results < limit && run.result.take().is_some() {
                done.results += 1;
            }
        }
        let mut lines = self.lines.lock();
        let size = |line: &LogLine| line.message.len() as u64;
        let mut bytes: u64 = lines.kept.values().filter(|line| line.project == expiry.project).map(size).sum();
        // A line that says it comes from the future is as old as the next one.
        let mut next = Timestamp::from_millis(u64::MAX);
        let mut written = Vec::new();
        for (_, line) in lines.kept.iter().rev().filter(|(_, line)| line.project == expiry.project) {
            next = if line.at > expiry.now { next } else { line.at };
            written.push(next);
        }
        lines.kept.retain(|_, line| {
            let at = if line.project == expiry.project { written.pop().unwrap_or_default() } else { line.at };
            let is_due = at < expiry.lines_before || bytes > expiry.log_bytes_max;
            let goes = line.project == expiry.project && is_due && done.lines < limit;
            done.lines += u64::from(goes);
            bytes -= if goes { size(line) } else { 0 };
            !goes
        });
        done.log_bytes = bytes;
        done.more = [done.runs, done.results, done.lines].contains(&limit);
        Ok(done)
    }
}

/// What bounds the runs that a page looks at.
fn is_in_range(query: &RunQuery, run: &RunRecord) -> bool {
    run.project == query.project
        && query.since.is_none_or(|since| run.id.created_at() >= since)
        && query.until.is_none_or(|until| run.id.created_at() < until)
        && query.after.is_none_or(|after| run.id < after)
}

fn takes_run(query: &RunQuery, run: &RunRecord) -> bool {
    let took = run.duration_us.map(std::time::Duration::from_micros);
    query.function.is_none_or(|function| run.function().id == function)
        && query.state.is_none_or(|state| run.state() == state)
        && query.code.is_none_or(|code| run.code == Some(code))
        && query.cold_start.is_none_or(|cold| run.cold_start == cold)
        && query.version.is_none_or(|version| run.function().version == version)
        && query.trigger.is_none_or(|trigger| run.trigger == trigger)
        && query.duration_min.is_none_or(|least| took.is_some_and(|took| took >= least))
        && query.duration_max.is_none_or(|most| took.is_some_and(|took| took <= most))
}

fn takes_line(query: &LogQuery, line: &LogLine) -> bool {
    query.function.is_none_or(|function| line.function == function)
        && query.level.is_none_or(|level| line.level >= level)
        && query.since.is_none_or(|since| line.at >= since)
        && query.until.is_none_or(|until| line.at < until)
        && query.search.as_ref().is_none_or(|text| contains(&line.message, text))
}

fn contains(message: &str, text: &str) -> bool {
    message.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
}
