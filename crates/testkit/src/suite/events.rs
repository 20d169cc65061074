//! What every publish/subscribe adapter promises.

use std::time::Duration;

use faas_ports::{Event, EventStream, Events, PortError};
use faas_types::ProjectId;
use futures_util::StreamExt;

use super::{ok, refused, soon};
use crate::fixture::fresh;

/// Subjects, wildcards, order and slow subscribers. Uses its own subjects.
pub async fn events(events: &dyn Events) {
    subscribers_get_what_they_asked_for(events).await;
    order_is_kept_and_the_past_is_not_told(events).await;
    a_slow_subscriber_slows_nobody(events).await;
    malformed_subjects_are_refused(events).await;
}

async fn publish(events: &dyn Events, subject: &str, payload: &str) {
    let event = Event { subject: subject.to_owned(), payload: payload.to_owned().into() };
    ok("publish", events.publish(event).await);
}

async fn next(stream: &mut EventStream) -> Event {
    soon("an event", stream.next()).await.expect("the subscription goes on")
}

async fn subscribers_get_what_they_asked_for(events: &dyn Events) {
    let root: ProjectId = fresh();
    let subjects = ["logs.a", "logs.b", "logs.a.x", "logs.a.x.y", "runs.a", "logs", "logsx.a"];
    let cases: [(&str, &[&str]); 6] = [
        ("logs.a", &["logs.a"]),
        ("logs.*", &["logs.a", "logs.b"]),
        ("logs.>", &["logs.a", "logs.b", "logs.a.x", "logs.a.x.y"]),
        ("*.a", &["logs.a", "runs.a", "logsx.a"]),
        ("logs.*.x.>", &["logs.a.x.y"]),
        ("nothing", &[]),
    ];
    let mut streams = Vec::new();
    for (pattern, _) in cases {
        streams.push(ok("subscribe", events.subscribe(&format!("{root}.{pattern}")).await));
    }
    for subject in subjects {
        publish(events, &format!("{root}.{subject}"), subject).await;
    }
    for (pattern, _) in cases {
        // Every subscriber learns where its case ends from a subject that its pattern takes.
        let end = pattern.replace('*', "a").replace('>', "end");
        publish(events, &format!("{root}.{end}"), &format!("end of {pattern}")).await;
    }
    for ((pattern, wanted), stream) in cases.into_iter().zip(&mut streams) {
        let mut seen = Vec::new();
        loop {
            let event = next(stream).await;
            let payload = String::from_utf8_lossy(&event.payload).into_owned();
            if payload == format!("end of {pattern}") {
                break;
            }
            if !payload.starts_with("end of") {
                assert_eq!(event.subject, format!("{root}.{payload}"), "subject and payload are of different events");
                seen.push(payload);
            }
        }
        assert_eq!(seen, wanted, "wrong events for {pattern}");
    }
}

async fn order_is_kept_and_the_past_is_not_told(events: &dyn Events) {
    let root: ProjectId = fresh();
    publish(events, &format!("{root}.n"), "past").await;
    let mut stream = ok("subscribe", events.subscribe(&format!("{root}.>")).await);
    for n in 0..100 {
        publish(events, &format!("{root}.n"), &n.to_string()).await;
    }
    for n in 0..100 {
        assert_eq!(next(&mut stream).await.payload, n.to_string(), "events are out of order or lost");
    }
}

async fn a_slow_subscriber_slows_nobody(events: &dyn Events) {
    const MANY: u32 = 100_000;
    let root: ProjectId = fresh();
    let mut slow = ok("subscribe", events.subscribe(&format!("{root}.>")).await);
    let flood = async {
        for n in 0..MANY {
            publish(events, &format!("{root}.n"), &n.to_string()).await;
        }
    };
    soon("the end of a flood that nobody reads", flood).await;
    let mut last = None;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(200), slow.next()).await {
        let n: u32 = String::from_utf8_lossy(&event.payload).parse().expect("a number");
        assert!(last.is_none_or(|last| n > last), "{n} was told after {last:?}");
        last = Some(n);
    }
    assert_eq!(last, Some(MANY - 1), "a slow subscriber loses the oldest events, not the newest");
}

async fn malformed_subjects_are_refused(events: &dyn Events) {
    for subject in ["", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "a\n"] {
        let event = Event { subject: subject.to_owned(), payload: "x".into() };
        let error = refused(subject, events.publish(event).await);
        assert!(matches!(error, PortError::Invalid(_)), "{subject}: {error}");
    }
    for pattern in ["", "a.", "a..b", ">.a", "a b", "a.b*", "a>"] {
        match events.subscribe(pattern).await {
            Err(PortError::Invalid(_)) => {}
            Err(error) => panic!("{pattern}: {error}"),
            Ok(_) => panic!("the pattern `{pattern}` was taken"),
        }
    }
}
