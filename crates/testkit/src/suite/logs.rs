//! What every run history promises of log lines.

use faas_ports::{Expiry, LINES_EXAMINED_MAX, LogPage, LogQuery, RunHistory};
use faas_types::{FunctionId, LogLevel, LogLine, LogStream, ProjectId, RunId};

use super::ok;
use crate::fixture::{at, fresh, log_line};

/// Lines come back whole, in order, filtered and paged. Uses its own projects.
pub async fn logs(history: &dyn RunHistory) {
    lines_come_back_whole_and_in_order(history).await;
    filters_select(history).await;
    search_ignores_ascii_case_only(history).await;
    following_misses_nothing(history).await;
    no_search_makes_a_page_long(history).await;
    projects_are_apart(history).await;
    old_lines_are_forgotten(history).await;
    lines_of_the_future_are_forgotten_with_their_neighbours(history).await;
    too_many_bytes_are_forgotten(history).await;
}

fn texts(page: &LogPage) -> Vec<&str> {
    page.lines.iter().map(|(_, line)| line.message.as_str()).collect()
}

fn from_start(project: ProjectId, limit: u32) -> LogQuery {
    LogQuery { tail: false, ..LogQuery::newest(project, limit) }
}

async fn lines_come_back_whole_and_in_order(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let streams = [LogStream::Stdout, LogStream::Stderr, LogStream::Logger, LogStream::Platform];
    let levels = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    let lines: Vec<LogLine> = (0..8)
        .map(|n| LogLine {
            run: (n % 2 == 0).then(fresh),
            stream: streams[n % 4],
            level: levels[3 - n % 4],
            // Appending order is the order, whatever the clocks say.
            ..log_line(project, function, None, at(100 - n as u64), &format!("line {n} \u{0} ü ☃ \t 'x'"))
        })
        .collect();
    ok("append", history.append_logs(lines[..5].to_vec()).await);
    ok("append", history.append_logs(lines[5..].to_vec()).await);
    ok("append nothing", history.append_logs(Vec::new()).await);
    let page = ok("logs", history.logs(&from_start(project, 100)).await);
    assert!(page.lines.is_sorted_by(|a, b| a.0 < b.0), "positions do not rise");
    let back: Vec<LogLine> = page.lines.iter().map(|(_, line)| line.clone()).collect();
    assert_eq!(back, lines, "lines differ from what was appended");
    let tail = ok("tail", history.logs(&LogQuery::newest(project, 3)).await);
    assert_eq!(tail.lines, page.lines[5..], "a tail is not the newest lines, oldest first");
    let head = ok("head", history.logs(&from_start(project, 3)).await);
    assert_eq!(head.lines, page.lines[..3], "a head is not the oldest lines");
    assert!(ok("nothing", history.logs(&from_start(project, 0)).await).lines.is_empty(), "a limit of 0 lists nothing");
}

async fn filters_select(history: &dyn RunHistory) {
    let project: ProjectId = fresh();
    let functions: [FunctionId; 2] = [fresh(), fresh()];
    let runs: [RunId; 2] = [fresh(), fresh()];
    let levels = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    let lines: Vec<LogLine> = (0..64_usize)
        .map(|n| LogLine {
            level: levels[n / 2 % 4],
            ..log_line(
                project,
                functions[n % 2],
                (n % 3 > 0).then(|| runs[n % 3 - 1]),
                at(n as u64 / 4 * 10),
                &format!("n{n}"),
            )
        })
        .collect();
    ok("append", history.append_logs(lines.clone()).await);
    for bits in 0_u32..128 {
        let on = |bit: u32| bits & 1 << bit != 0;
        let query = LogQuery {
            function: on(0).then_some(functions[1]),
            run: on(1).then_some(runs[0]),
            level: on(2).then_some(LogLevel::Warn),
            search: on(3).then(|| "N1".into()),
            since: on(4).then(|| at(55)),
            tail: on(5),
            until: on(6).then(|| at(125)),
            ..LogQuery::newest(project, 1000)
        };
        let page = ok("logs", history.logs(&query).await);
        let wanted: Vec<&str> =
            lines.iter().filter(|line| selects(&query, line)).map(|line| line.message.as_str()).collect();
        assert_eq!(texts(&page), wanted, "wrong lines for {query:?}");
    }
    let late = LogQuery { since: Some(at(1_000_000)), ..LogQuery::newest(project, 10) };
    assert!(ok("logs", history.logs(&late).await).lines.is_empty(), "lines since a time after all of them");
}

