//! What applications are told of a person (OpenID Connect Core, sections 2 and 5).

use serde_json::{Map, Value, json};

use super::USERINFO_PATH;
use crate::app::App;
use crate::domain::application::{ClientId, Scope, Scopes, installation};
use crate::domain::grant::Wanted;
use crate::domain::ids::{MemberId, OrganizationId};
use crate::domain::sign_in::email_domain;
use crate::error::Error;
use crate::provisioning::groups::MOST;
use crate::store;
use crate::store::grants::Live;
use crate::store::memberships::groups_of;

/// The most groups that an ID token names.
const MAX_GROUPS: usize = 200;

/// The claims that each scope stands for.
const OF_SCOPES: [(Scope, &[&str]); 4] = [
    (
        Scope::Profile,
        &["name", "given_name", "family_name", "picture", "updated_at"],
    ),
    (Scope::Email, &["email", "email_verified"]),
    (Scope::Groups, &["groups", "group_ids"]),
    (Scope::Organization, &["org_name", "roles"]),
];

/// All claims of a person that an application may get.
pub fn supported() -> impl Iterator<Item = &'static str> {
    OF_SCOPES
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
}

/// Where claims go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into an ID token, which must not grow without end.
    IdToken,
    /// Into the userinfo.
    Userinfo,
}

/// The claims of a person: those of the scopes that were granted, and those that the application asked for by name, as far as it may
/// have their scopes. No round trip; one for groups, and one for roles.
pub async fn of_person(
    app: &App,
    organization_id: OrganizationId,
    client: ClientId,
    live: &Live,
    place: Place,
) -> Result<Map<String, Value>, Error> {
    let wanted = match place {
        Place::IdToken => &live.details.wanted.id_token,
        Place::Userinfo => &live.details.wanted.userinfo,
    };
    let granted = live.scopes();
    let allowed: Scopes = live.settings.scopes.iter().copied().collect();
    let wants = |name: &str| {
        let (scope, _) = OF_SCOPES.iter().find(|(_, names)| names.contains(&name))?;
        let is_wanted = wanted.iter().any(|one| one == name);
        (granted.has(*scope) || (is_wanted && allowed.has(*scope))).then_some(())
    };
    let is_email_verified = live.email_verified
        && (wants("email_verified").is_none()
            || is_believed(app, organization_id, client, live).await?);
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| {
        let is_empty = value.is_null() || value == "";
        if wants(name).is_some() && !is_empty {
            claims.insert(name.to_owned(), value);
        }
    };
    // Provisioning knows better than the sign-in, which may be long ago.
    let part = |name: &str, at_sign_in: &str| {
        let provisioned = live
            .name_parts
            .as_ref()
            .and_then(|parts| parts[name].as_str());
        json!(provisioned.unwrap_or(at_sign_in))
    };
    let [given, family] = &live.details.names;
    put("name", json!(live.name));
    put("given_name", part("givenName", given));
    put("family_name", part("familyName", family));
    put("picture", json!(live.avatar_url));
    put("updated_at", json!(live.updated_at.timestamp()));
    if !live.email.is_empty() {
        put("email", json!(live.email));
        put("email_verified", json!(is_email_verified));
    }
    put("org_name", json!(live.organization));
    let member = MemberId::from(live.subject_id.as_uuid());
    if wants("roles").is_some() {
        let mut db = app.store.acquire().await?;
        let roles = store::grants::roles_of(&mut db, organization_id, member).await?;
        claims.insert("roles".to_owned(), json!(roles));
    }
    if wants("groups").is_some() || wants("group_ids").is_some() {
        let groups = groups(app, organization_id, member, place).await?;
        claims.extend(groups);
    }
    Ok(claims)
}

/// Whether an address is the member's. For an organization's own applications, its provider and its administrators say so. An application
/// of the installation may know people by their address, whatever their organization: there, the organization must have verified the
/// domain, because anybody's provider can say anything.
async fn is_believed(
    app: &App,
    organization_id: OrganizationId,
    client: ClientId,
    live: &Live,
) -> Result<bool, Error> {
    if client.organization_id != installation() {
        return Ok(true);
    }
    let Some(domain) = email_domain(&live.email) else {
        return Ok(false);
    };
    let mut db = app.store.acquire().await?;
    store::domains::is_verified(&mut db, organization_id, &domain).await
}

/// The scopes that claims stand for which are asked for by name.
pub fn scopes_of(wanted: &Wanted) -> Scopes {
    let names = wanted.id_token.iter().chain(&wanted.userinfo);
    let scope = |name: &String| OF_SCOPES.iter().find(|(_, names)| names.contains(&&**name));
    names.filter_map(scope).map(|(scope, _)| *scope).collect()
}

/// The groups, or where to ask for them if they are too many (OpenID Connect Core, section 5.6.2).
async fn groups(
    app: &App,
    organization_id: OrganizationId,
    member: MemberId,
    place: Place,
) -> Result<Map<String, Value>, Error> {
    let mut db = app.store.acquire().await?;
    let groups = groups_of(&mut db, organization_id, member, None, MOST)
        .await?
        .items;
    if place == Place::IdToken && groups.len() > MAX_GROUPS {
        let endpoint = format!("{}{USERINFO_PATH}", app.public_url);
        return Ok(Map::from_iter([
            (
                "_claim_names".to_owned(),
                json!({ "groups": "userinfo", "group_ids": "userinfo" }),
            ),
            (
                "_claim_sources".to_owned(),
                json!({ "userinfo": { "endpoint": endpoint } }),
            ),
        ]));
    }
    let (ids, names): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .map(|group| (group.id, group.name))
        .unzip();
    Ok(Map::from_iter([
        ("groups".to_owned(), json!(names)),
        ("group_ids".to_owned(), json!(ids)),
    ]))
}
