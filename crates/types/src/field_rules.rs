//! Which HTTP fields the platform alone may set. One list for every way in and out: function URLs, background calls, the
//! API, webhooks, events and replies.

use std::borrow::Cow;

/// What becomes of a request's field before anybody reads it. Names are in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestField {
    /// It is the caller's.
    Passed,
    /// Only the platform may say it, so it is dropped.
    Platform,
    /// It says on whose behalf a proxy asks. Only a proxy that the operator named may say it.
    Forwarding,
    /// It is about the connection, not about the request.
    Connection,
}

/// Fields that tell a function which trigger called it.
const TRIGGER_PREFIX: &str = "x-faas-";

// === impl RequestField ===

impl RequestField {
    /// What a field of this name is.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let name = canonical(name);
        let name = &*name;
        if name.starts_with(TRIGGER_PREFIX) || name == "x-forwarded-prefix" {
            return Self::Platform;
        }
        match name {
            "x-run-id"
            | "x-call-id"
            | "x-duration-ms"
            | "x-cold-start"
            | "x-function-version"
            | "x-error-source"
            | "idempotency-replayed" => Self::Platform,
            // The platform's own key is told apart by its value; credentials for a proxy are nobody's here. A field
            // `Proxy` becomes the variable HTTP_PROXY where an application speaks CGI.
            "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "upgrade"
            | "http2-settings"
            | "proxy" => Self::Connection,
            "forwarded"
            | "x-real-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "x-original-url"
            | "x-original-host"
            | "x-original-uri"
            | "x-original-forwarded-for"
            | "x-rewrite-url"
            | "x-host"
            | "x-url-scheme"
            | "x-scheme"
            | "front-end-https"
            | "true-client-ip"
            | "cf-connecting-ip"
            | "cf-connecting-ipv6"
            | "fastly-client-ip"
            | "x-envoy-external-address"
            | "x-azure-clientip"
            | "x-appengine-user-ip"
            | "x-client-cert"
            | "client-cert"
            | "client-cert-chain" => Self::Forwarding,
            _ if name.starts_with("x-forwarded") || name.starts_with("x-ssl-") || name.starts_with("ssl-client-") => {
                Self::Forwarding
            }
            _ => Self::Passed,
        }
    }

    /// Whether a field of this name may make an application answer for another path or method than the request line
    /// names, so that its answer is no answer to others.
    #[must_use]
    pub fn redirects(name: &str) -> bool {
        matches!(
            &*canonical(name),
            "x-original-url"
                | "x-original-uri"
                | "x-original-host"
                | "x-rewrite-url"
                | "x-host"
                | "x-http-method-override"
                | "x-http-method"
                | "x-method-override"
        )
    }
}

/// Whether a reply's field is the platform's, so that a function cannot set it: it frames the message, says whose failure
/// it is, or speaks for all functions that share the server's origin. Names are in lower case.
#[must_use]
pub fn is_reserved_in_replies(name: &str) -> bool {
    let name = canonical(name);
    match &*name {
        // About the connection and the message. The length is checked apart.
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "content-length" | "te"
        | "trailer" | "upgrade" | "http2-settings" | "date" => true,
        // About a proxy or a cache in between, which only this server is.
        "proxy-authenticate"
        | "proxy-authorization"
        | "proxy-authentication-info"
        | "proxy-status"
        | "cache-status" => true,
        // For the whole origin, and beyond the one answer: other functions, and the API. What is about the page alone
        // (policies, `Link`, `Refresh`, `SourceMap`, `Reporting-Endpoints`) stays the function's.
        "service-worker-allowed"
        | "clear-site-data"
        | "alt-svc"
        | "nel"
        | "report-to"
        | "strict-transport-security"
        | "public-key-pins"
        | "public-key-pins-report-only"
        | "expect-ct"
        | "expect-staple"
        | "accept-ch"
        | "accept-ch-lifetime"
        | "critical-ch"
        | "set-login"
        | "idp-signin-status"
        | "speculation-rules"
        | "sec-session-registration"
        | "sec-session-challenge"
        | "sec-session-google-registration"
        | "secure-session-registration"
        | "secure-session-challenge"
        | "sec-private-state-token"
        | "sec-private-state-token-lifetime"
        | "use-as-dictionary"
        | "origin-agent-cluster"
        | "activate-storage-access"
        | "observe-browsing-topics"
        | "shared-storage-write"
        | "attribution-reporting-register-source"
        | "attribution-reporting-register-trigger"
        | "attribution-reporting-register-os-source"
        | "attribution-reporting-register-os-trigger"
        | "ad-auction-allowed"
        | "ad-auction-signals"
        | "ad-auction-result"
        | "x-allow-fledge"
        | "x-permitted-cross-domain-policies" => true,
        // Commands to a web server in front.
        "x-accel-redirect" | "x-sendfile" | "x-lighttpd-send-file" | "x-reproxy-url" | "x-lighttpd-send-file2" => true,
        // What the platform says of the call.
        "x-run-id"
        | "x-call-id"
        | "x-request-id"
        | "x-duration-ms"
        | "x-cold-start"
        | "x-function-version"
        | "x-error-source"
        | "idempotency-replayed"
        | "preference-applied"
        | "x-delivery-repeated" => true,
        name => name.starts_with(TRIGGER_PREFIX),
    }
}

/// The name with hyphens: what speaks CGI or WSGI does not tell `_` from `-`.
fn canonical(name: &str) -> Cow<'_, str> {
    if name.contains('_') { Cow::Owned(name.replace('_', "-")) } else { Cow::Borrowed(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_platform_names_a_trigger() {
        for name in ["x-faas-trigger", "x-faas-anything", "x_faas_trigger", "x-faas_topic", "x-forwarded-prefix"] {
            assert_eq!(RequestField::of(name), RequestField::Platform, "{name}");
        }
        for name in ["x-faasx", "accept", "cookie", "authorization", "x-run-delay", "x-forward"] {
            assert_eq!(RequestField::of(name), RequestField::Passed, "{name}");
        }
    }

    #[test]
    fn proxies_are_known_by_many_names() {
        for name in ["forwarded", "x-forwarded-for", "x_forwarded_host", "x-forwarded-client-cert", "x-real-ip"] {
            assert_eq!(RequestField::of(name), RequestField::Forwarding, "{name}");
        }
        assert_eq!(RequestField::of("te"), RequestField::Connection);
        assert!(RequestField::redirects("x-http-method-override") && !RequestField::redirects("x-forwarded-for"));
    }

    #[test]
    fn replies_do_not_speak_for_the_platform() {
        for name in ["date", "te", "x-run-id", "x-accel-redirect", "x-faas-a", "x_run_id"] {
            assert!(is_reserved_in_replies(name), "{name}");
        }
        for name in ["clear-site-data", "speculation-rules", "report-to", "nel", "set-login", "origin-agent-cluster"] {
            assert!(is_reserved_in_replies(name), "{name} is for all functions of the origin");
        }
        for name in ["sourcemap", "reporting-endpoints", "content-security-policy", "permissions-policy", "link"] {
            assert!(!is_reserved_in_replies(name), "{name} is about the answer alone");
        }
        for name in ["content-type", "set-cookie", "server-timing", "www-authenticate", "x-accel-buffering", "vary"] {
            assert!(!is_reserved_in_replies(name), "{name}");
        }
    }
}
