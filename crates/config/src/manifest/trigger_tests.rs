//! Triggers as manifests have them.

use faas_types::{
    CronTrigger, EventTrigger, MissedTicks, Overlap, RetryClass, Span, TriggerSettings, WebhookReply, WebhookScheme,
    WebhookTrigger,
};
use serde_json::json;

use super::Manifest;
use super::tests::unplaced;

const ALL: &str = r#"
name = "hello"
[[triggers]]
type = "http"
[[triggers]]
type = "cron"
name = "nightly"
schedule = "0 2 * * *"
timezone = "Europe/Berlin"
missed = 3
overlap = "queue"
jitter = "5m"
path = "/jobs/nightly"
input = '{"full": true}'
[[triggers]]
type = "cron"
schedule = "@hourly"
[[triggers]]
type = "webhook"
scheme = "github"
respond = "answer"
[[triggers]]
type = "event"
types = ["order.*"]
sources = "/shop/eu"
subjects = ["7"]
[[triggers]]
type = "queue"
topic = "orders"
batch_size = 50
batch_window = "2s"
[triggers.retry]
max_attempts = 5
on = ["error"]
[[triggers]]
type = "queue"
topic = "mail"
"#;

fn triggers(text: &str) -> Vec<TriggerSettings> {
    Manifest::from_toml("faas.toml", text).unwrap_or_else(|errors| panic!("{errors}")).settings.triggers
}

#[test]
fn every_key_of_every_type_reaches_the_settings() {
    let triggers = triggers(ALL);
    let names: Vec<_> = triggers.iter().filter_map(TriggerSettings::name).map(ToString::to_string).collect();
    assert_eq!(names, ["nightly", "cron-2", "webhook-1", "event-1", "queue-1", "queue-2"]);
    let [
        _,
        TriggerSettings::Cron(full),
        TriggerSettings::Cron(short),
        TriggerSettings::Webhook(hook),
        last,
        queues @ ..,
    ] = &triggers[..]
    else {
        panic!("{triggers:?}")
    };
    let CronTrigger { schedule, missed, overlap, jitter, path, input, .. } = &**full;
    assert_eq!((schedule.expression(), schedule.timezone()), ("0 2 * * *", "Europe/Berlin"));
    assert_eq!((*missed, *overlap, *jitter), (MissedTicks::All(3), Overlap::Queue, Span::from_secs(300)));
    assert_eq!((path.as_str(), input.as_deref()), ("/jobs/nightly", Some("{\"full\": true}")));
    assert_eq!((short.schedule.timezone(), short.missed, short.path.as_str()), ("UTC", MissedTicks::Once, "/"));
    let WebhookTrigger { scheme, respond, .. } = hook;
    assert_eq!((*scheme, *respond), (WebhookScheme::GitHub, WebhookReply::Answer));
    let TriggerSettings::Event(EventTrigger { types, sources, subjects, .. }) = last else { panic!("{last:?}") };
    assert_eq!((types[0].as_str(), sources[0].as_str(), subjects[0].as_str()), ("order.*", "/shop/eu", "7"));
    let [TriggerSettings::Queue(orders), TriggerSettings::Queue(mail)] = queues else { panic!("{queues:?}") };
    assert_eq!((orders.topic.as_str(), orders.batch_size, orders.batch_window), ("orders", 50, Span::from_secs(2)));
    let retry = orders.retry.as_ref().expect("a policy");
    assert_eq!((retry.max_attempts, &retry.on[..]), (5, &[RetryClass::Error][..]));
    assert_eq!((mail.batch_size, mail.batch_window, mail.retry.is_none()), (10, Span::default(), true));
}

#[test]
fn json_carries_triggers_to_the_server_and_one_alone_reads_the_same() {
    let manifest = Manifest::from_toml("faas.toml", ALL).expect("good");
    let json = manifest.to_json();
    for (index, trigger) in manifest.settings.triggers.iter().enumerate() {
        assert_eq!(Manifest::trigger_from_json(json["triggers"][index].clone()).as_ref(), Ok(trigger));
    }
    assert_eq!(Manifest::from_json(json).map(unplaced), Ok(unplaced(manifest)));
    let alone = Manifest::trigger_from_json(json!({"type": "cron"})).expect_err("no schedule");
    assert_eq!(alone.to_string(), "trigger: `trigger.schedule` is missing; add schedule = \"0 9 * * 1-5\"");
}

