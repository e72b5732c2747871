//! Sealing with authenticated encryption, for secrets that must be read back and for tokens that
//! nobody but us may make.
//!
//! A sealed value is `length of the key id (1 byte) ‖ key id ‖ nonce (24) ‖ ciphertext and tag`,
//! by XChaCha20-Poly1305, whose nonces are long enough to be random. The context that a value is
//! sealed with must be given again to open it: a value moved to another row, organization or use
//! does not open.
//!
//! A digest is `length of the key id (1 byte) ‖ key id ‖ HMAC-SHA-256 (32)`, by a key of its own that is
//! derived from the same one: only those who have the key recognise what a code is of.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

use crate::app::random::Random;
use crate::error::Error;

const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 24;

/// The longest identifier of a key, in bytes.
pub const MAX_KEY_ID_LENGTH: usize = 64;

/// The keys of an installation: the first seals, all open. The empty keyring does neither: it is
/// for commands that need no keys.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
    /// Ready to take what a digest is of.
    digests: HmacSha256,
}

type HmacSha256 = Hmac<Sha256>;

/// What the key of digests is derived with.
const DIGESTS: &[u8] = b"rollcall: digests of bearer tokens, version 1";

impl Key {
    fn new(id: &str, key: &[u8]) -> Option<Self> {
        let derived = HmacSha256::new_from_slice(key).ok()?;
        let derived = derived.chain_update(DIGESTS).finalize().into_bytes();
        Some(Self {
            id: id.to_owned(),
            cipher: XChaCha20Poly1305::new_from_slice(key).ok()?,
            digests: HmacSha256::new_from_slice(&derived).ok()?,
        })
    }

    fn digest(&self, parts: &[&[u8]]) -> HmacSha256 {
        // Each with its length, so that no two lists of parts are the same bytes.
        parts.iter().fold(self.digests.clone(), |digest, part| {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            digest.chain_update(length.to_be_bytes()).chain_update(part)
        })
    }
}

impl Keyring {
    /// Seals `plaintext` with the first key, for `context` alone.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a plaintext of 256 GiB or more.
    pub fn seal(
        &self,
        plaintext: &[u8],
        context: &[u8],
        random: &Random,
    ) -> Result<Vec<u8>, Error> {
        let Some(Key { id, cipher, .. }) = self.keys.first() else {
            return Err(Error::internal("the keyring is empty"));
        };
        let nonce: [u8; NONCE_LENGTH] = random.bytes();
        let payload = Payload {
            msg: plaintext,
            aad: context,
        };
        let ciphertext = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::internal("the value is too long to seal"))?;
        let id_length = u8::try_from(id.len()).map_err(Error::internal)?;
        Ok([&[id_length], id.as_bytes(), &nonce, &ciphertext].concat())
    }

    /// Opens what was sealed for `context`; `None` for anything else.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (id, rest) = split_key_id(sealed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LENGTH>()?;
        let cipher = &self.key(id)?.cipher;
        let payload = Payload {
            msg: ciphertext,
            aad: context,
        };
        cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .ok()
            .map(Zeroizing::new)
    }

    /// Whether there is a key with this identifier.
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    fn key(&self, id: &[u8]) -> Option<&Key> {
        self.keys.iter().find(|key| key.id.as_bytes() == id)
    }

    /// The digest of `parts` by the first key; `None` without keys.
    pub fn digest(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let length = u8::try_from(key.id.len()).ok()?;
        let code = key.digest(parts).finalize().into_bytes();
        Some([&[length], key.id.as_bytes(), &code[..]].concat())
    }

    /// The codes of `parts` by each of the keys, that of the first one first.
    pub fn codes(&self, parts: &[&[u8]]) -> Vec<[u8; 32]> {
        let code = |key: &Key| key.digest(parts).finalize().into_bytes().into();
        self.keys.iter().map(code).collect()
    }

    /// Whether `digest` is that of `parts`, by one of the keys. Takes as long whatever is wrong with it.
    pub fn is_digest(&self, digest: &[u8], parts: &[&[u8]]) -> bool {
        let known = split_key_id(digest).and_then(|(id, code)| Some((self.key(id)?, code)));
        known.is_some_and(|(key, code)| key.digest(parts).verify_slice(code).is_ok())
    }

    /// Whether `sealed` was made with the first key, so that older keys can go.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let sealing = self.keys.first().map(|key| key.id.as_bytes());
        split_key_id(sealed).map(|(id, _)| id) == sealing
    }
}

/// The identifier of the key that made `sealed`; `None` for what no key made.
pub fn key_id(sealed: &[u8]) -> Option<&str> {
    let (id, _) = split_key_id(sealed)?;
    std::str::from_utf8(id)
        .ok()
        .filter(|id| check_id(id).is_ok())
}

/// What everything begins with that the key with this identifier sealed.
///
/// # Errors
///
/// What the identifier must be, as the end of a sentence.
pub fn prefix(id: &str) -> Result<Vec<u8>, String> {
    check_id(id)?;
    let length = u8::try_from(id.len()).map_err(|e| e.to_string())?;
    Ok([&[length], id.as_bytes()].concat())
}

fn split_key_id(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = sealed.split_first()?;
    rest.split_at_checked(usize::from(length))
}

