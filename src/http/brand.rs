//! The brand of the pages on which people sign in: their name, logo and colour.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};
use tokio::time::timeout;

use crate::app::App;
use crate::domain::application::installation;
use crate::domain::brand::{Brand, Logo};
use crate::domain::ids::OrganizationId;
use crate::error::{Chain, Error};
use crate::store;

/// How long a page waits for its brand.
const PATIENCE: Duration = Duration::from_millis(500);

/// The brand of a page of an organization, or of nobody in particular: that of the organization, or else the installation's. One round
/// trip, or two for an organization without a brand. A page is shown without one where the brand cannot be read.
pub async fn of_page(app: &App, organization: Option<OrganizationId>) -> Option<Brand> {
    let both = [organization, Some(installation())];
    for id in both.into_iter().flatten() {
        if let Some(brand) = of(app, id).await {
            return Some(brand);
        }
    }
    None
}

/// The brand of an organization itself, if it has one. One round trip.
pub async fn of(app: &App, organization_id: OrganizationId) -> Option<Brand> {
    let found = match timeout(PATIENCE, read(app, organization_id)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(cause = %Chain(&error), "a page is shown without its brand");
            None
        }
        Err(_) => {
            tracing::warn!(
                "a page is shown without its brand, which the database did not give in time"
            );
            None
        }
    };
    found.filter(|brand| !brand.is_blank())
}

async fn read(app: &App, organization_id: OrganizationId) -> Result<Option<Brand>, Error> {
    let mut db = app.store.acquire().await?;
    store::brands::get(&mut db, organization_id).await
}

/// The style of a brand beside that of all pages, if it has a colour.
pub fn style(brand: &Brand) -> Option<String> {
    let light = brand.accent?;
    let dark = light.in_the_dark();
    Some(format!(
        ":root {{ --accent: {light}; }} @media (prefers-color-scheme: dark) {{ :root {{ --accent: {dark}; }} }}"
    ))
}

/// Whose page it is, above what it says.
pub fn masthead(brand: &Brand) -> Markup {
    let name = &brand.display_name;
    // Where the name stands beside it, it says nothing more.
    let alternative = if name.is_empty() { "Logo" } else { "" };
    html! {
        @if brand.logo.is_some() || !name.is_empty() {
            p .masthead {
                @if let Some(logo) = &brand.logo { img src=(url(logo)) alt=(alternative); }
                @if !name.is_empty() { span { (name) } }
            }
        }
    }
}

/// A logo as a URL that has all of it.
pub fn url(logo: &Logo) -> String {
    format!("data:{};base64,{}", logo.kind, STANDARD.encode(&logo.data))
}
