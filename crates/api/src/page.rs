//! Parameters that listings share.

use faas_types::{Fault, Reason, Timestamp, limits};

/// Rows of a page, checked.
pub(crate) fn limit(asked: Option<u32>) -> Result<u32, Fault> {
    match asked {
        None => Ok(limits::PAGE_DEFAULT),
        Some(rows @ 1..=limits::PAGE_MAX) => Ok(rows),
        Some(rows) => Err(Fault::new(
            Reason::InvalidParameter,
            format!("limit is {rows}; it goes from 1 to {}", limits::PAGE_MAX),
        )),
    }
}

/// A parameter of a type that knows its own text form.
pub(crate) fn parsed<T>(name: &str, text: Option<&str>) -> Result<Option<T>, Fault>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.map(str::parse)
        .transpose()
        .map_err(|error| Fault::new(Reason::InvalidParameter, format!("the parameter `{name}`: {error}")))
}

/// A time as RFC 3339, or how long ago: `10m`, `2h`.
pub(crate) fn time(name: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(span) = text.parse::<faas_types::Span>() {
        let ago = u64::try_from(span.get().as_millis()).unwrap_or(u64::MAX);
        return Ok(Some(Timestamp::from_millis(now.as_millis().saturating_sub(ago))));
    }
    parsed(name, Some(text))
}
