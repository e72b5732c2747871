//! The rules of signing in with OpenID Connect, in the order in which a login meets them. Each names its
//! section. What no rule names is not looked at.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::jose::{Jws, KeySet, Unverified};
use super::{Claims, LoginSecrets, Metadata, Registration, printable};
use crate::domain::sign_in::{Check, Refusal};

/// How far a provider's clock may be off.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// How old a token may be that was asked for just now.
const MAX_AGE: TimeDelta = TimeDelta::minutes(15);

/// The request that a person is sent to the provider with: OpenID Connect Core, section 3.1.2.1, and RFC 7636,
/// section 4.3. What the endpoint's own query has stays (RFC 6749, section 3.1).
pub fn authorization_url(
    registration: &Registration<'_>,
    metadata: &Metadata,
    state: &str,
    secrets: &LoginSecrets,
    login_hint: Option<&str>,
    demands: &[(&'static str, String)],
) -> Url {
    let mut url = metadata.authorization_endpoint.clone();
    let scopes: Vec<&str> = registration.scopes().collect();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&secrets.verifier));
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &registration.configuration.client_id)
        .append_pair("redirect_uri", &registration.redirect_uri())
        .append_pair("scope", &scopes.join(" "))
        .append_pair("state", state)
        .append_pair("nonce", &secrets.nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .extend_pairs(login_hint.map(|hint| ("login_hint", hint)))
        .extend_pairs(demands);
    url
}

/// Makes sure that an answer is this provider's, as far as it names itself: RFC 9207, section 2.4.
///
/// # Errors
///
/// Another name, or none where one must be.
pub fn answer_issuer(metadata: &Metadata, named: Option<&str>) -> Result<(), Refusal> {
    let ours = &metadata.issuer;
    let text = match named {
        Some(named) if named == ours => return Ok(()),
        None if !metadata.names_itself => return Ok(()),
        Some(named) => format!(
            "the answer comes from the provider {:?}, not from {ours:?}",
            printable(named)
        ),
        None => format!(
            "the answer does not name its provider, though {ours:?} says that its answers do"
        ),
    };
    Err(Refusal::new(Check::Issuer, text))
}

/// Why an ID token is refused.
#[derive(Debug)]
pub struct Failure {
    /// In words for administrators.
    pub reason: String,
    /// Whether the token may be signed with a key that was published since the keys were read.
    pub may_be_a_new_key: bool,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self {
            reason,
            may_be_a_new_key: false,
        }
    }
}

impl From<Unverified> for Failure {
    fn from(unverified: Unverified) -> Self {
        Self {
            reason: unverified.explain().to_owned(),
            may_be_a_new_key: unverified.may_be_a_new_key(),
        }
    }
}

/// What an ID token is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// This client at the provider.
    pub client_id: &'a str,
    /// Of the login.
    pub nonce: &'a str,
    /// The access token that came with the ID token.
    pub access_token: Option<&'a str>,
    /// The present moment.
    pub now: DateTime<Utc>,
}

/// Verifies an ID token: OpenID Connect Core, section 3.1.3.7. The numbers are those of its list.
///
/// # Errors
///
/// The first rule that it breaks, in words that follow "the ID token".
pub fn id_token(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Claims, Failure> {
    let jws = Jws::read(token)?;
    // 6 to 8: the signature, before anything that it covers.
    keys.verify(&jws)?;
    let claims = &jws.claims;
    issuer(claims, expected.issuer)?;
    subject(claims)?;
    audience(claims, expected.client_id)?;
    times(claims, expected.now)?;
    // 11.
    if claims.get("nonce").and_then(Value::as_str) != Some(expected.nonce) {
        return Err("belongs to another login (nonce)".to_owned().into());
    }
    access_token_hash(&jws, expected.access_token)?;
    Ok(jws.claims)
}

fn lacks(name: &str) -> String {
    format!("lacks the claim {name}")
}

fn is_odd(name: &str, kind: &str) -> String {
    format!("has something else than {kind} as {name}")
}

/// A claim that is there: null is as good as none.
fn given<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).filter(|value| !value.is_null())
}

fn required<'a>(claims: &'a Claims, name: &str) -> Result<&'a Value, String> {
    given(claims, name).ok_or_else(|| lacks(name))
}

/// 2: the issuer is exactly the provider.
fn issuer(claims: &Claims, ours: &str) -> Result<(), String> {
    match required(claims, "iss")?.as_str() {
        None => Err(is_odd("iss", "a text")),
        Some(named) if named == ours => Ok(()),
        Some(_) => Err("was made by another provider (iss)".to_owned()),
    }
}

