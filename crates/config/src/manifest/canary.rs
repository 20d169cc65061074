//! `[canary]`: how a new version takes over.

use std::time::Duration;

use faas_types::{CanaryPolicy, Permille, Span, limits};

use super::node::{Node, Value};
use super::reader::{Reader, Table};

/// Keys of `[canary]`.
const CANARY_KEYS: &[&str] = &["steps", "every", "max_error_rate", "max_p95", "min_calls"];
/// The shortest step.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// Calls that a step may ask for.
const MIN_CALLS_MAX: u32 = 1_000_000;

/// Reads `[canary]`. The table alone asks for a trial, by the defaults.
pub(super) fn canary(reader: &mut Reader, node: &Node) -> Option<CanaryPolicy> {
    let table = reader.table("canary", node)?;
    reader.refuse_unknown(&table, CANARY_KEYS);
    let defaults = CanaryPolicy::default();
    let max_p95 = span(reader, &table, "max_p95", (Duration::from_millis(1), limits::TIMEOUT_MAX), "1ms and 15m");
    Some(CanaryPolicy {
        steps: table.get("steps").and_then(|node| steps(reader, &table, node)).unwrap_or(defaults.steps),
        every: span(reader, &table, "every", (EVERY_MIN, limits::DELAY_MAX), "1s and 7d").unwrap_or(defaults.every),
        max_error_rate: rate(reader, &table).unwrap_or(defaults.max_error_rate),
        max_p95,
        min_calls: reader.count(&table, "min_calls", 1, MIN_CALLS_MAX).unwrap_or(defaults.min_calls),
    })
}

fn number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Int(number) => i32::try_from(*number).ok().map(f64::from),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

/// Percent of the calls, rising.
fn steps(reader: &mut Reader, table: &Table<'_>, node: &Node) -> Option<Vec<Permille>> {
    let path = table.path_of("steps");
    let items = reader.list(&path, node)?;
    let share = |item| number(item).and_then(|percent| Permille::from_percent(percent).ok());
    let steps: Option<Vec<Permille>> = items.iter().map(share).collect();
    let steps = steps.filter(|steps| {
        (1..=limits::CANARY_STEPS_MAX).contains(&steps.len())
            && steps.iter().all(|share| share.is_partial())
            && steps.is_sorted_by(|a, b| a < b)
    });
    if steps.is_none() {
        let most = limits::CANARY_STEPS_MAX;
        let message =
            format!("`{path}` must be 1 to {most} rising numbers of percent from 0.1 to 99.9, such as [5, 25, 50]");
        reader.problem(path, node.at, message);
    }
    steps
}

/// A part of one, such as 0.05.
fn rate(reader: &mut Reader, table: &Table<'_>) -> Option<Permille> {
    let node = table.get("max_error_rate")?;
    let path = table.path_of("max_error_rate");
    let rate = number(node).and_then(|rate| Permille::from_percent(rate * 100.0).ok());
    if rate.is_none() {
        let message = format!("`{path}` must be from 0 to 1 with three decimals at the most, such as 0.05");
        reader.problem(path, node.at, message);
    }
    rate
}

/// Text such as "2m", or a number of seconds.
fn span(
    reader: &mut Reader,
    table: &Table<'_>,
    key: &str,
    (least, most): (Duration, Duration),
    bounds: &str,
) -> Option<Span> {
    let node = table.get(key)?;
    let path = table.path_of(key);
    let span = match &node.value {
        Value::Int(seconds) => u64::try_from(*seconds).ok().and_then(|s| s.checked_mul(1_000)).map(Span::from_millis),
        Value::Float(_) => None,
        _ => {
            let text = reader.text(&path, node)?;
            Some(reader.keep(&path, node, text.parse::<Span>())?)
        }
    };
    let span = span.filter(|span| (least..=most).contains(&span.get()));
    if span.is_none() {
        reader.problem(&*path, node.at, format!("`{path}` must be between {bounds}, such as \"2m\""));
    }
    span
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;

    fn read(text: &str) -> Result<Manifest, String> {
        Manifest::from_toml("faas.toml", &format!("name = \"a\"\n{text}")).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_table_alone_asks_for_a_trial() {
        let policy = read("[canary]").expect("good").settings.canary.expect("a policy");
        assert_eq!(policy, faas_types::CanaryPolicy::default());
        assert!(read("").expect("good").settings.canary.is_none());
    }

    #[test]
    fn a_policy_comes_back_from_json() {
        let text = "[canary]\nsteps = [0.5, 10, 99.9]\nevery = \"90s\"\nmax_error_rate = 0.015\nmax_p95 = \"250ms\"\n\
                    min_calls = 7";
        let manifest = read(text).expect("good");
        let policy = manifest.settings.canary.clone().expect("a policy");
        assert_eq!(policy.steps.iter().map(|share| share.get()).collect::<Vec<_>>(), [5, 100, 999]);
        assert_eq!((policy.max_error_rate.get(), policy.min_calls), (15, 7));
        let again = Manifest::from_json(manifest.to_json()).map_err(|errors| errors.to_string());
        assert_eq!(again.map(|again| again.settings), Ok(manifest.settings));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("steps = []", "canary.steps"),
            ("steps = [5, 5]", "rising"),
            ("steps = [0]", "0.1"),
            ("steps = [100]", "99.9"),
            ("steps = [1.25]", "canary.steps"),
            ("steps = 5", "list"),
            ("steps = [\"5\"]", "canary.steps"),
            ("every = \"0s\"", "canary.every"),
            ("every = \"8d\"", "7d"),
            ("max_error_rate = 1.5", "0.05"),
            ("max_error_rate = \"5%\"", "0.05"),
            ("max_p95 = 0", "canary.max_p95"),
            ("min_calls = 0", "canary.min_calls"),
            ("step = [5]", "did you mean `canary.steps`"),
        ] {
            let message = read(&format!("[canary]\n{text}")).expect_err(text);
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