/// Checks the identifier of a key.
///
/// # Errors
///
/// What it must be, as the end of a sentence.
pub fn check_id(id: &str) -> Result<(), String> {
    let is_id = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=MAX_KEY_ID_LENGTH).contains(&id.len()) && id.bytes().all(is_id) {
        return Ok(());
    }
    Err(format!(
        "must have 1 to {MAX_KEY_ID_LENGTH} letters, digits, hyphens and underscores"
    ))
}

/// An identifier for a new key, with random digits, so that two keys are never taken for one another.
pub fn new_id(random: &Random) -> String {
    format!("key-{:08x}", u32::from_be_bytes(random.bytes()))
}

/// Makes a new key, in the form that the setting takes.
pub fn generate(id: &str, random: &Random) -> Zeroizing<String> {
    let key = Zeroizing::new(random.bytes::<KEY_LENGTH>());
    let encoded = Zeroizing::new(STANDARD.encode(*key));
    Zeroizing::new(format!("{id}:{}", *encoded))
}

impl FromStr for Keyring {
    type Err = String;

    /// Reads `id:base64 of 32 bytes`, several separated by commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys: Vec<Key> = vec![];
        for (index, entry) in text.split(',').map(str::trim).enumerate() {
            let place = format!("key {} of the list", index + 1);
            let (id, encoded) = entry.split_once(':').ok_or_else(|| {
                format!("{place} must have the form id:base64 of {KEY_LENGTH} bytes")
            })?;
            check_id(id).map_err(|e| format!("{place}: the id {e}"))?;
            if keys.iter().any(|known| known.id == id) {
                return Err(format!("the id {id:?} stands twice: give each key its own"));
            }
            let key = STANDARD.decode(encoded).map(Zeroizing::new).ok();
            let key = key
                .filter(|key| key.len() == KEY_LENGTH)
                .and_then(|key| Key::new(id, &key));
            let key =
                key.ok_or_else(|| format!("the key {id:?} must be base64 of {KEY_LENGTH} bytes"))?;
            keys.push(key);
        }
        Ok(Self { keys })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.id))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(ids: &[&str]) -> (Keyring, Random) {
        let random = Random::seeded(1);
        let keys: Vec<String> = ids
            .iter()
            .map(|id| generate(id, &Random::seeded(id.len() as u64)).to_string())
            .collect();
        (keys.join(",").parse().unwrap(), random)
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let (keys, random) = keyring(&["one"]);
        let sealed = keys.seal(b"secret", b"context", &random).unwrap();
        assert_eq!(
            keys.open(&sealed, b"context").unwrap().as_slice(),
            b"secret"
        );
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        assert!(keys.open(&sealed, b"other").is_none(), "another context");
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(
                keys.open(&changed, b"context").is_none(),
                "byte {i} changed"
            );
            assert!(keys.open(&sealed[..i], b"context").is_none(), "cut at {i}");
        }
        assert_ne!(
            sealed,
            keys.seal(b"secret", b"context", &random).unwrap(),
            "nonces differ"
        );
    }

    #[test]
    fn a_digest_is_recognised_by_whoever_has_its_key_and_by_nobody_else() {
        let (old, _) = keyring(&["old"]);
        let (both, _) = keyring(&["newer", "old"]);
        let (new, _) = keyring(&["newer"]);
        let parts: [&[u8]; 2] = [b"token", b"hash"];
        let digest = old.digest(&parts).unwrap();
        assert!(old.is_digest(&digest, &parts) && both.is_digest(&digest, &parts));
        assert!(!new.is_digest(&digest, &parts), "by a key that is gone");
        assert!(!old.is_digest(&digest, &[b"token", b"other hash"]));
        assert!(!old.is_digest(&digest, &[b"tokenh", b"ash"]));
        for i in 0..digest.len() {
            let mut changed = digest.clone();
            changed[i] ^= 1;
            assert!(!both.is_digest(&changed, &parts), "byte {i} changed");
            assert!(!both.is_digest(&digest[..i], &parts), "cut at {i}");
        }
        assert_eq!(Keyring::default().digest(&parts), None);
        assert!(both.digest(&parts).unwrap().starts_with(b"\x05newer"));
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, random) = keyring(&["old"]);
        let (both, _) = keyring(&["newer", "old"]);
        let (new, _) = keyring(&["newer"]);
        let sealed = old.seal(b"secret", b"", &random).unwrap();
        assert!(both.open(&sealed, b"").is_some());
        assert!(!both.is_current(&sealed));
        assert!(new.open(&sealed, b"").is_none());
        let resealed = both.seal(b"secret", b"", &random).unwrap();
        assert!(both.is_current(&resealed));
        assert!(new.open(&resealed, b"").is_some());
    }

    #[test]
    fn a_bad_setting_says_what_is_wrong_without_the_key() {
        for (text, expected) in [
            ("", "form id:base64"),
            ("secretsecret", "form id:base64"),
            (":AAAA", "must have 1 to 64 letters"),
            ("a:c2VjcmV0c2VjcmV0", "must be base64 of 32 bytes"),
            (
                "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                "stands twice",
            ),
        ] {
            let error = text.parse::<Keyring>().unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
    }
}
