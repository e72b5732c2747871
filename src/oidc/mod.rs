//! The client's side of OpenID Connect: providers, and the code flow with PKCE (OpenID Connect Core
//! 1.0, RFC 7636, RFC 9207). Nothing here knows a member or a session.

pub mod check;
mod client_key;
pub mod jose;
mod metadata;
mod provider;
mod rules;
mod token;

use futures_util::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::timeout;
use url::Url;

pub use self::client_key::ClientKey;
use self::metadata::Metadata;
use self::provider::took_too_long;
pub use self::provider::{ClientKeys, Provider, Providers};
use self::rules::{Expected, UserinfoAnswer};
use self::token::{Exchange, Tokens};
use crate::domain::sign_in::{Check, Refusal};
use crate::domain::sso::SsoConfiguration;
use crate::error::Error;
use crate::outgoing::Outgoing;

/// Where the public keys of a configuration are, below the public URL, before its organization's identifier and
/// its own.
pub const CLIENT_KEYS_PATH: &str = "/auth/oidc/keys";

/// Where providers send people back to, below the public URL.
pub const CALLBACK_PATH: &str = "/auth/oidc/callback";

/// The claims of a person.
pub type Claims = Map<String, Value>;

/// The claim of Entra ID that says that the owner of the domain of the claim `email` was verified.
pub const DOMAIN_OWNER_VERIFIED: &str = "xms_edov";

/// The claims that speak of the claim `email` beside them.
const ADDRESS_PROOFS: [&str; 2] = ["email_verified", DOMAIN_OWNER_VERIFIED];

/// The secrets that prove at the end of a login that this browser began it. They are kept sealed in its cookie.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoginSecrets {
    /// In the ID token (OpenID Connect Core, section 3.1.2.1).
    pub nonce: String,
    /// Of the code's exchange (RFC 7636, section 4.1).
    pub verifier: String,
}

/// Where the key of a registration comes from, when it is needed.
pub type ClientKeySource<'a> =
    dyn Fn() -> BoxFuture<'a, Result<ClientKey, Error>> + Send + Sync + 'a;

