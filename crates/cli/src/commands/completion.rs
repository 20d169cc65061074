//! `faas completion`

use clap::{Args, Command};
use clap_complete::Shell;
use faas_terminal::session::Session;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Known,
}

/// The shells that this is tested with.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

const EXAMPLES: &str = "\
Examples:
  faas completion bash > ~/.local/share/bash-completion/completions/faas
  faas completion zsh > ~/.zfunc/_faas
  faas completion fish > ~/.config/fish/completions/faas.fish";

pub(crate) fn run(args: &CompletionArgs, mut command: Command, session: &Session) -> anyhow::Result<()> {
    let shell = match args.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "faas", &mut script);
    session.out.bytes(&script)
}
