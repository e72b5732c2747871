//! Lists, a part at a time.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where an item is in its list: what comes before its identifier in the order, which may be nothing, and its
/// identifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place(pub String, pub Uuid);

impl From<Uuid> for Place {
    fn from(id: Uuid) -> Self {
        Self(String::new(), id)
    }
}

/// A part of a list, in the order of the identifiers.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The last identifier of the page before; nil for the first page.
    pub after: Uuid,
    /// The most items.
    pub size: u32,
}

impl Page {
    /// The first page.
    pub const fn first(size: u32) -> Self {
        Self {
            after: Uuid::nil(),
            size,
        }
    }

    /// The page that begins with this identifier, and has nothing else.
    pub const fn before(id: Uuid) -> Self {
        Self {
            after: Uuid::from_u128(id.as_u128().saturating_sub(1)),
            size: 1,
        }
    }

    /// One row more than the page holds tells whether there is another.
    pub(super) fn limit(self) -> i64 {
        i64::from(self.size) + 1
    }
}

/// Some items of a list, and whether there are more.
#[derive(Debug)]
pub struct Items<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether the list goes on.
    pub has_more: bool,
}

impl<T> Items<T> {
    /// No items at all.
    pub const fn none() -> Self {
        Self {
            items: vec![],
            has_more: false,
        }
    }

    /// Of `rows`, which hold one item more than the page if there is one.
    pub(super) fn of(mut rows: Vec<T>, page: Page) -> Self {
        let has_more = rows.len() > page.size as usize;
        rows.truncate(page.size as usize);
        Self {
            items: rows,
            has_more,
        }
    }
}
