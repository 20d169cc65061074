//! What programs see.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use faas_net::protocol::{Limits, Refusal, ServerMessage};
use serde_json::{Value, json};

use crate::Check;
use crate::far::{shut_tcp, shut_udp};
use crate::lab::{Guest, Lab, SANDBOX};

/// Leads to the far ends.
pub(crate) const FAR: &str = "93.184.216.34";
const FAR_V6: &str = "2001:db8::1";

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("bytes_come_back", bytes_come_back),
    ("a_hundred_megabytes_each_way", a_hundred_megabytes_each_way),
    ("two_hundred_connections_at_once", two_hundred_connections_at_once),
    ("a_refusal_is_what_the_program_sees", a_refusal_is_what_the_program_sees),
    ("datagrams_come_back", datagrams_come_back),
    ("names_are_resolved", names_are_resolved),
    ("a_name_in_tls_is_asked_about", a_name_in_tls_is_asked_about),
    ("curl_fetches", curl_fetches),
    ("a_slow_reader_costs_no_memory", a_slow_reader_costs_no_memory),
    ("a_rate_of_bytes_is_kept_both_ways", a_rate_of_bytes_is_kept_both_ways),
    ("a_project_has_one_rate_of_bytes_for_all_its_sandboxes", a_project_has_one_rate_of_bytes_for_all_its_sandboxes),
    ("a_flood_is_bounded_and_a_neighbour_goes_on", a_flood_is_bounded_and_a_neighbour_goes_on),
];

pub(crate) fn same(found: &Value, expected: impl Into<Value>) -> Result<()> {
    let expected = expected.into();
    ensure!(*found == expected, "{found} is not {expected}");
    Ok(())
}

fn bytes_come_back(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    for size in [0, 1, 1_000, 70_000, 1_000_000] {
        for host in [FAR, FAR_V6] {
            same(&lab.ask("echo", &[json!(host), json!(port), json!(size)])?, json!(true))?;
        }
    }
    // The last flow's counts: the word that it began with goes up alone.
    lab.broker.until("the end of all flows", |seen| seen.closed.len() == 10)?;
    let seen = lab.broker.seen();
    ensure!(seen.connects.iter().all(|(sandbox, ..)| *sandbox == SANDBOX));
    let last = seen.connects[9].1;
    ensure!(seen.closed[&last] == (1_000_005, 1_000_000), "{:?}", seen.closed[&last]);
    drop(seen);
    let total = (2 * 1_071_001 + 50, 2 * 1_071_001);
    lab.broker.until("the totals", |seen| {
        seen.usage.get(&SANDBOX).is_some_and(|usage| (usage.up, usage.down, usage.flows) == (total.0, total.1, 10))
    })
}

fn a_hundred_megabytes_each_way(lab: &mut Lab) -> Result<()> {
    const SIZE: u64 = 100_000_000;
    let port = lab.far.tcp;
    let before = lab.memory()?;
    same(&lab.ask("upload", &[json!(FAR), json!(port), json!(SIZE)])?, json!(format!("{SIZE} true")))?;
    same(&lab.ask("download", &[json!(FAR), json!(port), json!(SIZE)])?, json!([SIZE, true]))?;
    let grown = lab.memory()?.saturating_sub(before);
    ensure!(grown < 8 << 20, "{grown} bytes more memory");
    Ok(())
}

fn two_hundred_connections_at_once(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    let before = lab.descriptors()?;
    same(&lab.ask("many", &[json!(FAR), json!(port), json!(200)])?, json!(200))?;
    same(&lab.ask("burst", &[json!(FAR), json!(port), json!(200)])?, json!(200))?;
    lab.broker.until("the end of all flows", |seen| seen.closed.len() == 400)?;
    let after = lab.descriptors()?;
    ensure!(after == before, "{before} descriptors became {after}");
    Ok(())
}

fn a_refusal_is_what_the_program_sees(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    let (_held, shut) = shut_tcp()?;
    for (host, port, expected) in [
        (FAR, shut, json!("ECONNREFUSED")),
        (FAR_V6, shut, json!("ECONNREFUSED")),
        ("10.0.0.1", port, json!("EHOSTUNREACH")),
        ("2001:db8::2", port, json!("EHOSTUNREACH")),
        ("10.0.0.2", port, json!("EHOSTUNREACH")),
        ("192.0.0.1", port, json!("ECONNREFUSED")),
        (FAR, port, json!(null)),
    ] {
        let found = lab.ask("refused", &[json!(host), json!(port)])?;
        ensure!(found == expected, "{host}:{port}: {found} is not {expected}");
    }
    same(&lab.ask("refused", &[json!("10.0.0.3"), json!(port), json!(0.5)])?, json!("TimeoutError"))
}

