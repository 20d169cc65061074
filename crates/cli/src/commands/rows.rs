//! How many rows of a list, the same for all commands that list.

use clap::Args;
use faas_client::rest::ListPage;
use faas_client::{ROWS_MAX, Rows};
use faas_terminal::output::Output;
use faas_terminal::table::Table;
use serde::Serialize;

/// Rows that a list shows where nothing else is asked for.
const ROWS_DEFAULT: usize = 200;

/// Which rows of a list.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RowArgs {
    /// How many [default: 200]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX as i64))]
    limit: Option<u32>,
    /// All of them, up to 100,000
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Where the list before ended, as its last line says
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

// === impl RowArgs ===

impl RowArgs {
    pub(crate) fn rows(&self) -> Rows {
        self.rows_or(ROWS_DEFAULT)
    }

    /// The same with another number where none is given.
    pub(crate) fn rows_or(&self, default: usize) -> Rows {
        let limit = if self.all { ROWS_MAX } else { self.limit.map_or(default, |limit| limit as usize) };
        Rows { limit, cursor: self.cursor.clone() }
    }
}

/// Prints a list, says what to do about one that is empty, and how one that is cut goes on.
pub(crate) fn print<T: Serialize>(
    list: &ListPage<T>,
    out: &Output,
    empty: &str,
    table: impl FnOnce(&[T]) -> Table,
) -> anyhow::Result<()> {
    if list.items.is_empty() && list.next_cursor.is_none() {
        out.empty(empty);
    }
    out.list(list, &list.items, table)?;
    if let Some(next) = &list.next_cursor {
        let of = list.total.map_or_else(String::new, |total| format!(" of {}", total.value));
        out.aside(format_args!(
            "these are {}{of}; add --all, or --cursor {next} for those that follow",
            list.items.len()
        ));
    }
    Ok(())
}
