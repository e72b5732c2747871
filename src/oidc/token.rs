//! The token endpoint: codes are exchanged there (OpenID Connect Core, section 3.1.3; RFC 6749, sections 2.3.1,
//! 5.1 and 5.2).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::{Serializer, byte_serialize};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{LoginSecrets, Metadata, Providers, Registration, printable};
use crate::domain::sign_in::{Check, Refusal};
use crate::error::Chain;
use crate::outgoing::Outgoing;

/// RFC 7523, section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client proves at the token endpoint who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// `client_secret_basic`: the secret in a header.
    Header,
    /// `client_secret_post`: the secret in the form.
    Form,
    /// `private_key_jwt`: something signed (section 9).
    Signature,
}

impl Authentication {
    /// The ways to authenticate at a provider, in the order in which they are tried. A provider that lists no method should
    /// take the secret in the header (OpenID Connect Discovery, section 3). A provider that lists other methods than
    /// these is asked with the secret in the form.
    pub fn ways(metadata: &Metadata) -> Vec<Self> {
        let Some(methods) = &metadata.client_authentication else {
            return vec![Self::Header, Self::Form];
        };
        let ways = [
            ("client_secret_basic", Self::Header),
            ("client_secret_post", Self::Form),
            ("private_key_jwt", Self::Signature),
        ];
        let listed = ways
            .iter()
            .filter(|(name, _)| methods.iter().any(|one| one == name));
        let listed: Vec<Self> = listed.map(|(_, way)| *way).collect();
        match listed.is_empty() {
            true => vec![Self::Form],
            false => listed,
        }
    }
}

/// Why there are no tokens.
#[derive(Debug)]
pub enum NoTokens {
    /// The provider's error code, and what it says of it (RFC 6749, section 5.2).
    Refused(String, Option<String>),
    /// It does not answer.
    Unanswered(String),
    /// It answers something else.
    Unreadable(String),
    /// Nothing can be signed that it would take; what, and why.
    NoProof(String),
}

impl NoTokens {
    /// Whether the provider does not know the client by what it was shown (RFC 6749, section 5.2; Keycloak says
    /// `unauthorized_client`), or was shown nothing: another way may do.
    fn is_of_client(&self) -> bool {
        match self {
            Self::Refused(code, _) => matches!(&**code, "invalid_client" | "unauthorized_client"),
            Self::NoProof(_) => true,
            Self::Unanswered(_) | Self::Unreadable(_) => false,
        }
    }
}

impl From<NoTokens> for Refusal {
    fn from(reason: NoTokens) -> Self {
        let text = match reason {
            NoTokens::Refused(code, description) => {
                let hint = match &*code {
                    "invalid_client" | "unauthorized_client" => {
                        ": check client_id and client_secret, and how the provider has this client authenticate"
                    }
                    "invalid_grant" => {
                        ": the code was used before, is too old, or was made for another redirect URI"
                    }
                    _ => "",
                };
                let description = description.map(|text| format!(" ({})", printable(&text)));
                format!(
                    "the provider refused to exchange the code: {}{}{hint}",
                    printable(&code),
                    description.unwrap_or_default()
                )
            }
            NoTokens::Unanswered(text) => {
                format!("the provider's token endpoint does not answer: {text}")
            }
            NoTokens::Unreadable(text) => {
                format!("the answer of the provider's token endpoint {text}")
            }
            NoTokens::NoProof(text) => format!("the provider {text}"),
        };
        Self::new(Check::Code, text)
    }
}

/// What a code was exchanged for. Only what is used is read, and only when it is.
pub struct Tokens(Map<String, Value>);

impl Tokens {
    /// The ID token.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn id_token(&self) -> Result<&str, Refusal> {
        match self.0.get("id_token") {
            Some(Value::String(token)) if !token.is_empty() => Ok(token),
            None | Some(Value::Null | Value::String(_)) => Err(Refusal::new(
                Check::IdToken,
                "the provider sent no ID token: it must support OpenID Connect, not OAuth 2.0 alone",
            )),
            Some(_) => Err(NoTokens::Unreadable(not_text("id_token")).into()),
        }
    }

    /// The access token, if there is one.
    pub fn access_token(&self) -> Option<&str> {
        self.0.get("access_token")?.as_str()
    }

    /// The access token as the value of a header (RFC 6750, section 2.1).
    ///
    /// # Errors
    ///
    /// There is none that can be used like this.
    pub fn bearer(&self) -> Result<String, Refusal> {
        let refuse = |text: String| Refusal::new(Check::Userinfo, text);
        let token = self
            .access_token()
            .filter(|token| !token.is_empty())
            .ok_or_else(|| {
                let text = not_text("access_token");
                refuse(format!("the userinfo cannot be asked for: the answer of the provider's token endpoint {text}"))
            })?;
        let is_bearer = match self.0.get("token_type") {
            None | Some(Value::Null) => true,
            Some(kind) => kind
                .as_str()
                .is_some_and(|kind| kind.is_empty() || kind.eq_ignore_ascii_case("bearer")),
        };
        if !is_bearer {
            return Err(refuse(
                "the userinfo cannot be asked for: the provider's access token is of another token_type than Bearer".to_owned(),
            ));
        }
        let value = format!("Bearer {token}");
        if http::HeaderValue::from_str(&value).is_err() {
            return Err(refuse(
                "the provider's access token holds characters that no HTTP header may have"
                    .to_owned(),
            ));
        }
        Ok(value)
    }
}

fn not_text(name: &str) -> String {
    format!("has no text as {name}")
}

