//! The question before something is destroyed.

use std::fmt::Display;
use std::io::{BufRead, IsTerminal};

use clap::Args;

use crate::failure::Failure;
use crate::output::Output;

/// The option of every command that destroys something.
#[derive(Clone, Copy, Debug, Args)]
pub struct Confirmation {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

// === impl Confirmation ===

impl Confirmation {
    /// Refuses what would have to be asked where nobody can answer. `act` is what would be done: "delete `hello`".
    ///
    /// # Errors
    /// There is no terminal and no `--yes`.
    pub fn check(self, act: impl Display, out: &Output) -> Result<(), Failure> {
        if self.yes || (std::io::stdin().is_terminal() && out.stderr_tty) {
            return Ok(());
        }
        let act = act.to_string();
        let verb = act.split(' ').next().unwrap_or(&act);
        let hint = format!("add --yes to {verb} without a question");
        Err(Failure::usage(format!("cannot ask whether to {act}, as there is no terminal")).with_hint(hint))
    }

    /// Asks, unless `--yes` was given.
    ///
    /// # Errors
    /// The answer is not yes, or nobody can answer.
    pub fn ask(self, act: impl Display, out: &Output) -> anyhow::Result<()> {
        self.check(&act, out)?;
        if self.yes {
            return Ok(());
        }
        out.note(format_args!("{act}? [y/N]"));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(Failure { message: "nothing was changed".into(), exit: 1, ..Failure::default() }.into())
    }
}
