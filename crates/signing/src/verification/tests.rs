use proptest::prelude::*;

use super::super::{InvalidWebhookSecret, sign};
use super::*;

/// The example of the Standard Webhooks specification.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const AT: u64 = 1_614_265_330;

fn now() -> Timestamp {
    Timestamp::from_millis(AT * 1000)
}

fn secret(scheme: WebhookScheme, text: &str) -> WebhookSecret {
    WebhookSecret::read(scheme, text).unwrap_or_else(|error| panic!("{error}"))
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn standard() -> Vec<(String, String)> {
    headers(&[
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ])
}

fn check(headers: &[(String, String)], body: &[u8], now: Timestamp) -> Result<Verified, WebhookRefusal> {
    let secrets = [secret(WebhookScheme::Standard, SECRET)];
    verify(WebhookScheme::Standard, &secrets, &Delivery { headers, body }, now)
}

fn hexed(secret: &WebhookSecret, parts: &[&[u8]]) -> String {
    code(secret, parts).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_reference_vector_passes_both_ways() {
    let verified = check(&standard(), BODY, now());
    assert_eq!(verified, Ok(Verified { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(), secret: 0 }));
    let signed = sign(&secret(WebhookScheme::Standard, SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", now(), BODY);
    let signed: Vec<_> = signed.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(signed, standard());
}

#[test]
fn the_names_of_svix_are_taken_too_but_not_both_mixed() {
    let renamed = |names: &[&str]| {
        let rename = |(name, value): (String, String)| {
            let new = if names.contains(&name.as_str()) { name.replace("webhook-", "svix-") } else { name };
            (new, value)
        };
        standard().into_iter().map(rename).collect::<Vec<_>>()
    };
    let all = renamed(&["webhook-id", "webhook-timestamp", "webhook-signature"]);
    assert_eq!(check(&all, BODY, now()), check(&standard(), BODY, now()));
    assert!(check(&all, BODY, now()).is_ok());
    assert_eq!(check(&all, BODY, now().plus(Duration::from_secs(302))), Err(WebhookRefusal::Stale));
    assert_eq!(check(&renamed(&["webhook-signature"]), BODY, now()), Err(WebhookRefusal::Missing("svix-id")));
    assert_eq!(check(&renamed(&["webhook-id"]), BODY, now()), Err(WebhookRefusal::Missing("webhook-id")));
    let mut both = standard();
    both.extend(all.into_iter().map(|(name, _)| (name, "x".to_owned())));
    assert!(check(&both, BODY, now()).is_ok(), "the standard's own names decide");
}

#[test]
fn tampering_staleness_and_gaps_are_refused() {
    assert_eq!(check(&standard(), br#"{"test": 2432232315}"#, now()), Err(WebhookRefusal::Signature));
    assert_eq!(check(&standard(), BODY, now().plus(Duration::from_secs(302))), Err(WebhookRefusal::Stale));
    let earlier = Timestamp::from_millis((AT - 302) * 1000);
    assert_eq!(check(&standard(), BODY, earlier), Err(WebhookRefusal::Early));
    for index in 0..3 {
        let mut lacking = standard();
        let (name, _) = lacking.remove(index);
        assert!(matches!(check(&lacking, BODY, now()), Err(WebhookRefusal::Missing(missing)) if missing == name));
        let mut doubled = standard();
        doubled.push(doubled[index].clone());
        assert!(matches!(check(&doubled, BODY, now()), Err(WebhookRefusal::Malformed(_))), "two of {name}");
    }
    for bad in ["", "-1", "+1614265330", "1614265330.5", "99999999999999999999"] {
        let mut wrong = standard();
        wrong[1].1 = bad.to_owned();
        assert_eq!(check(&wrong, BODY, now()), Err(WebhookRefusal::Malformed("webhook-timestamp")), "{bad}");
    }
}

#[test]
fn a_rotation_keeps_both_secrets_alive() {
    let (fresh, text) = WebhookSecret::fresh().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(secret(WebhookScheme::Standard, &text), fresh);
    let secrets = [fresh, secret(WebhookScheme::Standard, SECRET)];
    let headers = standard();
    let verified = verify(WebhookScheme::Standard, &secrets, &Delivery { headers: &headers, body: BODY }, now());
    assert_eq!(verified.map(|verified| verified.secret), Ok(1));
    assert_eq!(format!("{:?}", secrets[0]), "WebhookSecret(…)");
}

#[test]
fn github_signs_the_body() {
    // The example of GitHub's own documentation.
    let key = secret(WebhookScheme::GitHub, "It's a Secret to Everybody");
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = headers(&[("x-github-delivery", "72d3162e"), ("x-hub-signature-256", signature)]);
    let delivery = |body| Delivery { headers: &headers, body };
    let verified = verify(WebhookScheme::GitHub, std::slice::from_ref(&key), &delivery(b"Hello, World!"), now());
    // The id of the header is not signed, so the body is what a delivery is known by.
    let known = format!("body:{}", blake3::hash(b"Hello, World!").to_hex());
    assert_eq!(verified.map(|verified| verified.id), Ok(known));
    let tampered = verify(WebhookScheme::GitHub, &[key], &delivery(b"Hello, World?"), now());
    assert_eq!(tampered, Err(WebhookRefusal::Signature));
}

#[test]
fn stripe_and_slack_sign_time_and_body() {
    let body = br#"{"id": "evt_1", "event_id": "Ev08MFMKH6"}"#;
    let key = secret(WebhookScheme::Stripe, "whsec_test_secret_of_some_length");
    let good = hexed(&key, &[b"1614265330.", body]);
    let stripe = headers(&[("stripe-signature", &format!("t=1614265330,v1={},v1={good},v0=00", "ab".repeat(32)))]);
    let delivery = Delivery { headers: &stripe, body };
    assert_eq!(
        verify(WebhookScheme::Stripe, std::slice::from_ref(&key), &delivery, now()).map(|v| v.id).as_deref(),
        Ok("evt_1")
    );
    let late = now().plus(Duration::from_secs(400));
    assert_eq!(verify(WebhookScheme::Stripe, &[key], &delivery, late), Err(WebhookRefusal::Stale));

    let key = secret(WebhookScheme::Slack, "8f742231b10e8888abcd99yyyzzz85a5");
    let good = hexed(&key, &[b"v0:1614265330:", body]);
    let slack = headers(&[("x-slack-request-timestamp", "1614265330"), ("x-slack-signature", &format!("v0={good}"))]);
    let delivery = Delivery { headers: &slack, body };
    assert_eq!(verify(WebhookScheme::Slack, &[key], &delivery, now()).map(|v| v.id).as_deref(), Ok("Ev08MFMKH6"));
}

#[test]
fn secrets_that_can_be_guessed_are_refused() {
    assert_eq!(WebhookSecret::read(WebhookScheme::GitHub, "short"), Err(InvalidWebhookSecret::Length));
    assert_eq!(WebhookSecret::read(WebhookScheme::Standard, "whsec_%%%"), Err(InvalidWebhookSecret::Encoding));
    assert_eq!(WebhookSecret::read(WebhookScheme::Standard, "whsec_"), Err(InvalidWebhookSecret::Length));
}

proptest! {
    /// Whatever comes in, nothing panics and nothing passes that was not signed.
    #[test]
    fn noise_never_passes(
        scheme in prop::sample::select(WebhookScheme::ALL.to_vec()),
        values in prop::collection::vec("[ -~]{0,80}", 6),
        body in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let names = [
            "webhook-id", "webhook-timestamp", scheme.signature_header(),
            "x-github-delivery", "x-slack-request-timestamp", "other",
        ];
        let headers: Vec<_> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
        let secrets = [secret(WebhookScheme::GitHub, "It's a Secret to Everybody")];
        let verified = verify(scheme, &secrets, &Delivery { headers: &headers, body: &body }, now());
        prop_assert!(verified.is_err());
    }
}
