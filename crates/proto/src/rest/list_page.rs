//! The envelope of every list.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Pass as `cursor` for the next page; `null` at the end.
    pub next_cursor: Option<String>,
    /// How many rows all pages have, where that is known without reading them.
    pub total: Option<ListTotal>,
}

/// How many rows all pages of a list have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListTotal {
    /// The rows.
    pub value: u64,
    /// Whether there are so many, and not at least so many.
    pub exact: bool,
}

// === impl ListPage ===

impl<T> ListPage<T> {
    /// All rows of a list that is no longer.
    #[must_use]
    pub fn whole(items: Vec<T>) -> Self {
        let total = Some(ListTotal { value: items.len() as u64, exact: true });
        Self { items, next_cursor: None, total }
    }

    /// The same page of other rows.
    #[must_use]
    pub fn map<U>(self, view: impl FnMut(T) -> U) -> ListPage<U> {
        let Self { items, next_cursor, total } = self;
        ListPage { items: items.into_iter().map(view).collect(), next_cursor, total }
    }

    /// The same page of other rows, where each can be made.
    ///
    /// # Errors
    /// The first one of `view`.
    pub fn try_map<U, E>(self, view: impl FnMut(T) -> Result<U, E>) -> Result<ListPage<U>, E> {
        let Self { items, next_cursor, total } = self;
        Ok(ListPage { items: items.into_iter().map(view).collect::<Result<_, E>>()?, next_cursor, total })
    }
}

impl<T> Default for ListPage<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next_cursor: None, total: None }
    }
}

/// Clients want a name for each list, and not the one of a generic type: `RunList` of `RunView`.
impl<T: ToSchema> ToSchema for ListPage<T> {
    fn name() -> Cow<'static, str> {
        let row = T::name();
        let noun = ["View", "Body"].iter().find_map(|end| row.strip_suffix(end)).unwrap_or(&row);
        format!("{noun}List").into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
        schemas.push((ListTotal::name().into_owned(), ListTotal::schema()));
    }
}

impl<T: ToSchema> PartialSchema for ListPage<T> {
    fn schema() -> RefOr<Schema> {
        let rows = ArrayBuilder::new().items(Ref::from_schema_name(T::name())).description(Some("The rows."));
        let cursor = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("Pass as `cursor` for the next page; `null` at the end."));
        let total = utoipa::openapi::schema::OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .item(Ref::from_schema_name(ListTotal::name()))
            .description(Some("How many rows all pages have, where that is known without reading them."));
        let page = ObjectBuilder::new()
            .description(Some("A page of a list."))
            .property("items", rows)
            .property("next_cursor", cursor)
            .property("total", total)
            .required("items")
            .required("next_cursor")
            .required("total");
        page.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::{KeyView, RunView};

    #[test]
    fn each_list_has_a_name_of_its_rows() {
        assert_eq!((ListPage::<RunView>::name(), ListPage::<KeyView>::name()), ("RunList".into(), "KeyList".into()));
    }

    #[test]
    fn keys_are_there_when_they_have_no_value() {
        let json = serde_json::to_string(&ListPage::<u8>::default()).expect("json");
        assert_eq!(json, r#"{"items":[],"next_cursor":null,"total":null}"#);
        assert_eq!(ListPage::whole(vec![1, 2]).total, Some(ListTotal { value: 2, exact: true }));
    }
}
