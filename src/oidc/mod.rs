//! The client's side of OpenID Connect: providers, and the code flow with PKCE (OpenID Connect Core
//! 1.0, RFC 7636, RFC 9207). Nothing here knows a member or a session.

pub mod check;
mod keys;
mod provider;
mod verify;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenResponse,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, ConfigurationError, CsrfToken,
    EmptyAdditionalClaims, EndpointMaybeSet, EndpointNotSet, EndpointSet, LoginHint, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, StandardErrorResponse, TokenResponse, UserInfoError,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::keys::Key;
pub use self::provider::{Provider, Providers};
use crate::domain::sign_in::{Check, Refusal};
use crate::domain::sso::SsoConfiguration;
use crate::outgoing::{Outgoing, OutgoingError};

/// Where providers send people back to, below the public URL.
pub const CALLBACK_PATH: &str = "/auth/oidc/callback";

/// The claims of a person.
pub type Claims = Map<String, Value>;

/// The claim of Entra ID that says that the owner of the domain of the claim `email` was verified.
pub const DOMAIN_OWNER_VERIFIED: &str = "xms_edov";

/// The claims that speak of the claim `email` beside them.
const ADDRESS_PROOFS: [&str; 2] = ["email_verified", DOMAIN_OWNER_VERIFIED];

type Client = openidconnect::Client<
    EmptyAdditionalClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    Key,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    CoreTokenResponse,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What proves at the end of a login that it is the one that was begun. Kept sealed.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoginSecrets {
    /// In the ID token (OpenID Connect Core, section 3.1.2.1).
    pub nonce: String,
    /// Of the code's exchange (RFC 7636, section 4.1).
    pub verifier: String,
}

/// A registration of this server at a provider.
pub struct Registration<'a> {
    /// The configuration.
    pub configuration: &'a SsoConfiguration,
    /// Its client secret; for a URL alone, none is needed.
    pub client_secret: Option<SecretString>,
    /// Where this server is reached.
    pub public_url: &'a str,
}

impl Registration<'_> {
    /// The scopes that are asked for.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let more = self
            .configuration
            .additional_scopes
            .iter()
            .map(String::as_str);
        let more = more.filter(|scope| !["openid", "email", "profile"].contains(scope));
        ["openid", "email", "profile"].into_iter().chain(more)
    }

    /// Where the provider must let people go back to.
    pub fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK_PATH}", self.public_url)
    }

    /// The URL where the person signs in.
    ///
    /// # Errors
    ///
    /// A provider or configuration that cannot be used.
    pub fn authorization_url(
        &self,
        provider: &Provider,
        state: String,
        secrets: &LoginSecrets,
        login_hint: Option<&str>,
    ) -> Result<String, Refusal> {
        let client = self.client(provider)?;
        let verifier = PkceCodeVerifier::new(secrets.verifier.clone());
        let nonce = Nonce::new(secrets.nonce.clone());
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state),
                move || nonce,
            )
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        // The library adds openid.
        for scope in self.scopes().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.to_owned()));
        }
        if let Some(hint) = login_hint {
            request = request.set_login_hint(LoginHint::new(hint.to_owned()));
        }
        Ok(request.url().0.into())
    }

    fn client(&self, provider: &Provider) -> Result<Client, Refusal> {
        let redirect = RedirectUrl::new(self.redirect_uri()).map_err(|e| {
            Refusal::new(
                Check::Configuration,
                format!("the public URL cannot be used: {e}"),
            )
        })?;
        let metadata = (*provider.metadata)
            .clone()
            .set_jwks((*provider.keys).clone());
        // Where the provider does not say, it takes the secret in the header (OpenID Connect
        // Discovery, section 3).
        let takes_header = metadata
            .token_endpoint_auth_methods_supported()
            .is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let auth_type = if takes_header {
            AuthType::BasicAuth
        } else {
            AuthType::RequestBody
        };
        let secret = self.client_secret.as_ref();
        let client = Client::from_provider_metadata(
            metadata,
            ClientId::new(self.configuration.client_id.clone()),
            secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned())),
        );
        Ok(client.set_redirect_uri(redirect).set_auth_type(auth_type))
    }

    /// Exchanges a code for tokens, verifies the ID token, and fills in from the userinfo what
    /// `is_missing` asks for.
    ///
    /// # Errors
    ///
    /// Which check failed and why.
    pub async fn claims(
        &self,
        providers: &Providers,
        outgoing: &Outgoing,
        code: String,
        secrets: &LoginSecrets,
        is_missing: impl Fn(&Claims) -> bool,
    ) -> Result<Claims, Refusal> {
        let issuer = &self.configuration.issuer_url;
        let mut provider = providers.get(outgoing, issuer).await?;
        let client = self.client(&provider)?;
        let response = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(no_endpoint)?
            .set_pkce_verifier(PkceCodeVerifier::new(secrets.verifier.clone()))
            .request_async(outgoing)
            .await
            .map_err(explain_exchange)?;
        let token = response.id_token().ok_or_else(|| {
            let text = "the provider sent no ID token: it must support OpenID Connect, not OAuth 2.0 alone";
            Refusal::new(Check::IdToken, text)
        })?;

        let now = providers.now();
        let mut verified = verify::id_token(self.configuration, &provider, &response, secrets, now);
        while verified
            .as_ref()
            .is_err_and(verify::Failure::may_be_a_new_key)
            && let Some(fresh) = providers
                .with_fresh_keys(outgoing, issuer, &provider)
                .await?
        {
            provider = fresh;
            verified = verify::id_token(self.configuration, &provider, &response, secrets, now);
        }
        let subject = verified.map_err(|failure| Refusal::new(Check::IdToken, failure.0))?;
        let mut claims = verify::payload(&token.to_string()).ok_or_else(|| {
            Refusal::new(
                Check::IdToken,
                "the claims of the ID token are no JSON object",
            )
        })?;
        if !is_missing(&claims) || client.user_info_url().is_none() {
            return Ok(claims);
        }

        // With the keys that verified the ID token: the userinfo may be signed, too.
        let client = self.client(&provider)?;
        // The library would panic on one that no header can hold.
        let access_token = response.access_token().clone();
        if http::HeaderValue::from_str(access_token.secret()).is_err() {
            return Err(Refusal::new(
                Check::Userinfo,
                "the provider's access token holds characters that no HTTP header may have",
            ));
        }
        let userinfo: openidconnect::UserInfoClaims<Rest, CoreGenderClaim> = client
            .user_info(access_token, Some(subject))
            .map_err(no_endpoint)?
            .request_async(outgoing)
            .await
            .map_err(explain_userinfo)?;
        let more = serde_json::to_value(userinfo).unwrap_or_default();
        if let Value::Object(more) = more {
            fill_in(&mut claims, more);
        }
        Ok(claims)
    }
}

