//! `faas invoke`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use faas_client::{CallMeta, ClientError, InvokeRequest, LaterOptions, Reply};
use faas_devloop::local::{self, LocalArgs};
use faas_devloop::local_data;
use faas_source::location::or_here;
use faas_source::project::{Overrides, Project, name_or_here};
use faas_terminal::body_argument::read_body;
use faas_terminal::failure::Failure;
use faas_terminal::global_args::Format;
use faas_terminal::output::Tone;
use faas_terminal::session::Session;
use faas_terminal::text;
use faas_types::{CauseClass, Span};
use serde_json::{Value, json};

use crate::ServerCommands;
use crate::commands::run_output::advice;
use crate::commands::watch;

/// How often and how far apart a failed run's record is looked for.
const LOOKS: u32 = 8;
const LOOK_AGAIN: Duration = Duration::from_millis(150);

/// Call a function and print its answer
///
/// The answer goes to standard output as it is; on a terminal, what would steer it is shown and not obeyed. Ends with 1 when the function fails or answers with a status of 400
/// or more.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InvokeArgs {
    /// The function; with --local its directory [default: that of the current directory]
    name: Option<String>,
    /// The body: text, @FILE, or - for standard input
    #[arg(short = 'd', long, alias = "data", value_name = "BODY", allow_hyphen_values = true)]
    body: Option<String>,
    /// A header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A path below the function's URL, with its query
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The HTTP method at the function's URL [default: POST]
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,
    /// Print status and headers before the body
    #[arg(short, long)]
    include: bool,
    /// Call the function of a directory in a private server of this process
    #[arg(long, conflicts_with = "later")]
    local: bool,
    #[command(flatten)]
    server: LocalArgs,
    /// Call asynchronously: print the run's id at once
    #[arg(long = "async")]
    later: bool,
    #[command(flatten)]
    options: LaterArgs,
}

