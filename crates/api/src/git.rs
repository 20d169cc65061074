//! A git remote of each function: what is pushed to `main` is deployed, what is pushed to another branch becomes a preview.
//!
//! The smart HTTP protocol of git, pushes only. `git receive-pack` unpacks and checks what comes; its hook hands the files to
//! this program's own `faas deploy`, whose words reach whoever pushed. A push whose deployment fails is refused.
//!
//! What is pushed is a stranger's. git, the hook and what it runs are helpers (`faas_ports::HelperRules`): they have limits, and
//! reach the repository, a scratch directory and this server's port alone.

mod commands;
mod feed;
mod leftovers;
mod receive;
mod remote;
mod repository;
mod room;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faas_engine::{Caller, Engine};
use faas_types::{Code, Fault, FunctionName, Reason, Scope};
use faas_web::{PathParams, QueryParams, authenticate_key, check_named};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use crate::git::commands::Commands;
use crate::git::receive::Push;
use crate::git::repository::Repository;

pub use remote::{GitRemote, GitSettings};

const SERVICE: &str = "git-receive-pack";
const ADVERTISEMENT: &str = "application/x-git-receive-pack-advertisement";
const REQUEST: &str = "application/x-git-receive-pack-request";
const RESULT: &str = "application/x-git-receive-pack-result";

/// What the routes of the protocol work with.
#[derive(Clone)]
pub(crate) struct GitState {
    /// The engine.
    pub(crate) engine: Engine,
    /// Where pushes go.
    pub(crate) remote: Arc<GitRemote>,
}

/// What goes wrong with a push, told in the words of the protocol: git shows plain text to whoever pushes.
struct Refusal(Fault);

#[derive(Debug, Deserialize)]
struct Service {
    service: Option<String>,
}

// === impl Refusal ===

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let fault = self.0;
        let hint = fault.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        let text = format!("error[{}]: {}{hint}\n", fault.code, fault.message);
        let status = StatusCode::from_u16(fault.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response();
        if fault.code == Code::Unauthenticated {
            // What makes git ask its credential helpers.
            let challenge = HeaderValue::from_static("Basic realm=\"Function Cloud\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// The routes of the protocol. They check keys themselves: git sends them as a password.
pub(crate) fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    GitState: FromRef<S>,
{
    Router::new()
        .route("/git/{function}/info/refs", get(advertise))
        .route("/git/{function}/git-receive-pack", post(receive))
        .route("/git/{function}/git-upload-pack", post(async || Refusal(only_pushes())))
}

/// What branches there are, before a push.
async fn advertise(
    State(state): State<GitState>,
    PathParams(function): PathParams<String>,
    QueryParams(query): QueryParams<Service>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (_, caller) = caller(&state, &headers)?;
    if query.service.as_deref() != Some(SERVICE) {
        return Err(only_pushes().into());
    }
    let name = name(&function)?;
    check_named(&state.engine, &caller, name.as_str())?;
    let _permit = state.remote.enter()?;
    let refs = receive::advertise(&state.remote, caller.project, &name).await?;
    let announced = format!("# service={SERVICE}\n");
    let mut body = format!("{:04x}{announced}0000", announced.len() + 4).into_bytes();
    body.extend_from_slice(&refs);
    Ok(([(CONTENT_TYPE, ADVERTISEMENT), (CACHE_CONTROL, "no-cache")], body).into_response())
}

/// A push.
async fn receive(
    State(state): State<GitState>,
    PathParams(function): PathParams<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (key, caller) = caller(&state, &headers)?;
    let says = |name: http::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if says(CONTENT_TYPE) != Some(REQUEST) || says(CONTENT_ENCODING).is_some() {
        return Err(Fault::new(Code::UnsupportedMediaType, format!("send {REQUEST} as it is")).into());
    }
    let name = name(&function)?;
    check_named(&state.engine, &caller, name.as_str())?;
    let permit = state.remote.enter()?;
    let turn = state.remote.turn(state.remote.path_of(caller.project, &name))?;
    let deadline = Instant::now() + receive::PATIENCE;
    let mut body = body.into_data_stream();
    let commands = Commands::read(&mut body, deadline).await?;
    let answer = if commands.is_probe() {
        Body::empty()
    } else if let Some(fault) = state.remote.admit().err().filter(|_| commands.brings) {
        // What only deletes makes room.
        feed::drain(body, deadline).await;
        Body::from(commands.refusal(&fault))
    } else {
        let repository = Repository::open(&state.remote, caller.project, &name).await?;
        let push = Push { repository, key, project: caller.project, function: name, commands, turn, permit };
        receive::run(&state.remote, push, body, deadline).await?
    };
    Ok(([(CONTENT_TYPE, RESULT), (CACHE_CONTROL, "no-cache")], answer).into_response())
}

fn name(text: &str) -> Result<FunctionName, Fault> {
    let text = text.strip_suffix(".git").unwrap_or(text);
    text.parse().map_err(|error: faas_types::InvalidName| Fault::new(Code::BadRequest, error.to_string()))
}

/// The key, which stands where git has a password, and whose it is.
fn caller(state: &GitState, headers: &HeaderMap) -> Result<(String, Arc<Caller>), Fault> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(key);
    let key = given.ok_or_else(|| {
        Fault::new(Reason::KeyMissing, "this needs a key")
            .with_command_hint("give a key as the password, or let `faas git remote` set this repository up")
    })?;
    let caller = authenticate_key(&state.engine, &key, Scope::Deploy)?;
    Ok((key, caller))
}

fn key(authorization: &str) -> Option<String> {
    let (scheme, rest) = authorization.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(rest.trim()).ok())??;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

fn only_pushes() -> Fault {
    Fault::new(Code::PermissionDenied, "this remote takes pushes and gives nothing back")
        .with_hint("fetch from where your repository has its home")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_password() {
        let basic = |text: &str| key(&format!("Basic {}", STANDARD.encode(text)));
        assert_eq!(basic("anybody:faas_a:b").as_deref(), Some("faas_a:b"));
        assert_eq!(key("bearer faas_a").as_deref(), Some("faas_a"));
        assert_eq!(basic("no-colon"), None);
        assert_eq!(key("Basic %%%"), None);
        assert_eq!(key("Digest x"), None);
    }

    #[test]
    fn names_are_functions_names() {
        assert_eq!(name("hello.git").expect("a name").as_str(), "hello");
        for bad in ["..", "a/b", ".git", "A", ""] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
