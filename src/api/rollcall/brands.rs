//! `BrandService`: how the pages look on which people sign in.

use crate::api::handler::{Owner, begin_owned, owned, timestamp};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::brand::{Brand, BrandChange};
use crate::domain::identity::{Reader, Writer};
use crate::error::Error;
use crate::store;
use proto::rollcall::v1::{Brand as WireBrand, UpdateBrandRequest};

/// `GetBrand`. One round trip.
pub async fn get(app: &App, caller: Owner<Reader<'_>>) -> Result<WireBrand, Error> {
    let mut db = app.store.acquire().await?;
    let brand = store::brands::get(&mut db, owned(&caller)).await?;
    Ok(brand.map(wire).unwrap_or_default())
}

/// `UpdateBrand`: what is absent stays.
pub async fn update(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: UpdateBrandRequest,
) -> Result<WireBrand, Error> {
    let change = BrandChange {
        display_name: request.display_name,
        accent: request.accent_color,
        logo: request.logo,
    };

    let now = app.clock.now();
    let mut work = begin_owned(app, caller, now).await?;
    let organization_id = work.organization_id();
    let before = store::brands::lock(&mut work, organization_id, now).await?;
    let mut after = before.clone();
    change.apply(&mut after, now)?;
    store::brands::update(&mut work, &after).await?;
    let change = Change::updated("UpdateBrand", &before, &after);
    work.commit(change).await?;
    Ok(wire(after))
}

fn wire(brand: Brand) -> WireBrand {
    let accent = brand.accent;
    let (logo, kind) = brand
        .logo
        .map(|logo| (logo.data, logo.kind.to_string()))
        .unwrap_or_default();
    WireBrand {
        display_name: brand.display_name,
        accent_color: accent.map(|accent| accent.to_string()).unwrap_or_default(),
        accent_color_dark: accent
            .map(|accent| accent.in_the_dark().to_string())
            .unwrap_or_default(),
        logo,
        logo_type: kind,
        updated_at: timestamp(brand.updated_at).into(),
        ..Default::default()
    }
}
