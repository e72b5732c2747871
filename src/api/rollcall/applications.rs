//! `ApplicationService`: what people sign in to.

use std::collections::BTreeSet;

use buffa::EnumValue;
use buffa_types::google::protobuf::{Duration, Struct, Timestamp};
use serde_json::Value;
use url::Url;

use crate::api::enums::{Prefixed, of_name, of_wire};
use crate::api::handler::{
    Owner, begin_owned, lifetime, optional_id, owned, parse_id, parse_ids, timestamp,
};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::application::{
    Application, ClientAuthentication, Grant, Scope, Scopes, Settings, Signature,
};
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Writer};
use crate::domain::ids::{GroupId, OrganizationId};
use crate::error::{Error, Violation, no_violations};
use crate::provisioning::applications::{new_secret, takes_secret};
use crate::store::{self, Connection, Page};
use proto::rollcall::v1::{
    Application as WireApplication, ClientAuthentication as WireAuthentication,
    CreateApplicationRequest, DeleteApplicationRequest, GetApplicationRequest, GrantType,
    ListApplicationsRequest, RotateApplicationSecretRequest, Scope as WireScope,
    Signature as WireSignature, UpdateApplicationRequest,
};

/// `CreateApplication`: the secret is returned this once.
pub async fn create(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: CreateApplicationRequest,
) -> Result<(WireApplication, String), Error> {
    let now = app.clock.now();
    let settings = settings(request)?;
    let mut work = begin_owned(app, caller, now).await?;
    let application = Application {
        organization_id: work.organization_id(),
        id: app.new_id(),
        settings,
        created_at: now,
        updated_at: now,
    };
    check(app, &mut work, &Settings::default(), &application).await?;
    let secret = new_secret(app, &application);
    let digest = secret.as_ref().map(|secret| secret.digest());
    store::applications::insert(&mut work, &application, digest.as_ref().map(|d| &d[..])).await?;
    work.commit(Change::created("CreateApplication", &application))
        .await?;
    let secret = secret.map(|secret| secret.expose().to_owned());
    Ok((wire(application), secret.unwrap_or_default()))
}

/// `GetApplication`. Two round trips.
pub async fn get(
    app: &App,
    caller: Owner<Reader<'_>>,
    request: GetApplicationRequest,
) -> Result<WireApplication, Error> {
    let id = parse_id("application_id", &request.application_id)?;
    let mut db = app.store.acquire().await?;
    let application = store::applications::get(&mut db, owned(&caller), id).await?;
    Ok(wire(application))
}

/// `ListApplications`. Two round trips.
pub async fn list(
    app: &App,
    caller: Owner<Reader<'_>>,
    paging: Paging<'_>,
    request: ListApplicationsRequest,
) -> Result<Answer<WireApplication>, Error> {
    let organization_id = owned(&caller);
    let list = paging.open("applications", organization_id, "", &request.pagination)?;
    let mut db = app.store.acquire().await?;
    let found = store::applications::list(&mut db, organization_id, list.page()).await?;
    list.answer(found, |application| application.id.as_uuid(), wire)
}

/// `UpdateApplication`: what is absent stays.
pub async fn update(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: UpdateApplicationRequest,
) -> Result<WireApplication, Error> {
    let id = parse_id("application_id", &request.application_id)?;
    let now = app.clock.now();
    let mut work = begin_owned(app, caller, now).await?;
    let organization_id = work.organization_id();
    let before = store::applications::lock(&mut work, organization_id, id).await?;
    let mut after = Application {
        updated_at: now,
        ..before.clone()
    };
    apply(request, &mut after.settings)?;
    check(app, &mut work, &before.settings, &after).await?;
    store::applications::update(&mut work, &after).await?;
    let [had, has] = [&before, &after].map(|one| takes_secret(one.settings.authentication));
    if had && !has {
        store::applications::replace_secret(&mut work, organization_id, id, None, None, now)
            .await?;
    }
    work.commit(Change::updated("UpdateApplication", &before, &after))
        .await?;
    Ok(wire(after))
}