fn datagrams_come_back(lab: &mut Lab) -> Result<()> {
    let sizes = [0, 1, 1_472, 9_000, 60_000];
    for host in [FAR, FAR_V6] {
        same(&lab.ask("udp_echo", &[json!(host), json!(lab.far.udp), json!(sizes)])?, json!(vec![true; 5]))?;
    }
    let (_held, shut) = shut_udp()?;
    same(&lab.ask("udp_refused", &[json!(FAR), json!(shut)])?, json!("ECONNREFUSED"))?;
    same(&lab.ask("udp_refused", &[json!("10.0.0.1"), json!(shut)])?, json!("EHOSTUNREACH"))
}

fn names_are_resolved(lab: &mut Lab) -> Result<()> {
    same(&lab.ask("lookup", &[json!("a.example")])?, json!(FAR))?;
    same(&lab.ask("lookup_by_tcp", &[json!("a.example"), json!(20)])?, json!(vec![FAR; 20]))?;
    same(&lab.ask("lookup_by_system", &[json!("a.example")])?, json!([FAR]))?;
    ensure!(lab.broker.seen().queries >= 23, "{}", lab.broker.seen().queries);
    same(&lab.ask("echo", &[json!("a.example"), json!(lab.far.tcp), json!(10)])?, json!(true))
}

fn a_name_in_tls_is_asked_about(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    // The far end does not speak TLS.
    let bad = lab.ask("tls", &[json!("10.0.0.4"), json!(port), json!("bad.example")])?;
    same(&bad, json!("ConnectionResetError"))?;
    ensure!(lab.broker.seen().names == [Some("bad.example".to_owned())]);
    lab.broker.until("the end", |seen| seen.closed.len() == 1)?;
    ensure!(lab.broker.seen().closed.values().all(|counts| *counts == (0, 0)), "something leaked");
    let good = lab.ask("tls", &[json!("10.0.0.4"), json!(port), json!("good.example")])?;
    ensure!(good != bad, "{good}");
    lab.broker.until("the end", |seen| seen.closed.len() == 2)?;
    ensure!(lab.broker.seen().closed.values().any(|(up, _)| *up > 200), "nothing arrived");
    Ok(())
}

fn curl_fetches(lab: &mut Lab) -> Result<()> {
    if lab.ask("has_curl", &[])? == json!(false) {
        println!("left out: there is no curl");
        return Ok(());
    }
    let port = lab.far.http;
    for url in [format!("http://{FAR}:{port}/"), format!("http://[{FAR_V6}]:{port}/")] {
        same(&lab.ask("curl", &[json!(url)])?, json!("hello"))?;
    }
    Ok(())
}

fn a_slow_reader_costs_no_memory(lab: &mut Lab) -> Result<()> {
    let before = lab.memory()?;
    let port = lab.far.tcp;
    let slow = [json!(FAR), json!(port), json!(30_000_000), json!(0.002), json!(64 << 10)];
    lab.guest.begin("download", &slow)?;
    let mut most = 0;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(20));
        most = most.max(lab.memory()?);
    }
    same(&lab.guest.answer()?, json!([30_000_000, true]))?;
    ensure!(most.saturating_sub(before) < 8 << 20, "{before} bytes of memory became {most}");
    Ok(())
}

fn a_rate_of_bytes_is_kept_both_ways(lab: &mut Lab) -> Result<()> {
    const RATE: u64 = 10_000_000;
    const SIZE: u64 = 15_000_000;
    let port = lab.far.tcp;
    let mut other = Guest::new()?;
    let limits = Limits { bytes_a_second: NonZeroU64::new(RATE), ..Limits::default() };
    lab.broker.attach_within(limits, (9, 9), &other.device, &other.pidfd)?;
    let begun = Instant::now();
    same(&other.ask("upload", &[json!(FAR), json!(port), json!(SIZE)])?, format!("{SIZE} true"))?;
    same(&other.ask("download", &[json!(FAR), json!(port), json!(SIZE)])?, json!([SIZE, true]))?;
    // What may be moved at once comes on top.
    let least = Duration::from_secs_f64((2 * SIZE) as f64 / RATE as f64 - 0.5);
    ensure!(begun.elapsed() > least, "{:?} is less than {least:?}", begun.elapsed());
    // What it sent before its end arrives in spite of a pause.
    other.begin("goodbye", &[json!(FAR), json!(port), json!(3_000_000)])?;
    lab.broker.until("its end", |seen| seen.gone == [9] && seen.closed.values().any(|counts| counts.0 == 3_000_005))
}

