//! Why a request was refused or failed, finer than its [`Code`]: the words that programs decide by. A reason keeps its word and its
//! code; new ones may come.

use std::fmt;
use std::str::FromStr;

use crate::Code;
use crate::text_form::text_form;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $code:ident $(, $hint:literal)?;)*) => {
        /// Why a request was refused or failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])* $name,)*
        }

        impl Reason {
            /// Every reason, by code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason as programs see it, such as `run_not_found`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The catalogue entry that it belongs to.
            #[must_use]
            pub const fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii(),)* }
            }

            /// What a caller of the API does next, where every occurrence wants the same.
            #[must_use]
            pub const fn hint(self) -> Option<&'static str> {
                match self { $(Self::$name => reasons!(@hint $($hint)?),)* }
            }
        }
    };
    (@hint $hint:literal) => { Some($hint) };
    (@hint) => { None };
}

reasons! {
    /// No function has that name or id.
    FunctionNotFound = "function_not_found", FunctionNotFound, "list functions with GET /api/v1/functions";
    /// The function exists but has no deployed version.
    FunctionNotDeployed = "function_not_deployed", FunctionNotFound, "deploy it with POST /api/v1/functions/{function}/deployments";
    /// The function was deleted while the request used it.
    FunctionDeleted = "function_deleted", FunctionNotFound;
    /// The function ran past its timeout, or its reply was not taken within it.
    TimeoutExceeded = "timeout_exceeded", TimeoutExceeded;
    /// The function used more memory than its limit.
    MemoryExceeded = "memory_exceeded", MemoryExceeded;
    /// The function's own code raised an error.
    FunctionError = "function_error", RuntimeError;
    /// The function's process ended, or what it answered is no reply.
    RuntimeFailed = "runtime_failed", RuntimeError;
    /// The version could not be sealed or did not load.
    DeploymentFailed = "deployment_failed", DeploymentFailed;
    /// A setting or a value is wrong.
    InvalidConfiguration = "invalid_configuration", InvalidConfiguration;
    /// Fields of the body are missing, unknown or of another type; `errors` names them.
    InvalidBody = "invalid_body", InvalidConfiguration, "the fields of each body are described at /openapi.json";
    /// The manifest has mistakes; `errors` names each.
    InvalidManifest = "invalid_manifest", InvalidConfiguration, "the keys of a manifest are described at /schema/faas.toml.json";
    /// The trigger has mistakes; `errors` names each.
    InvalidTrigger = "invalid_trigger", InvalidConfiguration;
    /// More calls than a limit allows.
    RateLimited = "rate_limited", RateLimited;
    /// There are as many of these things as there may be.
    LimitReached = "limit_reached", RateLimited, "remove some that are not used";
    /// No instance was ready in time.
    ColdStartTimeout = "cold_start_timeout", ColdStartTimeout;
    /// Policy denies what was asked.
    PermissionDenied = "permission_denied", PermissionDenied;
    /// The key lacks the scope that the route needs.
    ScopeMissing = "scope_missing", PermissionDenied, "use a key with the scope that the message names; POST /api/v1/keys makes one";
    /// The key is restricted to other functions.
    FunctionNotAllowed = "function_not_allowed", PermissionDenied, "use another key, or name the function in `functions` of PATCH /api/v1/keys/{key}";
    /// The request has no credentials that count here.
    Unauthenticated = "unauthenticated", Unauthenticated;
    /// The request carries no key.
    KeyMissing = "key_missing", Unauthenticated, "send `Authorization: Bearer KEY`";
    /// The key is malformed, unknown or revoked.
    KeyInvalid = "key_invalid", Unauthenticated, "use another key; an admin makes one with POST /api/v1/keys";
    /// The key is past its `expires_at`.
    KeyExpired = "key_expired", Unauthenticated, "use another key; PATCH /api/v1/keys/{key} moves the end of this one";
    /// A body, an upload or a value is larger than its limit.
    PayloadTooLarge = "payload_too_large", PayloadTooLarge;
    /// What the function answered is larger than a reply may be.
    ReplyTooLarge = "reply_too_large", PayloadTooLarge;
    /// The request cannot be read.
    MalformedRequest = "malformed_request", BadRequest;
    /// The body is not JSON, or is cut.
    MalformedJson = "malformed_json", BadRequest;
    /// The route has no query parameter of that name.
    UnknownParameter = "unknown_parameter", BadRequest, "the parameters of each path are described at /openapi.json";
    /// A parameter of the query or a part of the path has a value that it does not take.
    InvalidParameter = "invalid_parameter", BadRequest, "the parameters of each path are described at /openapi.json";
    /// The server did not make the cursor, or made it for another list or other filters.
    InvalidCursor = "invalid_cursor", BadRequest, "begin again without a cursor; the filters stay the same through all pages";
    /// A header has a value that it does not take.
    InvalidHeader = "invalid_header", BadRequest;
    /// What was asked for does not exist.
    NotFound = "not_found", NotFound;
    /// The server has no such route.
    RouteNotFound = "route_not_found", NotFound, "the routes of this server are listed at /openapi.json";
    /// No HTTP trigger of the function takes that path.
    PathNotServed = "path_not_served", NotFound;
    /// No run has that id, or it is older than what is kept.
    RunNotFound = "run_not_found", NotFound, "list runs with GET /api/v1/runs";
    /// The input of the run is not kept.
    RunInputNotKept = "run_input_not_kept", NotFound;
    /// No dead letter has that id.
    DeadLetterNotFound = "dead_letter_not_found", NotFound, "list them with GET /api/v1/dead-letters";
    /// The function has no such version.
    VersionNotFound = "version_not_found", NotFound, "list versions with GET /api/v1/functions/{function}/versions";
    /// The version or the layer has no such file.
    FileNotFound = "file_not_found", NotFound, "list files with GET /api/v1/functions/{function}/versions/{version}/files";
    /// The function has no such alias.
    AliasNotFound = "alias_not_found", NotFound, "list aliases with GET /api/v1/functions/{function}/aliases";
    /// No rollout of the function is under way.
    RolloutNotFound = "rollout_not_found", NotFound;
    /// No deployment has that id.
    DeploymentNotFound = "deployment_not_found", NotFound, "list deployments with GET /api/v1/functions/{function}/deployments";
    /// No deployment group has that id.
    DeploymentGroupNotFound = "deployment_group_not_found", NotFound;
    /// The function has no such trigger.
    TriggerNotFound = "trigger_not_found", NotFound, "list triggers with GET /api/v1/functions/{function}/triggers";
    /// No webhook has that URL.
    WebhookNotFound = "webhook_not_found", NotFound, "compare the URL with `url` of the trigger";
    /// The topic has no messages and no subscribers.
    TopicNotFound = "topic_not_found", NotFound, "list topics with GET /api/v1/topics";
    /// No layer has that name, version or id.
    LayerNotFound = "layer_not_found", NotFound, "list layers with GET /api/v1/layers and GET /api/v1/package-layers";
    /// The var is not set there.
    VarNotFound = "var_not_found", NotFound;
    /// The secret, or its version, does not exist.
    SecretNotFound = "secret_not_found", NotFound, "list secrets with GET /api/v1/secrets";
    /// No key has that id.
    KeyNotFound = "key_not_found", NotFound, "list keys with GET /api/v1/keys";
    /// The catalogue has no such error.
    ErrorPageNotFound = "error_page_not_found", NotFound;
    /// The present state does not allow it.
    Conflict = "conflict", Conflict;
    /// Something of that name exists.
    NameTaken = "name_taken", Conflict;
    /// Another request changed it at the same time; nothing was done.
    ChangedMeanwhile = "changed_meanwhile", Conflict, "read the current state and try again";
    /// Another operation on the same thing is under way.
    OperationInProgress = "operation_in_progress", Conflict, "wait for it to end, then try again";
    /// Something else uses it.
    InUse = "in_use", Conflict;
    /// The deployment has ended, or is being committed.
    DeploymentEnded = "deployment_ended", Conflict;
    /// The run has ended already.
    RunEnded = "run_ended", Conflict;
    /// The run has not ended yet.
    RunNotEnded = "run_not_ended", Conflict;
    /// The alias is a preview, or is not one.
    AliasKindMismatch = "alias_kind_mismatch", Conflict;
    /// The manifest decides about it.
    ManagedByManifest = "managed_by_manifest", Conflict, "change the manifest and deploy";
    /// The trigger is switched off, or has no secret yet.
    TriggerNotReady = "trigger_not_ready", Conflict;
    /// A key cannot revoke itself.
    OwnKey = "own_key", Conflict, "revoke it with another key of the scope admin";
    /// A request with the same `Idempotency-Key` is under way.
    IdempotencyInProgress = "idempotency_in_progress", Conflict, "wait for the first request to end, then try again";
    /// The request with this `Idempotency-Key` was accepted or done, and there is no answer to send again.
    IdempotencyAnswerNotKept = "idempotency_answer_not_kept", Conflict;
    /// The server stopped before it answered the request with this `Idempotency-Key`; it may have been carried out.
    IdempotencyOutcomeUnknown = "idempotency_outcome_unknown", Conflict, "look whether it was done; send it with another key if not";
    /// Every instance is busy and the queue is full, or the wait passed its deadline.
    Overloaded = "overloaded", Overloaded;
    /// The server is starting or stopping, or has no room for the request.
    Unavailable = "unavailable", Unavailable;
    /// The server stopped while the deployment was under way; nothing was changed.
    DeploymentInterrupted = "deployment_interrupted", Unavailable, "deploy again";
    /// The machine cannot confine functions as strongly as demanded.
    IsolationUnavailable = "isolation_unavailable", IsolationUnavailable;
    /// The disk is full.
    StorageFull = "storage_full", StorageFull;
    /// The named runtime is not installed on the server.
    RuntimeMissing = "runtime_missing", RuntimeMissing, "GET /api/v1/system lists the runtimes of this server";
    /// The path does not take that method.
    MethodNotAllowed = "method_not_allowed", MethodNotAllowed, "the header `Allow` names the methods it takes";
    /// A later release brings it.
    NotImplemented = "not_implemented", NotImplemented;
    /// A defect of the server.
    Internal = "internal", Internal;
    /// The caller went away or cancelled the run.
    Cancelled = "cancelled", Cancelled;
    /// The deployment was cancelled; nothing was changed.
    DeploymentCancelled = "deployment_cancelled", Cancelled;
    /// The route does not take a body of that media type.
    UnsupportedMediaType = "unsupported_media_type", UnsupportedMediaType;
    /// The function could not start another process or thread.
    ProcessLimit = "process_limit", ProcessLimit;
    /// The function filled its `/tmp`.
    TmpFull = "tmp_full", TmpFull;
    /// A run wrote more log than is kept.
    LogLimit = "log_limit", LogLimit;
    /// An upload holds a secret, or what the operator or the project blocks.
    UploadRefused = "upload_refused", UploadRefused;
    /// A secret that the function's vars refer to does not exist or cannot be opened.
    SecretUnusable = "secret_unusable", SecretUnusable;
    /// The `Idempotency-Key` was used with another request.
    IdempotencyKeyMismatch = "idempotency_key_mismatch", KeyReused, "use a fresh key for another request";
    /// The resource is not the one that `If-Match` or `If-None-Match` asks for; nothing was done.
    PreconditionFailed = "precondition_failed", PreconditionFailed, "read the resource again, and send the request with its new `ETag`";
}

