//! `/api/v1/topics`: messages in, and what waits.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request, State};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use faas_engine::OutgoingMessage;
use faas_ports::{Clock, SystemClock, TopicDepth};
use faas_proto::rest::{
    MessageBody, Problem, PurgedTopic, SendMessages, SentMessages, SubscriberView, TopicList, TopicView,
};
use faas_types::{Code, Fault, Reason, TopicName, limits};
use faas_web::{Authorized, HandlerError, Json, PathParams, QueryParams, read_body};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::page::{self, Order, PageQuery};
use crate::state::ApiState;

/// Headers that bring attributes.
const ATTRIBUTE: &str = "x-attribute-";

/// The type of a body that holds several messages.
const BATCH: &str = "application/vnd.faas.messages+json";

/// Sends a message: the body as it is, whatever its content type. Headers `x-attribute-NAME` become its attributes. It is
/// kept until every subscriber of the topic has had it in a run, or, without subscribers, for the first one.
///
/// A body of the type `application/vnd.faas.messages+json` holds up to 1,000 messages: all of them are kept or none.
#[utoipa::path(post, path = "/api/v1/topics/{topic}/messages", operation_id = "topics.sendMessages", tag = "topics", params(("topic" = String, Path, description = "the topic")),
    request_body(content((Option<serde_json::Value> = "application/json"), (SendMessages = "application/vnd.faas.messages+json")), description = "one message of at most 256 KB with its attributes, or a batch"), responses(
    (status = 202, body = SentMessages),
    (status = 429, description = "too many messages of the topic wait", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "too many messages of the project wait", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "the disk is full", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn send_messages(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(name): PathParams<String>,
    request: Request,
) -> Result<impl IntoResponse, HandlerError> {
    let topic = topic_name(&name)?;
    let messages = if is_batch(request.headers()) {
        let Json(SendMessages { messages }) = Json::from_request(request, &()).await?;
        messages.into_iter().enumerate().map(|(index, message)| outgoing(index, message)).collect::<Result<_, _>>()?
    } else {
        let (parts, body) = request.into_parts();
        let body = read_body(&parts.headers, body, limits::MESSAGE_MAX as u64).await?;
        let content_type = parts.headers.get(CONTENT_TYPE).map(text);
        vec![OutgoingMessage { body, content_type, attributes: attributes(&parts.headers)? }]
    };
    let ids = state.engine.triggers.send(caller.project, &topic, messages).await?;
    let ids = ids.iter().map(ToString::to_string).collect();
    Ok((StatusCode::ACCEPTED, Json(SentMessages { topic: topic.to_string(), ids })))
}

fn is_batch(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(BATCH))
}

/// Which topics to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TopicFilter {
    /// Only whose name holds this text.
    #[param(max_length = 200)]
    q: Option<String>,
}

/// Lists the topics that have messages or subscribers, by name; at most 1,000.
#[utoipa::path(get, path = "/api/v1/topics", operation_id = "topics.list", tag = "topics", params(TopicFilter, PageQuery), responses((status = 200, body = TopicList)))]
pub(crate) async fn list_topics(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    QueryParams(filter): QueryParams<TopicFilter>,
    query: PageQuery,
) -> Result<Json<TopicList>, HandlerError> {
    let page = query.of("topics", caller.project, Order::Asc)?;
    let text = page::searched(filter.q.as_deref())?;
    let topics = state.engine.triggers.topics(caller.project).await?.into_iter();
    let found = topics.filter(|topic| page::is_found(text.as_deref(), &[topic.name.as_str()]));
    Ok(Json(page.cut(found, |topic| topic.name.to_string()).map(|topic| view(&topic))))
}

/// Shows how much waits in a topic, and for whom.
#[utoipa::path(get, path = "/api/v1/topics/{topic}", operation_id = "topics.get", tag = "topics", params(("topic" = String, Path, description = "the topic")), responses(
    (status = 200, body = TopicView),
    (status = 404, description = "no messages and no subscribers", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get_topic(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(name): PathParams<String>,
) -> Result<Json<TopicView>, HandlerError> {
    let topic = state.engine.triggers.topic(caller.project, &topic_name(&name)?).await?;
    let subscribers = topic.subscribers.into_iter().map(|one| SubscriberView {
        function: one.function.to_string(),
        trigger: one.trigger.to_string(),
        enabled: one.enabled,
        waiting: one.waiting,
    });
    Ok(Json(TopicView { subscribers: Some(subscribers.collect()), ..view(&topic.depth) }))
}

/// Forgets the messages of a topic. Those that are part of a run stay with it, and subscribers stay.
#[utoipa::path(delete, path = "/api/v1/topics/{topic}/messages", operation_id = "topics.purgeMessages", tag = "topics", params(("topic" = String, Path, description = "the topic")), responses(
    (status = 200, body = PurgedTopic),
    (status = 404, description = "no messages and no subscribers", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn purge_topic(
    State(state): State<ApiState>,
    Authorized(caller): Authorized,
    PathParams(name): PathParams<String>,
) -> Result<Json<PurgedTopic>, HandlerError> {
    let topic = topic_name(&name)?;
    let purged = state.engine.triggers.purge_topic(caller.project, &topic).await?;
    Ok(Json(PurgedTopic { topic: topic.to_string(), purged }))
}

fn topic_name(text: &str) -> Result<TopicName, Fault> {
    text.parse().map_err(|error: faas_types::InvalidName| Fault::new(Code::BadRequest, error.to_string()))
}

fn attributes(headers: &HeaderMap) -> Result<BTreeMap<String, String>, Fault> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(ATTRIBUTE) else { continue };
        if attributes.insert(name.to_owned(), text(value)).is_some() {
            return Err(Fault::new(Reason::InvalidHeader, format!("the header `{ATTRIBUTE}{name}` is there twice")));
        }
    }
    Ok(attributes)
}

fn text(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn outgoing(index: usize, message: MessageBody) -> Result<OutgoingMessage, Fault> {
    let MessageBody { body, body_base64, content_type, attributes } = message;
    let bad = |what: &str| Fault::new(Code::BadRequest, format!("`messages[{index}]`: {what}"));
    let is_json = content_type.as_deref().is_none_or(|kind| {
        let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        media == "application/json" || media.ends_with("+json")
    });
    let body = match (body, body_base64) {
        (Some(_), Some(_)) => return Err(bad("send either body or body_base64")),
        (None, None) => Vec::new().into(),
        (None, Some(encoded)) => {
            BASE64_STANDARD.decode(encoded).map_err(|_| bad("`body_base64` is not base64"))?.into()
        }
        // Text of another type is the content itself, as in a CloudEvent; JSON stays the text that it was.
        (Some(value), None) => match serde_json::from_str::<String>(value.get()) {
            Ok(text) if !is_json => text.into(),
            _ => value.get().to_owned().into(),
        },
    };
    Ok(OutgoingMessage { body, content_type, attributes })
}

fn view(depth: &TopicDepth) -> TopicView {
    let now = SystemClock.now();
    TopicView {
        name: depth.name.to_string(),
        depth: depth.messages,
        bytes: depth.bytes,
        oldest_at: depth.oldest.map(|at| at.to_string()),
        oldest_age_s: depth.oldest.map(|at| now.since(at).as_secs()),
        subscribers: None,
    }
}
