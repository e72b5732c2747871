//! Keys that sign tokens (RFC 7515, RFC 7518, RFC 8037), by a library that takes as long whatever the key is.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::domain::application::Signature;
use crate::error::Error;

/// A key pair.
#[derive(Debug)]
pub enum SigningKey {
    /// RSA with 2048 bits.
    Rsa(RsaKeyPair),
    /// On P-256.
    P256(EcdsaKeyPair),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Makes a new one, in the form that [`SigningKey::read`] takes (PKCS #8). One of RSA takes some 100 ms.
    ///
    /// # Errors
    ///
    /// When there is no randomness.
    pub fn generate(algorithm: Signature) -> Result<Zeroizing<Vec<u8>>, Error> {
        let der = match algorithm {
            Signature::Rs256 => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(Error::internal)?;
                key.as_der().map_err(Error::internal)?.as_ref().to_vec()
            }
            Signature::Es256 => {
                let random = SystemRandom::new();
                let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                key.map_err(Error::internal)?.as_ref().to_vec()
            }
            Signature::EdDsa => {
                let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
                key.map_err(Error::internal)?.as_ref().to_vec()
            }
        };
        Ok(Zeroizing::new(der))
    }

    /// Reads a key pair that [`Self::generate`] made.
    pub fn read(algorithm: Signature, key: &[u8]) -> Option<Self> {
        match algorithm {
            Signature::Rs256 => RsaKeyPair::from_pkcs8(key).ok().map(Self::Rsa),
            Signature::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key)
                .ok()
                .map(Self::P256),
            Signature::EdDsa => Ed25519KeyPair::from_pkcs8(key).ok().map(Self::Ed25519),
        }
    }

    /// What tokens call it: its thumbprint (RFC 7638).
    pub fn id(&self) -> String {
        // The members in this order and without blanks (section 3.2).
        let members = match self.numbers() {
            Numbers::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
            Numbers::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Numbers::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
        };
        URL_SAFE_NO_PAD.encode(Sha256::digest(members))
    }

    /// The public key (RFC 7517).
    pub fn public(&self) -> Value {
        let id = self.id();
        match self.numbers() {
            Numbers::Rsa { n, e } => {
                json!({ "kty": "RSA", "use": "sig", "kid": id, "n": n, "e": e })
            }
            Numbers::P256 { x, y } => {
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "x": x, "y": y })
            }
            Numbers::Ed25519 { x } => {
                json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": id, "x": x })
            }
        }
    }

    /// Whether it signed a message.
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let (algorithm, key): (&'static dyn VerificationAlgorithm, &[u8]) = match self {
            Self::Rsa(key) => (&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref()),
            Self::P256(key) => (&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref()),
            Self::Ed25519(key) => (&ED25519, key.public_key().as_ref()),
        };
        UnparsedPublicKey::new(algorithm, key)
            .verify(message, signature)
            .is_ok()
    }

    fn numbers(&self) -> Numbers {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(key) => {
                let public = key.public_key();
                Numbers::Rsa {
                    n: text(public.modulus().big_endian_without_leading_zero()),
                    e: text(public.exponent().big_endian_without_leading_zero()),
                }
            }
            Self::P256(key) => {
                // An uncompressed point: 4, then both coordinates (SEC 1, section 2.3.3).
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                Numbers::P256 {
                    x: text(x),
                    y: text(y),
                }
            }
            Self::Ed25519(key) => Numbers::Ed25519 {
                x: text(key.public_key().as_ref()),
            },
        }
    }

    /// Signs a token in the compact serialization (RFC 7515, section 7.1). RSA takes some 500 µs, the others 20.
    ///
    /// # Errors
    ///
    /// When signing fails: a fault of the library.
    pub fn sign(&self, id: &str, kind: &str, claims: &impl Serialize) -> Result<String, Error> {
        self.sign_padded(Padding::Pkcs1, id, kind, claims)
    }

    /// The same with another padding, which makes a difference to RSA alone.
    ///
    /// # Errors
    ///
    /// When signing fails: a fault of the library.
    pub fn sign_padded(
        &self,
        padding: Padding,
        id: &str,
        kind: &str,
        claims: &impl Serialize,
    ) -> Result<String, Error> {
        let alg = match (self, padding) {
            (Self::Rsa(_), Padding::Pss) => "PS256",
            (Self::Rsa(_), Padding::Pkcs1) => Signature::Rs256.as_str(),
            (Self::P256(_), _) => Signature::Es256.as_str(),
            (Self::Ed25519(_), _) => Signature::EdDsa.as_str(),
        };
        let header = format!(r#"{{"alg":"{alg}","typ":"{kind}","kid":"{id}"}}"#);
        let claims = serde_json::to_vec(claims).map_err(Error::internal)?;
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.signature(padding, token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn signature(&self, padding: Padding, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let encoding: &'static dyn RsaEncoding = match padding {
                    Padding::Pkcs1 => &RSA_PKCS1_SHA256,
                    Padding::Pss => &RSA_PSS_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut signature)
                    .map_err(Error::internal)?;
                Ok(signature)
            }
            Self::P256(key) => {
                let signature = key.sign(&random, message).map_err(Error::internal)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

/// How RSA fills up what it signs (RFC 8017, section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As RS256 has it.
    Pkcs1,
    /// As PS256 has it.
    Pss,
}

enum Numbers {
    Rsa { n: String, e: String },
    P256 { x: String, y: String },
    Ed25519 { x: String },
}

/// A key of the installation.
#[derive(Debug)]
pub struct Published {
    /// What tokens call it.
    pub id: String,
    /// How it signs.
    pub algorithm: Signature,
    /// From when on it signs.
    pub active_from: DateTime<Utc>,
    /// The key pair.
    pub key: SigningKey,
}

/// The keys of the installation that are published, the one that signs last first.
#[derive(Debug)]
pub struct Ring {
    keys: Vec<Published>,
    /// The public keys as a JSON Web Key Set.
    pub public: Bytes,
}

impl Ring {
    /// Of these keys.
    pub fn new(mut keys: Vec<Published>) -> Self {
        keys.sort_by_key(|key| std::cmp::Reverse(key.active_from));
        let public: Vec<Value> = keys.iter().map(|key| key.key.public()).collect();
        Self {
            keys,
            public: json!({ "keys": public }).to_string().into(),
        }
    }

    /// The key that signs at this moment.
    pub fn active(&self, algorithm: Signature, now: DateTime<Utc>) -> Option<&Published> {
        let fits = |key: &&Published| key.algorithm == algorithm && key.active_from <= now;
        self.keys.iter().find(fits)
    }

    /// The claims of a token of this kind (`typ`) that one of the keys signed; `None` for anything else.
    pub fn open(&self, token: &str, kind: &str) -> Option<Map<String, Value>> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let read = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice::<Map<String, Value>>(&bytes).ok()
        };
        let header = read(header)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let key = self.keys.iter().find(|key| text("kid") == Some(&key.id))?;
        let is_form = text("alg") == Some(key.algorithm.as_str())
            && text("typ") == Some(kind)
            && !header.contains_key("crit");
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        (is_form && key.key.verifies(message.as_bytes(), &signature)).then(|| read(claims))?
    }
}

