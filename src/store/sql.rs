//! Pieces of SQL that are put together at run time: filters and sort orders of SCIM queries.
//!
//! Text comes from the program alone; what a client sent is always bound.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

/// A value that a client sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// A moment.
    Time(DateTime<Utc>),
    /// An identifier.
    Id(Uuid),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Bound(Bound),
}

/// A part of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fragment(Vec<Piece>);

impl Fragment {
    /// A part without values.
    pub fn new(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// Adds text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.0.push(Piece::Text(text.into()));
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn bind(mut self, value: Bound) -> Self {
        self.0.push(Piece::Bound(value));
        self
    }

    /// Adds a part.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The parts with `separator` between them, in parentheses; `empty` if there are none.
    pub fn joined(parts: impl IntoIterator<Item = Self>, separator: &str, empty: &str) -> Self {
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else {
            return Self::new(empty);
        };
        let all = parts.fold(Self::new("(").then(first), |all, part| {
            all.text(separator).then(part)
        });
        all.text(")")
    }

    pub(super) fn push_to(&self, query: &mut QueryBuilder<Postgres>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => query.push(text),
                Piece::Bound(Bound::Text(text)) => query.push_bind(text.clone()),
                Piece::Bound(Bound::Number(number)) => query.push_bind(*number),
                Piece::Bound(Bound::Time(time)) => query.push_bind(*time),
                Piece::Bound(Bound::Id(id)) => query.push_bind(*id),
            };
        }
    }
}
