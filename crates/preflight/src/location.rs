//! Line and column of a byte offset.

/// The line and the column (in characters) of a byte offset in `text`, both from 1.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (narrow(before.matches('\n').count() + 1), narrow(before[line_start..].chars().count() + 1))
}
