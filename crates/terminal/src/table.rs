//! Tables for people.

use comfy_table::presets::NOTHING;

use crate::text::visible;

/// Rows below headings, or properties beside their names.
#[derive(Debug)]
pub struct Table {
    inner: comfy_table::Table,
}

// === impl Table ===

impl Table {
    /// A table with headings.
    pub fn with_headings<const N: usize>(headings: [&str; N]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(NOTHING);
        inner.set_header(headings);
        Self { inner }
    }

    /// A list of properties.
    pub fn of_properties() -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(NOTHING);
        Self { inner }
    }

    /// Adds a row. Control characters are shown, not obeyed.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.inner.add_row(cells.map(|cell| visible(&cell)));
    }

    /// Adds a property.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over numbers, texts and references alike")]
    pub fn property(&mut self, name: &str, value: impl ToString) {
        self.row([name.to_owned(), value.to_string()]);
    }

    /// Adds a property that may be absent.
    pub fn maybe(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.property(name, value);
        }
    }

    /// The text, each line without spaces around it, ending with a newline.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for line in self.inner.lines() {
            text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plain_text() {
        let mut table = Table::with_headings(["NAME", "VERSION"]);
        table.row(["hello".into(), "3".into()]);
        table.row(["a\x1b[2Jb".into(), String::new()]);
        assert_eq!(table.render(), "NAME         VERSION\nhello        3\na\\u{1b}[2Jb\n");
    }

    #[test]
    fn properties_stand_beside_their_names() {
        let mut table = Table::of_properties();
        table.property("url", "http://x");
        table.maybe("note", None::<String>);
        table.property("version", 3);
        assert_eq!(table.render(), "url      http://x\nversion  3\n");
    }
}
