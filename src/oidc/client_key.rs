//! The key pair with which a client proves who it is to a provider that takes no secret: `private_key_jwt` (OpenID
//! Connect Core, section 9; RFC 7523). Each configuration has its own, so that what it signs is of use nowhere
//! else.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};

use super::Metadata;
use crate::domain::application::Signature;
use crate::error::Error;
use crate::secrets::signing::{Padding, SigningKey};

/// How long a proof is good: as long as the clocks of both servers may differ, and the request may take.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// A key pair: RSA with 2048 bits, which signs with RS256 and PS256.
#[derive(Debug)]
pub struct ClientKey(SigningKey);

impl ClientKey {
    /// Makes a new one, in the form that [`ClientKey::read`] takes. It takes some 100 ms.
    ///
    /// # Errors
    ///
    /// When there is no randomness.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, Error> {
        SigningKey::generate(Signature::Rs256)
    }

    /// Reads a key pair that [`Self::generate`] made (PKCS #8).
    pub fn read(key: &[u8]) -> Option<Self> {
        SigningKey::read(Signature::Rs256, key).map(Self)
    }

    /// The public key, as a provider reads it (RFC 7517).
    pub fn public(&self) -> Value {
        self.0.public()
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
        let padding = padding(metadata)?;
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": metadata.token_endpoint.as_str(),
            "jti": id,
            "iat": now.timestamp(),
            "exp": (now + LIFETIME).timestamp(),
        });
        self.0
            .sign_padded(padding, &self.0.id(), "JWT", &claims)
            .map_err(|_| "takes no secret, and signing in its place failed".to_owned())
    }
}

/// The padding that a provider takes: that of RS256, if the provider does not say.
fn padding(metadata: &Metadata) -> Result<Padding, String> {
    let takes = |name: &str| {
        let names = metadata.client_signing.as_ref();
        names.is_none_or(|names| names.iter().any(|one| one == name))
    };
    if takes("RS256") {
        Ok(Padding::Pkcs1)
    } else if takes("PS256") {
        Ok(Padding::Pss)
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
        assert_eq!(key.0.id().len(), 43);
        let members: Vec<String> = key.public().as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            members,
            ["e", "kid", "kty", "n", "use"],
            "nothing of the private key"
        );
        assert!(ClientKey::read(b"something else").is_none());
    }
}
