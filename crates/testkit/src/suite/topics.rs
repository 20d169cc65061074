//! What every keeper of topics promises, together with its queue.

use faas_ports::{
    Appended, Enqueued, HandOver, NewItem, NewMessage, RunQueue, TopicBounds, TopicKey, TopicState, Topics,
};
use faas_types::{FunctionId, ProjectId, TriggerId};

use super::{ok, refused};
use crate::fixture::{at, everything, fresh, new_item};

const WIDE: TopicBounds = TopicBounds {
    topic_messages: 1_000,
    topic_bytes: 1 << 20,
    project_messages: 1_000,
    project_bytes: 1 << 20,
    topics: 10,
};

/// What is sent is kept until each subscription has had it in a run, once and in order.
pub async fn topics(topics: &dyn Topics, queue: &dyn RunQueue) {
    kept_until_everybody_had_it(topics, queue).await;
    bounds_refuse_whole_requests(topics).await;
    subscriptions_come_and_go(topics).await;
}

async fn kept_until_everybody_had_it(topics: &dyn Topics, queue: &dyn RunQueue) {
    let (project, function): (ProjectId, FunctionId) = (fresh(), fresh());
    let key = topic(project, "orders");
    let (first, second): (TriggerId, TriggerId) = (fresh(), fresh());
    assert!(ok("topic", topics.topic(&key).await).is_none());
    send(topics, &key, &["a", "b", "c"], &[first]).await;
    send(topics, &topic(project, "other"), &["x"], &[]).await;
    send(topics, &topic(fresh(), "orders"), &["y"], &[]).await;
    let (after, found) = ok("peek", topics.peek(&key, first, 2, 1_000).await).expect("known");
    assert_eq!((after, payloads(&found)), (0, vec!["a", "b"]));
    let small = ok("peek", topics.peek(&key, first, 9, 1).await).expect("known").1;
    assert_eq!(payloads(&small), ["a"], "one is always given");
    assert!(ok("peek", topics.peek(&key, second, 9, 9).await).is_none());

    // The second comes later: it gets what is sent from then on.
    send(topics, &key, &["d"], &[first, second]).await;
    assert_eq!(waiting(topics, &key).await, sorted(vec![(first, 4), (second, 1)]));
    let mut items = vec![new_item(project, function), new_item(project, function)];
    let over = |to: u64, items: Vec<NewItem>| HandOver { topic: key.clone(), subscription: first, after, to, items };
    let taken = items[0].record.id;
    assert_eq!(
        ok("hand_over", topics.hand_over(over(found[1].seq, items.clone())).await),
        Some(vec![Enqueued::Accepted; 2])
    );
    assert_eq!(
        ok("lease", queue.lease("w", &[everything(project, function)], std::time::Duration::from_secs(1), at(0)).await)
            .len(),
        2
    );
    let state = ok("topic", topics.topic(&key).await).expect("there");
    assert_eq!((state.depth.messages, state.depth.oldest), (2, Some(at(2))), "what nobody needs is gone");

    // From another place than it has come to, and with a run that there was: nothing happens.
    assert_eq!(ok("hand_over", topics.hand_over(over(found[1].seq, vec![new_item(project, function)])).await), None);
    items.truncate(1);
    let (after, rest) = ok("peek", topics.peek(&key, first, 9, 1_000).await).expect("known");
    assert_eq!(payloads(&rest), ["c", "d"]);
    let twice = HandOver { topic: key.clone(), subscription: first, after, to: rest[1].seq, items };
    refused(&format!("the run {taken} again"), topics.hand_over(twice).await);
    assert_eq!(waiting(topics, &key).await, sorted(vec![(first, 2), (second, 1)]));

    let last = HandOver {
        topic: key.clone(),
        subscription: first,
        after,
        to: rest[1].seq,
        items: vec![new_item(project, function)],
    };
    ok("hand_over", topics.hand_over(last).await).expect("at its place");
    assert_eq!(waiting(topics, &key).await, sorted(vec![(first, 0), (second, 1)]));
    assert_eq!(ok("purge", topics.purge(&key).await), 1);
    assert_eq!(waiting(topics, &key).await, sorted(vec![(first, 0), (second, 0)]));
    send(topics, &key, &["e"], &[first, second]).await;
    let (_, next) = ok("peek", topics.peek(&key, second, 9, 1_000).await).expect("known");
    assert_eq!(payloads(&next), ["e"]);
    let names: Vec<_> = ok("topics", topics.topics(Some(project)).await);
    let names: Vec<_> = names.iter().map(|(_, depth)| (depth.name.as_str(), depth.messages)).collect();
    assert_eq!(names, [("orders", 1), ("other", 1)]);
    assert!(ok("topics", topics.topics(None).await).len() >= 3);
}

