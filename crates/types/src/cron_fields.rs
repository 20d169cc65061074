//! The fields of a cron expression: checked in our own words, before the library that evaluates them reads it.

/// Names that stand for an expression, with the expression.
const NAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// What an expression looks like, for those that do not.
const FORM: &str = "write minute hour day month weekday, as in `30 2 * * 1-5`, with seconds in front if wanted, or \
                    @yearly, @annually, @monthly, @weekly, @daily, @midnight or @hourly";

/// An expression whose fields were counted, and checked where that is asked for.
#[derive(Debug)]
pub(crate) struct CronFields {
    /// The expression in capitals, without a name that stands for it.
    pub(crate) text: String,
    /// Whether minute or hour begins with `*`, so that it fires whenever the clock shows a matching time. Any other
    /// expression means fixed times, each of which fires once a day.
    pub(crate) is_wildcard: bool,
    /// Whether a day has to match both day fields, as day or weekday begins with `*`; otherwise either will do.
    pub(crate) wants_both_days: bool,
}

/// One field: its name, its bounds, and the names of its values.
struct Field {
    name: &'static str,
    least: u16,
    most: u16,
    names: &'static [&'static str],
}

const FIELDS: [Field; 6] = [
    Field { name: "second", least: 0, most: 59, names: &[] },
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: &MONTHS },
    Field { name: "weekday", least: 0, most: 7, names: &WEEKDAYS },
];

// === impl CronFields ===

impl CronFields {
    /// Splits an expression into its fields.
    ///
    /// # Errors
    /// In words, when it has another number of fields.
    pub(crate) fn split(text: &str) -> Result<Self, String> {
        let text = text.trim().to_uppercase();
        if text == "@REBOOT" {
            return Err(format!("@reboot names no time; {FORM}"));
        }
        if let Some(meant) = foreign(&text) {
            return Err(format!("write it as {meant}; {FORM}"));
        }
        let named =
            NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, meant)| (*meant).to_owned());
        let text = named.unwrap_or(text);
        if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
            return Err("a time zone is not part of the expression; name it in `timezone`".to_owned());
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [.., minute, hour, day, _, weekday] = fields.as_slice() else {
            return Err(format!("it has {}; {FORM}", count(fields.len())));
        };
        if fields.len() > FIELDS.len() {
            return Err(format!("it has {}; {FORM}", count(fields.len())));
        }
        let starred = |field: &str| field.starts_with('*') || field.starts_with('?');
        let is_wildcard = starred(minute) || starred(hour);
        let wants_both_days = starred(day) || starred(weekday);
        Ok(Self { is_wildcard, wants_both_days, text })
    }

    /// Checks every field.
    ///
    /// # Errors
    /// In words, what is wrong with the first that is malformed or out of its bounds.
    pub(crate) fn check(&self) -> Result<(), String> {
        let fields: Vec<&str> = self.text.split_whitespace().collect();
        let rules = &FIELDS[FIELDS.len().saturating_sub(fields.len())..];
        rules.iter().zip(fields).try_for_each(|(rule, field)| field.split(',').try_for_each(|item| rule.item(item)))
    }
}

/// What stands for `@every 5m`, `rate(5 minutes)` and `cron(…)` of other schedulers.
fn foreign(text: &str) -> Option<&'static str> {
    let is_interval = text.starts_with("@EVERY") || text.starts_with("EVERY ") || text.starts_with("RATE(");
    if is_interval {
        return Some("steps of a field: `*/5 * * * *` is every 5 minutes, `0 */2 * * *` every 2 hours");
    }
    text.starts_with("CRON(").then_some(
        "five fields without cron(…) and without a year: `*/5 * * * *` is every 5 minutes, `0 9 * * *` every day at 9",
    )
}

// === impl Field ===

impl Field {
    /// One item of a list: a value, a range, or either with a step.
    fn item(&self, item: &str) -> Result<(), String> {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(step)),
            None => (item, None),
        };
        if let Some(step) = step {
            self.step(item, step)?;
        }
        let any = base == "*" || (base == "?" && ["day", "weekday"].contains(&self.name));
        match base.split_once('-') {
            _ if any => Ok(()),
            Some((from, to)) => {
                let (first, last) = (self.value(item, from)?, self.value(item, to)?);
                // A week may end with its Sunday.
                let last = if self.name == "weekday" && to == "SUN" { 7 } else { last };
                if first > last {
                    return Err(format!("{} {item} runs backwards; write it as two ranges", self.name));
                }
                Ok(())
            }
            None if step.is_some() => {
                let most = self.most;
                Err(format!("{} {item} has a step but no range; write {base}-{most}/… or */…", self.name))
            }
            None if self.special(base) => Ok(()),
            None => self.value(item, base).map(|_| ()),
        }
    }

    /// A step fits at least once into the field; a longer one would quietly mean another interval.
    fn step(&self, item: &str, step: &str) -> Result<(), String> {
        // Weekday 0 and weekday 7 are the same day.
        let size = if self.name == "weekday" { 7 } else { self.most - self.least + 1 };
        match step.parse::<u16>() {
            Ok(step) if (1..=size).contains(&step) => Ok(()),
            _ => Err(format!("the step of {} {item} must be a number from 1 to {size}", self.name)),
        }
    }

    fn value(&self, item: &str, text: &str) -> Result<u16, String> {
        if let Some(index) = self.names.iter().position(|name| *name == text) {
            return Ok(u16::try_from(index).unwrap_or(u16::MAX) + self.least);
        }
        let value = text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        match value {
            Some(value) if (self.least..=self.most).contains(&value) => Ok(value),
            Some(value) => {
                Err(format!("{} {value} is out of range; it goes from {} to {}", self.name, self.least, self.most))
            }
            None => Err(format!("{} `{}` is not understood", self.name, short(item))),
        }
    }

    /// The last day, the weekday next to a day, the last or the nth of a weekday.
    fn special(&self, text: &str) -> bool {
        let is_value = |text: &str| self.value(text, text).is_ok();
        match self.name {
            "day" => text == "L" || text == "LW" || text.strip_suffix('W').is_some_and(is_value),
            "weekday" => match text.split_once('#') {
                Some((weekday, nth)) => is_value(weekday) && ["1", "2", "3", "4", "5", "L"].contains(&nth),
                None => text.strip_suffix('L').is_some_and(is_value),
            },
            _ => false,
        }
    }
}