/// A code to be exchanged.
pub struct Exchange<'a, 'r> {
    /// By whom.
    pub registration: &'a Registration<'r>,
    /// Where.
    pub metadata: &'a Metadata,
    /// The code.
    pub code: &'a str,
    /// Of its login.
    pub secrets: &'a LoginSecrets,
}

impl Exchange<'_, '_> {
    /// Exchanges the code. A provider's metadata have every way in which clients may prove who they are; which of
    /// them this client is registered for, only a refusal tells. The way that worked is remembered.
    ///
    /// # Errors
    ///
    /// Why that was not possible.
    pub async fn run(
        &self,
        providers: &Providers,
        outgoing: &Outgoing,
    ) -> Result<Tokens, NoTokens> {
        let client = self.registration.configuration.registration_digest();
        let mut ways = Authentication::ways(self.metadata);
        if let Some(known) = providers.way_of(&client) {
            // The others stay: what works may change at the provider.
            ways.sort_by_key(|way| *way != known);
        }
        let mut refused = None;
        for way in ways {
            match self.ask(way, providers, outgoing).await {
                Err(reason) if reason.is_of_client() => {
                    refused.get_or_insert(reason);
                }
                answer => {
                    let knows_client = matches!(answer, Ok(_) | Err(NoTokens::Refused(..)));
                    if refused.is_some() && knows_client {
                        providers.note_way(client, way);
                    }
                    return answer;
                }
            }
        }
        Err(refused.unwrap_or_else(|| NoTokens::Unanswered("it was not asked".to_owned())))
    }

    async fn ask(
        &self,
        way: Authentication,
        providers: &Providers,
        outgoing: &Outgoing,
    ) -> Result<Tokens, NoTokens> {
        let assertion = match way {
            Authentication::Signature => Some(self.assertion(providers).await?),
            Authentication::Header | Authentication::Form => None,
        };
        let request = self.request(way, assertion.as_deref())?;
        let answer = outgoing
            .send(request)
            .await
            .map_err(|e| NoTokens::Unanswered(e.to_string()))?;
        let object = serde_json::from_slice::<Map<String, Value>>(answer.body()).ok();
        let text = |name: &str| object.as_ref()?.get(name)?.as_str();
        match (answer.status(), text("error")) {
            // Some say with 200 what is an error.
            (_, Some(code)) => {
                let description = text("error_description").filter(|text| !self.is_told_by(text));
                Err(NoTokens::Refused(
                    code.to_owned(),
                    description.map(str::to_owned),
                ))
            }
            (StatusCode::OK, None) => object
                .map(Tokens)
                .ok_or_else(|| NoTokens::Unreadable("is empty or no JSON object".to_owned())),
            (status, None) => Err(NoTokens::Unreadable(format!(
                "has status {} and no error code",
                status.as_u16()
            ))),
        }
    }

    /// Whether a text repeats what nobody but the two servers may know.
    fn is_told_by(&self, text: &str) -> bool {
        let secret = self.registration.client_secret.as_ref();
        let secret = secret.map_or("", ExposeSecret::expose_secret);
        let secrets = [
            self.code,
            &self.secrets.verifier,
            &self.secrets.nonce,
            secret,
        ];
        secrets
            .iter()
            .any(|secret| !secret.is_empty() && text.contains(*secret))
    }

    fn request(
        &self,
        way: Authentication,
        assertion: Option<&str>,
    ) -> Result<Request<Vec<u8>>, NoTokens> {
        let registration = self.registration;
        let client_id = &*registration.configuration.client_id;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", self.code)
            .append_pair("redirect_uri", &registration.redirect_uri())
            .append_pair("code_verifier", &self.secrets.verifier);
        let mut request = Request::post(self.metadata.token_endpoint.as_str())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let secret = registration.client_secret.as_ref();
        let secret = secret.map_or("", ExposeSecret::expose_secret);
        match way {
            Authentication::Header => {
                let part = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let credentials = STANDARD.encode([part(client_id), part(secret)].join(":"));
                request = request.header(AUTHORIZATION, format!("Basic {credentials}"));
            }
            Authentication::Form => {
                form.append_pair("client_id", client_id)
                    .append_pair("client_secret", secret);
            }
            Authentication::Signature => {
                form.append_pair("client_id", client_id)
                    .append_pair("client_assertion_type", ASSERTION_TYPE)
                    .append_pair("client_assertion", assertion.unwrap_or_default());
            }
        }
        request
            .body(form.finish().into_bytes())
            .map_err(|e| NoTokens::Unanswered(format!("it cannot be asked: {e}")))
    }

    async fn assertion(&self, providers: &Providers) -> Result<String, NoTokens> {
        let unfit = |reason: &str| NoTokens::NoProof(reason.to_owned());
        let no_key = || {
            unfit(
                "takes no secret, and the key that Rollcall signs with in its place cannot be used: the server's log says why",
            )
        };
        let find = self.registration.client_key.ok_or_else(no_key)?;
        let key = find().await.map_err(|error| {
            tracing::warn!(cause = %Chain(&error), "a client key cannot be used");
            no_key()
        })?;
        // A code is exchanged once, so this is another one each time.
        let id = Sha256::digest([self.code, &self.secrets.verifier].concat());
        let client_id = &self.registration.configuration.client_id;
        key.assertion(
            client_id,
            self.metadata,
            &URL_SAFE_NO_PAD.encode(id),
            providers.now(),
        )
        .map_err(|reason| unfit(&reason))
    }
}