/// Adds the claims of the userinfo to those of the ID token. What is signed wins. What either says of
/// its address counts for that one alone: a proof that the other does not speak of is left out.
fn fill_in(claims: &mut Claims, mut userinfo: Claims) {
    match (claims.get("email"), userinfo.get("email")) {
        (Some(email), Some(other)) if other != email => {
            userinfo.retain(|name, _| !ADDRESS_PROOFS.contains(&&**name));
        }
        (None, Some(_)) => {
            let denies = |value: &Value| *value == Value::Bool(false);
            claims.retain(|name, value| !ADDRESS_PROOFS.contains(&&**name) || denies(value));
        }
        _ => {}
    }
    for (name, value) in userinfo {
        claims.entry(name).or_insert(value);
    }
}

/// The claims that the library has no name for.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rest {
    #[serde(flatten)]
    claims: Claims,
}

impl openidconnect::AdditionalClaims for Rest {}

fn no_endpoint(error: ConfigurationError) -> Refusal {
    Refusal::new(
        Check::Provider,
        format!("the provider's metadata lack an endpoint: {error}"),
    )
}

type ExchangeError = RequestTokenError<OutgoingError, StandardErrorResponse<CoreErrorResponseType>>;

fn explain_exchange(error: ExchangeError) -> Refusal {
    let text = match error {
        RequestTokenError::ServerResponse(answer) => {
            let code = answer.error().to_string();
            let hint = match &*code {
                "invalid_client" => ": check client_id and client_secret",
                "invalid_grant" => {
                    ": the code was used before, is too old, or was made for another redirect URI"
                }
                _ => "",
            };
            format!(
                "the provider refused to exchange the code: {}{hint}",
                printable(&code)
            )
        }
        RequestTokenError::Request(error) => {
            format!("the provider's token endpoint does not answer: {error}")
        }
        RequestTokenError::Parse(error, body) => {
            return explain_unreadable(&error.path().to_string(), &body);
        }
        RequestTokenError::Other(_) => {
            "the answer of the provider's token endpoint is empty or no JSON".to_owned()
        }
    };
    Refusal::new(Check::Code, text)
}

/// Why an answer of the token endpoint cannot be read. The library's own words may hold what a token
/// holds.
fn explain_unreadable(path: &str, body: &[u8]) -> Refusal {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(token) = answer["id_token"].as_str() else {
        let missing = ["access_token", "token_type"]
            .into_iter()
            .find(|name| !answer[name].is_string());
        let text = match missing {
            Some(name) if answer.is_object() => {
                format!("the answer of the provider's token endpoint has no text as {name}")
            }
            _ => format!(
                "the answer of the provider's token endpoint cannot be read at {:?}",
                printable(path)
            ),
        };
        return Refusal::new(Check::Code, text);
    };
    let text = match verify::missing_claim(token) {
        Some(name) => format!("the ID token lacks the claim {name}"),
        None => "the ID token cannot be read: it is no signed JWT, or one of its claims is of a type that it may not have".to_owned(),
    };
    Refusal::new(Check::IdToken, text)
}

fn explain_userinfo(error: UserInfoError<OutgoingError>) -> Refusal {
    let text = match error {
        UserInfoError::ClaimsVerification(_) => {
            "the userinfo is about another person than the ID token, or its signature does not verify".to_owned()
        }
        UserInfoError::Request(error) => format!("the provider's userinfo endpoint does not answer: {error}"),
        UserInfoError::Response(status, ..) => format!("the provider's userinfo endpoint answers with status {}", status.as_u16()),
        UserInfoError::Parse(error) => {
            format!("the userinfo cannot be read at {:?}", printable(&error.path().to_string()))
        }
        _ => "the userinfo cannot be read".to_owned(),
    };
    Refusal::new(Check::Userinfo, text)
}

/// What a provider wrote, safe to show to an administrator: short, without control characters.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
