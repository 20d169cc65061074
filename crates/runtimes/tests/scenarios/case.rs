//! A scenario: a folder with a function and `case.json`, which says what to send and what must come back. It may be a list,
//! for several entrypoints of the same files.
//!
//! The driver knows the `Launcher` port alone, so that any sandbox and any language can be put below it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use faas_ports::{
    Clock, ExchangeEnd, ExchangeItem, IdSource, Instance, InstanceSpec, Invocation, Launcher, LogEntry, NetworkAccess,
    Publication, ReplyHead, SystemClock, UnfinishedLines,
};
use faas_types::{Code, Fault, FunctionError, FunctionSettings, RuntimeName};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;

const CALL_TIME: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default = "default_entrypoint")]
    entrypoint: String,
    #[serde(default = "one")]
    concurrency: u32,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    /// Runtimes that the case is not for.
    #[serde(default)]
    skip: Vec<String>,
    /// The launch fails like this.
    load: Option<ErrorExpected>,
    #[serde(default)]
    requests: Vec<Exchanged>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchanged {
    #[serde(default = "post")]
    method: String,
    #[serde(default = "slash")]
    path: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Sent as JSON.
    json: Option<Value>,
    /// Sent as it is.
    text: Option<String>,
    /// `text` repeated.
    #[serde(default = "one")]
    times: u32,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
    size: Option<usize>,
    error: Option<ErrorExpected>,
    /// A part of the rejection's message.
    rejected: Option<String>,
    /// The instance dies.
    #[serde(default)]
    lost: bool,
    logs: Option<Vec<LogExpected>>,
    /// Lines that come in this order, others between them: a crash adds its own words.
    #[serde(default)]
    logs_include: Vec<LogExpected>,
    #[serde(default)]
    dropped_at_least: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorExpected {
    kind: Option<String>,
    /// A part of the message.
    message: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    snippet: Option<String>,
    /// A part of the hint.
    hint: Option<String>,
    /// A part of the innermost entry of the stack.
    stack: Option<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct LogExpected {
    level: String,
    stream: String,
    message: String,
}

/// All that came back for one request.
#[derive(Default, Debug)]
pub(crate) struct Collected {
    pub(crate) head: Option<ReplyHead>,
    pub(crate) body: Vec<u8>,
    pub(crate) logs: Vec<LogEntry>,
    pub(crate) end: Option<ExchangeEnd>,
}

fn default_entrypoint() -> String {
    "main:handler".into()
}
fn one() -> u32 {
    1
}
fn post() -> String {
    "POST".into()
}
fn slash() -> String {
    "/".into()
}

/// Runs one folder on one runtime; panics with what differs.
pub(crate) async fn run(folder: &Path, launcher: &dyn Launcher, runtime: &RuntimeName) {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for case in cases(folder).unwrap_or_else(|error| panic!("{name}/case.json: {error}")) {
        if !case.skip.iter().any(|skipped| skipped == runtime.as_str()) {
            let spec = spec(folder, runtime, &case.entrypoint, case.concurrency, &case.vars);
            run_case(&format!("{runtime} {name} {}", case.entrypoint), case, launcher, spec).await;
        }
    }
}

fn cases(folder: &Path) -> serde_json::Result<Vec<Case>> {
    let text = std::fs::read_to_string(folder.join("case.json")).expect("a scenario has a case.json");
    match serde_json::from_str(&text)? {
        Value::Array(cases) => cases.into_iter().map(serde_json::from_value).collect(),
        case => Ok(vec![serde_json::from_value(case)?]),
    }
}

async fn run_case(at: &str, case: Case, launcher: &dyn Launcher, spec: InstanceSpec) {
    let launched = launcher.launch(spec).await;
    match (case.load, launched) {
        (Some(expected), Err(fault)) => check_fault(at, &expected, &fault),
        (None, Ok(launched)) => {
            for (index, exchanged) in case.requests.iter().enumerate() {
                let collected = collect(&*launched.instance, exchanged).await;
                check(&format!("{at} request {index}"), &exchanged.expect, &collected);
            }
            launched.instance.stop(Duration::from_secs(2)).await;
        }
        (Some(_), Ok(_)) => panic!("{at}: loaded, but must not"),
        (None, Err(fault)) => panic!("{at}: did not load: {fault:?}"),
    }
}

/// What launches a folder.
pub(crate) fn spec(
    folder: &Path,
    runtime: &RuntimeName,
    entrypoint: &str,
    concurrency: u32,
    vars: &BTreeMap<String, String>,
) -> InstanceSpec {
    let mut settings = FunctionSettings::new(runtime.clone(), entrypoint.parse().expect("an entrypoint"));
    settings.scaling.concurrency = Some(concurrency);
    let ids: &dyn IdSource = &SystemClock;
    let now = SystemClock.now();
    InstanceSpec {
        id: ids.mint(now),
        sandbox: ids.mint(now),
        project: ids.mint(now),
        function: "scenario".parse().expect("a name"),
        version: 7,
        network: NetworkAccess::constant(settings.egress.clone()),
        settings: Arc::new(settings),
        vars: vars.clone().into_iter().collect(),
        code: folder.to_owned(),
        dependencies: None,
        layers: None,
        init_timeout: Duration::from_secs(20),
        bytecode: false,
        inspection: None,
    }
}

async fn collect(instance: &dyn Instance, exchanged: &Exchanged) -> Collected {
    let body = match (&exchanged.json, &exchanged.text) {
        (Some(json), _) => json.to_string(),
        (None, Some(text)) => text.repeat(exchanged.times as usize),
        (None, None) => String::new(),
    };
    let mut call = invocation(&exchanged.method, body.into_bytes());
    call.path.clone_from(&exchanged.path);
    call.query.clone_from(&exchanged.query);
    call.headers = exchanged.headers.clone().into_iter().collect();
    invoke(instance, call).await
}

/// An invocation with a body.
pub(crate) fn invocation(method: &str, body: Vec<u8>) -> Invocation {
    let now = SystemClock.now();
    Invocation {
        run: (&SystemClock as &dyn IdSource).mint(now),
        method: method.to_owned(),
        path: "/".into(),
        query: String::new(),
        headers: Vec::new(),
        body: bytes::Bytes::from(body).into(),
        deadline: now.plus(CALL_TIME),
    }
}

/// Sends one invocation and collects what comes back.
pub(crate) async fn invoke(instance: &dyn Instance, call: Invocation) -> Collected {
    let mut stream = instance.invoke(call);
    let mut collected = Collected::default();
    let mut unfinished = UnfinishedLines::default();
    let reading = async {
        while let Some(item) = stream.next().await {
            assert!(collected.end.is_none(), "nothing follows an end");
            match item {
                ExchangeItem::Log(entry) => collected.logs.push(unfinished.complete(entry)),
                ExchangeItem::Unfinished(part) => unfinished.extend(part),
                ExchangeItem::Publish(publishing) => publishing.reply.answer(published(publishing.publication)),
                ExchangeItem::Head(head) => collected.head = Some(head),
                ExchangeItem::Body(chunk) => collected.body.extend_from_slice(&chunk),
                ExchangeItem::Reply { head, body, dropped_log_lines } => {
                    collected.head = Some(head);
                    collected.body.extend_from_slice(&body);
                    collected.end = Some(ExchangeEnd::Complete { dropped_log_lines });
                }
                ExchangeItem::End(end) => collected.end = Some(end),
            }
        }
    };
    tokio::time::timeout(CALL_TIME, reading).await.expect("a call ends in time");
    collected.logs.extend(unfinished.take());
    collected
}

/// As an id what was understood, so that the function can tell. One type and one topic are refused.
pub(crate) fn published(publication: Publication) -> Result<String, Fault> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match publication {
        Publication::Event { what, source, subject, id, content_type, data } if what.as_deref() != Some("refused") => {
            let said = [what, source, subject, id, content_type, Some(text(&data))];
            Ok(said.map(Option::unwrap_or_default).join("|"))
        }
        Publication::Message { topic, content_type, attributes, body } if topic != "refused" => {
            Ok(format!("{topic}|{}|{attributes:?}|{}", content_type.unwrap_or_default(), text(&body)))
        }
        _ => Err(Fault::new(Code::RateLimited, "nobody wants it").with_hint("try another")),
    }
}

fn check(at: &str, expected: &Expected, got: &Collected) {
    let dropped = match got.end.as_ref().unwrap_or_else(|| panic!("{at}: no end")) {
        ExchangeEnd::Complete { dropped_log_lines } => {
            let succeeds = expected.error.is_none() && expected.rejected.is_none() && !expected.lost;
            assert!(succeeds, "{at}: completed: {got:?}");
            *dropped_log_lines
        }
        ExchangeEnd::Raised { error, dropped_log_lines } => {
            let wanted = expected.error.as_ref().unwrap_or_else(|| panic!("{at}: raised {error:?}"));
            check_error(at, wanted, error);
            *dropped_log_lines
        }
        ExchangeEnd::Rejected { message } => {
            let wanted = expected.rejected.as_ref().unwrap_or_else(|| panic!("{at}: rejected: {message}"));
            assert!(message.contains(wanted), "{at}: rejected with `{message}`, expected `{wanted}`");
            0
        }
        ExchangeEnd::Broken { fault } => panic!("{at}: broken: {fault}"),
        ExchangeEnd::Lost => {
            assert!(expected.lost, "{at}: lost");
            0
        }
    };
    assert!(dropped >= expected.dropped_at_least, "{at}: {dropped} lines dropped");
    check_reply(at, expected, got);
    let mut rest = got.logs.iter().map(LogExpected::from);
    for wanted in &expected.logs_include {
        assert!(rest.any(|line| line == *wanted), "{at}: no {wanted:?} in its place among {} lines", got.logs.len());
    }
    if let Some(wanted) = &expected.logs {
        let logs: Vec<LogExpected> = got.logs.iter().map(LogExpected::from).collect();
        assert_eq!(&logs, wanted, "{at}");
    }
}

fn check_reply(at: &str, expected: &Expected, got: &Collected) {
    if let Some(status) = expected.status {
        let head = got.head.as_ref().unwrap_or_else(|| panic!("{at}: no head"));
        assert_eq!(head.status, status, "{at}");
    }
    for (name, value) in &expected.headers {
        let head = got.head.as_ref().unwrap_or_else(|| panic!("{at}: no head"));
        let values: Vec<&str> = head.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        assert_eq!(values.join(", "), *value, "{at}: header {name}");
    }
    if let Some(json) = &expected.json {
        let body: Value = serde_json::from_slice(&got.body)
            .unwrap_or_else(|_| panic!("{at}: not JSON: {}", String::from_utf8_lossy(&got.body)));
        assert_eq!(&body, json, "{at}");
    }
    if let Some(text) = &expected.text {
        assert_eq!(&String::from_utf8_lossy(&got.body), text, "{at}");
    }
    if let Some(size) = expected.size {
        assert_eq!(got.body.len(), size, "{at}");
    }
}

fn check_fault(at: &str, expected: &ErrorExpected, fault: &Fault) {
    match &fault.function_error {
        Some(error) => check_error(at, expected, error),
        None => {
            let wanted = expected.message.as_deref().unwrap_or_default();
            assert!(fault.message.contains(wanted), "{at}: {fault:?}");
        }
    }
}

fn check_error(at: &str, expected: &ErrorExpected, error: &FunctionError) {
    let part = |what: &str, wanted: &Option<String>, got: Option<&str>| {
        if let Some(wanted) = wanted {
            assert!(got.is_some_and(|got| got.contains(wanted)), "{at}: {what} should have `{wanted}`: {error:#?}");
        }
    };
    if let Some(kind) = &expected.kind {
        assert_eq!(&error.kind, kind, "{at}: {error:#?}");
    }
    part("message", &expected.message, Some(&error.message));
    part("hint", &expected.hint, error.hint.as_deref());
    part("stack", &expected.stack, error.stack.last().map(String::as_str));
    part("file", &expected.file, error.file.as_deref());
    part("snippet", &expected.snippet, error.snippet.as_deref());
    assert!(expected.line.is_none() || error.line == expected.line, "{at}: {error:#?}");
    assert!(expected.column.is_none() || error.column == expected.column, "{at}: {error:#?}");
}

impl From<&LogEntry> for LogExpected {
    fn from(entry: &LogEntry) -> Self {
        let stream = serde_json::to_value(entry.stream).expect("a name");
        Self {
            level: entry.level.as_str().into(),
            stream: stream.as_str().unwrap_or_default().into(),
            message: entry.message.clone(),
        }
    }
}