// === impl Reason ===

impl From<Code> for Reason {
    /// The reason of a failure of which no more than the code is known.
    fn from(code: Code) -> Self {
        match code {
            Code::FunctionNotFound => Self::FunctionNotFound,
            Code::TimeoutExceeded => Self::TimeoutExceeded,
            Code::MemoryExceeded => Self::MemoryExceeded,
            Code::RuntimeError => Self::RuntimeFailed,
            Code::DeploymentFailed => Self::DeploymentFailed,
            Code::InvalidConfiguration => Self::InvalidConfiguration,
            Code::RateLimited => Self::RateLimited,
            Code::ColdStartTimeout => Self::ColdStartTimeout,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PayloadTooLarge => Self::PayloadTooLarge,
            Code::BadRequest => Self::MalformedRequest,
            Code::NotFound => Self::NotFound,
            Code::Conflict => Self::Conflict,
            Code::Overloaded => Self::Overloaded,
            Code::Unavailable => Self::Unavailable,
            Code::IsolationUnavailable => Self::IsolationUnavailable,
            Code::StorageFull => Self::StorageFull,
            Code::RuntimeMissing => Self::RuntimeMissing,
            Code::MethodNotAllowed => Self::MethodNotAllowed,
            Code::NotImplemented => Self::NotImplemented,
            Code::Internal => Self::Internal,
            Code::Cancelled => Self::Cancelled,
            Code::UnsupportedMediaType => Self::UnsupportedMediaType,
            Code::ProcessLimit => Self::ProcessLimit,
            Code::TmpFull => Self::TmpFull,
            Code::LogLimit => Self::LogLimit,
            Code::UploadRefused => Self::UploadRefused,
            Code::SecretUnusable => Self::SecretUnusable,
            Code::KeyReused => Self::IdempotencyKeyMismatch,
            Code::PreconditionFailed => Self::PreconditionFailed,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|reason| reason.as_str() == text);
        found.copied().ok_or_else(|| format!("`{text}` is not a reason of an error"))
    }
}

text_form!(Reason);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_distinct_words_in_the_order_of_their_codes() {
        for pair in Reason::ALL.windows(2) {
            assert!(pair[0].code() <= pair[1].code(), "{pair:?}");
        }
        for reason in Reason::ALL {
            let text = reason.as_str();
            assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{text}");
            assert_eq!(text.parse(), Ok(*reason), "two reasons share a word");
            assert!(reason.meaning().ends_with('.'), "{text}: {}", reason.meaning());
        }
        for code in Code::ALL {
            assert_eq!(Reason::from(*code).code(), *code);
        }
    }

    #[test]
    fn hints_for_programs_name_no_command() {
        for reason in Reason::ALL {
            assert!(reason.hint().is_none_or(|hint| !hint.contains("`faas ")), "{reason}");
        }
    }
}
