//! Access tokens (RFC 9068): what an application presents to learn of somebody, or to act in that person's name. The token says
//! which grant it came of, and that row is read at every use, so that a token is worth nothing from the moment on when its grant is not.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{groups, signing};
use crate::app::App;
use crate::domain::application::{ClientId, Scope, Scopes, Signature};
use crate::domain::grant::Grant;
use crate::domain::identity::{Caller, Principal, Subject};
use crate::domain::ids::{GrantId, OrganizationId, SessionId, SubjectId};
use crate::error::Error;
use crate::store;

/// What says that a token is one of these (RFC 9068, section 2.1).
const KIND: &str = "at+jwt";

/// ECDSA, whatever the application has chosen for its ID tokens: it is thirty times as fast to sign as RSA.
const SIGNATURE: Signature = Signature::Es256;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: SubjectId,
    client_id: &'a str,
    exp: i64,
    iat: i64,
    jti: Uuid,
    scope: &'a str,
    org_id: OrganizationId,
    grant: GrantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
}

/// Makes a token of a grant.
pub async fn issue(
    app: &App,
    grant: &Grant,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<String, Error> {
    let claims = Claims {
        iss: &app.public_url,
        aud: &app.public_url,
        sub: grant.subject,
        client_id: &grant.client.to_string(),
        exp: expires_at.timestamp(),
        iat: now.timestamp(),
        jti: app.new_id(),
        scope: &grant.scopes.to_string(),
        org_id: grant.organization_id,
        grant: grant.id,
        sid: grant.session,
    };
    signing::sign(app, SIGNATURE, KIND, &claims).await
}

/// A token that one of our keys signed and that has not expired. What its grant says now is for the database.
#[derive(Clone, Debug)]
pub struct Access {
    /// The organization.
    pub organization_id: OrganizationId,
    /// Of which grant it came.
    pub grant: GrantId,
    /// Whose it is.
    pub client: ClientId,
    /// In whose name.
    pub subject: SubjectId,
    /// In which session; a service account has none.
    pub session: Option<SessionId>,
    /// For what.
    pub scopes: Scopes,
    /// When it was made, and when it ends, in seconds.
    pub times: [i64; 2],
    /// What it is called.
    pub id: String,
}

/// Whether a text may be an access token, and no other bearer token of ours.
pub fn is_one(text: &str) -> bool {
    text.starts_with("eyJ")
}

/// Reads a token; `None` for anything else than a token of ours that has not expired.
pub async fn read(app: &App, text: &str) -> Result<Option<Access>, Error> {
    if !is_one(text) {
        return Ok(None);
    }
    let ring = signing::ring(app).await?;
    let claims = app.signers.open(&ring, text, KIND);
    let now = app.clock.now().timestamp();
    let access = claims.and_then(|claims| Access::of(&claims, &app.public_url));
    Ok(access.filter(|access| now < access.times[1]))
}

impl Access {
    fn of(claims: &Map<String, Value>, issuer: &str) -> Option<Self> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let number = |name: &str| claims.get(name).and_then(Value::as_i64);
        if text("iss") != Some(issuer) || text("aud") != Some(issuer) {
            return None;
        }
        Some(Self {
            organization_id: text("org_id")?.parse().ok()?,
            grant: text("grant")?.parse().ok()?,
            client: text("client_id")?.parse().ok()?,
            subject: text("sub")?.parse().ok()?,
            session: text("sid").map(str::parse).transpose().ok()?,
            scopes: Scopes::known(text("scope")?),
            times: [number("iat")?, number("exp")?],
            id: text("jti")?.to_owned(),
        })
    }
}

/// Who calls Rollcall's own API with an access token. One round trip.
///
/// # Errors
///
/// [`Error::Unauthenticated`] for a token that opens nothing, or not the API.
pub async fn caller(app: &App, text: &str) -> Result<Caller, Error> {
    let access = read(app, text).await?.ok_or(Error::Unauthenticated)?;
    if !access.scopes.has(Scope::Api) {
        return Err(Error::Unauthenticated);
    }
    let now = app.clock.now();
    let (organization_id, id, client) = (access.organization_id, access.grant, access.client);
    let is_member = access.session.is_some();
    let found = app
        .store
        .read(|db| {
            Box::pin(async move {
                if is_member {
                    store::grants::find_acting_member(db, organization_id, id, client, now).await
                } else {
                    store::grants::find_acting_account(db, organization_id, id, client, now).await
                }
            })
        })
        .await?;
    let acting = found.ok_or(Error::Unauthenticated)?;
    let principal = match is_member {
        true => Principal::User,
        false => Principal::ServiceAccount,
    };
    let (id, member) = (acting.subject_id, acting.subject_id.as_uuid().into());
    let is_allowed =
        !is_member || groups::is_in_any(app, organization_id, member, &acting.groups).await?;
    if !is_allowed {
        return Err(Error::Unauthenticated);
    }
    Ok(Caller {
        organization_id,
        subject: Subject { id, principal },
        powers: acting.powers,
        read_only: false,
        ends_at: DateTime::from_timestamp(access.times[1], 0),
    })
}
