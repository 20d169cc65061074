//! What the name server of sandboxes answers.

use faas_outbound::BrokerConfig;
use faas_types::EgressPolicy;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Record, RecordType};

use crate::lab::{Attached, Lab, NameServer, Process, config, policy, question, targets};

/// What is said of a name without an address that may be reached.
const NOWHERE: &str = "the name has no address of the public internet";

async fn asking(names: &NameServer, open: &[&str], policy: EgressPolicy) -> (Lab, Process, Attached) {
    Lab::one(BrokerConfig { host: names.view(), ..config(open) }, policy).await
}

#[tokio::test]
async fn names_that_no_rule_allows_leave_no_query() {
    let names = NameServer::start().await;
    names.set("secret.tunnel.test", &["8.8.8.8"]);
    let (_lab, process, mut attached) = asking(&names, &[], policy(Some(&["api.test:443"]), &["bad.test"])).await;
    for name in ["secret.tunnel.test", "bad.test", "x.api.test", "tunnel"] {
        let answer = process.query(attached.sandbox, name, RecordType::A).await;
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NXDomain, 0), "{name}");
        let denial = attached.denial().await;
        assert_eq!((denial.host.as_str(), denial.protocol, denial.port), (name, "dns", None));
        assert!(denial.key.ends_with("in the function's manifest"), "{denial:?}");
    }
    for kind in [RecordType::TXT, RecordType::MX, RecordType::HTTPS, RecordType::AAAA] {
        let answer = process.query(attached.sandbox, "secret.tunnel.test", kind).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{kind}");
    }
    let answer = process.query(attached.sandbox, "1.0.0.127.in-addr.arpa", RecordType::PTR).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(names.asked(), 0, "nothing went out");
}

#[tokio::test]
async fn other_records_than_addresses_are_not_there() {
    let names = NameServer::start().await;
    names.set("api.test", &["8.8.8.8"]);
    let (_lab, process, mut attached) = asking(&names, &[], EgressPolicy::default()).await;
    let empty = async |kind| {
        let answer = process.query(attached.sandbox, "api.test", kind).await;
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0), "{kind}");
    };
    for kind in [RecordType::HTTPS, RecordType::SVCB, RecordType::ANY] {
        empty(kind).await;
    }
    assert_eq!(
        process.look_up(attached.sandbox, "localhost").await,
        ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(names.asked(), 0);
    for kind in [RecordType::TXT, RecordType::SRV, RecordType::MX] {
        empty(kind).await;
    }
    assert!(attached.is_quiet());
}

#[tokio::test]
async fn aliases_are_passed_on_and_addresses_inside_left_out() {
    let names = NameServer::start().await;
    names.set("www.test", &["cdn.test."]);
    names.set("cdn.test", &["8.8.8.8", "10.0.0.1", "169.254.169.254"]);
    let (_lab, process, mut attached) = asking(&names, &[], policy(Some(&["www.test"]), &[])).await;
    let answer = process.query(attached.sandbox, "www.test", RecordType::A).await;
    let kinds: Vec<RecordType> = answer.answers.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [RecordType::CNAME, RecordType::A]);
    assert_eq!(answer.answers[1].data.ip_addr(), "8.8.8.8".parse().ok());
    assert!(attached.is_quiet(), "an answer with an address needs no word");
    names.set("cdn.test", &["10.0.0.1"]);
    assert!(process.look_up(attached.sandbox, "www.test").await.is_empty());
    assert_eq!(attached.denial().await.rule, NOWHERE);
}