fn count(fields: usize) -> String {
    match fields {
        0 => "no fields".to_owned(),
        1 => "1 field".to_owned(),
        more => format!("{more} fields"),
    }
}

fn short(text: &str) -> String {
    text.chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        CronFields::split(text).and_then(|fields| fields.check()).err().unwrap_or_else(|| "accepted".to_owned())
    }

    #[test]
    fn schedules_of_others_are_shown_in_five_fields() {
        for text in ["@every 5m", "rate(5 minutes)", "cron(0 9 * * ? *)", "every 5 minutes"] {
            assert!(why(text).contains("`*/5 * * * *`"), "{text}: {}", why(text));
        }
    }

    #[test]
    fn a_wrong_field_is_named_with_its_bounds() {
        for (text, expected) in [
            ("0 25 * * *", "hour 25 is out of range; it goes from 0 to 23"),
            ("60 * * * *", "minute 60 is out of range; it goes from 0 to 59"),
            ("75 0 0 * * *", "second 75 is out of range; it goes from 0 to 59"),
            ("0 0 0 * *", "day 0 is out of range; it goes from 1 to 31"),
            ("0 0 * 13 *", "month 13 is out of range; it goes from 1 to 12"),
            ("0 0 * * 8", "weekday 8 is out of range; it goes from 0 to 7"),
            ("0 0 1-40 * *", "day 40 is out of range; it goes from 1 to 31"),
            ("*/90 * * * *", "the step of minute */90 must be a number from 1 to 60"),
            ("0 */25 * * *", "the step of hour */25 must be a number from 1 to 24"),
            ("0 0-12/0 * * *", "the step of hour 0-12/0 must be a number from 1 to 24"),
            ("0 0 * * */8", "the step of weekday */8 must be a number from 1 to 7"),
            ("0 22-2 * * *", "hour 22-2 runs backwards; write it as two ranges"),
            ("5/10 * * * *", "minute 5/10 has a step but no range; write 5-59/… or */…"),
            ("0 9 * * MONDAY", "weekday `MONDAY` is not understood"),
            ("0,,5 * * * *", "minute `` is not understood"),
            ("+5 * * * *", "minute `+5` is not understood"),
            ("L * * * *", "minute `L` is not understood"),
            ("TZ=Europe/Berlin 0 9 * * *", "a time zone is not part of the expression; name it in `timezone`"),
            ("CRON_TZ=UTC 0 9 * * *", "a time zone is not part of the expression; name it in `timezone`"),
        ] {
            assert_eq!(why(text), expected, "{text}");
        }
        for (text, expected) in [("", "it has no fields; "), ("* * * *", "it has 4 fields; "), ("@reboot", "@reboot ")]
        {
            assert!(why(text).starts_with(expected) && why(text).contains("@hourly"), "{text}: {}", why(text));
        }
    }

    #[test]
    fn each_form_of_a_field_is_taken() {
        for text in [
            "*/60 */24 */31 */12 */7",
            "0-59/15,7 9-17 L,15W,LW * MON-FRI",
            "0 0 ? JAN,mar-may 1#2,FRI#L,5L",
            "*/20 * * * * *",
            "0 9 * * mon-sun",
            "@Daily",
            "0 0 * * 5-7",
        ] {
            assert_eq!(why(text), "accepted", "{text}");
        }
    }

    #[test]
    fn a_field_is_a_wildcard_by_its_first_character() {
        for (text, wildcard, both) in [
            ("* 2 * * *", true, true),
            ("*/30 2 * * *", true, true),
            ("30 */2 * * *", true, true),
            ("0-59 0-23 1 * 1", false, false),
            ("0,30 1,13 */2 * 1", false, true),
            ("30 2 1 * */2", false, true),
            ("@hourly", true, true),
            ("@daily", false, true),
        ] {
            let fields = CronFields::split(text).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!((fields.is_wildcard, fields.wants_both_days), (wildcard, both), "{text}");
        }
    }
}
