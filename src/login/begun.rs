//! What a login needs on its way back travels sealed in a cookie of the browser that began it: starting one costs no
//! write, and an answer that comes to another browser is refused (RFC 6819, section 4.4.1.8).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::app::App;
use crate::domain::ids::{LoginId, OrganizationId, SsoConfigurationId};
use crate::domain::sign_in::LOGIN_LIFETIME;
use crate::domain::sso::SsoConfiguration;
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::session;
use crate::oidc::LoginSecrets;

/// A login under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begun {
    /// The organization.
    pub organization: Uuid,
    /// The provider.
    pub configuration: Uuid,
    state_digest: [u8; 32],
    /// What proves that the provider's answer is the one to this login.
    pub secrets: LoginSecrets,
    /// Where the person goes afterwards; may be empty.
    pub return_to: String,
    /// When it is too late to come back.
    pub ends_at: DateTime<Utc>,
    /// Whether an administrator tries the configuration, and nothing is to be changed. It is not read from the cookie's content: a test
    /// is sealed as one, so that no release takes it for a login.
    #[serde(skip)]
    pub is_test: bool,
}

impl Begun {
    /// A login that begins now.
    pub fn new(
        app: &App,
        configuration: &SsoConfiguration,
        state: &Token,
        secrets: LoginSecrets,
        return_to: &str,
        is_test: bool,
    ) -> Self {
        Self {
            organization: configuration.organization_id.as_uuid(),
            configuration: configuration.id.as_uuid(),
            state_digest: state.digest(),
            secrets,
            return_to: return_to.to_owned(),
            ends_at: app.clock.now() + LOGIN_LIFETIME,
            is_test,
        }
    }

    /// The value of the login's cookie.
    pub fn seal(&self, app: &App, state: &Token) -> Result<String, Error> {
        let plain = serde_json::to_vec(self).map_err(Error::internal)?;
        let context = context(self.is_test, self.organization.into(), state.id().into());
        let sealed = app.keys.seal(&plain, &context, &app.random)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The login that this browser began with this state.
    pub fn open(
        app: &App,
        headers: &HeaderMap,
        organization_id: OrganizationId,
        state: &Token,
    ) -> Option<Self> {
        let id = LoginId::from(state.id());
        let name = session::cookie_name(app, &cookie_name(id));
        let sealed = URL_SAFE_NO_PAD
            .decode(session::cookie(headers, &name)?)
            .ok()?;
        let (is_test, plain) = [false, true].into_iter().find_map(|is_test| {
            let context = context(is_test, organization_id, id);
            Some((is_test, app.keys.open(&sealed, &context)?))
        })?;
        let begun: Self = serde_json::from_slice(&plain).ok()?;
        let is_answered = bool::from(begun.state_digest.ct_eq(&state.digest()));
        is_answered.then_some(Self { is_test, ..begun })
    }
}

fn context(is_test: bool, organization_id: OrganizationId, id: LoginId) -> Vec<u8> {
    let kind: &[u8] = if is_test { b"test-login\0" } else { b"login\0" };
    let (organization, id) = (organization_id.as_uuid(), id.as_uuid());
    [kind, organization.as_bytes(), id.as_bytes()].concat()
}

/// The cookie of a login: one for each, so that two tabs do not get in each other's way.
pub fn cookie_name(id: LoginId) -> String {
    let id = id.as_uuid().simple().to_string();
    format!("rollcall-login-{}", &id[20..])
}

/// The state parameter: a token, which names the organization, and the configuration, so that its
/// administrators learn of answers that come to another browser, too.
pub fn state_parameter(token: &Token, configuration: SsoConfigurationId) -> String {
    format!("{}.{}", token.expose(), configuration.as_uuid().simple())
}

/// The parts of a state parameter, if it is one.
pub fn read_state(state: &str) -> Option<(Token, SsoConfigurationId)> {
    let (token, configuration) = state.split_once('.')?;
    let token = Token::parse(TokenKind::Login, token)?;
    Some((token, Uuid::try_parse(configuration).ok()?.into()))
}
