//! What the headers of a request ask of its run.

use std::time::Duration;

use faas_engine::RunOptions;
use faas_types::{Code, Fault, Reason, RunOption, Span, limits};
use faas_web::{idempotency_key, single};
use http::{HeaderMap, HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const DELAY: HeaderName = HeaderName::from_static("x-run-delay");
const MAX_AGE: HeaderName = HeaderName::from_static("x-run-max-age");
const PRIORITY: HeaderName = HeaderName::from_static("x-run-priority");
const ORDERING_KEY: HeaderName = HeaderName::from_static("x-ordering-key");
const CALLBACK: HeaderName = HeaderName::from_static("x-callback-url");

/// The longest wait for a background run; proxies cut longer ones.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Whether a request asks to be answered before its work is done, as RFC 7240 has it.
#[must_use]
pub fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER);
    let mut preferences = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    preferences.any(|one| one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("respond-async"))
}

/// How long a request would wait for the end of its background run, as RFC 7240 has it.
///
/// # Errors
/// `FN_012` for more than a minute, or for what is no number of seconds.
pub fn preferred_wait(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let preferences = values.flat_map(|text| text.split(',')).filter_map(|one| one.split(';').next()?.split_once('='));
    let Some((_, seconds)) = preferences.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("wait")) else {
        return Ok(None);
    };
    let seconds = seconds.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
    let seconds = seconds.filter(|seconds| *seconds <= WAIT_MAX);
    seconds.map(Some).ok_or_else(|| bad(&PREFER, &format!("wait is a number of seconds up to {}", WAIT_MAX.as_secs())))
}

/// Refuses run options that a caller without a key may not set.
pub(crate) fn check_keyless(headers: &HeaderMap, allowed: &[RunOption]) -> Result<(), Fault> {
    let options = [
        (DELAY, RunOption::Delay),
        (MAX_AGE, RunOption::MaxAge),
        (PRIORITY, RunOption::Priority),
        (ORDERING_KEY, RunOption::OrderingKey),
        (CALLBACK, RunOption::Callback),
    ];
    let refused = options.into_iter().find(|(name, option)| headers.contains_key(name) && !allowed.contains(option));
    let Some((name, option)) = refused else { return Ok(()) };
    let message = format!("the header `{name}` is for callers with a key");
    Err(Fault::new(Code::Unauthenticated, message).with_hint(format!(
        "send a key with the scope invoke, or leave the header out; `background.keyless_options = [\"{}\"]` in the manifest \
         allows it to everybody",
        option.as_str()
    )))
}

/// The run options that the headers set.
pub(crate) fn run_options(headers: &HeaderMap) -> Result<RunOptions, Fault> {
    let priority = match text(headers, &PRIORITY)? {
        Some(text) => text.parse().map_err(|_| bad(&PRIORITY, "a number from 0 to 255"))?,
        None => 0,
    };
    let (delay, max_age) = (span(headers, &DELAY)?.unwrap_or_default(), span(headers, &MAX_AGE)?);
    if max_age.is_some_and(|most| most <= delay) {
        return Err(bad(&MAX_AGE, "it must be longer than x-run-delay, or the run never begins"));
    }
    Ok(RunOptions {
        delay,
        max_age,
        ordering_key: key(headers, &ORDERING_KEY)?,
        priority,
        idempotency_key: idempotency_key(headers)?.map(str::to_owned),
        callback: text(headers, &CALLBACK)?.map(str::to_owned),
        ..RunOptions::default()
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Fault> {
    single(headers, name)?.map(|value| value.to_str().map_err(|_| bad(name, "plain ASCII text"))).transpose()
}

/// A key of the caller, such as an ordering key.
fn key(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Fault> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    if text.is_empty() || text.len() > limits::CALLER_KEY_MAX {
        return Err(bad(name, &format!("1 to {} characters", limits::CALLER_KEY_MAX)));
    }
    Ok(Some(text.to_owned()))
}

fn span(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Duration>, Fault> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let span = text.parse::<Span>().map_err(|error| bad(name, &error.to_string()))?;
    if span.get() > limits::DELAY_MAX {
        return Err(bad(name, "at most seven days, such as 10m or 168h"));
    }
    Ok(Some(span.get()))
}

fn bad(name: &HeaderName, wanted: &str) -> Fault {
    Fault::new(Reason::InvalidHeader, format!("the header `{name}` cannot be used: {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn preferences_are_read_as_written_in_rfc_7240() {
        let prefers = |value: &str| prefers_async(&headers(&[("prefer", value)]));
        assert!(prefers("respond-async"));
        assert!(prefers("wait=10, Respond-Async; foo"));
        assert!(!prefers("respond-asynchronously, wait=1"));
        assert!(!prefers_async(&HeaderMap::new()));
        let wait = |value: &str| preferred_wait(&headers(&[("prefer", value)]));
        for (value, seconds) in
            [("respond-async, wait=5", Some(5)), ("Wait = \"60\"; x, foo", Some(60)), ("respond-async", None)]
        {
            assert_eq!(wait(value), Ok(seconds.map(Duration::from_secs)), "{value}");
        }
        for refused in ["wait=61", "wait=soon", "wait=-1", "wait="] {
            assert_eq!(wait(refused).expect_err(refused).reason, Reason::InvalidHeader);
        }
    }

    #[test]
    fn a_run_may_begin_before_it_is_too_old() {
        let pair = |delay, age| run_options(&headers(&[("x-run-delay", delay), ("x-run-max-age", age)]));
        assert!(pair("10s", "11s").is_ok());
        for age in ["1s", "10s"] {
            assert!(pair("10s", age).is_err_and(|fault| fault.message.contains("x-run-max-age")), "{age}");
        }
    }

    #[test]
    fn options_of_runs_need_a_key_or_the_manifest() {
        for name in ["x-run-delay", "x-run-max-age", "x-run-priority", "x-ordering-key", "x-callback-url"] {
            let fault = check_keyless(&headers(&[(name, "1")]), &[]).expect_err(name);
            assert_eq!(fault.code, Code::Unauthenticated);
            let hint = fault.hint.unwrap_or_default();
            assert!(fault.message.contains(name) && hint.contains("background.keyless_options"), "{hint}");
            let named = RunOption::ALL.into_iter().filter(|option| hint.contains(&format!("\"{}\"", option.as_str())));
            check_keyless(&headers(&[(name, "1")]), &named.collect::<Vec<_>>()).expect("the manifest allows it");
        }
        check_keyless(&headers(&[("idempotency-key", "k")]), &[]).expect("no option of a run");
    }

    #[test]
    fn options_are_checked_and_named() {
        let good = headers(&[("x-run-delay", "5m"), ("x-run-priority", "9"), ("x-ordering-key", "user-1")]);
        let options = run_options(&good).expect("good");
        assert_eq!((options.delay, options.priority), (Duration::from_secs(300), 9));
        assert_eq!(options.ordering_key.as_deref(), Some("user-1"));
        for (name, value) in [
            ("x-run-delay", "soon"),
            ("x-run-delay", "200h"),
            ("x-run-priority", "300"),
            ("x-run-max-age", "0s"),
            ("x-ordering-key", ""),
            ("idempotency-key", &"k".repeat(300)),
        ] {
            let fault = run_options(&headers(&[(name, value)])).expect_err(name);
            assert!(fault.message.contains(name), "{fault}");
        }
    }
}
