//! Why a call did not give what was asked for.

use std::path::PathBuf;

use faas_proto::rest::{FunctionFailure, Problem};
use faas_types::Code;

use crate::CallMeta;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The platform refused or failed.
    #[error("{}", .0.detail)]
    Api(Box<Problem>),
    /// The function's own code failed.
    #[error("function failed: {}: {}", .failure.error.kind, .failure.error.message)]
    FunctionFailed {
        /// What it raised.
        failure: Box<FunctionFailure>,
        /// What is known of the call.
        meta: CallMeta,
    },
    /// Nobody answers there.
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// What the network said.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {endpoint} in time")]
    Timeout {
        /// The endpoint.
        endpoint: String,
    },
    /// A function's answer ended before it was whole.
    #[error("the function's answer broke off after {received} bytes")]
    BrokenOff {
        /// The run that answered, where the server named it.
        run_id: Option<String>,
        /// How much of it came.
        received: usize,
    },
    /// The answer is not one that a Function Cloud server gives.
    #[error("unexpected answer from {endpoint}: {message}")]
    Protocol {
        /// The endpoint.
        endpoint: String,
        /// What was odd.
        message: String,
    },
    /// The endpoint cannot be used.
    #[error("endpoint `{endpoint}` is not usable: {reason}")]
    InvalidEndpoint {
        /// The endpoint.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// The key cannot be used.
    #[error("the API key is not usable: it is empty or holds characters that keys do not have; check FAAS_API_KEY")]
    InvalidKey,
    /// An argument cannot be part of a request.
    #[error("{0}")]
    InvalidArgument(String),
    /// A file could not be read while it was uploaded.
    #[error("cannot read {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

// === impl ClientError ===

impl ClientError {
    /// The catalogue entry, where the failure has one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Api(problem) => problem.code.parse().ok(),
            Self::FunctionFailed { .. } => Some(Code::RuntimeError),
            _ => None,
        }
    }

    /// The exit code of a command that ends with this failure.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Api(_) | Self::FunctionFailed { .. } => self.code().map_or(1, Code::exit_code),
            Self::Unreachable { .. } => 9,
            Self::Timeout { .. } => 8,
            Self::InvalidEndpoint { .. } | Self::InvalidArgument(_) => 2,
            Self::InvalidKey => 3,
            Self::Protocol { .. } | Self::BrokenOff { .. } | Self::File { .. } => 1,
        }
    }

    /// Whether the network's words mean that the other side does not speak TLS.
    fn is_plain_server(&self) -> bool {
        matches!(self, Self::Unreachable { reason, .. } if reason.contains("InvalidContentType") || reason.contains("not use TLS"))
    }

    /// What to do next, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Api(problem) => problem.cli_hint.clone().or_else(|| problem.hint.clone()),
            Self::FunctionFailed { failure, .. } => failure.error.hint.clone(),
            Self::Unreachable { endpoint, .. } if endpoint.starts_with("https://") && self.is_plain_server() => {
                Some(format!("the server answers without TLS; write {}", endpoint.replacen("https", "http", 1)))
            }
            Self::Unreachable { .. } => Some(
                "start a server with `faas up`, or name the one you mean with --endpoint or FAAS_ENDPOINT".to_owned(),
            ),
            Self::Timeout { .. } => Some("look at the server with `faas status`".to_owned()),
            Self::InvalidEndpoint { reason, .. } if !reason.contains("did you mean") => {
                Some("write it as http://127.0.0.1:8080".to_owned())
            }
            Self::BrokenOff { run_id: Some(run_id), .. } => Some(format!(
                "`faas runs get {run_id}` says how the run ended, and `faas runs logs {run_id}` what it wrote"
            )),
            Self::Protocol { .. } => {
                Some("check that the endpoint is a Function Cloud server of the same release as this faas".to_owned())
            }
            _ => None,
        }
    }
}