/// A registration of this server at a provider.
pub struct Registration<'a> {
    /// The configuration.
    pub configuration: &'a SsoConfiguration,
    /// Its client secret; for a URL alone, none is needed.
    pub client_secret: Option<SecretString>,
    /// Finds or makes the key that it signs with at a provider that does not take the secret.
    pub client_key: Option<&'a ClientKeySource<'a>>,
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

    /// Where the provider can read the public key of a client that signs.
    pub fn jwks_uri(&self) -> String {
        let (organization, id) = (self.configuration.organization_id, self.configuration.id);
        format!("{}{CLIENT_KEYS_PATH}/{organization}/{id}", self.public_url)
    }

    /// The URL where the person signs in. `demands` are further parameters.
    pub fn authorization_url(
        &self,
        provider: &Provider,
        state: &str,
        secrets: &LoginSecrets,
        login_hint: Option<&str>,
        demands: &[(&'static str, String)],
    ) -> String {
        let metadata = &provider.metadata;
        rules::authorization_url(self, metadata, state, secrets, login_hint, demands).into()
    }

    /// Exchanges a code for tokens, verifies the ID token, and fills in from the userinfo what
    /// `is_missing` asks for: as fast as a person waits for it.
    ///
    /// # Errors
    ///
    /// Which check failed and why.
    pub async fn claims(
        &self,
        providers: &Providers,
        outgoing: &Outgoing,
        code: &str,
        secrets: &LoginSecrets,
        is_missing: impl Fn(&Claims) -> bool,
    ) -> Result<Claims, Refusal> {
        let claims = self.ask_for_claims(providers, outgoing, code, secrets, is_missing);
        timeout(outgoing.patience(), claims)
            .await
            .unwrap_or_else(|_| Err(took_too_long(outgoing)))
    }

    async fn ask_for_claims(
        &self,
        providers: &Providers,
        outgoing: &Outgoing,
        code: &str,
        secrets: &LoginSecrets,
        is_missing: impl Fn(&Claims) -> bool,
    ) -> Result<Claims, Refusal> {
        let issuer = &self.configuration.issuer_url;
        let mut provider = providers.get(outgoing, issuer).await?;
        let exchange = Exchange {
            registration: self,
            metadata: &provider.metadata,
            code,
            secrets,
        };
        let tokens = exchange.run(providers, outgoing).await?;
        let id_token = tokens.id_token()?;

        let expected = Expected {
            issuer,
            client_id: &self.configuration.client_id,
            nonce: &secrets.nonce,
            access_token: tokens.access_token(),
            now: providers.now(),
        };
        let mut verified = rules::id_token(id_token, &provider.keys, &expected);
        while verified
            .as_ref()
            .is_err_and(|failure| failure.may_be_a_new_key)
            && let Some(fresh) = providers
                .with_fresh_keys(outgoing, issuer, &provider)
                .await?
        {
            provider = fresh;
            verified = rules::id_token(id_token, &provider.keys, &expected);
        }
        let refuse = |failure: rules::Failure| {
            let hint = match failure.may_be_a_new_key {
                true => {
                    "; the keys were read again within the last minute: if the provider has changed them since, try again in a minute"
                }
                false => "",
            };
            let text = format!("the ID token {}{hint}", failure.reason);
            Refusal::new(Check::IdToken, text)
        };
        let mut claims = verified.map_err(refuse)?;
        if let Some(endpoint) = &provider.metadata.userinfo_endpoint
            && is_missing(&claims)
        {
            let more = userinfo(outgoing, endpoint, &tokens, &provider, &expected, &claims).await?;
            fill_in(&mut claims, more);
        }
        Ok(claims)
    }
}

/// Asks for the userinfo (OpenID Connect Core, section 5.3), with the keys that verified the ID token: it may be
/// signed, too.
async fn userinfo(
    outgoing: &Outgoing,
    endpoint: &str,
    tokens: &Tokens,
    provider: &Provider,
    expected: &Expected<'_>,
    about: &Claims,
) -> Result<Claims, Refusal> {
    let refuse = |text: String| Refusal::new(Check::Userinfo, text);
    let url = Url::parse(endpoint)
        .map_err(|e| e.to_string())
        .and_then(|url| {
            outgoing
                .check(&url)
                .map(|()| url)
                .map_err(|e| e.to_string())
        });
    let url = url.map_err(|reason| {
        refuse(format!(
            "an endpoint of the provider cannot be used (userinfo_endpoint): {}",
            printable(&reason)
        ))
    })?;
    let request = Request::get(url.as_str())
        .header(AUTHORIZATION, tokens.bearer()?)
        .header(ACCEPT, "application/json, application/jwt")
        .body(vec![])
        .map_err(|_| refuse("the userinfo endpoint cannot be asked".to_owned()))?;
    let answer = outgoing.send(request).await.map_err(|e| {
        refuse(format!(
            "the provider's userinfo endpoint does not answer: {e}"
        ))
    })?;
    if answer.status() != StatusCode::OK {
        let status = answer.status().as_u16();
        return Err(refuse(format!(
            "the provider's userinfo endpoint answers with status {status}"
        )));
    }
    let kind = answer.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let text = std::str::from_utf8(answer.body())
        .unwrap_or_default()
        .trim();
    let is_signed =
        kind.to_ascii_lowercase().starts_with("application/jwt") || text.starts_with("eyJ");
    let form = match is_signed {
        true => UserinfoAnswer::Signed(text),
        false => UserinfoAnswer::Plain(answer.body()),
    };
    rules::userinfo(form, &provider.keys, expected, about)
        .map_err(|reason| refuse(format!("the userinfo {reason}")))
}

/// Adds the claims of the userinfo to those of the ID token. If both have a claim, the ID token's wins, because it is signed.
/// A proof of an address (`email_verified`, `xms_edov`) counts only for the address in the same answer. If the addresses
/// differ, the userinfo's proofs are left out.
fn fill_in(claims: &mut Claims, mut userinfo: Claims) {
    let address = |claims: &Claims| {
        claims
            .get("email")
            .filter(|email| !email.is_null())
            .cloned()
    };
    match (address(claims), address(&userinfo)) {
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
        let claim = claims.entry(name).or_insert(Value::Null);
        if claim.is_null() {
            *claim = value;
        }
    }
}

/// What a provider wrote, safe to show to an administrator: short, without control characters.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
