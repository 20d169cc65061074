//! How connections, programs, sandboxes and the network process end.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use faas_net::protocol::{ServerMessage, channel};
use serde_json::json;

use crate::Check;
use crate::broker::Broker;
use crate::checks::{FAR, same};
use crate::lab::{Guest, Lab, SANDBOX};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("either_side_finishes_first", either_side_finishes_first),
    ("resets_are_passed_on", resets_are_passed_on),
    ("what_was_sent_last_arrives", what_was_sent_last_arrives),
    ("a_sandbox_ends_alone", a_sandbox_ends_alone),
    ("what_was_sent_before_a_detach_arrives", what_was_sent_before_a_detach_arrives),
    ("the_server_closes_and_detaches", the_server_closes_and_detaches),
    ("connections_of_a_killed_process_are_reset", connections_of_a_killed_process_are_reset),
];

/// Waits for what a far end has met.
fn met(lab: &Lab, word: &str) -> Result<String> {
    let begun = Instant::now();
    loop {
        if let Some(met) = lab.far.met(word) {
            return Ok(met);
        }
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("no far end met {word}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn either_side_finishes_first(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    same(&lab.ask("upload", &[json!(FAR), json!(port), json!(10)])?, json!("10 true"))?;
    same(&lab.ask("far_first", &[json!(FAR), json!(port)])?, json!("greeting"))?;
    ensure!(met(lab, "first")? == "50000 true");
    Ok(())
}

fn resets_are_passed_on(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    same(&lab.ask("reset_by_far", &[json!(FAR), json!(port)])?, json!("ECONNRESET"))?;
    lab.ask("reset_by_us", &[json!(FAR), json!(port)])?;
    ensure!(met(lab, "watch")? == "ConnectionReset", "{}", met(lab, "watch")?);
    Ok(())
}

fn what_was_sent_last_arrives(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    lab.guest.begin("goodbye", &[json!(FAR), json!(port), json!(3_000_000)])?;
    ensure!(met(lab, "take")? == "3000000 true", "{}", met(lab, "take")?);
    lab.broker.until("the sandbox's end", |seen| seen.gone == [SANDBOX])
}

fn a_sandbox_ends_alone(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    let before = lab.descriptors()?;
    let mut other = Guest::new()?;
    lab.broker.attach(9, &other.device, &other.pidfd)?;
    same(&other.ask("keep", &[json!(FAR), json!(port)])?, json!("first"))?;
    same(&lab.ask("keep", &[json!(FAR), json!(port)])?, json!("first"))?;
    other.end()?;
    lab.broker.until("the end of one", |seen| seen.gone == [9] && seen.closed.len() == 1)?;
    same(&lab.ask("kept_read", &[])?, json!(null))?;
    let after = lab.descriptors()?;
    // The kept connection is one more.
    ensure!(after == before + 1, "{before} descriptors became {after}");
    Ok(())
}

/// A reset would take from the far end what it has not read yet, and tell it that all of it is worth nothing.
fn what_was_sent_before_a_detach_arrives(lab: &mut Lab) -> Result<()> {
    lab.ask("send_and_stay", &[json!(FAR), json!(lab.far.tcp), json!(3_000_000)])?;
    lab.broker.say(&ServerMessage::Detach { sandbox: SANDBOX })?;
    ensure!(met(lab, "take")? == "3000000 true", "{}", met(lab, "take")?);
    lab.broker.until("the sandbox's end", |seen| seen.gone == [SANDBOX])
}

fn the_server_closes_and_detaches(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    same(&lab.ask("keep", &[json!(FAR), json!(port)])?, json!("first"))?;
    let flow = lab.broker.seen().connects[0].1;
    lab.broker.say(&ServerMessage::Close { flow })?;
    lab.broker.until("its end", |seen| seen.closed.contains_key(&flow))?;
    same(&lab.ask("kept_read", &[])?, json!("ECONNRESET"))?;
    same(&lab.ask("keep", &[json!(FAR), json!(port)])?, json!("first"))?;
    lab.broker.say(&ServerMessage::Detach { sandbox: SANDBOX })?;
    lab.broker.until("the sandbox's end", |seen| seen.gone == [SANDBOX] && seen.closed.len() == 2)?;
    same(&lab.ask("kept_read", &[])?, json!("ECONNRESET"))
}

/// The server keeps a duplicate of the device and gives it to the next process.
fn connections_of_a_killed_process_are_reset(lab: &mut Lab) -> Result<()> {
    let port = lab.far.tcp;
    same(&lab.ask("keep", &[json!(FAR), json!(port)])?, json!("first"))?;
    lab.end_net()?;
    // The next process resets a connection as soon as it learns of it: the kernel may still owe it an acknowledgement.
    let connections = lab.guest.connections()?;
    let (ours, theirs) = channel()?;
    let serving = thread::spawn(move || faas_net::main_loop(theirs));
    let broker = Broker::new(ours);
    broker.attach(SANDBOX, &lab.guest.device, &lab.guest.pidfd)?;
    ensure!(connections.len() == 1, "{connections:?}");
    broker.say(&ServerMessage::Reset { sandbox: SANDBOX, connections })?;
    same(&lab.ask("kept_wait", &[])?, json!("ECONNRESET"))?;
    same(&lab.ask("echo", &[json!(FAR), json!(port), json!(10)])?, json!(true))?;
    ensure!(!serving.is_finished());
    Ok(())
}
