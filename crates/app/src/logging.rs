//! The server's own log, on standard error.

use faas_config::{LogFormat, LogSection};
use tracing_subscriber::EnvFilter;

/// Starts logging as configured; a filter that cannot be read falls back to `info`.
pub(crate) fn start(config: &LogSection) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Only fails when something else has started logging before, which then goes on.
    let _ = match config.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
}
