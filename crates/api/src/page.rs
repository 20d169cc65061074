//! Pages of lists: what every list takes in its query, its opaque cursor, and rows cut out of what is in memory.

mod cursor;
mod select;

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use faas_ports::{Clock, SystemClock};
use faas_proto::rest::{ListPage, ListTotal};
use faas_types::{Fault, Reason, Timestamp, limits};
use faas_web::HandlerError;
use http::request::Parts;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use self::cursor::Cursor;
use self::select::Selection;

/// Values that one filter takes.
const VALUES_MAX: usize = 50;
/// Bytes of a searched text.
const SEARCHED_MAX: usize = 200;

/// Which way a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    Asc,
    Desc,
}

/// What every list takes. Reads the whole query: a cursor belongs to the filters that it was made with.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Rows in the page; 50 where absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before, with the same filters.
    #[param(max_length = 1000)]
    cursor: Option<String>,
    /// Which way the list goes; its own where absent.
    #[param(inline)]
    order: Option<Order>,
    #[param(ignore)]
    filters: Vec<(String, String)>,
}

/// A page to fill.
pub(crate) struct Page {
    /// The maximum of rows.
    pub(crate) limit: usize,
    /// The time of the first page, which spans in filters are counted from in all pages.
    pub(crate) now: Timestamp,
    pub(crate) order: Order,
    digest: u64,
    after: Option<String>,
}

// === impl PageQuery ===

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HandlerError> {
        let query = parts.uri.query().unwrap_or_default();
        Self::parse(query).map_err(HandlerError)
    }
}

impl PageQuery {
    fn parse(query: &str) -> Result<Self, Fault> {
        let mut page = Self { limit: None, cursor: None, order: None, filters: Vec::new() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            match name.as_str() {
                "limit" => page.limit = Some(rows(&value)?),
                "cursor" => page.cursor = Some(value),
                "order" => page.order = Some(direction(&value)?),
                _ => page.filters.push((name, value)),
            }
        }
        page.filters.sort_unstable();
        Ok(page)
    }

    /// The page of a list of this kind and owner.
    ///
    /// # Errors
    /// `invalid_cursor` for a cursor of another list, or of other filters.
    pub(crate) fn of(self, kind: &'static str, owner: impl Display, order: Order) -> Result<Page, Fault> {
        let limit = self.limit.unwrap_or(limits::PAGE_DEFAULT) as usize;
        let order = self.order.unwrap_or(order);
        let digest = cursor::digest(kind, &owner.to_string(), order == Order::Desc, &self.filters);
        let Some(text) = self.cursor else {
            return Ok(Page { limit, now: SystemClock.now(), order, digest, after: None });
        };
        let cursor = Cursor::parse(&text).ok_or_else(|| invalid_cursor("is not one that this server made"))?;
        if cursor.digest != digest {
            return Err(invalid_cursor("is of another list, or of other filters"));
        }
        Ok(Page { limit, now: cursor.began_at, order, digest, after: Some(cursor.after) })
    }
}

// === impl Page ===

impl Page {
    /// The key of the last row of the page before.
    ///
    /// # Errors
    /// `invalid_cursor` when it is of another type.
    pub(crate) fn after<T: FromStr>(&self) -> Result<Option<T>, Fault> {
        let parsed = self.after.as_deref().map(str::parse).transpose();
        parsed.map_err(|_| invalid_cursor("is not one that this server made"))
    }

    /// Refuses the other order, for a list that has one only.
    ///
    /// # Errors
    /// `invalid_parameter`.
    pub(crate) fn only(self, order: Order) -> Result<Self, Fault> {
        let name = if order == Order::Asc { "asc" } else { "desc" };
        if self.order == order { Ok(self) } else { Err(invalid(format!("order is `{name}` only in this list"))) }
    }

    pub(crate) fn descends(&self) -> bool {
        self.order == Order::Desc
    }

    /// Rows to ask a store for: one more than the page has shows whether there are others.
    pub(crate) fn wanted(&self) -> usize {
        self.limit + 1
    }

