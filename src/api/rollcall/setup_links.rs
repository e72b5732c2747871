//! `SetupLinkService`: links with which somebody without an account sets up an organization's ways in.

use crate::api::enums::{of_name, of_wire, wire_subject};
use crate::api::handler::{begin, lifetime, optional_id, parse_id, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Permission, Reader, Undecided, Writer};
use crate::domain::ids::SetupLinkId;
use crate::domain::setup_link::{DEFAULT_LIFETIME, MAX_LINKS, SetupLink};
use crate::domain::sso::SsoConfiguration;
use crate::domain::token::TokenKind;
use crate::error::Error;
use crate::store::{self, Page};
use proto::rollcall::v1::{
    CreateSetupLinkRequest, GetSetupLinkRequest, GetSetupLinkResponse, ListSetupLinksRequest,
    RevokeSetupLinkRequest, SetupLink as WireLink, SetupPermission, SetupSSOConfiguration,
};

/// The most SSO configurations that are told to whoever links to one.
const MAX_CONFIGURATIONS: u32 = 100;

/// `CreateSetupLink`: the URL is returned this once.
pub async fn create(
    app: &App,
    caller: Writer<'_>,
    request: CreateSetupLinkRequest,
) -> Result<(WireLink, String), Error> {
    let now = app.clock.now();
    let wanted = request.permissions.iter();
    let link = SetupLink {
        organization_id: caller.organization_id,
        id: app.new_id(),
        description: request.description,
        permissions: wanted
            .filter_map(|one| of_wire(Permission::ALL, one))
            .collect(),
        return_url: request.return_url,
        created_by: caller.subject,
        created_at: now,
        expires_at: now + lifetime(request.valid_for.as_option()).unwrap_or(DEFAULT_LIFETIME),
        first_used_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    link.check()?;
    let organization = Some(link.organization_id);
    let token = app
        .random
        .token(TokenKind::Setup, organization, link.id.as_uuid());
    let mut work = begin(app, caller, now).await?;
    // Others that add one wait, and count it.
    store::organizations::lock_one(&mut work, link.organization_id).await?;
    let live = store::setup_links::count_live(&mut work, link.organization_id, now).await?;
    if live >= MAX_LINKS {
        return Err(Error::FailedPrecondition(format!(
            "there are {MAX_LINKS} set-up links already that open something, which is the most: revoke one first, with RevokeSetupLink"
        )));
    }
    store::setup_links::insert(&mut work, &link, &token.digest()).await?;
    work.commit(Change::created("CreateSetupLink", &link))
        .await?;
    let url = format!("{}/setup/{}", app.public_url, token.expose());
    Ok((wire(link), url))
}

/// `GetSetupLink`. Three round trips, four for a link that may do what SCIM needs.
pub async fn get(
    app: &App,
    caller: Undecided<Reader<'_>>,
    request: GetSetupLinkRequest,
) -> Result<GetSetupLinkResponse, Error> {
    let named: Option<SetupLinkId> = optional_id("setup_link_id", &request.setup_link_id)?;
    let (caller, id) = caller.of_link(named)?;
    let organization_id = caller.organization_id;
    let mut db = app.store.acquire().await?;
    let link = store::setup_links::get(&mut db, organization_id, id).await?;
    let organization = store::organizations::get(&mut db, organization_id).await?;
    let configurations = match link.permissions.scim {
        false => vec![],
        true => {
            let page = Page::first(MAX_CONFIGURATIONS);
            let found = store::sso::list(&mut db, organization_id, page).await?;
            found.items
        }
    };
    Ok(GetSetupLinkResponse {
        setup_link: wire(link).into(),
        organization_name: organization.name,
        sso_configurations: configurations.into_iter().map(wire_configuration).collect(),
        ..Default::default()
    })
}

/// `ListSetupLinks`. Two round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListSetupLinksRequest,
) -> Result<Answer<WireLink>, Error> {
    let organization_id = caller.organization_id;
    let include_ended = request.include_ended;
    let list = paging.open(
        "setup_links",
        organization_id,
        include_ended,
        &request.pagination,
    )?;
    let now = app.clock.now();
    let mut db = app.store.acquire().await?;
    let found =
        store::setup_links::list(&mut db, organization_id, include_ended, now, list.page()).await?;
    list.answer(found, |link| link.id.as_uuid(), wire)
}

/// `RevokeSetupLink`: the next request with it is refused, on every replica.
pub async fn revoke(
    app: &App,
    caller: Writer<'_>,
    request: RevokeSetupLinkRequest,
) -> Result<WireLink, Error> {
    let id = parse_id("setup_link_id", &request.setup_link_id)?;
    let now = app.clock.now();
    let organization_id = caller.organization_id;
    let mut work = begin(app, caller, now).await?;
    let before = store::setup_links::lock(&mut work, organization_id, id).await?;
    if before.has_ended(now) {
        return Ok(wire(before));
    }
    let after = SetupLink {
        revoked_at: Some(now),
        ..before.clone()
    };
    store::setup_links::revoke(&mut work, organization_id, id, now).await?;
    work.commit(Change::updated("RevokeSetupLink", &before, &after))
        .await?;
    Ok(wire(after))
}

fn wire(link: SetupLink) -> WireLink {
    let permissions = link.permissions.iter();
    WireLink {
        id: link.id.to_string(),
        organization_id: link.organization_id.to_string(),
        description: link.description,
        permissions: permissions
            .map(|one| of_name::<SetupPermission>(one.as_str()).into())
            .collect(),
        return_url: link.return_url,
        created_at: timestamp(link.created_at).into(),
        created_by: wire_subject(link.created_by).into(),
        expires_at: timestamp(link.expires_at).into(),
        first_used_at: link.first_used_at.map(timestamp).into(),
        last_used_at: link.last_used_at.map(timestamp).into(),
        revoked_at: link.revoked_at.map(timestamp).into(),
        ..Default::default()
    }
}

fn wire_configuration(configuration: SsoConfiguration) -> SetupSSOConfiguration {
    SetupSSOConfiguration {
        id: configuration.id.to_string(),
        display_name: configuration.display_name().to_owned(),
        ..Default::default()
    }
}