/// How many tokens that were verified are remembered.
const MAX_OPENED: usize = 10_000;

/// The claims of a token, and the keys that it was verified with.
type Opened = (Arc<Ring>, Arc<Map<String, Value>>);

/// The keys as they were read last. Reading them again is for [`provisioning`](crate::provisioning).
#[derive(Debug)]
pub struct Signers {
    known: RwLock<Option<(DateTime<Utc>, Arc<Ring>)>>,
    /// By the SHA-256 of the token and its kind.
    opened: Cache<[u8; 32], Opened>,
    /// The turn of reading them.
    pub reading: tokio::sync::Mutex<()>,
}

impl Default for Signers {
    fn default() -> Self {
        Self {
            known: RwLock::default(),
            opened: Cache::new(MAX_OPENED),
            reading: tokio::sync::Mutex::default(),
        }
    }
}

impl Signers {
    /// As [`Ring::open`], which a token that comes again needs once for as long as the keys are not read again.
    pub fn open(
        &self,
        ring: &Arc<Ring>,
        token: &str,
        kind: &str,
    ) -> Option<Arc<Map<String, Value>>> {
        let digest = Sha256::new()
            .chain_update(kind)
            .chain_update([0])
            .chain_update(token);
        let digest = digest.finalize().into();
        if let Some((by, claims)) = self.opened.get(&digest)
            && Arc::ptr_eq(&by, ring)
        {
            return Some(claims);
        }
        let claims = Arc::new(ring.open(token, kind)?);
        self.opened.insert(digest, (ring.clone(), claims.clone()));
        Some(claims)
    }

    /// The keys, and when they were read.
    pub fn known(&self) -> Option<(DateTime<Utc>, Arc<Ring>)> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Remembers keys that were read now.
    pub fn remember(&self, ring: Arc<Ring>, now: DateTime<Utc>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some((now, ring));
    }

    /// Has them read again at the next occasion.
    pub fn forget(&self) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(algorithm: Signature) -> Published {
        let key = SigningKey::generate(algorithm).unwrap();
        let key = SigningKey::read(algorithm, &key).unwrap();
        Published {
            id: key.id(),
            algorithm,
            active_from: DateTime::UNIX_EPOCH,
            key,
        }
    }

    #[test]
    fn what_a_key_signs_is_opened_by_its_ring_alone() {
        for algorithm in Signature::ALL {
            let (ring, other) = (
                Ring::new(vec![published(*algorithm)]),
                Ring::new(vec![published(*algorithm)]),
            );
            let key = ring.active(*algorithm, DateTime::UNIX_EPOCH).unwrap();
            let token = key
                .key
                .sign(&key.id, "JWT", &json!({ "sub": "ada" }))
                .unwrap();
            assert_eq!(ring.open(&token, "JWT").unwrap()["sub"], "ada");
            assert_eq!(ring.open(&token, "at+jwt"), None, "of another kind");
            assert_eq!(other.open(&token, "JWT"), None, "another's");
            assert_eq!(
                key.key.public().get("d"),
                None,
                "nothing of the private key"
            );
            for place in 0..token.len() {
                let mut changed = token.clone();
                let with = if &token[place..=place] == "A" {
                    "B"
                } else {
                    "A"
                };
                changed.replace_range(place..=place, with);
                // The last character of a signature may have bits that mean nothing, which the decoder refuses.
                assert_eq!(
                    ring.open(&changed, "JWT"),
                    None,
                    "{algorithm}: character {place}"
                );
            }
        }
    }

    #[test]
    fn confusion_of_algorithms_opens_nothing() {
        let ring = Ring::new(vec![
            published(Signature::Rs256),
            published(Signature::Es256),
        ]);
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"mallory"}"#);
        for key in &ring.keys {
            for alg in ["none", "None", "HS256", "RS256", "ES256", "EdDSA", "PS256"] {
                let header = json!({ "alg": alg, "typ": "JWT", "kid": key.id }).to_string();
                let token = format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(header));
                assert_eq!(ring.open(&token, "JWT"), None, "{alg}");
            }
        }
    }
}
