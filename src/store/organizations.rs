//! Organizations. These functions are for operators and for the start of the process: they see all
//! tenants.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder, query, query_as, query_scalar};
use uuid::Uuid;

use super::{Connection, Items, Page, cluster, grants};
use crate::domain::ids::{ApiTokenId, OrganizationId};
use crate::domain::organization::Organization;
use crate::error::Error;

/// Adds an organization.
pub async fn insert(db: &mut Connection, organization: &Organization) -> Result<(), Error> {
    query!(
        "insert into organizations (id, name, created_at, updated_at) values ($1, $2, $3, $3)",
        organization.id.as_uuid(),
        organization.name,
        organization.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    name: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    invite_domains: Vec<String>,
}

impl From<Row> for Organization {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            created_at: row.created_at,
            updated_at: row.updated_at,
            invite_domains: row.invite_domains,
        }
    }
}

/// All organizations that are not deleted, the oldest first.
pub async fn list(db: &mut Connection) -> Result<Vec<Organization>, Error> {
    let rows = query_as!(
        Row,
        r#"select id, name, created_at, updated_at, '{}'::text[] as "invite_domains!" from organizations
           where deleted_at is null order by id"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// An organization, and since when it is deleted, if it is.
#[derive(Debug)]
pub struct Listed {
    /// Its identifier.
    pub id: OrganizationId,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Since when it is deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Reads a page of all organizations, perhaps of those with a name.
pub async fn list_page(
    db: &mut Connection,
    name: &str,
    include_deleted: bool,
    page: Page,
) -> Result<Items<Listed>, Error> {
    let rows = query_as!(
        Listed,
        r#"select id as "id: _", name, created_at, updated_at, deleted_at from organizations
           where id > $1 and ($2 = '' or name = $2) and ($3 or deleted_at is null) order by id limit $4"#,
        page.after,
        name,
        include_deleted,
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows, page))
}

/// Keeps every other process that founds organizations waiting until the transaction ends.
pub async fn lock(db: &mut Connection) -> Result<(), Error> {
    // "rollcall" in ASCII.
    query!("select pg_advisory_xact_lock(8245928664157186156) as locked")
        .fetch_one(db)
        .await?;
    Ok(())
}

/// Reads an organization.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none.
pub async fn get(db: &mut Connection, id: OrganizationId) -> Result<Organization, Error> {
    let row = query_as!(
        Row,
        r#"select o.id, o.name, o.created_at, o.updated_at, coalesce(i.domains, '{}') as "invite_domains!"
           from organizations o left join invitations i on i.organization_id = o.id
           where o.id = $1 and o.deleted_at is null"#,
        id.as_uuid()
    )
    .fetch_optional(db)
    .await?;
    row.map(Into::into).ok_or(Error::NotFound("organization"))
}

/// Keeps others from changing an organization until the transaction ends.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none, or it is deleted.
pub async fn lock_one(db: &mut Connection, id: OrganizationId) -> Result<(), Error> {
    let found = query_scalar!(
        r#"select 1 as "one!" from organizations where id = $1 and deleted_at is null for no key update"#,
        id.as_uuid()
    )
    .fetch_optional(db)
    .await?;
    found.map(|_| ()).ok_or(Error::NotFound("organization"))
}

/// Writes a changed organization.
pub async fn update(db: &mut Connection, organization: &Organization) -> Result<(), Error> {
    query!(
        "update organizations set name = $2, updated_at = $3 where id = $1",
        organization.id.as_uuid(),
        organization.name,
        organization.updated_at,
    )
    .execute(&mut *db)
    .await?;
    query!(
        "insert into invitations (organization_id, domains) values ($1, $2)
         on conflict (organization_id) do update set domains = excluded.domains",
        organization.id.as_uuid(),
        &organization.invite_domains,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes an organization for all to see: nothing of it opens anything from then on, and its domains are free. What is left is
/// for [`remove_rows`].
pub async fn mark_deleted(
    db: &mut Connection,
    id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let organization = id.as_uuid();
    // Before the rest: of a deleted organization, nothing is told.
    query!(
        "delete from sessions where organization_id = $1",
        organization
    )
    .execute(&mut *db)
    .await?;
    query!(
        "update organizations set deleted_at = $2 where id = $1",
        organization,
        now
    )
    .execute(&mut *db)
    .await?;
    query!(
        "update scim_configurations set enabled = false, token_hash = '', token_digest = null where organization_id = $1",
        organization
    )
    .execute(&mut *db)
    .await?;
    query!(
        "update sso_configurations set is_active = false, email_domain_keys = '{}' where organization_id = $1",
        organization
    )
    .execute(&mut *db)
    .await?;
    query!(
        "delete from domain_verifications where organization_id = $1",
        organization
    )
    .execute(&mut *db)
    .await?;
    query!(
        "delete from invitations where organization_id = $1",
        organization
    )
    .execute(&mut *db)
    .await?;
    query!(
        "delete from applications where organization_id = $1",
        organization
    )
    .execute(&mut *db)
    .await?;
    grants::end_all(db, id, now).await
}

/// The organizations that were deleted before a moment: for the job that removes their rows.
pub async fn list_deleted(
    db: &mut Connection,
    before: DateTime<Utc>,
) -> Result<Vec<OrganizationId>, Error> {
    let ids = query_scalar!(
        "select id from organizations where deleted_at < $1 order by deleted_at",
        before
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(Into::into).collect())
}

/// The tables of what a deleted organization has, each before those that it refers to. The audit log and the events stay.
fn tables_of_deleted() -> impl Iterator<Item = &'static str> {
    let stay = ["organizations", "audit_entries", "events"];
    let of_organization = cluster::DISTRIBUTED.iter().rev().copied();
    let others = ["applications", "domain_verifications", "invitations"];
    of_organization
        .filter(move |table| !stay.contains(table))
        .chain(others)
}

/// Removes up to `limit` rows of each table of a deleted organization, and when there are none left, the organization. Tells how
/// many rows.
pub async fn remove_rows(
    db: &mut Connection,
    id: OrganizationId,
    limit: i64,
) -> Result<u64, Error> {
    let mut removed = 0;
    for table in tables_of_deleted() {
        let mut query =
            QueryBuilder::<Postgres>::new(format!("delete from {table} where organization_id = "));
        query.push_bind(id.as_uuid());
        query.push(format!(
            " and ctid = any(array(select d.ctid from {table} d where d.organization_id = "
        ));
        query.push_bind(id.as_uuid());
        query.push(" limit ").push_bind(limit).push("))");
        removed += query.build().execute(&mut *db).await?.rows_affected();
    }
    if removed == 0 {
        let done = query!(
            "delete from organizations where id = $1 and deleted_at is not null",
            id.as_uuid()
        );
        removed += done.execute(db).await?.rows_affected();
    }
    Ok(removed)
}

/// Whether there is an organization with this identifier, which is not deleted.
pub async fn exists(db: &mut Connection, id: OrganizationId) -> Result<bool, Error> {
    let found = query_scalar!(
        "select 1 from organizations where id = $1 and deleted_at is null",
        id.as_uuid()
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// The organization that a bootstrap token opens.
pub async fn find_by_bootstrap_token(
    db: &mut Connection,
    token: ApiTokenId,
) -> Result<Option<OrganizationId>, Error> {
    let id = query_scalar!(
        "select t.organization_id from api_tokens t join organizations o on o.id = t.organization_id
         where t.id = $1 and t.is_bootstrap and o.deleted_at is null",
        token.as_uuid()
    )
    .fetch_optional(db)
    .await?;
    Ok(id.map(Into::into))
}

/// The oldest organization of this name that a bootstrap token opens, or opened.
pub async fn find_bootstrapped(
    db: &mut Connection,
    name: &str,
) -> Result<Option<OrganizationId>, Error> {
    let id = query_scalar!(
        "select o.id from organizations o where o.name = $1 and o.deleted_at is null and exists (
             select 1 from api_tokens t where t.organization_id = o.id and t.is_bootstrap)
         order by o.id limit 1",
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(id.map(Into::into))
}