async fn bounds_refuse_whole_requests(topics: &dyn Topics) {
    let project: ProjectId = fresh();
    let (a, b) = (topic(project, "a"), topic(project, "b"));
    let narrow =
        TopicBounds { topic_messages: 3, topic_bytes: 1_000, project_messages: 4, project_bytes: 2_000, topics: 2 };
    let append = async |key: &TopicKey, texts: &[&str], bounds| {
        ok("append", topics.append(key, messages(texts), &[], bounds).await)
    };
    assert_eq!(append(&a, &["1", "2"], narrow).await, Appended::Kept);
    assert_eq!(append(&a, &["3", "4"], narrow).await, Appended::TopicFull);
    let long = "x".repeat(1_000);
    assert_eq!(append(&a, &[&long], narrow).await, Appended::TopicFull);
    assert_eq!(append(&a, &["3"], narrow).await, Appended::Kept);
    assert_eq!(append(&b, &["4", "5"], narrow).await, Appended::ProjectFull);
    assert_eq!(
        append(&b, &[&long], TopicBounds { topic_bytes: 1 << 20, project_bytes: 1_100, ..narrow }).await,
        Appended::ProjectFull
    );
    assert_eq!(append(&b, &["4"], narrow).await, Appended::Kept);
    assert_eq!(append(&topic(project, "c"), &["5"], narrow).await, Appended::TooManyTopics);
    assert_eq!(ok("purge", topics.purge(&a).await), 3);
    assert!(ok("topic", topics.topic(&a).await).is_none(), "an empty topic is none");
    assert_eq!(append(&topic(project, "c"), &["5"], narrow).await, Appended::Kept, "room was not given back");
}

async fn subscriptions_come_and_go(topics: &dyn Topics) {
    let key = topic(fresh(), "jobs");
    let (first, second): (TriggerId, TriggerId) = (fresh(), fresh());
    send(topics, &key, &["a", "b"], &[]).await;
    // Nobody had them, so the first gets them.
    ok("subscribe", topics.subscribe(&key, &[first]).await);
    assert_eq!(waiting(topics, &key).await, [(first, 2)]);
    ok("subscribe", topics.subscribe(&key, &[first, second]).await);
    assert_eq!(waiting(topics, &key).await, sorted(vec![(first, 2), (second, 0)]));
    // What only the first wanted goes with it.
    ok("subscribe", topics.subscribe(&key, &[second]).await);
    assert_eq!(ok("topic", topics.topic(&key).await).expect("there").depth.messages, 0);
    send(topics, &key, &["c"], &[second]).await;
    ok("subscribe", topics.subscribe(&key, &[]).await);
    ok("subscribe", topics.subscribe(&key, &[first]).await);
    assert_eq!(waiting(topics, &key).await, [(first, 1)], "what nobody had waits for the next");
    assert_eq!(ok("purge", topics.purge(&key).await), 1);
    ok("subscribe", topics.subscribe(&key, &[]).await);
    assert!(ok("topic", topics.topic(&key).await).is_none());
}

fn topic(project: ProjectId, name: &str) -> TopicKey {
    TopicKey { project, name: name.parse().expect("a valid name") }
}

/// Messages that are a millisecond apart.
fn messages(texts: &[&str]) -> Vec<NewMessage> {
    let message = |(index, text): (usize, &&str)| NewMessage {
        at: at(index as u64),
        hops: text.len() as u32,
        payload: (*text).to_owned().into(),
    };
    texts.iter().enumerate().map(message).collect()
}

async fn send(topics: &dyn Topics, key: &TopicKey, texts: &[&str], subscriptions: &[TriggerId]) {
    assert_eq!(ok("append", topics.append(key, messages(texts), subscriptions, WIDE).await), Appended::Kept);
}

fn payloads(found: &[faas_ports::WaitingMessage]) -> Vec<&str> {
    assert!(found.iter().all(|message| message.hops as usize == message.payload.len()), "{found:?}");
    found.iter().map(|message| std::str::from_utf8(&message.payload).expect("text")).collect()
}

fn sorted(mut pairs: Vec<(TriggerId, u64)>) -> Vec<(TriggerId, u64)> {
    pairs.sort_unstable();
    pairs
}

async fn waiting(topics: &dyn Topics, key: &TopicKey) -> Vec<(TriggerId, u64)> {
    let TopicState { subscriptions, .. } = ok("topic", topics.topic(key).await).expect("the topic is there");
    sorted(subscriptions.iter().map(|one| (one.trigger, one.waiting)).collect())
}
