//! The keys that providers sign with: those that the library knows, and P-521, which it does not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{
    CoreJsonWebKey, CoreJsonWebKeyType, CoreJsonWebKeyUse, CoreJwsSigningAlgorithm as Alg,
};
use openidconnect::{
    JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyId, JsonWebKeyUse, SignatureVerificationError,
};
use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// The bytes of a coordinate on P-521 (RFC 7518, section 6.2.1.2).
const P521_COORDINATE: usize = 66;

/// A public key as a provider publishes it (RFC 7517).
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Key {
    known: CoreJsonWebKey,
    #[serde(skip)]
    p521: Option<VerifyingKey>,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self {
            p521: p521_key(&value),
            known: CoreJsonWebKey::deserialize(value).map_err(de::Error::custom)?,
        })
    }
}

/// The point of a key on P-521; `None` for a key of another kind, and for a point off the curve.
fn p521_key(key: &Value) -> Option<VerifyingKey> {
    if key["kty"] != "EC" || key["crv"] != "P-521" {
        return None;
    }
    let coordinate = |name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok()?;
        (bytes.len() == P521_COORDINATE).then_some(bytes)
    };
    // SEC 1, section 2.3.3: uncompressed.
    let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
    VerifyingKey::from_sec1_bytes(&point).ok()
}

impl Key {
    fn verify_p521(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureVerificationError> {
        let unfit = |text: &str| SignatureVerificationError::InvalidKey(text.to_owned());
        let key = self
            .p521
            .as_ref()
            .ok_or_else(|| unfit("the key is none of P-521"))?;
        let is_for_signing = self
            .key_use()
            .is_none_or(CoreJsonWebKeyUse::allows_signature);
        let is_for_es512 = matches!(
            self.signing_alg(),
            JsonWebKeyAlgorithm::Unspecified | JsonWebKeyAlgorithm::Algorithm(Alg::EcdsaP521Sha512)
        );
        if !is_for_signing || !is_for_es512 {
            return Err(unfit("the key is not for ES512"));
        }
        let verified =
            Signature::from_slice(signature).and_then(|signature| key.verify(message, &signature));
        verified.map_err(|_| {
            SignatureVerificationError::CryptoError("the ES512 signature is wrong".to_owned())
        })
    }
}

impl JsonWebKey for Key {
    type KeyUse = CoreJsonWebKeyUse;
    type SigningAlgorithm = Alg;

    fn key_id(&self) -> Option<&JsonWebKeyId> {
        self.known.key_id()
    }

    fn key_type(&self) -> &CoreJsonWebKeyType {
        self.known.key_type()
    }

    fn key_use(&self) -> Option<&CoreJsonWebKeyUse> {
        self.known.key_use()
    }

    fn signing_alg(&self) -> JsonWebKeyAlgorithm<&Alg> {
        self.known.signing_alg()
    }

    fn new_symmetric(key: Vec<u8>) -> Self {
        Self {
            known: CoreJsonWebKey::new_symmetric(key),
            p521: None,
        }
    }

    fn verify_signature(
        &self,
        alg: &Alg,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureVerificationError> {
        match alg {
            Alg::EcdsaP521Sha512 => self.verify_p521(message, signature),
            _ => self.known.verify_signature(alg, message, signature),
        }
    }

    fn hash_bytes(&self, bytes: &[u8], alg: &Alg) -> Result<Vec<u8>, String> {
        self.known.hash_bytes(bytes, alg)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 7515, appendix A.4.
    const KEY: [(&str, &str); 4] = [
        ("kty", "EC"),
        ("crv", "P-521"),
        (
            "x",
            "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        ),
        (
            "y",
            "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
        ),
    ];
    const MESSAGE: &[u8] = b"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA";
    const SIGNATURE: &str = "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";

    fn key(more: &Value) -> Key {
        let mut key: Value = KEY
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let more = more.as_object().unwrap().clone();
        key.as_object_mut().unwrap().extend(more);
        serde_json::from_value(key).unwrap()
    }

    fn verify(key: &Key, alg: &Alg, message: &[u8]) -> Result<(), SignatureVerificationError> {
        let signature = URL_SAFE_NO_PAD.decode(SIGNATURE).unwrap();
        key.verify_signature(alg, message, &signature)
    }

    #[test]
    fn es512_is_verified_as_the_rfc_has_it() {
        for fit in [json!({}), json!({ "use": "sig", "alg": "ES512" })] {
            let key = key(&fit);
            assert_eq!(key.key_type(), &CoreJsonWebKeyType::EllipticCurve);
            verify(&key, &Alg::EcdsaP521Sha512, MESSAGE).unwrap();
            let refused = verify(&key, &Alg::EcdsaP521Sha512, b"another message");
            assert!(matches!(
                refused,
                Err(SignatureVerificationError::CryptoError(_))
            ));
        }
    }

    #[test]
    fn a_key_of_another_kind_or_for_something_else_verifies_nothing() {
        for unfit in [
            json!({ "crv": "P-256" }),
            json!({ "use": "enc" }),
            json!({ "alg": "ES256" }),
            json!({ "x": "AA" }),
            json!({ "y": KEY[2].1 }),
            json!({ "y": null }),
        ] {
            let refused = verify(&key(&unfit), &Alg::EcdsaP521Sha512, MESSAGE);
            assert!(
                matches!(refused, Err(SignatureVerificationError::InvalidKey(_))),
                "{unfit}"
            );
        }
        for alg in [Alg::EcdsaP256Sha256, Alg::EdDsa, Alg::None] {
            assert!(verify(&key(&json!({})), &alg, MESSAGE).is_err(), "{alg:?}");
        }
    }

    #[test]
    fn what_was_read_is_written_as_it_was() {
        let key = key(&json!({ "kid": "a" }));
        let written = serde_json::to_value(&key).unwrap();
        assert_eq!(
            (&written["crv"], &written["kid"]),
            (&json!("P-521"), &json!("a"))
        );
    }
}