/// `DeleteApplication`: whatever uses what it got looks for it, so all of that ends with it.
pub async fn delete(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: DeleteApplicationRequest,
) -> Result<(), Error> {
    let id = parse_id("application_id", &request.application_id)?;
    let mut work = begin_owned(app, caller, app.clock.now()).await?;
    let organization_id = work.organization_id();
    let before = store::applications::lock(&mut work, organization_id, id).await?;
    store::applications::delete(&mut work, organization_id, id).await?;
    work.commit(Change::deleted("DeleteApplication", &before))
        .await
}

/// `RotateApplicationSecret`: the secret is returned this once.
pub async fn rotate_secret(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: RotateApplicationSecretRequest,
) -> Result<(WireApplication, String, Option<Timestamp>), Error> {
    let id = parse_id("application_id", &request.application_id)?;
    let now = app.clock.now();
    let kept_until = lifetime(request.keep_previous_for.as_option()).map(|time| now + time);
    let mut work = begin_owned(app, caller, now).await?;
    let organization_id = work.organization_id();
    let before = store::applications::lock(&mut work, organization_id, id).await?;
    let secret = new_secret(app, &before).ok_or_else(has_no_secret)?;
    let digest = secret.digest();
    store::applications::replace_secret(
        &mut work,
        organization_id,
        id,
        Some(&digest),
        kept_until,
        now,
    )
    .await?;
    let after = Application {
        updated_at: now,
        ..before.clone()
    };
    work.commit(Change::updated("RotateApplicationSecret", &before, &after))
        .await?;
    let secret = secret.expose().to_owned();
    Ok((wire(after), secret, kept_until.map(timestamp)))
}

fn has_no_secret() -> Error {
    Error::FailedPrecondition(
        "this application has no secret: with UpdateApplication, set its authentication to CLIENT_SECRET_BASIC or CLIENT_SECRET_POST first"
            .to_owned(),
    )
}

/// What a request says of a new application, and for the rest, what is usual.
fn settings(request: CreateApplicationRequest) -> Result<Settings, Error> {
    let mut settings = Settings {
        name: request.name,
        logo_url: request.logo_url,
        redirect_uris: request.redirect_uris,
        post_logout_redirect_uris: request.post_logout_redirect_uris,
        backchannel_logout_uri: request.backchannel_logout_uri,
        initiate_login_uri: request.initiate_login_uri,
        jwks: request.jwks.into_option().and_then(keys),
        jwks_uri: request.jwks_uri,
        userinfo_signature: signature(&request.userinfo_signature),
        groups: groups(&request.group_ids)?,
        service_account: optional_id("service_account_id", &request.service_account_id)?,
        ..Settings::default()
    };
    set(
        &mut settings.authentication,
        authentication(&request.authentication),
    );
    set(&mut settings.require_pkce, request.require_pkce);
    set(&mut settings.grants, some(grants(&request.grants)));
    set(&mut settings.scopes, some(scopes(&request.scopes)));
    set(
        &mut settings.id_token_signature,
        signature(&request.id_token_signature),
    );
    set(
        &mut settings.access_token_seconds,
        seconds(request.access_token_lifetime.as_option()),
    );
    set(
        &mut settings.id_token_seconds,
        seconds(request.id_token_lifetime.as_option()),
    );
    set(
        &mut settings.refresh_token_seconds,
        seconds(request.refresh_token_lifetime.as_option()),
    );
    Ok(settings)
}

