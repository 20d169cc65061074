//! The progress of reading a large directory.

use std::fmt;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::output::Output;
use crate::text;

/// Smaller trees are read before anybody has looked.
const FILES: usize = 1_000;
const BYTES: u64 = 32 << 20;

/// Shows the progress of reading: a bar on a terminal, otherwise one line. The default shows nothing.
#[derive(Clone, Debug)]
pub struct ReadProgress {
    out: Option<Output>,
    bar: ProgressBar,
}

// === impl ReadProgress ===

impl Default for ReadProgress {
    fn default() -> Self {
        Self { out: None, bar: ProgressBar::hidden() }
    }
}

impl ReadProgress {
    /// Progress that is shown on `out`.
    #[must_use]
    pub fn of(out: &Output) -> Self {
        Self { out: Some(out.clone()), bar: ProgressBar::hidden() }
    }

    /// Says what is about to be read.
    pub fn begin(&mut self, files: usize, bytes: u64) {
        let Some(out) = self.out.as_ref().filter(|_| files >= FILES || bytes >= BYTES) else { return };
        if out.stderr_tty {
            let style = ProgressStyle::with_template("reading {bar:30} {read} of {all}")
                .expect("the template is constant and tested by every large directory on a terminal")
                .with_key("read", |state: &ProgressState, to: &mut dyn fmt::Write| size(to, state.pos()))
                .with_key("all", |state: &ProgressState, to: &mut dyn fmt::Write| {
                    size(to, state.len().unwrap_or_default());
                });
            self.bar = ProgressBar::new(bytes).with_style(style);
        } else {
            out.note(format_args!("reading {}, {}", text::counted(files, "file"), text::bytes(bytes)));
        }
    }

    /// Adds bytes that were read.
    pub fn read(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Removes the bar.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar that cannot be drawn is left out.
fn size(to: &mut dyn fmt::Write, count: u64) {
    let _ = to.write_str(&text::bytes(count));
}