/// Names inside must not be discoverable.
#[tokio::test]
async fn a_name_that_leads_inside_looks_like_one_that_is_not_there() {
    let names = NameServer::start().await;
    names.set("inside.test", &["10.0.0.1"]);
    names.set("alias.test", &["inside.test."]);
    names.set("inside6.test", &["fd00::1"]);
    names.set("bare.test", &[]);
    names.set("v4.test", &["8.8.8.8"]);
    let (_lab, process, mut attached) = asking(&names, &[], EgressPolicy::default()).await;
    let mut told = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::HTTPS] {
        let mut answers = Vec::new();
        for name in ["absent.test", "inside.test", "alias.test", "inside6.test", "bare.test"] {
            let mut answer = process.query(attached.sandbox, name, kind).await;
            assert!(answer.answers.is_empty(), "{name}");
            answer.metadata.id = 0;
            answers.push((answer.metadata, answer.authorities.len(), answer.additionals.len()));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{kind}");
        let answer = process.query(attached.sandbox, "v4.test", kind).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{kind}");
    }
    while !attached.is_quiet_but(&mut told) {}
    told.iter_mut().for_each(|denial| denial.host.clear());
    told.iter_mut().for_each(|denial| denial.key = denial.key.split('"').skip(2).collect());
    told.dedup();
    assert_eq!((told.len(), told[0].rule.as_str()), (1, NOWHERE), "{told:?}");
}

/// A shared memory of answers must not lose the aliases on the way, in whichever order tenants ask.
#[tokio::test]
async fn what_one_asked_for_before_changes_no_answer_of_another() {
    for is_split in [false, true] {
        let names = NameServer::start().await;
        names.keep_for(300, is_split);
        names.set("www.test", &["x.evil.test."]);
        names.set("x.evil.test", &["8.8.8.8"]);
        names.set("own.test", &["cdn.test."]);
        names.set("cdn.test", &["9.9.9.9"]);
        let (lab, mut process, mut first) = asking(&names, &[], policy(None, &[])).await;
        let mut second = lab.attach_of("prj_01ARZ3NDEKTSV4RRFFQ69G5FAW", policy(None, &["*.evil.test"])).await;
        second.sandbox = process.attached().await;
        for name in ["x.evil.test", "www.test", "cdn.test"] {
            assert_eq!(process.look_up(first.sandbox, name).await.len(), 1, "{name}");
        }
        let answer = process.query(second.sandbox, "www.test", RecordType::A).await;
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NXDomain, 0), "{is_split}");
        assert_eq!(second.denial().await.rule, "the function denies *.evil.test");
        assert_eq!(process.look_up(second.sandbox, "own.test").await.len(), 1);
        let answer = process.query(first.sandbox, "cdn.test", RecordType::A).await;
        assert_eq!(answer.answers.len(), 1, "no alias of another: {:?}", answer.answers);
        let asked = names.asked();
        assert_eq!(process.look_up(second.sandbox, "own.test").await.len(), 1);
        assert_eq!(names.asked(), asked, "it was kept");
        assert!(first.is_quiet());
    }
}

#[tokio::test]
async fn an_alias_that_is_denied_is_not_followed() {
    let names = NameServer::start().await;
    names.set("www.test", &["x.evil.test."]);
    names.set("x.evil.test", &["8.8.8.8"]);
    let mut config = BrokerConfig { host: names.view(), ..config(&[]) };
    config.operator.deny = targets(&["*.evil.test"]);
    let (_lab, process, mut attached) = Lab::one(config, EgressPolicy::default()).await;
    let answer = process.query(attached.sandbox, "www.test", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let denial = attached.denial().await;
    assert_eq!(denial.rule, "the server's operator denies *.evil.test");
    assert_eq!(denial.key, "remove \"*.evil.test\" from egress.deny in the server's configuration");
}

#[tokio::test]
async fn queries_may_be_any_bytes() {
    let names = NameServer::start().await;
    let many: Vec<String> = (1..=60).map(|n| format!("9.9.9.{n}")).collect();
    names.set("long.test", &many.iter().map(String::as_str).collect::<Vec<_>>());
    let (_lab, process, attached) = asking(&names, &[], EgressPolicy::default()).await;
    let good = question("long.test", RecordType::A);
    let mut two = good.clone();
    two[5] = 2;
    let mut endless = good[..12].to_vec();
    endless.extend([0xc0, 12, 0, 1, 0, 1]);
    for (bytes, code) in [
        (Vec::new(), ResponseCode::FormErr),
        (vec![0; 11], ResponseCode::FormErr),
        (vec![0xff; 300], ResponseCode::FormErr),
        (good[..good.len() - 1].to_vec(), ResponseCode::FormErr),
        (two, ResponseCode::FormErr),
        (endless, ResponseCode::FormErr),
    ] {
        let answer = process.raw_query(attached.sandbox, bytes.clone(), false).await;
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.response_code, code, "{bytes:?}");
    }
    let mut random: u32 = 1;
    for length in 0..400 {
        let bytes = (0..length).map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random.to_be_bytes()[0]
        });
        process.raw_query(attached.sandbox, bytes.collect(), length % 2 == 0).await;
    }
    let cut = Message::from_vec(&process.raw_query(attached.sandbox, good.clone(), false).await).unwrap();
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let whole = Message::from_vec(&process.raw_query(attached.sandbox, good, true).await).unwrap();
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 60));
}

