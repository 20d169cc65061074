//! Where a run's time went, as bars of plain characters.

use faas_client::rest::AttemptView;
use faas_terminal::text;

/// Characters of the whole length.
const WIDTH: usize = 40;

/// One line for each phase that took place: its name, its time and a bar that starts where the phase before ended. Of several
/// attempts the pauses between them are phases too.
pub(crate) fn lines(attempts: &[AttemptView]) -> Vec<String> {
    let phases: Vec<_> = (0..attempts.len()).flat_map(|index| phases(attempts, index)).collect();
    let whole: f64 = phases.iter().map(|(_, ms)| ms).sum();
    if whole <= 0.0 {
        return Vec::new();
    }
    let mut before = 0.0;
    let mut lines = Vec::with_capacity(phases.len());
    for (name, ms) in phases {
        let bar = bar(before / whole, ms / whole);
        lines.push(format!("{name:<8}{:>9}  {bar}", precise(ms)));
        before += ms;
    }
    lines
}

/// Milliseconds between an attempt and the one before it.
pub(crate) fn pause_before(attempts: &[AttemptView], index: usize) -> Option<f64> {
    let ended = attempts.get(index.checked_sub(1)?)?.finished_at.as_deref()?;
    let attempt = attempts.get(index)?;
    let since = text::millis_between(ended, &attempt.started_at)?;
    let start = attempt.start.map_or(0.0, |start| start.sandbox_ms + start.runtime_ms + start.import_ms);
    // The wait for an instance and its start are phases too.
    Some((since - attempt.queue_ms - start).max(0.0))
}

fn phases(attempts: &[AttemptView], index: usize) -> Vec<(&'static str, f64)> {
    let attempt = &attempts[index];
    let mut phases: Vec<_> = pause_before(attempts, index).map(|ms| ("pause", ms)).into_iter().collect();
    phases.push(("queue", attempt.queue_ms));
    if let Some(start) = &attempt.start {
        phases.extend([("sandbox", start.sandbox_ms), ("runtime", start.runtime_ms), ("import", start.import_ms)]);
    }
    phases.push(("handler", attempt.handler_ms));
    phases
}

/// Below a millisecond in microseconds, since warm phases are that short.
fn precise(ms: f64) -> String {
    if ms < 1.0 { format!("{:.0} us", ms * 1_000.0) } else { text::millis(ms) }
}

/// Something that took time shows at least one mark.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares of a small width, from 0 to 1")]
#[expect(clippy::cast_precision_loss, reason = "the width is small")]
fn bar(from: f64, share: f64) -> String {
    let cell = |share: f64| ((share * WIDTH as f64).round() as usize).min(WIDTH);
    let start = cell(from).min(WIDTH - 1);
    let length = if share > 0.0 { cell(from + share).saturating_sub(start).max(1) } else { 0 };
    format!("{:start$}{}", "", "#".repeat(length))
}

#[cfg(test)]
mod tests {
    use faas_client::rest::StartView;

    use super::*;

    fn attempt(queue_ms: f64, start: Option<StartView>, handler_ms: f64) -> AttemptView {
        let text = r#"{"id":"a","number":1,"instance":null,"started_at":"","finished_at":null,"cold_start":false,
            "queue_ms":0,"handler_ms":0,"peak_memory_bytes":null,"cpu_ms":null,"dropped_log_lines":0,"code":null}"#;
        let attempt: AttemptView = serde_json::from_str(text).expect("an attempt of an older server");
        AttemptView { queue_ms, start, handler_ms, ..attempt }
    }

    #[test]
    fn phases_follow_each_other() {
        let start = StartView { sandbox_ms: 2.0, runtime_ms: 5.0, import_ms: 1.0 };
        assert_eq!(
            lines(&[attempt(0.1, Some(start), 1.9)]),
            [
                "queue      100 us  #",
                "sandbox    2.0 ms  ########",
                "runtime    5.0 ms          ####################",
                "import     1.0 ms                              ####",
                "handler    1.9 ms                                  ########",
            ]
        );
    }

    #[test]
    fn a_warm_attempt_has_two_phases_and_an_idle_one_none() {
        let warm = lines(&[attempt(0.0, None, 0.05)]);
        assert_eq!(warm, ["queue        0 us  ", &format!("handler     50 us  {}", "#".repeat(WIDTH))]);
        assert_eq!(lines(&[attempt(0.0, None, 0.0)]), Vec::<String>::new());
    }

    #[test]
    fn the_pause_before_another_attempt_is_a_phase() {
        let at = |text: &str| text.to_owned();
        let first = AttemptView { finished_at: Some(at("2026-11-21T08:00:01Z")), ..attempt(0.0, None, 500.0) };
        let second = AttemptView { started_at: at("2026-11-21T08:00:03.100Z"), ..attempt(100.0, None, 500.0) };
        let attempts = [first, second];
        assert_eq!((pause_before(&attempts, 0), pause_before(&attempts, 1)), (None, Some(2_000.0)));
        let names: Vec<_> = lines(&attempts).iter().map(|line| line[..8].trim().to_owned()).collect();
        assert_eq!(names, ["queue", "handler", "pause", "queue", "handler"]);
    }
}
