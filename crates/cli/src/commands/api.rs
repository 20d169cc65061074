//! `faas api`

use std::process::ExitCode;

use clap::Args;
use faas_client::InvokeRequest;
use faas_terminal::body_argument::read_body;
use faas_terminal::output::Tone;
use faas_terminal::session::Session;

/// Call any route of the server's API with your key
///
/// The answer's body goes to standard output as it is. A refusal by the server is printed as by any other command; a function's own
/// answer of 400 or more ends with 1. /openapi.json lists the routes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApiArgs {
    /// GET, POST, PUT, PATCH or DELETE
    method: String,
    /// The path with its query
    path: String,
    /// A JSON body: text, @FILE, or - for standard input
    #[arg(short = 'd', long, alias = "data", value_name = "BODY", allow_hyphen_values = true)]
    body: Option<String>,
    /// Print status and headers before the body
    #[arg(short, long)]
    include: bool,
}

const EXAMPLES: &str = "\
Examples:
  faas api GET /api/v1/functions
  faas api GET '/api/v1/runs?limit=3' | jq .
  faas api POST /api/v1/functions/hello/invoke -d '{\"name\": \"Ada\"}'";

pub(crate) async fn run(args: ApiArgs, session: &Session) -> anyhow::Result<ExitCode> {
    let body = args.body.as_deref().map(read_body).transpose()?.unwrap_or_default().into();
    let call = InvokeRequest { method: Some(args.method), body, ..InvokeRequest::default() };
    let reply = session.client()?.raw(&args.path, call).await?;
    if let Some(refusal) = reply.refusal() {
        return Err(refusal.into());
    }
    if args.include {
        session.out.line(format_args!("HTTP {}", reply.status))?;
        for (name, value) in &reply.headers {
            session.out.line(format_args!("{name}: {value}"))?;
        }
        session.out.line("")?;
    }
    session.out.bytes(&reply.body)?;
    if session.out.stdout_tty && !reply.body.ends_with(b"\n") && !reply.body.is_empty() {
        session.out.line("")?;
    }
    if reply.status < 400 {
        return Ok(ExitCode::SUCCESS);
    }
    session.out.note(session.out.on_stderr(Tone::Warning, format_args!("HTTP {}", reply.status)));
    Ok(ExitCode::FAILURE)
}
