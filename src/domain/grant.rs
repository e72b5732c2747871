//! What an application may do in somebody's name, and what was asked for when it got that.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::application::{ClientId, Scopes};
use super::ids::{GrantId, OrganizationId, SessionId, SsoConfigurationId, SubjectId};

/// How long a code lives (RFC 6749, section 4.1.2 has ten minutes at most).
pub const CODE_LIFETIME: TimeDelta = TimeDelta::seconds(60);
/// How long a client that lost the answer to its refresh token may ask for it again.
pub const REPEAT: TimeDelta = TimeDelta::seconds(30);

/// How somebody proved who it is, as the organization's provider says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// When, as far as the provider says, or was asked to have the person sign in then.
    #[serde(default)]
    pub time: Option<DateTime<Utc>>,
    /// By which methods (the claim `amr`).
    #[serde(default)]
    pub methods: Vec<String>,
    /// How strongly (the claim `acr`).
    #[serde(default)]
    pub class: Option<String>,
}

/// What a client asks for beside scopes (OpenID Connect Core, section 5.5), by the names of claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// In the ID token.
    #[serde(default)]
    pub id_token: Vec<String>,
    /// In the userinfo.
    #[serde(default)]
    pub userinfo: Vec<String>,
}

/// What else is known of a grant than what its row is found by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What proves to the client that an ID token is the answer to its request.
    #[serde(default)]
    pub nonce: Option<String>,
    /// The claims that it asked for by name.
    #[serde(default)]
    pub wanted: Wanted,
    /// How the person signed in.
    #[serde(default)]
    pub authentication: Option<Authentication>,
    /// The given name and the family name, as the person's provider says; may be empty.
    #[serde(default)]
    pub names: [String; 2],
}

/// A grant.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The person's organization.
    pub organization_id: OrganizationId,
    /// Its identifier.
    pub id: GrantId,
    /// The application that has it.
    pub client: ClientId,
    /// In whose name.
    pub subject: SubjectId,
    /// In which session; a service account has none.
    pub session: Option<SessionId>,
    /// Through which provider the session began.
    pub sso_configuration: Option<SsoConfigurationId>,
    /// For what.
    pub scopes: Scopes,
    /// What else was asked for.
    pub details: Details,
}
