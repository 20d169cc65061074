//! `/api/v1/functions/{function}/network`.

use axum::extract::State;
use faas_engine::{FunctionEntry, NetworkState, NetworkTarget, NetworkTrial, NetworkUsage, PolicyChange, TrialOutcome};
use faas_proto::rest::{
    AddressDecisionView, DecisionView, EgressPolicyView, NetworkTestOutcome, NetworkTestView, NetworkUsageView,
    NetworkView, Problem, TestNetwork, UpdateNetwork,
};
use faas_types::{EgressPolicy, Fault, NetworkMode};
use faas_web::{Authorized, HandlerError, Json, PathParams};
use http::StatusCode;

use crate::state::ApiState;
use crate::views::{author_view, millis};

/// Characters of a name that is tried.
const HOST_MAX: usize = 253;

/// Shows what a function may connect to.
#[utoipa::path(get, path = "/api/v1/functions/{function}/network", operation_id = "network.get", tag = "network", params(("function" = String, Path, description = "name or id")), responses(
    (status = 200, body = NetworkView),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_network(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<Json<NetworkView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    Ok(Json(view(&entry, &state.engine.network.of(&entry).await?)))
}

/// Changes what a function may connect to, without a deployment: running instances follow at once. It stands in place of
/// what manifests say, of every version, until it is reset.
#[utoipa::path(patch, path = "/api/v1/functions/{function}/network", operation_id = "network.update", tag = "network", params(("function" = String, Path, description = "name or id")),
    request_body = UpdateNetwork, responses(
    (status = 200, body = NetworkView),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "a policy that cannot hold, or a function without a network", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn update_network(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    Json(body): Json<UpdateNetwork>,
) -> Result<Json<NetworkView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let entry = state.engine.network.set(&entry, &change(body)?, &caller.author()).await?;
    Ok(Json(view(&entry, &state.engine.network.of(&entry).await?)))
}

/// Gives a function back what its manifests say of the network.
#[utoipa::path(delete, path = "/api/v1/functions/{function}/network", operation_id = "network.reset", tag = "network", params(("function" = String, Path, description = "name or id")), responses(
    (status = 204, description = "reset"),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "changed by others meanwhile", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn reset_network(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
) -> Result<StatusCode, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    state.engine.network.reset(&entry, &caller.author()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries a connection as one of the function's instances would make it: looks the host up, decides on its addresses and
/// connects. Nothing is sent, and nothing is read.
#[utoipa::path(post, path = "/api/v1/functions/{function}/network/test", operation_id = "network.test", tag = "network", params(("function" = String, Path, description = "name or id")),
    request_body = TestNetwork, responses(
    (status = 200, body = NetworkTestView),
    (status = 404, description = "no such function", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "a host that cannot be tried, or a function without a network", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "too many tries at once", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn test_network(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(id): PathParams<String>,
    Json(body): Json<TestNetwork>,
) -> Result<Json<NetworkTestView>, HandlerError> {
    let entry = state.engine.catalog().find(caller.project, &id)?;
    let target = target(&body)?;
    let trial = state.engine.network.try_connection(&entry, &target).await?;
    Ok(Json(trial_view(target, trial)))
}

fn change(body: UpdateNetwork) -> Result<PolicyChange, Fault> {
    fn parsed<T>(field: &str, texts: Option<Vec<String>>) -> Result<Option<Vec<T>>, Fault>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let each = |text: String| text.parse().map_err(|error| invalid(format!("{field}: {error}")));
        texts.map(|texts| texts.into_iter().map(each).collect()).transpose()
    }
    if body == UpdateNetwork::default() {
        return Err(invalid("nothing to change; give allow, deny, networks or log"));
    }
    let allow = match body.allow {
        Some(allow) => Some(parsed("allow", allow)?),
        None => None,
    };
    Ok(PolicyChange {
        allow,
        deny: parsed("deny", body.deny)?,
        networks: parsed("networks", body.networks)?,
        log: body.log,
    })
}

fn target(body: &TestNetwork) -> Result<NetworkTarget, Fault> {
    let host = body.host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_host = is_name || host.parse::<std::net::IpAddr>().is_ok();
    if host.is_empty() || host.len() > HOST_MAX || !is_host {
        return Err(invalid("host: must be a name or an address, such as api.stripe.com"));
    }
    if body.port == 0 {
        return Err(invalid("port: must be from 1 to 65535"));
    }
    Ok(NetworkTarget { host, port: body.port, transport: body.protocol })
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::of_field(message)
}

fn view(entry: &FunctionEntry, state: &NetworkState) -> NetworkView {
    let mode = state.mode();
    let has_policy = mode == Some(NetworkMode::Egress);
    let own = state.version.as_ref().map(|version| policy_view(&version.settings.egress));
    NetworkView {
        function: entry.record.name.to_string(),
        network: mode,
        policy: state.effective().filter(|_| has_policy || state.set.is_some()).as_ref().map(policy_view),
        source: if state.set.is_some() { "function" } else { "manifest" }.to_owned(),
        actor: state.set.as_ref().map(|set| author_view(&set.by)),
        set_at: state.set.as_ref().map(|set| set.at.to_string()),
        manifest: own.filter(|_| has_policy && state.set.is_some()),
        granted: state.granted.iter().map(ToString::to_string).collect(),
        usage: usage_view(state.usage),
    }
}

fn policy_view(policy: &EgressPolicy) -> EgressPolicyView {
    EgressPolicyView {
        allow: policy.allow.as_ref().map(|rules| rules.iter().map(ToString::to_string).collect()),
        deny: policy.deny.iter().map(ToString::to_string).collect(),
        networks: policy.networks.iter().map(ToString::to_string).collect(),
        log: policy.log,
    }
}

pub(crate) fn usage_view(usage: NetworkUsage) -> NetworkUsageView {
    let NetworkUsage { connections, open, denied, sent, received } = usage;
    NetworkUsageView { connections, open, denied, sent_bytes: sent, received_bytes: received }
}

fn trial_view(target: NetworkTarget, trial: NetworkTrial) -> NetworkTestView {
    let took = |span: std::time::Duration| millis(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    let (outcome, connected) = match trial.outcome {
        TrialOutcome::Connected { address, took } => (NetworkTestOutcome::Connected, Some((address, took))),
        TrialOutcome::Denied => (NetworkTestOutcome::Denied, None),
        TrialOutcome::NoAddress => (NetworkTestOutcome::NoAddress, None),
        TrialOutcome::LookUpFailed => (NetworkTestOutcome::LookUpFailed, None),
        TrialOutcome::Refused => (NetworkTestOutcome::Refused, None),
        TrialOutcome::Unreachable => (NetworkTestOutcome::Unreachable, None),
        TrialOutcome::TimedOut => (NetworkTestOutcome::TimedOut, None),
    };
    let decision = |decision: faas_engine::NetworkDecision| DecisionView {
        allowed: decision.allowed,
        rule: decision.rule,
        key: decision.key,
    };
    let on_address = |(address, ruled): (std::net::IpAddr, _)| AddressDecisionView {
        address: address.to_string(),
        decision: decision(ruled),
    };
    NetworkTestView {
        host: target.host,
        port: target.port,
        protocol: target.transport,
        outcome,
        address: connected.map(|(address, _)| address.to_string()),
        connect_ms: connected.map(|(_, span)| took(span)),
        addresses: trial.addresses.into_iter().map(on_address).collect(),
        look_up_ms: trial.look_up.map(took),
        decision: decision(trial.decision),
    }
}
