//! The key pair with which a client proves who it is to a provider that takes no secret: `private_key_jwt` (OpenID
//! Connect Core, section 9; RFC 7523). Each configuration has its own, so that what it signs is of use nowhere
//! else.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Metadata;
use crate::error::Error;

/// How long a proof is good: as long as the clocks of both servers may differ, and the request may take.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// A key pair: RSA with 2048 bits, which signs with RS256 and PS256.
#[derive(Debug)]
pub struct ClientKey(RsaKeyPair);

impl ClientKey {
    /// Makes a new one, in the form that [`ClientKey::read`] takes. It takes some 100 ms.
    ///
    /// # Errors
    ///
    /// When there is no randomness.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(Error::internal)?;
        let der = key.as_der().map_err(Error::internal)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// Reads a key pair that [`Self::generate`] made (PKCS #8).
    pub fn read(key: &[u8]) -> Option<Self> {
        RsaKeyPair::from_pkcs8(key).ok().map(Self)
    }

    /// What it is known by (RFC 7638).
    fn id(&self) -> String {
        let [n, e] = self.numbers();
        // The members in this order and without blanks (section 3.2).
        let members = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        URL_SAFE_NO_PAD.encode(Sha256::digest(members))
    }

    fn numbers(&self) -> [String; 2] {
        let public = self.0.public_key();
        [public.modulus(), public.exponent()]
            .map(|number| URL_SAFE_NO_PAD.encode(number.big_endian_without_leading_zero()))
    }

    /// The public key, as a provider reads it (RFC 7517).
    pub fn public(&self) -> Value {
        let [n, e] = self.numbers();
        json!({ "kty": "RSA", "use": "sig", "kid": self.id(), "n": n, "e": e })
    }

    /// The proof that a client sends to a token endpoint. `id` must be another one each time.
    ///
    /// # Errors
    ///
    /// A provider that wants other signatures, in words that follow its name.
    pub(super) fn assertion(
        &self,
        client_id: &str,
        metadata: &Metadata,
        id: &str,
        now: DateTime<Utc>,
    ) -> Result<String, String> {
        let (alg, encoding) = algorithm(metadata)?;
        let header = json!({ "alg": alg, "typ": "JWT", "kid": self.id() });
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": metadata.token_endpoint.as_str(),
            "jti": id,
            "iat": now.timestamp(),
            "exp": (now + LIFETIME).timestamp(),
        });
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = message.join(".");
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(
                encoding,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .map_err(|_| "takes no secret, and signing in its place failed".to_owned())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The algorithm that a provider takes: RS256, if the provider does not say.
fn algorithm(metadata: &Metadata) -> Result<(&'static str, &'static dyn RsaEncoding), String> {
    let takes = |name: &str| {
        let names = metadata.client_signing.as_ref();
        names.is_none_or(|names| names.iter().any(|one| one == name))
    };
    if takes("RS256") {
        Ok(("RS256", &RSA_PKCS1_SHA256))
    } else if takes("PS256") {
        Ok(("PS256", &RSA_PSS_SHA256))
    } else {
        Err("takes proofs of clients (private_key_jwt) with neither RS256 nor PS256, which are those that Rollcall signs with".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_thumbprint_and_read_again() {
        let pkcs8 = ClientKey::generate().unwrap();
        let key = ClientKey::read(&pkcs8).unwrap();
        assert_eq!(key.public(), ClientKey::read(&pkcs8).unwrap().public());
        assert_eq!(key.id().len(), 43);
        let members: Vec<String> = key.public().as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            members,
            ["e", "kid", "kty", "n", "use"],
            "nothing of the private key"
        );
        assert!(ClientKey::read(b"something else").is_none());
    }
}