/// Changes what a request says of an application.
fn apply(request: UpdateApplicationRequest, settings: &mut Settings) -> Result<(), Error> {
    set(&mut settings.name, request.name);
    set(&mut settings.logo_url, request.logo_url);
    set(
        &mut settings.backchannel_logout_uri,
        request.backchannel_logout_uri,
    );
    set(&mut settings.initiate_login_uri, request.initiate_login_uri);
    set(&mut settings.jwks_uri, request.jwks_uri);
    let account = request.service_account_id;
    let account = account.map(|id| optional_id("service_account_id", &id));
    set(&mut settings.service_account, account.transpose()?);
    let uris = request.redirect_uris.into_option();
    set(&mut settings.redirect_uris, uris.map(|list| list.uris));
    let uris = request.post_logout_redirect_uris.into_option();
    set(
        &mut settings.post_logout_redirect_uris,
        uris.map(|list| list.uris),
    );
    let given = request.authentication.as_ref().and_then(authentication);
    set(&mut settings.authentication, given);
    set(&mut settings.jwks, request.jwks.into_option().map(keys));
    set(&mut settings.require_pkce, request.require_pkce);
    let list = request.grants.as_option();
    set(&mut settings.grants, list.map(|list| grants(&list.grants)));
    let list = request.scopes.as_option();
    set(&mut settings.scopes, list.map(|list| scopes(&list.scopes)));
    let given = request.id_token_signature.as_ref().and_then(signature);
    set(&mut settings.id_token_signature, given);
    let given = request.userinfo_signature.as_ref().map(signature);
    set(&mut settings.userinfo_signature, given);
    let list = request.groups.as_option();
    let list = list.map(|list| groups(&list.group_ids)).transpose()?;
    set(&mut settings.groups, list);
    set(
        &mut settings.access_token_seconds,
        seconds(request.access_token_lifetime.as_option()),
    );
    set(
        &mut settings.id_token_seconds,
        seconds(request.id_token_lifetime.as_option()),
    );
    set(
        &mut settings.refresh_token_seconds,
        seconds(request.refresh_token_lifetime.as_option()),
    );
    Ok(())
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// A list that says something.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn authentication(wire: &EnumValue<WireAuthentication>) -> Option<ClientAuthentication> {
    of_wire(ClientAuthentication::ALL, wire)
}

fn signature(wire: &EnumValue<WireSignature>) -> Option<Signature> {
    of_wire(Signature::ALL, wire)
}

/// Each once.
fn grants(wire: &[EnumValue<GrantType>]) -> Vec<Grant> {
    let given: Vec<Grant> = wire.iter().filter_map(|g| of_wire(Grant::ALL, g)).collect();
    let is_given = |grant: &Grant| given.contains(grant);
    Grant::ALL.iter().copied().filter(is_given).collect()
}

/// Each once.
fn scopes(wire: &[EnumValue<WireScope>]) -> Vec<Scope> {
    let given = wire.iter().filter_map(|scope| of_wire(Scope::ALL, scope));
    given.collect::<Scopes>().iter().collect()
}

/// Each once.
fn groups(wire: &[String]) -> Result<Vec<GroupId>, Error> {
    let ids: BTreeSet<GroupId> = parse_ids("group_ids", wire)?.into_iter().collect();
    Ok(ids.into_iter().collect())
}

/// `None` for the empty object, which says that there are none.
fn keys(wire: Struct) -> Option<Value> {
    if wire.fields.is_empty() {
        return None;
    }
    serde_json::to_value(wire).ok()
}

fn seconds(wire: Option<&Duration>) -> Option<u32> {
    u32::try_from(lifetime(wire)?.num_seconds()).ok()
}

/// Makes sure that an application breaks no rule. What it names that is as it was does not keep anybody from changing the rest.
async fn check(
    app: &App,
    db: &mut Connection,
    before: &Settings,
    after: &Application,
) -> Result<(), Error> {
    let settings = &after.settings;
    let mut violations = settings.check(after.is_of_installation());
    if violations.is_empty() {
        violations.extend(unreachable(app, before, settings));
        violations.extend(foreign(db, after.organization_id, before, settings).await?);
    }
    no_violations(violations)
}

const UNREACHABLE: &str = "must begin with https:// and name a public address, or one that the operator allows with ROLLCALL_REACHABLE: the server asks no other";

/// The URIs that the server asks, and must not.
fn unreachable(app: &App, before: &Settings, after: &Settings) -> Vec<Violation> {
    let uris = [
        (
            "backchannel_logout_uri",
            &before.backchannel_logout_uri,
            &after.backchannel_logout_uri,
        ),
        ("jwks_uri", &before.jwks_uri, &after.jwks_uri),
    ];
    let refused = uris.into_iter().filter_map(|(field, before, after)| {
        let url = Url::parse(after).ok().filter(|_| before != after)?;
        app.outgoing.check(&url).err()?;
        Some(Violation::new(field, Violation::URI, UNREACHABLE))
    });
    refused.collect()
}

