//! Signed JSON Web Tokens, and the keys that verify them (RFC 7515, RFC 7517, RFC 7518, RFC 8037). Of a key or
//! a header only what decides is looked at; whatever else they hold may be of any form.

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::crypto;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::printable;

/// base64url, with or without the padding that RFC 7515 leaves out.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How many keys are tried for a token that names none.
const MAX_TRIED: usize = 8;

/// How a token is signed: with a private key, so that nobody but the provider can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alg {
    /// What the library verifies.
    Library(Algorithm),
    /// ECDSA on P-521, which the library leaves out.
    Es512,
}

impl Alg {
    /// The algorithm of a name (RFC 7518, section 3.1; RFC 9864), if it is accepted.
    pub fn named(name: &str) -> Option<Self> {
        let algorithm = match name {
            "RS256" => Algorithm::RS256,
            "RS384" => Algorithm::RS384,
            "RS512" => Algorithm::RS512,
            "PS256" => Algorithm::PS256,
            "PS384" => Algorithm::PS384,
            "PS512" => Algorithm::PS512,
            "ES256" => Algorithm::ES256,
            "ES384" => Algorithm::ES384,
            "EdDSA" | "Ed25519" => Algorithm::EdDSA,
            "ES512" => return Some(Self::Es512),
            _ => return None,
        };
        Some(Self::Library(algorithm))
    }

    /// The left half of a text's digest, by the function that the signature is made with (OpenID Connect
    /// Core, section 3.1.3.6).
    pub fn half_hash(self, text: &str) -> String {
        use Algorithm::{ES256, ES384, PS256, PS384, RS256, RS384};
        let digest = match self {
            Self::Library(RS256 | PS256 | ES256) => Sha256::digest(text).to_vec(),
            Self::Library(RS384 | PS384 | ES384) => Sha384::digest(text).to_vec(),
            _ => Sha512::digest(text).to_vec(),
        };
        BASE64URL.encode(&digest[..digest.len() / 2])
    }
}

/// What a public key is made of.
#[derive(Clone, Debug)]
enum Material {
    Rsa(DecodingKey),
    P256(DecodingKey),
    P384(DecodingKey),
    /// An uncompressed point (SEC 1, section 2.3.3).
    P521(Vec<u8>),
    Ed25519(DecodingKey),
}

/// A public key as a provider publishes it.
#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, if it says.
    alg: Option<String>,
    material: Material,
}

impl Key {
    /// Reads a key; `None` for a key of a type or curve that verifies none of the signatures that are accepted here.
    fn read(key: &Value) -> Option<Self> {
        let is_for_signing = text(key, "use").is_none_or(|usage| usage == "sig");
        let verifies = |operations: &Vec<Value>| operations.iter().any(|op| op == "verify");
        if !is_for_signing || !key["key_ops"].as_array().is_none_or(verifies) {
            return None;
        }
        Some(Self {
            id: text(key, "kid").map(str::to_owned),
            alg: text(key, "alg").map(str::to_owned),
            material: material(key)?,
        })
    }

    fn fits(&self, alg: Alg) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let is_for_it = self
            .alg
            .as_deref()
            .is_none_or(|name| Alg::named(name) == Some(alg));
        is_for_it
            && matches!(
                (&self.material, alg),
                (
                    Material::Rsa(_),
                    Alg::Library(RS256 | RS384 | RS512 | PS256 | PS384 | PS512)
                ) | (Material::P256(_), Alg::Library(ES256))
                    | (Material::P384(_), Alg::Library(ES384))
                    | (Material::P521(_), Alg::Es512)
                    | (Material::Ed25519(_), Alg::Library(EdDSA))
            )
    }

    fn verifies(&self, jws: &Jws<'_>) -> bool {
        match (&self.material, jws.alg) {
            (Material::P521(point), Alg::Es512) => {
                let key = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point);
                let signature = BASE64URL.decode(jws.signature);
                signature.is_ok_and(|bytes| key.verify(jws.message.as_bytes(), &bytes).is_ok())
            }
            (
                Material::Rsa(key)
                | Material::P256(key)
                | Material::P384(key)
                | Material::Ed25519(key),
                Alg::Library(algorithm),
            ) => crypto::verify(jws.signature, jws.message.as_bytes(), key, algorithm)
                .unwrap_or(false),
            _ => false,
        }
    }
}

/// A member that is a text and not empty.
fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value[name].as_str().filter(|text| !text.is_empty())
}

fn material(key: &Value) -> Option<Material> {
    let bytes = |name: &str| BASE64URL.decode(text(key, name)?).ok();
    let point = |size| {
        Some(
            [
                vec![4],
                coordinate(bytes("x")?, size)?,
                coordinate(bytes("y")?, size)?,
            ]
            .concat(),
        )
    };
    match (text(key, "kty")?, text(key, "crv").unwrap_or_default()) {
        ("RSA", _) => {
            let (modulus, exponent) = (bytes("n")?, bytes("e")?);
            let key = DecodingKey::from_rsa_raw_components(number(&modulus), number(&exponent));
            Some(Material::Rsa(key))
        }
        ("EC", "P-256") => Some(Material::P256(DecodingKey::from_ec_der(&point(32)?))),
        ("EC", "P-384") => Some(Material::P384(DecodingKey::from_ec_der(&point(48)?))),
        ("EC", "P-521") => Some(Material::P521(point(66)?)),
        ("OKP", "Ed25519") => Some(Material::Ed25519(DecodingKey::from_ed_der(&bytes("x")?))),
        _ => None,
    }
}

