//! The form of bearer tokens: `<kind>_<organization><id>_<secret><checksum>`.
//!
//! - `kind` tells secret scanners and people what they have found;
//! - `organization` and `id` (32 hexadecimal digits each) find the row;
//! - `secret` is 43 characters of `[0-9A-Za-z]`: 256 random bits;
//! - `checksum` is the CRC-32 of all before it, 6 base-62 digits: a mistyped or made-up token is
//!   rejected before it costs a database query.
//!
//! A token that is made before its organization names none: `<kind>_<id>_<secret><checksum>`. It belongs to the
//! organization that the bootstrap settings name.
//!
//! A token has no character that ends a double-click's selection.

use rand::{Rng, RngExt, distr::Alphanumeric};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::ids::OrganizationId;

/// The hexadecimal digits of an identifier.
const ID_LENGTH: usize = 32;
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The API, for a service account that an operator made.
    Api,
    /// The API, for a service account that the organization made.
    ServiceAccount,
    /// The API, for a member.
    Personal,
    /// The API, for an operator of the installation. It names no organization.
    Operator,
    /// The SCIM endpoint of one configuration.
    Scim,
    /// The session of a person who signed in.
    Session,
    /// The API as far as a set-up link opens it.
    Setup,
    /// A login under way: the `state` parameter (OpenID Connect Core, section 3.1.2.1).
    Login,
    /// The secret of an application (RFC 6749, section 2.3.1).
    Application,
    /// An authorization code (RFC 6749, section 4.1).
    Code,
    /// A refresh token (RFC 6749, section 6).
    Refresh,
    /// An authorization request that was pushed (RFC 9126).
    PushedRequest,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Api => "rcapi",
            Self::ServiceAccount => "rcsat",
            Self::Personal => "rcpat",
            Self::Operator => "rcop",
            Self::Scim => "rcscim",
            Self::Session => "rcsess",
            Self::Setup => "rcsetup",
            Self::Login => "rclogin",
            Self::Application => "rcapps",
            Self::Code => "rccode",
            Self::Refresh => "rcrt",
            Self::PushedRequest => "rcpar",
        }
    }
}

/// A well-formed bearer token. Whether it is anybody's is for the row that it names to say.
#[derive(Clone, Debug)]
pub struct Token {
    kind: TokenKind,
    organization: Option<OrganizationId>,
    id: Uuid,
    text: SecretString,
}

impl Token {
    /// Makes a new token for the row `id` of an organization, or of one that is not known yet.
    pub fn generate(
        kind: TokenKind,
        organization: Option<OrganizationId>,
        id: Uuid,
        random: &mut impl Rng,
    ) -> Self {
        let secret = (0..SECRET_LENGTH).map(|_| char::from(random.sample(Alphanumeric)));
        Self::with_secret(kind, organization, id, &secret.collect::<String>())
    }

    /// A token with this secret, which must be as unpredictable as that of [`generate`](Self::generate): 43 characters of
    /// `[0-9A-Za-z]`.
    pub fn with_secret(
        kind: TokenKind,
        organization: Option<OrganizationId>,
        id: Uuid,
        secret: &str,
    ) -> Self {
        let named = organization.map(|organization| organization.as_uuid().simple().to_string());
        let named = named.unwrap_or_default();
        let mut text = format!("{}_{named}{}_{secret}", kind.prefix(), id.simple());
        text.push_str(&checksum(&text));
        Self {
            kind,
            organization,
            id,
            text: text.into(),
        }
    }

    /// Reads a token of one of these kinds.
    pub fn parse_any(kinds: &[TokenKind], text: &str) -> Option<Self> {
        kinds.iter().find_map(|kind| Self::parse(*kind, text))
    }

