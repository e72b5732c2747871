//! How the pages of organizations look, and those of the installation.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as};

use super::Connection;
use crate::domain::brand::{Brand, Logo, LogoKind};
use crate::domain::ids::OrganizationId;
use crate::error::Error;

struct Row {
    display_name: String,
    accent_color: Option<String>,
    logo_type: Option<String>,
    logo: Option<Vec<u8>>,
    updated_at: DateTime<Utc>,
}

impl Row {
    fn brand(self, organization_id: OrganizationId) -> Result<Brand, Error> {
        let accent = self.accent_color.map(|accent| accent.parse());
        let kind = self.logo_type.map(|kind| kind.parse::<LogoKind>());
        let kind = kind.transpose().map_err(Error::internal)?;
        let logo = kind.zip(self.logo);
        Ok(Brand {
            organization_id,
            display_name: self.display_name,
            accent: accent.transpose().map_err(|e: String| Error::internal(e))?,
            logo: logo.map(|(kind, data)| Logo { kind, data }),
            updated_at: self.updated_at,
        })
    }
}

/// Reads the brand of an organization, or of the installation; `None` where nobody set one.
pub async fn get(
    db: &mut Connection,
    organization_id: OrganizationId,
) -> Result<Option<Brand>, Error> {
    let row = query_as!(
        Row,
        "select display_name, accent_color, logo_type, logo, updated_at from brands where organization_id = $1",
        organization_id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| row.brand(organization_id)).transpose()
}

/// Reads the brand and keeps others from changing it until the transaction ends.
pub async fn lock(
    db: &mut Connection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<Brand, Error> {
    // There may be no row to lock yet.
    let row = query_as!(
        Row,
        "insert into brands as b (organization_id, display_name, updated_at) values ($1, '', $2)
         on conflict (organization_id) do update set updated_at = b.updated_at
         returning display_name, accent_color, logo_type, logo, updated_at",
        organization_id.as_uuid(),
        now,
    )
    .fetch_one(db)
    .await?;
    row.brand(organization_id)
}

/// Writes a brand that is locked.
pub async fn update(db: &mut Connection, brand: &Brand) -> Result<(), Error> {
    let logo = brand.logo.as_ref();
    let done = query!(
        "update brands set display_name = $2, accent_color = $3, logo_type = $4, logo = $5, updated_at = $6 where organization_id = $1",
        brand.organization_id.as_uuid(),
        brand.display_name,
        brand.accent.map(|accent| accent.to_string()),
        logo.map(|logo| logo.kind.as_str()),
        logo.map(|logo| &*logo.data),
        brand.updated_at,
    )
    .execute(db)
    .await?;
    super::one_row(&done)
}