/// What a filter means, for texts in lower case.
fn selects(query: &LogQuery, line: &LogLine) -> bool {
    query.function.is_none_or(|function| line.function == function)
        && query.run.is_none_or(|run| line.run == Some(run))
        && query.level.is_none_or(|level| line.level >= level)
        && query.since.is_none_or(|since| line.at >= since)
        && query.until.is_none_or(|until| line.at < until)
        && query.search.as_ref().is_none_or(|text| line.message.contains(&text.to_ascii_lowercase()))
}

async fn search_ignores_ascii_case_only(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let lines = ["Connection REFUSED", "100% of_it \\ done", "Ärger", "ärger", "zero \u{0} byte", ""];
    let append = lines.map(|text| log_line(project, function, None, at(0), text)).to_vec();
    ok("append", history.append_logs(append).await);
    let search = async |text: &str| {
        let query = LogQuery { search: Some(text.into()), ..LogQuery::newest(project, 100) };
        let page = ok("search", history.logs(&query).await);
        texts(&page).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(search("connection refused").await, lines[..1]);
    assert_eq!(search("%").await, lines[1..2], "a percent sign stands for itself");
    assert_eq!(search("F_I").await, lines[1..2], "an underscore stands for itself");
    assert_eq!(search("\\").await, lines[1..2], "a backslash stands for itself");
    assert_eq!(search("ärger").await, lines[3..4], "only ASCII letters ignore case");
    assert_eq!(search("\u{0} BYTE").await, lines[4..5], "a zero byte ends nothing");
    assert_eq!(search("").await, lines, "an empty text is in every line");
    assert!(search("absent").await.is_empty());
}

async fn following_misses_nothing(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let run: RunId = fresh();
    let mut seen: Vec<String> = Vec::new();
    let mut query = LogQuery { run: Some(run), ..from_start(project, 4) };
    for round in 0..5 {
        let lines = (0..6).map(|n| log_line(project, function, Some(run), at(n), &format!("{round}.{n}")));
        ok("append", history.append_logs(lines.collect()).await);
        loop {
            let page = ok("logs", history.logs(&query).await);
            seen.extend(texts(&page).into_iter().map(str::to_owned));
            query.after = Some(page.next);
            if !page.more {
                break;
            }
        }
    }
    let wanted: Vec<String> = (0..5).flat_map(|round| (0..6).map(move |n| format!("{round}.{n}"))).collect();
    assert_eq!(seen, wanted, "following by position missed or repeated lines");
    let tail = LogQuery { after: query.after, ..LogQuery::newest(project, 10) };
    assert!(ok("tail", history.logs(&tail).await).lines.is_empty(), "a tail ignores `after`");
}

async fn no_search_makes_a_page_long(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let count = LINES_EXAMINED_MAX + 10;
    let line = |n: u64| {
        let text = if n == 3 || n + 3 == count { "needle" } else { "hay" };
        log_line(project, function, None, at(n), text)
    };
    ok("append", history.append_logs((0..count).map(line).collect()).await);
    for tail in [false, true] {
        let mut query = LogQuery { search: Some("needle".into()), tail, ..LogQuery::newest(project, 1) };
        let (mut examined, mut found) = (Vec::new(), 0);
        for _ in 0..10 {
            let page = ok("logs", history.logs(&query).await);
            examined.push(page.examined);
            found += page.lines.len();
            match (tail, page.previous) {
                (true, Some(previous)) => query.before = Some(previous),
                (false, _) if page.more => query.after = Some(page.next),
                _ => break,
            }
        }
        assert_eq!(examined.iter().sum::<u64>(), count, "tail {tail}: {examined:?} lines looked at");
        assert!(examined.iter().all(|each| *each <= LINES_EXAMINED_MAX), "tail {tail}: {examined:?}");
        assert_eq!(found, 2, "tail {tail}: pages that stopped early lost a line");
    }
    // What a follower does that finds nothing: it never looks at a line twice.
    let mut query = LogQuery { search: Some("absent".into()), ..from_start(project, 100) };
    let mut examined = 0;
    for _ in 0..10 {
        let page = ok("logs", history.logs(&query).await);
        examined += page.examined;
        query.after = Some(page.next);
    }
    assert_eq!(examined, count, "a follower whose filter matches nothing reads lines again");
}

async fn projects_are_apart(history: &dyn RunHistory) {
    let (mine, other, function): (ProjectId, ProjectId, FunctionId) = (fresh(), fresh(), fresh());
    let run: RunId = fresh();
    ok("append", history.append_logs(vec![log_line(mine, function, Some(run), at(0), "secret")]).await);
    for query in [
        LogQuery::newest(other, 10),
        LogQuery { function: Some(function), ..LogQuery::newest(other, 10) },
        LogQuery { run: Some(run), ..LogQuery::newest(other, 10) },
    ] {
        assert!(ok("logs", history.logs(&query).await).lines.is_empty(), "another project reads a line");
    }
    let elsewhere = Expiry { lines_before: at(1000), log_bytes_max: 0, ..Expiry::nothing(other, 100) };
    ok("expire elsewhere", history.expire(&elsewhere).await);
    assert_eq!(ok("logs", history.logs(&LogQuery::newest(mine, 10)).await).lines.len(), 1);
}

async fn old_lines_are_forgotten(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let lines = (0..20).map(|n| log_line(project, function, None, at(n), &n.to_string()));
    ok("append", history.append_logs(lines.collect()).await);
    let step = |before: u64, limit: u32| Expiry { lines_before: at(before), ..Expiry::nothing(project, limit) };
    let first = ok("expire", history.expire(&step(10, 4)).await);
    assert_eq!((first.lines, first.more), (4, true), "a step takes as many as its limit");
    let second = ok("expire", history.expire(&step(10, 100)).await);
    assert_eq!((second.lines, second.more), (6, false), "a step takes what is left");
    let page = ok("logs", history.logs(&LogQuery::newest(project, 100)).await);
    assert_eq!(texts(&page).first(), Some(&"10"), "expiry took a line that is newer");
    let last = page.lines.last().map_or(0, |(position, _)| *position);
    ok("expire", history.expire(&step(1000, 100)).await);
    ok("append", history.append_logs(vec![log_line(project, function, None, at(0), "new")]).await);
    let after = LogQuery { after: Some(last), ..from_start(project, 10) };
    let page = ok("logs", history.logs(&after).await);
    assert_eq!(texts(&page), ["new"], "a position was used again after expiry");
}

async fn lines_of_the_future_are_forgotten_with_their_neighbours(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let times = [5000, 1, 5000, 5000, 2, 30, 5000, 31];
    let lines = times.iter().map(|time| log_line(project, function, None, at(*time), &time.to_string()));
    ok("append", history.append_logs(lines.collect()).await);
    let step = Expiry { lines_before: at(20), now: at(1000), ..Expiry::nothing(project, 100) };
    assert_eq!(ok("expire", history.expire(&step).await).lines, 5, "a wrong time ends what is forgotten");
    let page = ok("logs", history.logs(&from_start(project, 100)).await);
    assert_eq!(texts(&page), ["30", "5000", "31"], "a line that is young enough is kept");
    let left = ok("expire", history.expire(&step).await);
    assert_eq!(left.lines, 0, "what is young enough stays");
    let rest = Expiry { lines_before: at(32), ..step };
    assert_eq!(ok("expire", history.expire(&rest).await).lines, 3);
}

async fn too_many_bytes_are_forgotten(history: &dyn RunHistory) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let text = "x".repeat(10_000);
    let lines = (0..20).map(|n| log_line(project, function, None, at(n), &text));
    ok("append", history.append_logs(lines.collect()).await);
    let step = Expiry { log_bytes_max: 105_000, ..Expiry::nothing(project, 7) };
    let first = ok("expire", history.expire(&step).await);
    assert_eq!((first.lines, first.more), (7, true), "a step takes as many as its limit");
    let second = ok("expire", history.expire(&step).await);
    assert_eq!((second.lines, second.more), (3, false), "a step takes what is too much");
    assert!((100_000..=105_000).contains(&second.log_bytes), "{} bytes are left", second.log_bytes);
    let left = ok("logs", history.logs(&LogQuery::newest(project, 100)).await);
    assert_eq!(left.lines.first().map(|(_, line)| line.at), Some(at(10)), "the oldest lines go first");
}