#[test]
fn each_bad_trigger_is_told_with_place_and_way_out() {
    let table = [
        ("type = \"storage\"", "2:8: trigger type `storage` is not available in this release; there are http, cron,"),
        ("type = \"queue\"", "`triggers[0].topic` is missing; add topic ="),
        ("type = \"queue\"\ntopic = \"My Topic\"", "3:9: `triggers[0].topic`: `My Topic` is not a valid topic name"),
        ("type = \"queue\"\ntopic = \"a\"\nbatch_size = 1001", "4:14: `triggers[0].batch_size` must be"),
        (
            "type = \"queue\"\ntopic = \"a\"\nbatch_window = \"6m\"",
            "4:16: `triggers[0].batch_window` must be at most 5m",
        ),
        ("type = \"queue\"\ntopic = \"a\"\n[triggers.retry]\ntimes = 3", "5:1: unknown key `triggers[0].retry.times`;"),
        ("type = \"schedule\"", "2:8: unknown trigger type `schedule`; did you mean \"cron\"?"),
        ("type = \"zzz\"", "2:8: unknown trigger type `zzz`; use \"http\" or \"cron\" or"),
        ("type = \"cron\"", "`triggers[0].schedule` is missing; add schedule ="),
        ("type = \"cron\"\nschedule = \"* * *\"", "3:12: `triggers[0].schedule`: `* * *` is not a cron expression"),
        ("type = \"cron\"\nschedule = \"0 0 30 2 *\"", "3:12: `triggers[0].schedule`: `0 0 30 2 *` never fires"),
        (
            "type = \"cron\"\nschedule = \"@daily\"\ntimezone = \"Mars\"",
            "4:12: `triggers[0].timezone`: `Mars` is not a time zone",
        ),
        ("type = \"cron\"\nschedule = \"@daily\"\nmissed = 101", "4:10: `triggers[0].missed` is \"skip\", \"once\""),
        ("type = \"cron\"\nschedule = \"@daily\"\nmissed = \"some\"", "4:10: `triggers[0].missed` is \"skip\""),
        ("type = \"cron\"\nschedule = \"@daily\"\noverlap = \"no\"", "4:11: `triggers[0].overlap` is \"allow\" or"),
        ("type = \"cron\"\nschedule = \"@daily\"\njitter = \"2h\"", "4:10: `triggers[0].jitter` must be at most 1h"),
        ("type = \"cron\"\nschedule = \"@daily\"\njitter = -1", "4:10: `triggers[0].jitter` must be at most 1h"),
        ("type = \"cron\"\nschedule = \"@daily\"\ninput = \"{\"", "4:9: `triggers[0].input` is not JSON"),
        ("type = \"cron\"\nschedul = \"@daily\"\nschedule = \"@daily\"", "3:1: unknown key `triggers[0].schedul`; did"),
        ("type = \"webhook\"\nscheme = \"gitlab\"", "3:10: `triggers[0].scheme` is \"standard\" or \"github\""),
        ("type = \"webhook\"\nsecret = \"x\"", "3:1: unknown key `triggers[0].secret`; known keys are"),
        ("type = \"event\"", "`triggers[0].types` is missing; add types ="),
        ("type = \"event\"\ntypes = []", "3:9: `triggers[0].types` is empty"),
        ("type = \"event\"\ntypes = [\"a*b\"]", "3:10: `triggers[0].types`: `a*b` is not a filter"),
        ("type = \"webhook\"\nname = \"Git Hub\"", "3:8: `triggers[0].name`: `Git Hub` is not a valid trigger name"),
        (
            "type = \"webhook\"\nname = \"a\"\n[[triggers]]\ntype = \"event\"\nname = \"a\"\ntypes = \"*\"",
            "6:8: two triggers are named `a`",
        ),
    ];
    for (text, expected) in table {
        let text = format!("[[triggers]]\n{text}");
        let errors = Manifest::from_toml("faas.toml", &text).expect_err(&text);
        let told: Vec<_> = errors.lines().collect();
        assert!(told.len() == 1 && told[0].contains(expected), "{text}\n  wanted {expected}\n  told   {told:?}");
    }
}