    /// Reads a token of `kind`; `None` if it is not exactly of one of the forms above.
    pub fn parse(kind: TokenKind, text: &str) -> Option<Self> {
        let (ids, tail) = text
            .strip_prefix(kind.prefix())?
            .strip_prefix('_')?
            .split_once('_')?;
        let is_form = [ID_LENGTH, 2 * ID_LENGTH].contains(&ids.len())
            && ids.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && tail.len() == SECRET_LENGTH + CHECKSUM_LENGTH
            && tail.bytes().all(|b| b.is_ascii_alphanumeric());
        let (body, sum) = text.split_at_checked(text.len().checked_sub(CHECKSUM_LENGTH)?)?;
        if !is_form || checksum(body) != sum {
            return None;
        }
        let (organization, id) = ids.split_at_checked(ids.len() - ID_LENGTH)?;
        let organization = match organization {
            "" => None,
            organization => Some(Uuid::try_parse(organization).ok()?.into()),
        };
        Some(Self {
            kind,
            organization,
            id: Uuid::try_parse(id).ok()?,
            text: text.into(),
        })
    }

    /// What the token opens.
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The organization that the token names, whose the row is.
    pub const fn organization(&self) -> Option<OrganizationId> {
        self.organization
    }

    /// The row that knows the token's hash.
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// What of the token nobody can guess.
    pub fn secret(&self) -> &str {
        let text = self.expose();
        let end = text.len() - CHECKSUM_LENGTH;
        &text[end - SECRET_LENGTH..end]
    }

    /// The token itself, to hand to its owner or to a hash function.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// SHA-256 of the token: enough to keep of what lives for hours and is 256 random bits.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn token(kind: TokenKind, organization: Option<u128>, id: u128, seed: u64) -> Token {
        let organization = organization.map(|id| Uuid::from_u128(id).into());
        let id = Uuid::from_u128(id);
        Token::generate(kind, organization, id, &mut StdRng::seed_from_u64(seed))
    }

    proptest! {
        #[test]
        fn what_is_generated_parses(organization: Option<u128>, id: u128, seed: u64) {
            for kind in [TokenKind::Api, TokenKind::Scim] {
                let token = token(kind, organization, id, seed);
                let parsed = Token::parse(kind, token.expose()).unwrap();
                prop_assert_eq!(
                    parsed.organization().map(|organization| organization.as_uuid().as_u128()),
                    organization
                );
                prop_assert_eq!(parsed.id(), Uuid::from_u128(id));
                prop_assert_eq!(parsed.kind(), kind);
                prop_assert_eq!(parsed.expose(), token.expose());
            }
        }

        #[test]
        fn one_changed_character_is_noticed(
            organization: Option<u128>, id: u128, seed: u64, place: prop::sample::Index, with in "[ -~]",
        ) {
            let mut text = token(TokenKind::Api, organization, id, seed).expose().to_owned();
            let place = place.index(text.len());
            prop_assume!(text[place..=place] != with);
            text.replace_range(place..=place, &with);
            prop_assert!(Token::parse(TokenKind::Api, &text).is_none());
        }

        #[test]
        fn garbage_is_refused(text in "\\PC{0,150}") {
            prop_assert!(Token::parse(TokenKind::Api, &text).is_none());
            prop_assert!(Token::parse(TokenKind::Scim, &text).is_none());
        }
    }

    #[test]
    fn a_token_of_one_kind_is_none_of_another() {
        let scim = token(TokenKind::Scim, Some(7), 7, 7);
        assert!(Token::parse(TokenKind::Api, scim.expose()).is_none());
    }

    #[test]
    fn ids_of_other_lengths_are_refused() {
        for digits in [0, 1, 31, 33, 63, 65, 96] {
            let mut text = format!("rcapi_{}_{}", "7".repeat(digits), "x".repeat(SECRET_LENGTH));
            text.push_str(&checksum(&text));
            assert!(Token::parse(TokenKind::Api, &text).is_none(), "{digits}");
        }
    }

    #[test]
    fn the_secret_does_not_show_in_debug_output() {
        let token = token(TokenKind::Api, Some(7), 7, 7);
        let secret = token.expose().rsplit('_').next().unwrap();
        assert!(!format!("{token:?}").contains(secret));
    }
}
