//! Verifies ID tokens (OpenID Connect Core, section 3.1.3.7).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::core::{CoreJwsSigningAlgorithm as Alg, CoreTokenResponse};
use openidconnect::{
    AccessTokenHash, ClaimsVerificationError, ClientId, IdTokenVerifier, Nonce,
    OAuth2TokenResponse, SignatureVerificationError, SubjectIdentifier, TokenResponse,
};
use serde_json::Value;

use super::{Claims, LoginSecrets, Provider, printable};
use crate::domain::sso::SsoConfiguration;

/// How far a provider's clock may be off.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// How old a token may be that was asked for just now.
const MAX_AGE: TimeDelta = TimeDelta::minutes(15);

/// The signatures that are accepted: made with a private key, so that nobody but the provider can
/// make them.
const ALGORITHMS: [Alg; 10] = [
    Alg::RsaSsaPkcs1V15Sha256,
    Alg::RsaSsaPkcs1V15Sha384,
    Alg::RsaSsaPkcs1V15Sha512,
    Alg::RsaSsaPssSha256,
    Alg::RsaSsaPssSha384,
    Alg::RsaSsaPssSha512,
    Alg::EcdsaP256Sha256,
    Alg::EcdsaP384Sha384,
    Alg::EcdsaP521Sha512,
    Alg::EdDsa,
];

/// Whether a signature of this kind is accepted.
pub fn is_accepted(alg: &Alg) -> bool {
    ALGORITHMS.contains(alg)
}

/// Why a token is refused.
#[derive(Debug)]
pub struct Failure(pub String, bool);

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into(), false)
    }

    /// Whether the token may be signed with a key that was published since the keys were read.
    pub const fn may_be_a_new_key(&self) -> bool {
        self.1
    }
}

/// Verifies the ID token of an answer, and tells whom it is about.
pub fn id_token(
    configuration: &SsoConfiguration,
    provider: &Provider,
    response: &CoreTokenResponse,
    secrets: &LoginSecrets,
    now: DateTime<Utc>,
) -> Result<SubjectIdentifier, Failure> {
    let token = response
        .id_token()
        .ok_or_else(|| Failure::new("there is no ID token"))?;
    let verifier = IdTokenVerifier::new_public_client(
        ClientId::new(configuration.client_id.clone()),
        provider.metadata.issuer().clone(),
        (*provider.keys).clone(),
    )
    .set_allowed_algs(ALGORITHMS)
    .set_time_fn(move || now - SKEW)
    .set_issue_time_verifier_fn(move |issued| check_issued(issued, now));
    let claims = token
        .claims(&verifier, &Nonce::new(secrets.nonce.clone()))
        .map_err(|e| explain(&e))?;

    if let Some(party) = claims.authorized_party()
        && party.as_str() != configuration.client_id
    {
        return Err(Failure::new(format!(
            "the ID token was made for the client {:?} (azp)",
            printable(party)
        )));
    }
    if claims.subject().as_str().is_empty() {
        return Err(Failure::new("the ID token is about nobody: sub is empty"));
    }
    check_not_before(&token.to_string(), now)?;
    if let Some(expected) = claims.access_token_hash() {
        let unusable = |_| Failure::new("the ID token's at_hash cannot be computed");
        let alg = token.signing_alg().map_err(unusable)?;
        let key = token.signing_key(&verifier).map_err(unusable)?;
        let actual = AccessTokenHash::from_token(response.access_token(), alg, key)
            .map_err(|_| Failure::new("the ID token's at_hash cannot be computed"))?;
        if actual != *expected {
            return Err(Failure::new(
                "the access token is not the one that the ID token was made with (at_hash)",
            ));
        }
    }
    Ok(claims.subject().clone())
}

fn check_issued(issued: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), String> {
    if issued > now + SKEW {
        return Err(
            "it was issued in the future (iat): compare the clocks of both servers".to_owned(),
        );
    }
    if issued < now - MAX_AGE {
        return Err("it was issued long ago (iat), though it was asked for just now".to_owned());
    }
    Ok(())
}

/// The claim nbf (RFC 7519, section 4.1.5), which the library does not look at. It may have a fraction.
fn check_not_before(token: &str, now: DateTime<Utc>) -> Result<(), Failure> {
    let claims = payload(token).unwrap_or_default();
    let Some(not_before) = claims.get("nbf").filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let latest = (now + SKEW).timestamp() as f64;
    if not_before.as_f64().is_some_and(|begin| begin <= latest) {
        return Ok(());
    }
    Err(Failure::new(
        "the ID token is not valid yet (nbf): compare the clocks of both servers",
    ))
}

fn explain(error: &ClaimsVerificationError) -> Failure {
    use ClaimsVerificationError as E;
    let text = match error {
        E::SignatureVerification(error) => return explain_signature(error),
        E::Expired(text) if text.starts_with("it was") => {
            format!("the ID token is refused: {text}")
        }
        E::Expired(_) => {
            "the ID token has expired (exp): compare the clocks of both servers".to_owned()
        }
        E::InvalidAudience(_) => {
            "the ID token was made for another client (aud): check client_id".to_owned()
        }
        E::InvalidIssuer(_) => "the ID token was made by another provider (iss)".to_owned(),
        E::InvalidNonce(_) => "the ID token belongs to another login (nonce)".to_owned(),
        E::InvalidSubject(_) => "the ID token is about nobody (sub)".to_owned(),
        E::Unsupported(text) => format!(
            "the ID token is of a form that is not supported: {}",
            printable(text)
        ),
        _ => "the ID token cannot be used".to_owned(),
    };
    Failure::new(text)
}

fn explain_signature(error: &SignatureVerificationError) -> Failure {
    use SignatureVerificationError as E;
    match error {
        E::NoMatchingKey => Failure(
            "the ID token is signed with a key that the provider does not publish".to_owned(),
            true,
        ),
        E::CryptoError(_) => Failure(
            "the signature of the ID token is not the provider's".to_owned(),
            true,
        ),
        E::AmbiguousKeyId(_) => Failure::new(
            "the provider publishes several keys and its ID token does not say which signed it (kid)",
        ),
        E::DisallowedAlg(_) | E::UnsupportedAlg(_) | E::NoSignature => Failure::new(
            "the ID token is not signed as it must be: have the provider sign with RS256 or another RS, PS, ES algorithm or EdDSA",
        ),
        E::InvalidKey(_) => Failure(
            "the provider's key does not fit the signature of its ID token".to_owned(),
            true,
        ),
        _ => Failure::new("the signature of the ID token cannot be verified"),
    }
}

/// What an ID token must have and has not (OpenID Connect Core, section 2), for one that cannot be
/// read.
pub fn missing_claim(token: &str) -> Option<&'static str> {
    let claims = payload(token)?;
    let required = ["iss", "sub", "aud", "exp", "iat"];
    required
        .into_iter()
        .find(|name| !claims.contains_key(*name))
}

/// The claims of a token, whether or not its signature was verified.
pub fn payload(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
    match serde_json::from_slice(&json).ok()? {
        Value::Object(claims) => Some(claims),
        _ => None,
    }
}