/// Section 2: whom the token is about.
fn subject(claims: &Claims) -> Result<&str, String> {
    match required(claims, "sub")?.as_str() {
        None => Err(is_odd("sub", "a text")),
        Some("") => Err("is about nobody: sub is empty".to_owned()),
        Some(subject) => Ok(subject),
    }
}

/// 3 to 5: the token was made for this client. For others as well it may be, if it was issued to this one
/// (azp).
fn audience(claims: &Claims, client_id: &str) -> Result<(), String> {
    let others = other_audiences(claims, client_id)?;
    match given(claims, "azp") {
        Some(Value::String(party)) if party == client_id => Ok(()),
        Some(Value::String(party)) if !party.is_empty() => Err(format!(
            "was made for the client {:?} (azp): check client_id",
            printable(party)
        )),
        Some(Value::String(_)) | None if !others => Ok(()),
        Some(Value::String(_)) | None => Err(
            "was made for several clients (aud) and does not say that this one asked for it (azp): have the provider send azp, or this client as the only audience"
                .to_owned(),
        ),
        Some(_) => Err(is_odd("azp", "a text")),
    }
}

/// Whether what was made for this client was made for others as well.
fn other_audiences(claims: &Claims, client_id: &str) -> Result<bool, String> {
    let audiences = match required(claims, "aud")? {
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        one => vec![one.as_str()],
    };
    if !audiences.contains(&Some(client_id)) {
        return Err("was made for another client (aud): check client_id".to_owned());
    }
    Ok(audiences
        .iter()
        .any(|audience| *audience != Some(client_id)))
}

/// 9 and 10, and RFC 7519, section 4.1.5: the token is of now. A number may have a fraction.
fn times(claims: &Claims, now: DateTime<Utc>) -> Result<(), String> {
    let number = |name: &str, value: &Value| value.as_f64().ok_or_else(|| is_odd(name, "a number"));
    let at = |time: DateTime<Utc>| time.timestamp() as f64;
    const CLOCKS: &str = "compare the clocks of both servers";
    if number("exp", required(claims, "exp")?)? <= at(now - SKEW) {
        return Err(format!("has expired (exp): {CLOCKS}"));
    }
    let issued = number("iat", required(claims, "iat")?)?;
    if issued > at(now + SKEW) {
        return Err(format!("was issued in the future (iat): {CLOCKS}"));
    }
    if issued < at(now - MAX_AGE) {
        return Err("was issued long ago (iat), though it was asked for just now".to_owned());
    }
    let begins = given(claims, "nbf").map(Value::as_f64);
    if begins.is_some_and(|begins| begins.is_none_or(|begins| begins > at(now + SKEW))) {
        return Err(format!("is not valid yet (nbf): {CLOCKS}"));
    }
    Ok(())
}

/// Section 3.1.3.8: the access token is the one that the ID token was made with.
fn access_token_hash(jws: &Jws<'_>, access_token: Option<&str>) -> Result<(), String> {
    let (Some(hash), Some(access_token)) = (given(&jws.claims, "at_hash"), access_token) else {
        return Ok(());
    };
    let hash = hash.as_str().ok_or_else(|| is_odd("at_hash", "a text"))?;
    if hash.trim_end_matches('=') == jws.alg.half_hash(access_token) {
        return Ok(());
    }
    Err("was made with another access token than the one that came with it (at_hash)".to_owned())
}

/// Verifies a userinfo answer: OpenID Connect Core, sections 5.3.2 and 5.3.4. A signed one names who made it and
/// for whom.
///
/// # Errors
///
/// What is wrong, in words that follow "the userinfo".
pub fn userinfo(
    answer: UserinfoAnswer<'_>,
    keys: &KeySet,
    expected: &Expected<'_>,
    about: &Claims,
) -> Result<Claims, String> {
    let claims = match answer {
        UserinfoAnswer::Plain(json) => {
            serde_json::from_slice::<Claims>(json).map_err(|_| "is no JSON object".to_owned())?
        }
        UserinfoAnswer::Signed(token) => {
            let jws = Jws::read(token)?;
            keys.verify(&jws)
                .map_err(|unverified| unverified.explain().to_owned())?;
            issuer(&jws.claims, expected.issuer)?;
            other_audiences(&jws.claims, expected.client_id)?;
            jws.claims
        }
    };
    if subject(&claims)? != subject(about)? {
        return Err("is about another person than the ID token (sub)".to_owned());
    }
    Ok(claims)
}

/// The forms of a userinfo answer.
#[derive(Clone, Copy, Debug)]
pub enum UserinfoAnswer<'a> {
    /// JSON.
    Plain(&'a [u8]),
    /// A signed JWT.
    Signed(&'a str),
}
