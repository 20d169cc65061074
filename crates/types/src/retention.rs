//! How long a project's history is kept.

use serde::{Deserialize, Serialize};

use crate::{ByteSize, Span};

/// How long what ran is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Ended runs, from their acceptance.
    pub runs: Span,
    /// Bytes of the records of all runs together; the oldest that have ended go first.
    #[serde(default = "run_bytes")]
    pub run_bytes: ByteSize,
    /// The results that runs answered with; never longer than the runs.
    pub results: Span,
    /// Log lines.
    pub logs: Span,
    /// Bytes of all log lines together; the oldest go first.
    pub log_bytes: ByteSize,
}

// === impl Retention ===

impl Retention {
    /// Checks the bounds.
    ///
    /// # Errors
    /// The field that is out of its bounds, and the bounds.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let (least, most) = (Span::from_secs(1), Span::from_secs(10 * 365 * 86_400));
        for (field, span) in [("runs", self.runs), ("results", self.results), ("logs", self.logs)] {
            if span < least || span > most {
                return Err((field, "must be from 1s to 3650d, such as 30d".to_owned()));
            }
        }
        if self.results > self.runs {
            return Err(("results", format!("must be at most what runs are kept, which is {}", self.runs)));
        }
        for (field, bytes) in [("run_bytes", self.run_bytes), ("log_bytes", self.log_bytes)] {
            if bytes < ByteSize::from_mib(1) {
                return Err((field, "must be at least 1MB".to_owned()));
            }
        }
        Ok(())
    }
}

impl Default for Retention {
    fn default() -> Self {
        let day = |days: u64| Span::from_secs(days * 86_400);
        Self {
            runs: day(30),
            run_bytes: run_bytes(),
            results: day(7),
            logs: day(30),
            log_bytes: ByteSize::from_mib(10 << 10),
        }
    }
}

/// Also what records of earlier releases mean.
const fn run_bytes() -> ByteSize {
    ByteSize::from_mib(4 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_name_the_field() {
        let good = Retention::default();
        assert_eq!(good.check(), Ok(()));
        let field = |retention: Retention| retention.check().map_err(|(field, _)| field);
        assert_eq!(field(Retention { runs: Span::from_millis(1), ..good }), Err("runs"));
        assert_eq!(field(Retention { results: Span::from_secs(31 * 86_400), ..good }), Err("results"));
        assert_eq!(field(Retention { run_bytes: ByteSize::from_bytes(1), ..good }), Err("run_bytes"));
        assert_eq!(field(Retention { log_bytes: ByteSize::from_bytes(1), ..good }), Err("log_bytes"));
    }
}