#[tokio::test]
async fn a_long_answer_of_a_name_server_comes_over_tcp() {
    let names = NameServer::start().await;
    names.set("long.test", &["8.8.8.8", "9.9.9.9"]);
    let (_lab, process, attached) = asking(&names, &[], EgressPolicy::default()).await;
    let mut found = process.look_up(attached.sandbox, "long.test").await;
    found.sort_unstable();
    assert_eq!(found, ["8.8.8.8", "9.9.9.9"].map(|text| text.parse::<std::net::IpAddr>().unwrap()));
}

#[tokio::test]
async fn what_the_site_translates_leads_inside_too() {
    let names = NameServer::start().await;
    names.set("ipv4only.arpa", &["2a00:64::c000:aa"]);
    names.set("inside.test", &["2a00:64::a00:1"]);
    let (_lab, process, attached) = asking(&names, &[], EgressPolicy::default()).await;
    let answer = process.query(attached.sandbox, "inside.test", RecordType::AAAA).await;
    assert!(answer.answers.is_empty(), "{:?}", answer.answers);
}

#[tokio::test]
async fn one_question_becomes_a_few_and_not_hundreds() {
    let names = NameServer::start().await;
    let hosts: Vec<String> = (0..60).map(|n| format!("mail{n}.test")).collect();
    hosts.iter().for_each(|host| names.set(host, &["8.8.8.8"]));
    names.set_mail("long.test", &hosts);
    let (_lab, process, attached) = asking(&names, &[], EgressPolicy::default()).await;
    let answer = process.raw_query(attached.sandbox, question("long.test", RecordType::MX), true).await;
    assert_eq!(Message::from_vec(&answer).unwrap().answers.len(), 16);
    // The first over UDP and over TCP, each host for both families.
    assert!(names.asked() <= 2 + 2 * 16, "{} questions", names.asked());
}

#[tokio::test]
async fn services_come_with_the_aliases_before_them_and_for_a_bounded_time() {
    let names = NameServer::start().await;
    names.set("shop.test", &["mail.test."]);
    names.set_mail("mail.test", &["mx.test".to_owned()]);
    names.set("mx.test", &["8.8.8.8"]);
    names.keep_for(100_000, false);
    let (_lab, process, mut attached) = asking(&names, &[], EgressPolicy::default()).await;
    let answer = process.query(attached.sandbox, "shop.test", RecordType::MX).await;
    let found: Vec<_> = answer.answers.iter().map(|record| (record.record_type(), record.ttl)).collect();
    assert_eq!(found, [(RecordType::CNAME, 3_600), (RecordType::MX, 3_600)]);
    assert!(attached.is_quiet());
    let (_lab, process, mut attached) = asking(&names, &[], policy(None, &["mail.test"])).await;
    let answer = process.query(attached.sandbox, "shop.test", RecordType::MX).await;
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NXDomain, 0));
    assert_eq!(attached.denial().await.rule, "the function denies mail.test");
}
