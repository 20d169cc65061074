//! Figures: throughput, connects and round trips through a device.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};

use crate::checks::FAR;
use crate::lab::{Guest, Lab};

const SIZE: u64 = 2_000_000_000;
const IDLE: u64 = 400;

pub(crate) fn run() -> Result<()> {
    let mut lab = Lab::new()?;
    let port = lab.far.tcp;
    for direction in ["upload_fast", "download_fast"] {
        let (begun, ticks) = (Instant::now(), lab.ticks()?);
        lab.ask(direction, &[json!(FAR), json!(port), json!(SIZE)])?;
        let seconds = begun.elapsed().as_secs_f64();
        let cost = (lab.ticks()? - ticks) as f64 * 10.0 / (SIZE as f64 / 1e9);
        println!("{direction}: {:.2} Gbit/s, {cost:.0} ms of processor time a GB", SIZE as f64 * 8.0 / seconds / 1e9);
    }
    say("connect", &lab.ask("connects", &[json!(FAR), json!(port), json!(2_000)])?);
    say("round trip", &lab.ask("ping_pong", &[json!(FAR), json!(port), json!(10_000)])?);
    let before = lab.memory()?;
    lab.ask("hold", &[json!(FAR), json!(port), json!(IDLE)])?;
    println!("{IDLE} idle connections: {} KB of memory", lab.memory()?.saturating_sub(before) >> 10);
    let mut other = Guest::new()?;
    lab.broker.attach(9, &other.device, &other.pidfd)?;
    for direction in ["upload_fast", "download_fast"] {
        other.begin(direction, &[json!(FAR), json!(port), json!(3 * SIZE)])?;
        say(
            &format!("round trip beside {direction} of a neighbour"),
            &lab.ask("ping_pong", &[json!(FAR), json!(port), json!(3_000)])?,
        );
        other.answer()?;
    }
    Ok(())
}

fn say(what: &str, sorted: &Value) {
    let all: Vec<f64> = sorted.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let at = |share: f64| all.get((all.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!("{what}: p50 {:.0} us, p99 {:.0} us", at(0.5), at(0.99));
}
