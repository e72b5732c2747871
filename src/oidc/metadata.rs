//! The metadata that a provider publishes (OpenID Connect Discovery, section 3): only the fields that a login uses.

use serde_json::{Map, Value};
use url::Url;

/// A provider's metadata. What it may leave out, it may also give as null, as an empty text, or as something
/// that is not of the type that it has.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// What it calls itself.
    pub issuer: String,
    /// Where people sign in.
    pub authorization_endpoint: Url,
    /// Where codes are exchanged.
    pub token_endpoint: Url,
    /// Where its keys are.
    pub jwks_uri: Url,
    /// Where the rest of the claims are.
    pub userinfo_endpoint: Option<String>,
    /// Whether it names itself in its answers (RFC 9207, section 3).
    pub names_itself: bool,
    /// How clients prove at the token endpoint who they are.
    pub client_authentication: Option<Vec<String>>,
    /// The algorithms that clients may sign with there.
    pub client_signing: Option<Vec<String>>,
    /// The algorithms of ID tokens.
    pub id_token_signing: Option<Vec<String>>,
    /// What may be asked for at the authorization endpoint.
    pub response_types: Option<Vec<String>>,
    /// The methods of PKCE (RFC 8414, section 2).
    pub code_challenge_methods: Option<Vec<String>>,
    /// The scopes that it lists.
    pub scopes: Option<Vec<String>>,
    /// What it can be told to ask the person (Initiating User Registration via OpenID Connect 1.0).
    pub prompts: Option<Vec<String>>,
}

impl Metadata {
    /// Reads metadata.
    ///
    /// # Errors
    ///
    /// What is missing or of no use, in words that follow "the provider's metadata".
    pub fn read(json: &[u8]) -> Result<Self, String> {
        let document: Map<String, Value> =
            serde_json::from_slice(json).map_err(|_| "are no JSON object".to_owned())?;
        Ok(Self {
            issuer: required(&document, "issuer")?.to_owned(),
            authorization_endpoint: endpoint(&document, "authorization_endpoint")?,
            token_endpoint: endpoint(&document, "token_endpoint")?,
            jwks_uri: endpoint(&document, "jwks_uri")?,
            userinfo_endpoint: text(&document, "userinfo_endpoint").map(str::to_owned),
            names_itself: is_yes(&document, "authorization_response_iss_parameter_supported"),
            client_authentication: list(&document, "token_endpoint_auth_methods_supported"),
            client_signing: list(
                &document,
                "token_endpoint_auth_signing_alg_values_supported",
            ),
            id_token_signing: list(&document, "id_token_signing_alg_values_supported"),
            response_types: list(&document, "response_types_supported"),
            code_challenge_methods: list(&document, "code_challenge_methods_supported"),
            scopes: list(&document, "scopes_supported"),
            prompts: list(&document, "prompt_values_supported"),
        })
    }
}

fn text<'a>(document: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = document.get(name)?.as_str()?;
    (!text.trim().is_empty()).then_some(text)
}

fn required<'a>(document: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    text(document, name).ok_or_else(|| match document.get(name) {
        None | Some(Value::Null | Value::String(_)) => format!("lack {name}"),
        Some(_) => format!("have something else than a text as {name}"),
    })
}

fn endpoint(document: &Map<String, Value>, name: &str) -> Result<Url, String> {
    let text = required(document, name)?;
    Url::parse(text).map_err(|e| format!("have no URL as {name}: {e}"))
}

/// The texts of a list; none where there is no list, or an empty one.
fn list(document: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let items = document.get(name)?.as_array()?;
    let texts: Vec<String> = items
        .iter()
        .filter_map(|item| Some(item.as_str()?.to_owned()))
        .collect();
    (!texts.is_empty()).then_some(texts)
}

fn is_yes(document: &Map<String, Value>, name: &str) -> bool {
    match document.get(name) {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}
