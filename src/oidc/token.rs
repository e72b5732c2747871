//! The token endpoint: codes are exchanged there (OpenID Connect Core, section 3.1.3; RFC 6749, sections 2.3.1,
//! 5.1 and 5.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::{Serializer, byte_serialize};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::{LoginSecrets, Metadata, Registration, printable};
use crate::domain::sign_in::{Check, Refusal};
use crate::outgoing::Outgoing;

/// How a client proves at the token endpoint who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// `client_secret_basic`: the secret in a header.
    Header,
    /// `client_secret_post`: the secret in the form.
    Form,
}

impl Authentication {
    /// What a provider takes. One that does not say takes the secret in the header (OpenID Connect Discovery,
    /// section 3).
    pub fn of(metadata: &Metadata) -> Self {
        let takes_header = metadata
            .client_authentication
            .as_ref()
            .is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
        if takes_header {
            Self::Header
        } else {
            Self::Form
        }
    }
}

/// Why there are no tokens.
#[derive(Debug)]
pub enum NoTokens {
    /// The provider's error code.
    Refused(String),
    /// It does not answer.
    Unanswered(String),
    /// It answers something else.
    Unreadable(String),
}

impl From<NoTokens> for Refusal {
    fn from(reason: NoTokens) -> Self {
        let text = match reason {
            NoTokens::Refused(code) => {
                let hint = match &*code {
                    "invalid_client" | "unauthorized_client" => {
                        ": check client_id and client_secret"
                    }
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
            NoTokens::Unanswered(text) => {
                format!("the provider's token endpoint does not answer: {text}")
            }
            NoTokens::Unreadable(text) => {
                format!("the answer of the provider's token endpoint {text}")
            }
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

/// Exchanges a code.
///
/// # Errors
///
/// Why that was not possible.
pub async fn exchange(
    registration: &Registration<'_>,
    metadata: &Metadata,
    outgoing: &Outgoing,
    code: &str,
    secrets: &LoginSecrets,
) -> Result<Tokens, NoTokens> {
    let request = request(registration, metadata, code, secrets)?;
    let answer = outgoing
        .send(request)
        .await
        .map_err(|e| NoTokens::Unanswered(e.to_string()))?;
    let object = serde_json::from_slice::<Map<String, Value>>(answer.body()).ok();
    let error = object.as_ref().and_then(|o| o.get("error")?.as_str());
    match (answer.status(), error) {
        (StatusCode::OK, None) => object
            .map(Tokens)
            .ok_or_else(|| NoTokens::Unreadable("is empty or no JSON object".to_owned())),
        // Some say with 200 what is an error.
        (_, Some(code)) => Err(NoTokens::Refused(code.to_owned())),
        (status, None) => Err(NoTokens::Unreadable(format!(
            "has status {} and no error code",
            status.as_u16()
        ))),
    }
}

fn request(
    registration: &Registration<'_>,
    metadata: &Metadata,
    code: &str,
    secrets: &LoginSecrets,
) -> Result<Request<Vec<u8>>, NoTokens> {
    let client_id = &*registration.configuration.client_id;
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", &registration.redirect_uri())
        .append_pair("code_verifier", &secrets.verifier);
    let mut request = Request::post(metadata.token_endpoint.as_str())
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let secret = registration.client_secret.as_ref();
    let secret = secret.map(ExposeSecret::expose_secret);
    match (Authentication::of(metadata), secret) {
        (Authentication::Header, Some(secret)) => {
            let part = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let credentials = STANDARD.encode([part(client_id), part(secret)].join(":"));
            request = request.header(AUTHORIZATION, format!("Basic {credentials}"));
        }
        (Authentication::Form, Some(secret)) => {
            form.append_pair("client_id", client_id)
                .append_pair("client_secret", secret);
        }
        (_, None) => {
            form.append_pair("client_id", client_id);
        }
    }
    request
        .body(form.finish().into_bytes())
        .map_err(|e| NoTokens::Unanswered(format!("it cannot be asked: {e}")))
}