/// What a call that is accepted for later should be besides.
#[derive(Debug, Args)]
#[group(requires = "later")]
pub(crate) struct LaterArgs {
    /// Wait for the run's end and show it
    #[arg(long)]
    wait: bool,
    /// Start no earlier than after this time, such as 10m
    #[arg(long, value_name = "TIME")]
    delay: Option<Span>,
    /// Start no attempt later than this after acceptance
    #[arg(long, value_name = "TIME")]
    max_age: Option<Span>,
    /// Run one at a time, in order, with runs of the same key
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,
    /// Start before runs of lower priority: 0 to 255
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// A key for this call: a call with the same key makes no second run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Send a signed POST to this URL when the run ends
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  faas invoke hello
  faas invoke adder -d '{\"x\": 5, \"y\": 10}'
  faas invoke --local -d '{\"x\": 5, \"y\": 10}'
  faas invoke --local --inspect-brk -d '{\"x\": 5, \"y\": 10}'
  faas invoke hello -d @event.json -H 'X-Tenant: acme'
  faas invoke site -X GET --path /items?limit=3 -i
  echo '{}' | faas invoke hello -d -
  faas invoke hello --async --idempotency-key order-17 --wait
  faas invoke hello --async --callback-url https://example.com/done";

pub(crate) async fn run<S: ServerCommands>(
    args: InvokeArgs,
    session: &Session,
    server: &S,
) -> anyhow::Result<ExitCode> {
    if args.local {
        return in_private(args, session, server).await;
    }
    args.server.refuse_debugger()?;
    call(args, session).await
}

/// Deploys a directory to a private server and calls it there.
async fn in_private<S: ServerCommands>(args: InvokeArgs, session: &Session, server: &S) -> anyhow::Result<ExitCode> {
    let path = or_here(args.name.clone().map(PathBuf::from));
    let project = Project::open(&path, Overrides::default())?;
    let config = args.server.config(&local_data::place(&path, local::TEST_PLACE), 0, &session.out)?;
    let name = Some(project.name.to_string());
    let debugger = args.server.debugger(&path, &session.out)?;
    let called = server.host(config, debugger, async |local| {
        let layers = args.server.layers();
        let deployed = local::deploy(&local.client()?, &project, local.debuggee.as_ref(), layers).await?;
        local::not_installed(&deployed).iter().for_each(|note| session.out.note(note));
        Box::pin(call(InvokeArgs { name, ..args }, &session.at(&local.endpoint, &local.key))).await
    });
    called.await?.ok_or_else(local::interrupted)
}

async fn call(args: InvokeArgs, session: &Session) -> anyhow::Result<ExitCode> {
    let name = name_or_here(args.name)?;
    let call = InvokeRequest {
        body: args.body.as_deref().map(read_body).transpose()?.unwrap_or_default().into(),
        headers: args.headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?,
        path: args.path,
        method: args.method,
    };
    if args.later {
        let LaterArgs { wait, delay, max_age, ordering_key, priority, idempotency_key, callback_url } = args.options;
        let options = LaterOptions { delay, max_age, ordering_key, priority, idempotency_key, callback_url };
        let accepted = session.client()?.invoke_later(&name, call, &options).await?;
        return watch::accepted_or_ended(&accepted, wait, session).await;
    }
    let reply = match session.client()?.invoke(&name, call).await {
        Ok(reply) => reply,
        Err(error) => return Err(explained(error, session).await),
    };
    if session.out.format == Format::Table {
        print_reply(&reply, args.include, session)?;
    } else {
        session.out.json(&envelope(&reply))?;
    }
    let tone = if reply.status < 400 { Tone::Faint } else { Tone::Warning };
    let summary = summary(&reply.meta, reply.status);
    if reply.status >= 400 || session.out.stderr_tty {
        session.out.note(session.out.on_stderr(tone, summary));
    }
    Ok(if reply.status < 400 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A failure of the function with what probably caused it, where that lies outside of its code: a refused connection, a
/// limit, a package that is not there. The run's record says it as soon as it is kept, and to keys that may read runs.
async fn explained(error: ClientError, session: &Session) -> anyhow::Error {
    let ClientError::FunctionFailed { failure, .. } = &error else { return error.into() };
    let Some(cause) = likely_cause(&failure.run_id, session).await else { return error.into() };
    let mut failure = Failure::from(&error);
    failure.details.push(text::visible(&format!("likely cause: {cause}")));
    failure.into()
}

async fn likely_cause(run_id: &str, session: &Session) -> Option<String> {
    let client = session.client().ok()?;
    for _ in 0..LOOKS {
        match client.run(run_id).await {
            Ok(run) if run.error.is_some() => {
                let error = run.error.as_ref()?;
                let is_own = matches!(error.cause, CauseClass::UserError | CauseClass::BadInput);
                return (!is_own).then(|| advice(&run, &error.advice));
            }
            // Records are kept a moment after the answer.
            Ok(_) => {}
            Err(ClientError::Api(problem)) if problem.status == 404 => {}
            Err(_) => return None,
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    None
}

fn header(text: &str) -> Result<(String, String), Failure> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| Failure::usage(format!("`{text}` is not a header; write it as 'NAME: VALUE'")))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn print_reply(reply: &Reply, include: bool, session: &Session) -> anyhow::Result<()> {
    if include {
        session.out.line(format_args!("HTTP {}", reply.status))?;
        for (name, value) in &reply.headers {
            session.out.line(format_args!("{name}: {value}"))?;
        }
        session.out.line("")?;
    }
    session.out.bytes(&reply.body)?;
    // A prompt glued to the answer helps nobody; a file keeps the bytes as they are.
    if session.out.stdout_tty && !reply.body.ends_with(b"\n") && !reply.body.is_empty() {
        session.out.line("")?;
    }
    Ok(())
}

/// The answer with what is known of the call, for programs.
fn envelope(reply: &Reply) -> Value {
    let headers: serde_json::Map<String, Value> =
        reply.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let body = serde_json::from_slice(&reply.body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&reply.body).into_owned()));
    json!({
        "status": reply.status,
        "run_id": reply.meta.run_id,
        "version": reply.meta.version,
        "duration_ms": reply.meta.duration_ms,
        "cold_start": reply.meta.cold_start,
        "headers": headers,
        "body": body,
    })
}

fn summary(meta: &CallMeta, status: u16) -> String {
    let mut parts = vec![format!("HTTP {status}")];
    parts.extend(meta.duration_ms.map(text::millis));
    parts.extend(meta.cold_start.map(|cold| if cold { "cold start".to_owned() } else { "warm".to_owned() }));
    parts.extend(meta.version.map(|version| format!("version {version}")));
    parts.extend(meta.run_id.clone());
    text::visible(&parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_keeps_json_as_json() {
        let reply = |body: &'static str| Reply {
            status: 200,
            headers: vec![("content-type".into(), "x".into())],
            body: body.into(),
            meta: CallMeta::default(),
        };
        assert_eq!(envelope(&reply("{\"a\": 1}"))["body"], json!({"a": 1}));
        assert_eq!(envelope(&reply("plain"))["body"], json!("plain"));
    }

    #[test]
    fn headers_and_bodies_are_checked() {
        assert_eq!(header("X-A:  b:c ").ok(), Some(("X-A".into(), "b:c".into())));
        assert!(header("X-A").is_err());
        assert_eq!(read_body("{}").expect("text"), b"{}");
        let failure = Failure::from_error(&read_body("@/no/such/file").expect_err("no file"));
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (2, "cannot read /no/such/file: no such file or directory")
        );
    }

    #[test]
    fn a_summary_says_what_is_known() {
        let meta = CallMeta { duration_ms: Some(1.25), cold_start: Some(true), ..CallMeta::default() };
        assert_eq!(summary(&meta, 200), "HTTP 200 · 1.2 ms · cold start");
    }
}
