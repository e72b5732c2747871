//! SCIM configurations: the endpoints that identity providers push to.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::ids::{OrganizationId, ScimConfigurationId, SsoConfigurationId};
use super::sso::replace;
use super::text;
use crate::error::{Error, no_violations};

/// The name of a configuration that was given none.
pub const DEFAULT_NAME: &str = "SCIM Configuration";

/// How long a token lives that was given no duration.
pub const DEFAULT_TOKEN_LIFETIME: TimeDelta = TimeDelta::days(365);

/// The SCIM endpoint of one identity provider.
#[derive(Clone, Debug)]
pub struct ScimConfiguration {
    /// Its identifier.
    pub id: ScimConfigurationId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What administrators call it.
    pub name: String,
    /// Whether it answers at all.
    pub enabled: bool,
    /// The provider that the provisioned people sign in with.
    pub sso_configuration_id: SsoConfigurationId,
    /// Whether a provisioned user is linked to a member by an address that nobody has verified.
    pub allow_unverified_email_account_linking: bool,
    /// How long its tokens live.
    pub token_lifetime: TimeDelta,
    /// When its present token ends.
    pub token_expires_at: DateTime<Utc>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl ScimConfiguration {
    /// A new, enabled configuration whose first token lives for `lifetime`.
    pub fn new(
        id: ScimConfigurationId,
        organization_id: OrganizationId,
        sso_configuration_id: SsoConfigurationId,
        lifetime: TimeDelta,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            organization_id,
            name: DEFAULT_NAME.to_owned(),
            enabled: true,
            sso_configuration_id,
            allow_unverified_email_account_linking: false,
            token_lifetime: lifetime,
            token_expires_at: now + lifetime,
            created_at: now,
            updated_at: now,
        }
    }

    /// Gives the present token `lifetime` from `now` on.
    pub fn start_token(&mut self, lifetime: TimeDelta, now: DateTime<Utc>) {
        self.token_lifetime = lifetime;
        self.token_expires_at = now + lifetime;
    }
}

impl Audited for ScimConfiguration {
    const SUBJECT: SubjectType = SubjectType::ScimConfiguration;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    /// All but the token's hash.
    fn audited(&self) -> Value {
        json!({
            "name": self.name,
            "enabled": self.enabled,
            "sso_configuration_id": self.sso_configuration_id.as_uuid(),
            "allow_unverified_email_account_linking": self.allow_unverified_email_account_linking,
            "token_expires_at": self.token_expires_at,
        })
    }
}

/// A change of a SCIM configuration: `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct ScimChange {
    /// What administrators call it.
    pub name: Option<String>,
    /// Whether it answers at all.
    pub enabled: Option<bool>,
    /// The provider that the provisioned people sign in with.
    pub sso_configuration_id: Option<SsoConfigurationId>,
    /// Whether unverified addresses link.
    pub allow_unverified_email_account_linking: Option<bool>,
}

impl ScimChange {
    /// Checks what the `.proto` file's rules cannot say.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] on `name`.
    pub fn check(&self) -> Result<(), Error> {
        no_violations(text::unstorable(
            self.name.as_deref().map(|name| ("name", name)),
        ))
    }

    /// Carries the change out. An empty name stands for the default one.
    pub fn apply(self, configuration: &mut ScimConfiguration, now: DateTime<Utc>) {
        let c = configuration;
        let or_default = |name: String| {
            if name.is_empty() {
                DEFAULT_NAME.to_owned()
            } else {
                name
            }
        };
        replace(&mut c.name, self.name.map(or_default));
        replace(&mut c.enabled, self.enabled);
        replace(&mut c.sso_configuration_id, self.sso_configuration_id);
        replace(
            &mut c.allow_unverified_email_account_linking,
            self.allow_unverified_email_account_linking,
        );
        c.updated_at = now;
    }
}
