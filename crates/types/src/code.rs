//! The error catalogue. Each code maps once to HTTP status, gRPC status and CLI exit code, and has a page
//! under `docs/errors/`.
//!
//! `FN_001` to `FN_009` carry the meanings of the Functions Service document; the rest extend it.

use std::fmt;
use std::str::FromStr;

use crate::text_form::text_form;

/// gRPC status codes, by their numbers in the gRPC specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the gRPC specification's own")]
pub enum GrpcStatus {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $title:literal, http $http:literal, $grpc:ident, exit $exit:literal, retryable $retry:literal;)*) => {
        /// A reason why the platform could not do what was asked, or what ended a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as people and programs see it, such as `FN_003`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// A few words for a heading; the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The HTTP status that carries this code.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $http,)* }
            }

            /// The gRPC status that carries this code.
            #[must_use]
            pub const fn grpc_status(self) -> GrpcStatus {
                match self { $(Self::$name => GrpcStatus::$grpc,)* }
            }

            /// The exit code of a command that ends with this code.
            #[must_use]
            pub const fn exit_code(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }

            /// Whether the same request may succeed when sent again unchanged.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retry,)* }
            }
        }
    };
}

catalogue! {
    /// No function of that name, or none that the caller may know of.
    FunctionNotFound = "FN_001", "function not found", http 404, NotFound, exit 4, retryable false;
    /// The function ran past its timeout and its process tree was killed.
    TimeoutExceeded = "FN_002", "timeout exceeded", http 504, DeadlineExceeded, exit 8, retryable true;
    /// The function used more memory than its limit and was killed.
    MemoryExceeded = "FN_003", "memory limit exceeded", http 502, ResourceExhausted, exit 7, retryable false;
    /// The function raised an error, crashed or broke its contract.
    RuntimeError = "FN_004", "runtime error", http 502, Unknown, exit 1, retryable false;
    /// The version could not be sealed or did not load; the previous one still serves.
    DeploymentFailed = "FN_005", "deployment failed", http 422, FailedPrecondition, exit 5, retryable false;
    /// A manifest, setting or request field is wrong.
    InvalidConfiguration = "FN_006", "invalid configuration", http 422, InvalidArgument, exit 5, retryable false;
    /// More calls than a limit allows.
    RateLimited = "FN_007", "rate limit exceeded", http 429, ResourceExhausted, exit 7, retryable true;
    /// The instance was not ready within its init limit.
    ColdStartTimeout = "FN_008", "cold start timeout", http 504, DeadlineExceeded, exit 8, retryable true;
    /// The key is valid but lacks the scope, or the action is denied by policy.
    PermissionDenied = "FN_009", "permission denied", http 403, PermissionDenied, exit 3, retryable false;
    /// No key, or one that is malformed, unknown or revoked.
    Unauthenticated = "FN_010", "authentication required", http 401, Unauthenticated, exit 3, retryable false;
    /// A body, upload or value is larger than its limit.
    PayloadTooLarge = "FN_011", "payload too large", http 413, ResourceExhausted, exit 7, retryable false;
    /// The request cannot be read: malformed JSON, a bad parameter, too deep.
    BadRequest = "FN_012", "malformed request", http 400, InvalidArgument, exit 2, retryable false;
    /// No such run, version, alias, key or route.
    NotFound = "FN_013", "not found", http 404, NotFound, exit 4, retryable false;
    /// The state changed meanwhile, or another operation on the same thing is under way.
    Conflict = "FN_014", "conflict", http 409, Aborted, exit 6, retryable true;
    /// Every instance is busy and the queue is full, or the wait passed its deadline.
    Overloaded = "FN_015", "overloaded", http 503, Unavailable, exit 7, retryable true;
    /// The server is starting or stopping.
    Unavailable = "FN_016", "server not available", http 503, Unavailable, exit 9, retryable true;
    /// The machine cannot confine functions as strongly as demanded.
    IsolationUnavailable = "FN_017", "isolation not available", http 503, FailedPrecondition, exit 1, retryable false;
    /// The disk is full or below its low-water mark.
    StorageFull = "FN_018", "storage full", http 503, ResourceExhausted, exit 7, retryable true;
    /// The named runtime is not installed on this machine.
    RuntimeMissing = "FN_019", "runtime not installed", http 422, FailedPrecondition, exit 5, retryable false;
    /// The method is not allowed on this path.
    MethodNotAllowed = "FN_020", "method not allowed", http 405, Unimplemented, exit 2, retryable false;
    /// Something that a later release brings.
    NotImplemented = "FN_021", "not available in this release", http 501, Unimplemented, exit 1, retryable false;
    /// A defect of the platform itself.
    Internal = "FN_022", "internal error", http 500, Internal, exit 1, retryable true;
    /// The caller went away or cancelled the run.
    Cancelled = "FN_023", "cancelled", http 499, Cancelled, exit 1, retryable true;
    /// The body's media type is not one that the route takes.
    UnsupportedMediaType = "FN_024", "unsupported media type", http 415, InvalidArgument, exit 2, retryable false;
    /// The function could not start another process or thread within its limit.
    ProcessLimit = "FN_025", "process limit reached", http 502, ResourceExhausted, exit 7, retryable false;
    /// The function filled its private `/tmp`.
    TmpFull = "FN_026", "temporary files full", http 502, ResourceExhausted, exit 7, retryable false;
    /// A run wrote more log than is kept. Told in its log; fails nothing.
    LogLimit = "FN_027", "log limit reached", http 413, ResourceExhausted, exit 7, retryable false;
    /// An upload holds a secret, or a file or text that the operator blocks.
    UploadRefused = "FN_028", "upload refused", http 422, FailedPrecondition, exit 5, retryable false;
    /// A secret that the function's vars refer to is not there, or cannot be opened.
    SecretUnusable = "FN_029", "secret not usable", http 502, FailedPrecondition, exit 5, retryable false;
    /// The idempotency key was used with another request.
    KeyReused = "FN_030", "idempotency key reused", http 422, InvalidArgument, exit 5, retryable false;
    /// The resource was changed since the caller read it.
    PreconditionFailed = "FN_031", "precondition failed", http 412, FailedPrecondition, exit 6, retryable false;
}

// === impl Code ===

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = String;

    /// Takes `FN_003`, `fn_003` and `3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.trim().to_ascii_uppercase();
        let number = upper.strip_prefix("FN_").or_else(|| upper.strip_prefix("FN")).unwrap_or(&upper);
        number
            .parse::<usize>()
            .ok()
            .and_then(|n| n.checked_sub(1))
            .and_then(|index| Self::ALL.get(index).copied())
            .ok_or_else(|| format!("`{text}` is not an error code; codes run from FN_001 to FN_{:03}", Self::ALL.len()))
    }
}

text_form!(Code);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_without_a_gap() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.as_str(), format!("FN_{:03}", index + 1));
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        assert_eq!("3".parse(), Ok(Code::MemoryExceeded));
        assert!("FN_000".parse::<Code>().is_err());
        assert!("FN_999".parse::<Code>().is_err());
    }

    #[test]
    fn every_code_maps_to_a_failure_everywhere() {
        for code in Code::ALL {
            assert!((400..600).contains(&code.http_status()), "{code}");
            assert!((1..=9).contains(&code.exit_code()), "{code}");
        }
    }
}