    /// The page of what a store found for [`Self::wanted`] rows.
    pub(crate) fn of_found<R>(&self, mut rows: Vec<R>, key: impl Fn(&R) -> String) -> ListPage<R> {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| has_more).map(key);
        self.ending(rows, next)
    }

    /// A page after which the list goes on behind `next`.
    pub(crate) fn ending<R>(&self, items: Vec<R>, next: Option<String>) -> ListPage<R> {
        let cursor = |after| Cursor { digest: self.digest, began_at: self.now, after }.to_string();
        ListPage { items, next_cursor: next.map(cursor), total: None }
    }

    /// The page of rows in memory. Keys are unique, never change, and are ordered as bytes; see [`key`]. Holds a few pages of
    /// rows, however many there are, and sorts no more.
    pub(crate) fn cut<R>(&self, rows: impl IntoIterator<Item = R>, key: impl Fn(&R) -> String) -> ListPage<R> {
        let mut selection = Selection::new(self.wanted(), self.descends());
        let mut count = 0;
        for row in rows {
            count += 1;
            let key = key(&row);
            let is_seen = self.after.as_ref().is_some_and(|after| match self.order {
                Order::Asc => key <= *after,
                Order::Desc => key >= *after,
            });
            if !is_seen {
                selection.push(key, row);
            }
        }
        let mut found = selection.finish();
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| has_more).map(|(key, _)| key.clone());
        let page = self.ending(found.into_iter().map(|(_, row)| row).collect(), next);
        ListPage { total: exactly(count), ..page }
    }
}

/// A total that is known.
pub(crate) fn exactly(rows: u64) -> Option<ListTotal> {
    Some(ListTotal { value: rows, exact: true })
}

/// A key of several parts, ordered as they are one after the other. No part has a NUL.
pub(crate) fn key<const N: usize>(parts: [&str; N]) -> String {
    parts.join("\0")
}

/// The part of a key that is a number.
pub(crate) fn number(number: u64) -> String {
    format!("{number:020}")
}

fn rows(text: &str) -> Result<u32, Fault> {
    let rows = text.parse().ok().filter(|rows| (1..=limits::PAGE_MAX).contains(rows));
    rows.ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        invalid(format!("limit is `{shown}`; it goes from 1 to {}", limits::PAGE_MAX))
    })
}

fn direction(text: &str) -> Result<Order, Fault> {
    match text {
        "asc" => Ok(Order::Asc),
        "desc" => Ok(Order::Desc),
        _ => Err(invalid("order is `asc` or `desc`".to_owned())),
    }
}

fn invalid(message: String) -> Fault {
    Fault::new(Reason::InvalidParameter, message)
}

fn invalid_cursor(what: &str) -> Fault {
    Fault::new(Reason::InvalidCursor, format!("the parameter `cursor` {what}"))
}

/// A parameter of a type that knows its own text form.
pub(crate) fn parsed<T>(name: &str, text: Option<&str>) -> Result<Option<T>, Fault>
where
    T: FromStr,
    T::Err: Display,
{
    text.map(str::parse).transpose().map_err(|error| invalid(format!("the parameter `{name}`: {error}")))
}

/// The values of a filter, with commas between them. None where it is absent, which filters nothing.
pub(crate) fn several<T>(name: &str, text: Option<&str>) -> Result<Vec<T>, Fault>
where
    T: FromStr,
    T::Err: Display,
{
    let Some(text) = text else { return Ok(Vec::new()) };
    let values = text.split(',').map(|value| parsed(name, Some(value.trim()))).filter_map(Result::transpose);
    let values: Vec<T> = values.collect::<Result<_, _>>()?;
    if values.len() > VALUES_MAX {
        return Err(invalid(format!("the parameter `{name}` takes up to {VALUES_MAX} values, not {}", values.len())));
    }
    Ok(values)
}

/// A text to search names for, whatever the case of its ASCII letters.
pub(crate) fn searched(text: Option<&str>) -> Result<Option<String>, Fault> {
    match text {
        Some(text) if text.len() > SEARCHED_MAX => {
            Err(invalid(format!("the parameter `q` has more than {SEARCHED_MAX} bytes")))
        }
        text => Ok(text.filter(|text| !text.is_empty()).map(str::to_ascii_lowercase)),
    }
}

