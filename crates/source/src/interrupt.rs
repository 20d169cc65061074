//! Handles signals that end a command: removes its temporary files first.

use std::process;
use std::sync::{Once, mpsc};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::held;

/// What a command says before it ends.
pub type LastWords = Box<dyn Fn() + Send>;

static LISTENING: Once = Once::new();

/// Listens from now on until the process ends; only the first call of a process counts. Commands that host a server end by
/// their own rules, and make no temporary files.
pub fn listen(last_words: Option<LastWords>) {
    LISTENING.call_once(|| {
        // On a thread of its own: files are read and checked on the main one, which could not listen meanwhile. Without a
        // thread, a signal ends the command as it always does.
        let (ready, is_ready) = mpsc::sync_channel(1);
        let _ = thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
            let Ok(runtime) = Builder::new_current_thread().enable_io().build() else { return };
            let number = runtime.block_on(told_to_end(ready));
            if let Some(last_words) = last_words {
                last_words();
            }
            held::clear();
            // As shells say it of a program that a signal ended.
            process::exit(128 + number);
        });
        // Files that the command makes from here on are removed at every end. Without a thread the command goes on all the
        // same.
        let _ = is_ready.recv();
    });
}

/// Waits for a signal; those that were ignored when the command began (`nohup`) stay so. Says when it does, and returns the
/// signal's number.
async fn told_to_end(ready: mpsc::SyncSender<()>) -> i32 {
    let ignored = ignored();
    let on = |kind: SignalKind| {
        let is_ignored = ignored & (1 << (kind.as_raw_value() - 1)) != 0;
        (!is_ignored).then(|| signal(kind).ok()).flatten()
    };
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [mut interrupt, mut terminate, mut hangup] = kinds.map(on);
    let _ = ready.send(());
    tokio::select! {
        () = heard(&mut interrupt) => kinds[0].as_raw_value(),
        () = heard(&mut terminate) => kinds[1].as_raw_value(),
        () = heard(&mut hangup) => kinds[2].as_raw_value(),
    }
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The signals that this process was started to ignore, a bit for each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
