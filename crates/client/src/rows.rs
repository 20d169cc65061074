//! Rows of lists: as many as are wanted, put together from pages.

use faas_proto::rest::ListPage;
use faas_types::limits;
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Client, ClientError};

/// Rows that one list is put together to, however many there are.
pub const ROWS_MAX: usize = 100_000;
/// Answers that one list is put together from. A page may hold no row and still have one after it.
const ANSWERS_MAX: usize = 10_000;

/// How many rows of a list, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The maximum of rows.
    pub limit: usize,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

// === impl Rows ===

impl Rows {
    /// Every row, up to [`ROWS_MAX`].
    #[must_use]
    pub const fn all() -> Self {
        Self::first(ROWS_MAX)
    }

    /// The first rows.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { limit, cursor: None }
    }
}

// === impl Client ===

impl Client {
    /// Reads a list page by page until it has the rows that are wanted. Its cursor goes on after them.
    pub(crate) async fn rows<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
        rows: &Rows,
    ) -> Result<ListPage<T>, ClientError> {
        let mut whole = ListPage { items: Vec::new(), next_cursor: rows.cursor.clone(), total: None };
        for _ in 0..ANSWERS_MAX {
            let missing = rows.limit.saturating_sub(whole.items.len()).min(limits::PAGE_MAX as usize);
            let limit = [("limit", missing.to_string())];
            let cursor = whole.next_cursor.as_ref().map(|cursor| [("cursor", cursor)]);
            let request = self.request(Method::GET, path)?.query(query).query(&limit).query(&cursor);
            let page: ListPage<T> = self.read(request).await?;
            whole.items.extend(page.items);
            (whole.next_cursor, whole.total) = (page.next_cursor, page.total);
            if whole.next_cursor.is_none() || whole.items.len() >= rows.limit {
                break;
            }
        }
        Ok(whole)
    }
}