/// What the organization does not have.
async fn foreign(
    db: &mut Connection,
    organization_id: OrganizationId,
    before: &Settings,
    after: &Settings,
) -> Result<Vec<Violation>, Error> {
    let mut violations = vec![];
    if let Some(account) = after.service_account
        && before.service_account != after.service_account
    {
        match store::service_accounts::get(db, organization_id, account).await {
            Ok(_) => {}
            Err(Error::NotFound(_)) => violations.push(Violation::new(
                "service_account_id",
                Violation::APPLICATION,
                "must be the id of a service account of the organization",
            )),
            Err(error) => return Err(error),
        }
    }
    let new = |group: &&GroupId| !before.groups.contains(group);
    let new: Vec<GroupId> = after.groups.iter().filter(new).copied().collect();
    if !new.is_empty() && !has_all(db, organization_id, new).await? {
        violations.push(Violation::new(
            "group_ids",
            Violation::APPLICATION,
            "must be ids of groups of the organization",
        ));
    }
    Ok(violations)
}

/// Whether the organization has all of these groups.
async fn has_all(
    db: &mut Connection,
    organization_id: OrganizationId,
    groups: Vec<GroupId>,
) -> Result<bool, Error> {
    let count = groups.len();
    let filter = store::groups::Filter {
        ids: groups,
        ..store::groups::Filter::default()
    };
    let page = Page::first(u32::try_from(count).unwrap_or(u32::MAX));
    let found = store::groups::list(db, organization_id, &filter, page).await?;
    Ok(found.items.len() == count)
}

fn enums<W: Prefixed + Default, D: ToString>(domain: &[D]) -> Vec<EnumValue<W>> {
    let names = domain.iter().map(ToString::to_string);
    names.map(|name| of_name::<W>(&name).into()).collect()
}

fn duration(seconds: u32) -> Duration {
    Duration {
        seconds: seconds.into(),
        ..Default::default()
    }
}

fn wire(application: Application) -> WireApplication {
    let organization = application.organization_id.to_string();
    let is_of_installation = application.is_of_installation();
    let client_id = application.client_id().to_string();
    let s = application.settings;
    let jwks = s.jwks.and_then(|jwks| serde_json::from_value(jwks).ok());
    WireApplication {
        id: application.id.to_string(),
        client_id,
        organization_id: match is_of_installation {
            true => String::new(),
            false => organization,
        },
        name: s.name,
        logo_url: s.logo_url,
        redirect_uris: s.redirect_uris,
        post_logout_redirect_uris: s.post_logout_redirect_uris,
        backchannel_logout_uri: s.backchannel_logout_uri,
        initiate_login_uri: s.initiate_login_uri,
        authentication: of_name::<WireAuthentication>(s.authentication.as_str()).into(),
        jwks: jwks.into(),
        jwks_uri: s.jwks_uri,
        require_pkce: s.require_pkce,
        grants: enums(&s.grants),
        scopes: enums(&s.scopes),
        id_token_signature: of_name::<WireSignature>(s.id_token_signature.as_str()).into(),
        userinfo_signature: s
            .userinfo_signature
            .map(|signature| of_name::<WireSignature>(signature.as_str()))
            .unwrap_or_default()
            .into(),
        group_ids: s.groups.iter().map(ToString::to_string).collect(),
        service_account_id: s
            .service_account
            .map(|id| id.to_string())
            .unwrap_or_default(),
        access_token_lifetime: duration(s.access_token_seconds).into(),
        id_token_lifetime: duration(s.id_token_seconds).into(),
        refresh_token_lifetime: duration(s.refresh_token_seconds).into(),
        created_at: timestamp(application.created_at).into(),
        updated_at: timestamp(application.updated_at).into(),
        ..Default::default()
    }
}
