//! The functions that every aggregate has. An aggregate's own file holds its columns, and what else is done with its
//! table.

/// Writes functions of an aggregate whose rows have the key `(organization_id, id)`: as many of these as are named.
///
/// - `get` reads one;
/// - `lock` reads one and keeps others from changing it until the transaction ends;
/// - `list` reads a page, in the order of the identifiers;
/// - `delete("table")` removes one.
///
/// `$noun` is what an error calls a row that is not there. `$select` is a macro of the file, because the checked macros
/// of sqlx take nothing but literals, joined by `+`. It puts the rest of a statement behind the columns:
///
/// ```ignore
/// macro_rules! select {
///     ($rest:literal, $($argument:expr),+ $(,)?) => {
///         query_as!(Noun, "select organization_id, id, name from nouns " + $rest, $($argument),+)
///     };
/// }
///
/// aggregate! { Noun by NounId, NOUN, select: get, lock, list, delete("nouns") }
/// ```
///
/// Where a column has another type than the field, `select` reads a `Row` of which `Noun` is made by `From`.
macro_rules! aggregate {
    (
        $item:ident by $id:ident, $noun:expr, $select:ident:
        $($function:ident $(($argument:literal))?),+ $(,)?
    ) => {$(
        $crate::store::aggregate::aggregate! { @$function $item, $id, $noun, $select $(, $argument)? }
    )+};
    (@get $item:ident, $id:ident, $noun:expr, $select:ident) => {
        $crate::store::aggregate::aggregate! {
            @one get, "Reads the one with this identifier.",
            $item, $id, $noun, $select, "where organization_id = $1 and id = $2"
        }
    };
    (@lock $item:ident, $id:ident, $noun:expr, $select:ident) => {
        $crate::store::aggregate::aggregate! {
            @one lock, "Reads the one with this identifier, and keeps others from changing it until the transaction ends.",
            $item, $id, $noun, $select, "where organization_id = $1 and id = $2 for update"
        }
    };
    (@one $name:ident, $doc:literal, $item:ident, $id:ident, $noun:expr, $select:ident, $where:literal) => {
        #[doc = $doc]
        ///
        /// # Errors
        ///
        /// [`Error::NotFound`](crate::error::Error::NotFound) when the organization has none.
        pub async fn $name(
            db: &mut $crate::store::Connection,
            organization_id: $crate::domain::ids::OrganizationId,
            id: $id,
        ) -> Result<$item, $crate::error::Error> {
            $select!($where, organization_id.as_uuid(), id.as_uuid())
                .fetch_optional(db)
                .await?
                .map(Into::into)
                .ok_or($crate::error::Error::NotFound($noun))
        }
    };
    (@list $item:ident, $id:ident, $noun:expr, $select:ident) => {
        /// Reads a page of those of the organization, in the order of their identifiers.
        pub async fn list(
            db: &mut $crate::store::Connection,
            organization_id: $crate::domain::ids::OrganizationId,
            page: $crate::store::Page,
        ) -> Result<$crate::store::Items<$item>, $crate::error::Error> {
            let rows = $select!(
                "where organization_id = $1 and id > $2 order by id limit $3",
                organization_id.as_uuid(),
                page.after,
                page.limit(),
            )
            .fetch_all(db)
            .await?;
            let items = rows.into_iter().map(Into::into).collect();
            Ok($crate::store::Items::of(items, page))
        }
    };
    (@delete $item:ident, $id:ident, $noun:expr, $select:ident, $table:literal) => {
        /// Removes the one with this identifier.
        ///
        /// # Errors
        ///
        /// [`Error::NotFound`](crate::error::Error::NotFound) when the organization has none.
        pub async fn delete(
            db: &mut $crate::store::Connection,
            organization_id: $crate::domain::ids::OrganizationId,
            id: $id,
        ) -> Result<(), $crate::error::Error> {
            let done = ::sqlx::query!(
                "delete from " + $table + " where organization_id = $1 and id = $2",
                organization_id.as_uuid(),
                id.as_uuid(),
            )
            .execute(db)
            .await?;
            $crate::store::must_exist(&done, $noun)
        }
    };
}

pub(super) use aggregate;