fn a_project_has_one_rate_of_bytes_for_all_its_sandboxes(lab: &mut Lab) -> Result<()> {
    const RATE: u64 = 10_000_000;
    const SIZE: u64 = 10_000_000;
    let port = lab.far.tcp;
    let limits = Limits { project_bytes_a_second: NonZeroU64::new(RATE), ..Limits::default() };
    let mut guests = [Guest::new()?, Guest::new()?];
    for (sandbox, guest) in (21..).zip(&guests) {
        lab.broker.attach_within(limits, (sandbox, 21), &guest.device, &guest.pidfd)?;
    }
    let begun = Instant::now();
    for guest in &mut guests {
        guest.begin("upload", &[json!(FAR), json!(port), json!(SIZE)])?;
    }
    let trips = lab.ask("ping_pong", &[json!(FAR), json!(port), json!(100)])?;
    ensure!(trips.as_array().is_some_and(|trips| trips.len() == 100), "another project is not held up");
    ensure!(begun.elapsed() < Duration::from_secs(1), "it is held up: {:?}", begun.elapsed());
    for guest in &mut guests {
        same(&guest.answer()?, format!("{SIZE} true"))?;
    }
    // What may be moved at once comes on top.
    let least = Duration::from_secs_f64((2 * SIZE) as f64 / RATE as f64 - 0.5);
    ensure!(begun.elapsed() > least, "{:?} is less than {least:?}", begun.elapsed());
    Ok(())
}

fn a_flood_is_bounded_and_a_neighbour_goes_on(lab: &mut Lab) -> Result<()> {
    let (port, before, limits) = (lab.far.tcp, lab.memory()?, Limits::default());
    let (_held, shut) = shut_tcp()?;
    let begun = Instant::now();
    let mut other = Guest::new()?;
    lab.broker.attach(9, &other.device, &other.pidfd)?;
    let silent = "10.0.0.9";
    for (kind, host) in [
        ("syn", FAR),
        ("syn", silent),
        ("stray", FAR),
        ("fragments", FAR),
        ("udp", FAR),
        ("udp", silent),
        ("noise", FAR),
    ] {
        other.begin("flood", &[json!(kind), json!(host), json!(shut), json!(65_000)])?;
        let trips = lab.ask("ping_pong", &[json!(FAR), json!(port), json!(300)])?;
        let trips: Vec<f64> = trips.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        ensure!(trips.len() == 300);
        println!("    beside {kind} to {host}: p50 {:.0} us, p99 {:.0} us", trips[150], trips[297]);
        // Behind all those packets it would wait for seconds; what else the machine does takes its time, too.
        ensure!(trips[297] < 500_000.0, "p99 of a neighbour is {} us beside {kind}", trips[297]);
        ensure!(other.answer()?.as_u64().is_some_and(|sent| sent > 0), "nothing of {kind} was sent");
        let grown = lab.memory()?.saturating_sub(before);
        ensure!(grown < 32 << 20, "{grown} bytes more memory after {kind}");
        let silent = lab.broker.seen().connects.iter().filter(|(.., to)| to.to_string() == "10.0.0.9").count();
        // Those of datagrams make room for others.
        ensure!(kind != "syn" || silent <= limits.half_open as usize, "{silent} half-open connections");
        if kind == "syn" {
            // On a slow machine these are all that the sandbox may have, and it could not go on.
            let connects = lab.broker.seen().connects.clone();
            for (_, flow, _) in connects.into_iter().filter(|(.., to)| to.to_string() == "10.0.0.9") {
                lab.broker.say(&ServerMessage::Refused { flow, how: Refusal::TimedOut })?;
            }
        }
    }
    let asked = lab.broker.seen().connects.iter().filter(|(sandbox, ..)| *sandbox == 9).count() as u64;
    let allowed = u64::from(limits.connections) + u64::from(limits.flows_a_second) * (begun.elapsed().as_secs() + 1);
    ensure!((1..=allowed).contains(&asked), "{asked} flows, {allowed} are allowed");
    lab.broker.until("dropped packets", |seen| seen.usage.get(&9).is_some_and(|usage| usage.dropped > 0))?;
    // Once the rate allows it, the same sandbox goes on.
    same(&other.ask("echo", &[json!(FAR), json!(port), json!(1_000)])?, true)
}
