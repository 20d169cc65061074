//! Options of every command.

use clap::{Args, ValueEnum};

/// The heading of options that every command has.
const GLOBAL: &str = "Global options";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// How data is printed: a table for people, json or ndjson for programs
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = GLOBAL)]
    pub output: Format,
    /// The same as -o json
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// The server, such as http://127.0.0.1:8080 [env: FAAS_ENDPOINT; its key comes from FAAS_API_KEY or the profile]
    #[arg(long, global = true, value_name = "URL", help_heading = GLOBAL)]
    pub endpoint: Option<String>,
}

// === impl GlobalArgs ===

impl GlobalArgs {
    /// How data is printed.
    #[must_use]
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Ndjson,
}
