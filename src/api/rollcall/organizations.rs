//! `OrganizationService` of our own: the organizations of the installation, for operators.

use uuid::Uuid;

use crate::api::handler::timestamp;
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::error::Error;
use crate::store;
use crate::store::organizations::Listed;
use proto::rollcall::v1::{ListOrganizationsRequest, Organization};

/// `ListOrganizations`. Two round trips.
pub async fn list(
    app: &App,
    paging: Paging<'_>,
    request: ListOrganizationsRequest,
) -> Result<Answer<Organization>, Error> {
    let wanted = request.filter.as_option().cloned().unwrap_or_default();
    let list = paging.open(
        "organizations",
        Uuid::nil().into(),
        format_args!("{wanted:?}"),
        &request.pagination,
    )?;
    let mut db = app.store.acquire().await?;
    let (name, deleted) = (&wanted.name, wanted.include_deleted);
    let found = store::organizations::list_page(&mut db, name, deleted, list.page()).await?;
    list.answer(found, |organization| organization.id.as_uuid(), wire)
}

fn wire(organization: Listed) -> Organization {
    Organization {
        id: organization.id.to_string(),
        name: organization.name,
        created_at: timestamp(organization.created_at).into(),
        updated_at: timestamp(organization.updated_at).into(),
        deleted_at: organization.deleted_at.map(timestamp).into(),
        ..Default::default()
    }
}