/// A number without the zeros in front that some write.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// A coordinate in its full length, which some cut short (RFC 7518, section 6.2.1.2).
fn coordinate(bytes: Vec<u8>, size: usize) -> Option<Vec<u8>> {
    let missing = size.checked_sub(bytes.len())?;
    Some([vec![0; missing], bytes].concat())
}

/// The keys of a provider that verify signatures.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// Those among published keys that can be used.
    pub fn read(keys: &[Value]) -> Self {
        Self(keys.iter().filter_map(Key::read).collect())
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes sure that one of the keys signed a token. The key that it names is a hint (RFC 7515, section
    /// 4.1.4): where no key has that name, those without one are tried.
    ///
    /// # Errors
    ///
    /// Why none did.
    pub fn verify(&self, jws: &Jws<'_>) -> Result<(), Unverified> {
        let named = |id: Option<&str>| -> Vec<&Key> {
            self.0
                .iter()
                .filter(|key| key.id.as_deref() == id)
                .collect()
        };
        let candidates = match jws.key_id.as_deref() {
            None => self.0.iter().collect(),
            Some(id) => Some(named(Some(id)))
                .filter(|keys| !keys.is_empty())
                .unwrap_or_else(|| named(None)),
        };
        if candidates.is_empty() {
            return Err(Unverified::UnknownKey);
        }
        let fitting: Vec<&Key> = candidates
            .into_iter()
            .filter(|key| key.fits(jws.alg))
            .collect();
        match fitting.len() {
            0 => Err(Unverified::UnfitKey),
            1..=MAX_TRIED if fitting.iter().any(|key| key.verifies(jws)) => Ok(()),
            1..=MAX_TRIED => Err(Unverified::WrongSignature),
            _ => Err(Unverified::TooManyKeys),
        }
    }
}

/// Why no key verifies a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// No key has the name that the token gives.
    UnknownKey,
    /// The key of that name is for other algorithms.
    UnfitKey,
    /// The keys do not verify it.
    WrongSignature,
    /// The token does not say which of many keys signed it.
    TooManyKeys,
}

impl Unverified {
    /// Whether the token may be signed with a key that was published since the keys were read.
    pub fn may_be_a_new_key(self) -> bool {
        self != Self::TooManyKeys
    }

    /// In words that follow what the token is called.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::UnknownKey => "is signed with a key that the provider does not publish",
            Self::UnfitKey => {
                "is signed with an algorithm that the provider's key does not fit (alg)"
            }
            Self::WrongSignature => {
                "has a signature that is not the provider's: none of its published keys made it"
            }
            Self::TooManyKeys => "does not say which of the provider's many keys signed it (kid)",
        }
    }
}

/// A token in the compact serialization (RFC 7515, section 3.1). Nothing of it is verified.
#[derive(Debug)]
pub struct Jws<'a> {
    /// How it says that it is signed.
    pub alg: Alg,
    key_id: Option<String>,
    message: &'a str,
    signature: &'a str,
    /// What it claims.
    pub claims: Map<String, Value>,
}

impl<'a> Jws<'a> {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that follow what it is called.
    pub fn read(token: &'a str) -> Result<Self, String> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(match parts.len() {
                5 => "is encrypted, which is not supported: have the provider send it signed alone",
                _ => "is no signed JWT",
            }
            .to_owned());
        };
        let object = |part: &str| {
            let json = BASE64URL.decode(part).ok()?;
            serde_json::from_slice::<Map<String, Value>>(&json).ok()
        };
        let header = object(header).ok_or("is no signed JWT: its header is no JSON object")?;
        let header = Value::Object(header);
        check_form(&header)?;
        let alg = Alg::named(text(&header, "alg").unwrap_or_default()).ok_or(
            "is not signed as it must be: have the provider sign with RS256 or another RS, PS, ES algorithm or EdDSA",
        )?;
        let claims = object(payload).ok_or("is no signed JWT: its claims are no JSON object")?;
        let message = &token[..token.len() - signature.len() - 1];
        Ok(Self {
            alg,
            key_id: text(&header, "kid").map(str::to_owned),
            message,
            signature: signature.trim_end_matches('='),
            claims,
        })
    }
}

/// Makes sure that a header asks for nothing that is not understood (RFC 7515, section 4.1.11), and is of no
/// other kind of token (RFC 8725, section 3.11).
fn check_form(header: &Value) -> Result<(), String> {
    if !header["crit"].is_null() {
        return Err("is of a form that is not supported (crit)".to_owned());
    }
    let kind = text(header, "typ").unwrap_or("JWT").to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    if !matches!(kind, "jwt" | "jose") {
        return Err(format!(
            "is of a form that is not supported: a token of another kind (typ {:?})",
            printable(kind)
        ));
    }
    if text(header, "cty").is_some_and(|kind| kind.eq_ignore_ascii_case("jwt")) {
        return Err("is of a form that is not supported: a token within a token (cty)".to_owned());
    }
    Ok(())
}