/// Whether one of the names holds the text of [`searched`].
pub(crate) fn is_found(searched: Option<&str>, names: &[&str]) -> bool {
    searched.is_none_or(|text| names.iter().any(|name| name.to_ascii_lowercase().contains(text)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Page {
        PageQuery::parse(query).and_then(|page| page.of("words", "me", Order::Asc)).expect(query)
    }

    fn walk(filter: &str, mut between: impl FnMut(usize) -> Vec<String>) -> Vec<String> {
        let (mut seen, mut query, mut pages) = (Vec::new(), filter.to_owned(), 0);
        loop {
            let page = page(&query).cut(between(pages), Clone::clone);
            seen.extend(page.items);
            let Some(next) = page.next_cursor else { return seen };
            query = format!("{filter}&cursor={next}");
            pages += 1;
        }
    }

    fn words(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
        numbers.into_iter().map(number).collect()
    }

    #[test]
    fn a_walk_finds_each_row_that_stays_once() {
        // What is even stays; others come and go.
        let rows = |page: usize| words((0..1000).filter(|n| n % 2 == 0 || (n / 2) as usize % 3 == page % 3));
        for order in ["asc", "desc"] {
            let seen = walk(&format!("limit=7&order={order}"), rows);
            let mut even: Vec<_> =
                seen.iter().filter(|word| word.ends_with(['0', '2', '4', '6', '8'])).cloned().collect();
            if order == "desc" {
                even.reverse();
            }
            assert_eq!(even, words((0..1000).step_by(2)));
            let mut all = seen.clone();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), seen.len(), "none comes twice");
        }
    }

    #[test]
    fn a_page_has_no_cursor_when_nothing_follows() {
        let cut = |limit: u32| page(&format!("limit={limit}")).cut(words(0..5), Clone::clone);
        assert!(cut(5).next_cursor.is_none() && cut(4).next_cursor.is_some());
        assert_eq!(cut(2).total, exactly(5));
        let found = page("limit=2").of_found(words(0..3), Clone::clone);
        assert_eq!((found.items.len(), found.next_cursor.is_some()), (2, true));
        assert!(page("limit=3").of_found(words(0..3), Clone::clone).next_cursor.is_none());
    }

    #[test]
    fn a_cursor_is_of_its_list_and_its_filters() {
        let cursor = page("limit=1&state=failed").ending(Vec::<u8>::new(), Some("x".into())).next_cursor.expect("next");
        let of = |query: &str, kind, owner| {
            let page = PageQuery::parse(&format!("{query}&cursor={cursor}"))?;
            page.of(kind, owner, Order::Asc)?.after::<String>()
        };
        assert_eq!(of("state=failed", "words", "me"), Ok(Some("x".to_owned())));
        for (query, kind, owner) in [
            ("state=queued", "words", "me"),
            ("", "words", "me"),
            ("state=failed&order=desc", "words", "me"),
            ("state=failed", "others", "me"),
            ("state=failed", "words", "you"),
        ] {
            assert_eq!(
                of(query, kind, owner).expect_err(query).reason,
                Reason::InvalidCursor,
                "{query} {kind} {owner}"
            );
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "x", "AAAA", "%00", "fn_01JD2Z7Y5T0000000000000000", &"A".repeat(900)] {
            let of = PageQuery::parse(&format!("cursor={text}")).and_then(|page| page.of("words", "me", Order::Asc));
            assert_eq!(of.err().map(|fault| fault.reason), Some(Reason::InvalidCursor), "{text}");
        }
    }

    #[test]
    fn limits_say_where_they_end() {
        for text in ["0", "201", "-1", "many", ""] {
            let fault = PageQuery::parse(&format!("limit={text}")).expect_err(text);
            assert!(fault.message.contains("from 1 to 200"), "{fault}");
        }
    }

    #[test]
    fn filters_take_several_values() {
        assert_eq!(several::<u32>("version", Some("1, 2,3")), Ok(vec![1, 2, 3]));
        assert_eq!(several::<u32>("version", None), Ok(vec![]));
        for text in ["", "1,", "1,x"] {
            assert!(several::<u32>("version", Some(text)).is_err_and(|fault| fault.message.contains("`version`")));
        }
        assert!(several::<u32>("version", Some(&["1"; 51].join(","))).is_err());
    }
}
