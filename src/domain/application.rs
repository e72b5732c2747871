//! Applications: what people sign in to. Each belongs to an organization, whose members alone sign in, or to the installation.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Host, Url};
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::ids::{ApplicationId, GroupId, OrganizationId, ServiceAccountId};
use super::names::named;
use super::text;
use crate::error::Violation;

/// The most URIs of one kind, and groups, that an application has.
pub const MAX_LISTED: usize = 50;
/// The longest URI, in bytes.
pub const MAX_URI_LENGTH: usize = 2_048;
/// The largest set of keys, in bytes of JSON.
pub const MAX_KEYS_LENGTH: usize = 16 * 1_024;

/// What a client identifier begins with.
pub const CLIENT_ID: &str = "rcapp_";

named! {
    /// How an application proves who it is (OpenID Connect Core, section 9).
    pub enum ClientAuthentication {
        /// Not at all: a public client, such as a program on people's devices (RFC 6749, section 2.1).
        None = "none",
        /// With a secret in the header `Authorization`.
        SecretBasic = "client_secret_basic",
        /// With a secret in the body.
        SecretPost = "client_secret_post",
        /// With a signature (RFC 7523).
        PrivateKey = "private_key_jwt",
    }
}

named! {
    /// How tokens are signed (RFC 7518, section 3.1; RFC 8037).
    pub enum Signature {
        /// RSA with 2048 bits and SHA-256.
        Rs256 = "RS256",
        /// ECDSA on P-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

named! {
    /// How an application gets tokens.
    pub enum Grant {
        /// By a code, for a person who signs in (RFC 6749, section 4.1).
        AuthorizationCode = "authorization_code",
        /// By the refresh token that came with the ones before (section 6).
        RefreshToken = "refresh_token",
        /// For itself, as a service account (section 4.4).
        ClientCredentials = "client_credentials",
    }
}

named! {
    /// What an application may learn and do (RFC 6749, section 3.3).
    pub enum Scope {
        /// Sign people in: without it there is no ID token.
        OpenId = "openid",
        /// Their names and pictures.
        Profile = "profile",
        /// Their addresses.
        Email = "email",
        /// The groups that they are in.
        Groups = "groups",
        /// The name of their organization, and their roles.
        Organization = "organization",
        /// Go on while they are away: a refresh token.
        OfflineAccess = "offline_access",
        /// Use Rollcall's API as them.
        Api = "api",
    }
}

macro_rules! deserialized_by_name {
    ($($name:ty),+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

deserialized_by_name!(ClientAuthentication, Signature, Grant, Scope);

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

/// Several scopes, each once, in the order of [`Scope`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads what a client sends: names separated by blanks. What is no scope here is left out (OpenID Connect Core, section
    /// 3.1.2.1).
    pub fn known(text: &str) -> Self {
        text.split(' ')
            .filter_map(|name| name.parse().ok())
            .collect()
    }

    /// Whether a scope is among them.
    pub fn has(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Those that `others` have, too.
    pub fn within(&self, others: &Self) -> Self {
        Self(self.0.intersection(&others.0).copied().collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without one of them.
    pub fn without(mut self, scope: Scope) -> Self {
        self.0.remove(&scope);
        self
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// What is said of an application. None of it is secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What people know it by.
    pub name: String,
    /// Where its picture is; may be empty.
    #[serde(default)]
    pub logo_url: String,
    /// Where people are sent after signing in.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after signing out.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a session ended; may be empty.
    #[serde(default)]
    pub backchannel_logout_uri: String,
    /// Where it begins to sign somebody in (OpenID Connect Core, section 4); may be empty.
    #[serde(default)]
    pub initiate_login_uri: String,
    /// How it proves who it is.
    pub authentication: ClientAuthentication,
    /// The keys that its proofs are signed with, as a JSON Web Key Set.
    #[serde(default)]
    pub jwks: Option<Value>,
    /// Where it publishes these keys; may be empty.
    #[serde(default)]
    pub jwks_uri: String,
    /// Whether a sign-in must be begun with PKCE.
    pub require_pkce: bool,
    /// How it gets tokens.
    pub grants: Vec<Grant>,
    /// What it may learn and do.
    pub scopes: Vec<Scope>,
    /// How its ID tokens and logout tokens are signed.
    pub id_token_signature: Signature,
    /// How the userinfo is signed, if it shall be.
    #[serde(default)]
    pub userinfo_signature: Option<Signature>,
    /// Only members of these groups may sign in; none: everybody.
    #[serde(default)]
    pub groups: Vec<GroupId>,
    /// Whom it acts as with its own credentials.
    #[serde(default)]
    pub service_account: Option<ServiceAccountId>,
    /// How long access tokens live, in seconds.
    pub access_token_seconds: u32,
    /// How long ID tokens live, in seconds.
    pub id_token_seconds: u32,
    /// How long a refresh token lives that is not used, in seconds.
    pub refresh_token_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            logo_url: String::new(),
            redirect_uris: vec![],
            post_logout_redirect_uris: vec![],
            backchannel_logout_uri: String::new(),
            initiate_login_uri: String::new(),
            authentication: ClientAuthentication::SecretBasic,
            jwks: None,
            jwks_uri: String::new(),
            require_pkce: true,
            grants: vec![Grant::AuthorizationCode, Grant::RefreshToken],
            scopes: vec![
                Scope::OpenId,
                Scope::Profile,
                Scope::Email,
                Scope::OfflineAccess,
            ],
            id_token_signature: Signature::Rs256,
            userinfo_signature: None,
            groups: vec![],
            service_account: None,
            access_token_seconds: 600,
            id_token_seconds: 3_600,
            refresh_token_seconds: 30 * 24 * 3_600,
        }
    }
}

/// An application.
#[derive(Clone, Debug)]
pub struct Application {
    /// Whose it is; the nil UUID for one of the installation.
    pub organization_id: OrganizationId,
    /// Its identifier.
    pub id: ApplicationId,
    /// What is said of it.
    pub settings: Settings,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// The organization of what belongs to the installation.
pub fn installation() -> OrganizationId {
    Uuid::nil().into()
}

/// What names an application to the protocol: its organization and its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its identifier.
    pub id: ApplicationId,
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLIENT_ID)?;
        if self.organization_id != installation() {
            write!(f, "{}", self.organization_id.as_uuid().simple())?;
        }
        write!(f, "{}", self.id.as_uuid().simple())
    }
}

impl FromStr for ClientId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix(CLIENT_ID).ok_or(())?;
        let id = |text: &str| -> Result<Uuid, ()> {
            let is_form =
                text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            Uuid::try_parse(text).ok().filter(|_| is_form).ok_or(())
        };
        let (organization, application) = digits
            .split_at_checked(digits.len().saturating_sub(32))
            .ok_or(())?;
        Ok(Self {
            organization_id: match organization {
                "" => installation(),
                organization => Some(id(organization)?)
                    .filter(|id| !id.is_nil())
                    .ok_or(())?
                    .into(),
            },
            id: id(application)?.into(),
        })
    }
}

impl Application {
    /// What names it to the protocol.
    pub fn client_id(&self) -> ClientId {
        ClientId {
            organization_id: self.organization_id,
            id: self.id,
        }
    }

    /// Whether the members of every organization sign in to it.
    pub fn is_of_installation(&self) -> bool {
        self.organization_id == installation()
    }

    /// Whether it proves who it is.
    pub fn is_confidential(&self) -> bool {
        self.settings.authentication != ClientAuthentication::None
    }

    /// Whether it may get tokens in this way.
    pub fn has(&self, grant: Grant) -> bool {
        self.settings.grants.contains(&grant)
    }

    /// What it may learn and do.
    pub fn scopes(&self) -> Scopes {
        self.settings.scopes.iter().copied().collect()
    }

    /// Whether people may be sent to `uri` after signing in.
    pub fn redirects_to(&self, uri: &str) -> bool {
        is_listed(&self.settings.redirect_uris, uri)
    }

    /// Whether people may be sent to `uri` after signing out.
    pub fn returns_to(&self, uri: &str) -> bool {
        is_listed(&self.settings.post_logout_redirect_uris, uri)
    }

    /// Whether whatever program waits at `uri` may be another than it says (RFC 8252, section 8.6): it proves nothing, and any program
    /// can listen on the loopback.
    pub fn may_be_another(&self, uri: &str) -> bool {
        !self.is_confidential() && loopback(uri).is_some()
    }

    /// How long a refresh token lives that is not used.
    pub fn refresh_lifetime(&self) -> TimeDelta {
        TimeDelta::seconds(self.settings.refresh_token_seconds.into())
    }

    /// How long access tokens live.
    pub fn access_lifetime(&self) -> TimeDelta {
        TimeDelta::seconds(self.settings.access_token_seconds.into())
    }
}

/// To the letter; but for the port on the loopback, where programs take any that is free (RFC 8252, section 7.3).
fn is_listed(listed: &[String], uri: &str) -> bool {
    listed.iter().any(|one| {
        one == uri
            || loopback(one)
                .zip(loopback(uri))
                .is_some_and(|(one, uri)| one == uri)
    })
}

/// The host of a URI on the loopback, and what comes behind the port.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let host = ["127.0.0.1", "[::1]", "localhost"]
        .into_iter()
        .find(|host| rest.starts_with(host))?;
    let rest = &rest[host.len()..];
    let rest = match rest.strip_prefix(':') {
        None => rest,
        Some(port) => {
            let end = port.bytes().take_while(u8::is_ascii_digit).count();
            port[..end].parse::<u16>().ok().filter(|port| *port > 0)?;
            &port[end..]
        }
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}

/// What is wrong with a URI that people are sent to, as the end of a sentence that starts with the field.
pub fn check_redirect(uri: &str) -> Result<(), String> {
    let url = check_uri(uri)?;
    let is_loopback = url.scheme() == "http" && loopback(uri).is_some();
    if url.scheme() != "https" && !is_loopback {
        return Err(
            "must begin with https://, or with http:// on 127.0.0.1, [::1] or localhost".to_owned(),
        );
    }
    Ok(())
}

/// What is wrong with a URI that the server asks; whether it may be reached is for the way out to say.
pub fn check_server_uri(uri: &str) -> Result<(), String> {
    let url = check_uri(uri)?;
    match url.scheme() {
        "https" | "http" => Ok(()),
        _ => Err("must begin with https://".to_owned()),
    }
}

fn check_uri(uri: &str) -> Result<Url, String> {
    let is_odd = |c: char| {
        c.is_control()
            || c.is_whitespace()
            || !c.is_ascii()
            || matches!(c, '\\' | '*' | '"' | '<' | '>')
    };
    let problem = if uri.len() > MAX_URI_LENGTH {
        "must have at most 2048 characters"
    } else if uri.contains(is_odd) {
        "must not contain wildcards, blanks or other characters than those of URLs: write names in other scripts in their ASCII form"
    } else if uri.contains('#') {
        "must not have a fragment (#)"
    } else {
        let url = Url::parse(uri)
            .map_err(|_| "must be a URL such as https://app.example.com/callback")?;
        let is_host = matches!(
            url.host(),
            Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_))
        );
        // The parser takes https:///callback for a host that is called so.
        if !is_host || authority(uri).is_empty() {
            "must be a URL such as https://app.example.com/callback"
        } else if !url.username().is_empty()
            || url.password().is_some()
            || authority(uri).contains('@')
        {
            "must not have a user name or password in it"
        } else {
            return Ok(url);
        }
    };
    Err(problem.to_owned())
}

fn authority(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// What is wrong with keys that an application proves itself with: whether they are keys that can be used, the first proof shows.
fn unusable_keys(jwks: &Value) -> Option<&'static str> {
    let keys = jwks.get("keys").and_then(Value::as_array);
    let keys = keys.filter(|keys| !keys.is_empty() && keys.iter().all(Value::is_object));
    let has = |name: &str| {
        keys.into_iter()
            .flatten()
            .any(|key| key.get(name).is_some())
    };
    if keys.is_none() {
        Some(
            r#"must be a JSON Web Key Set such as {"keys": [{"kty": "RSA", …}]}, with at least one key"#,
        )
    } else if has("d") || has("k") {
        Some(
            "must have public keys alone: take out what is secret, the members d and k, and make other keys, because these are known now",
        )
    } else if has_nul(jwks) {
        Some("must not contain the NUL character (U+0000)")
    } else if jwks.to_string().len() > MAX_KEYS_LENGTH {
        Some("must have at most 16384 bytes of JSON")
    } else {
        None
    }
}

/// Whether a text in it has a NUL, which PostgreSQL cannot store.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

impl Settings {
    /// Every rule that the settings break, beside those of the `.proto` file. The fields are called as there.
    pub fn check(&self, is_of_installation: bool) -> Vec<Violation> {
        let mut violations = text::unstorable([("name", &*self.name)]);
        let mut wrong = |field: String, message: String| {
            violations.push(Violation::new(field, Violation::URI, message));
        };
        for (name, uris) in [
            ("redirect_uris", &self.redirect_uris),
            ("post_logout_redirect_uris", &self.post_logout_redirect_uris),
        ] {
            for (index, uri) in uris.iter().enumerate() {
                if let Err(message) = check_redirect(uri) {
                    wrong(format!("{name}[{index}]"), message);
                }
            }
        }
        for (name, uri, check) in [
            ("logo_url", &self.logo_url, check_redirect as fn(&str) -> _),
            (
                "initiate_login_uri",
                &self.initiate_login_uri,
                check_redirect,
            ),
            (
                "backchannel_logout_uri",
                &self.backchannel_logout_uri,
                check_server_uri,
            ),
            ("jwks_uri", &self.jwks_uri, check_server_uri),
        ] {
            if !uri.is_empty()
                && let Err(message) = check(uri)
            {
                wrong(name.to_owned(), message);
            }
        }
        let keys = self.jwks.as_ref().and_then(unusable_keys);
        violations
            .extend(keys.map(|message| Violation::new("jwks", Violation::APPLICATION, message)));
        violations.extend(self.contradictions(is_of_installation));
        violations
    }

    fn contradictions(&self, is_of_installation: bool) -> Vec<Violation> {
        let signs_in = self.grants.contains(&Grant::AuthorizationCode);
        let is_public = self.authentication == ClientAuthentication::None;
        let for_itself = self.grants.contains(&Grant::ClientCredentials);
        let has_keys = self.jwks.is_some() == self.jwks_uri.is_empty();
        let wrong = [
            (
                signs_in && self.redirect_uris.is_empty(),
                "redirect_uris",
                "must have at least one URI, where people are sent after signing in",
            ),
            (
                self.grants.is_empty(),
                "grants",
                "must have at least one: AUTHORIZATION_CODE for an application that signs people in",
            ),
            (
                self.grants.contains(&Grant::RefreshToken) && !signs_in,
                "grants",
                "must have AUTHORIZATION_CODE where they have REFRESH_TOKEN",
            ),
            (
                is_public && !self.require_pkce,
                "require_pkce",
                "must be true for a public application: nothing else proves that the code comes from where it began",
            ),
            (
                is_public && for_itself,
                "grants",
                "must not have CLIENT_CREDENTIALS for a public application, which has none",
            ),
            (
                for_itself && self.service_account.is_none(),
                "service_account_id",
                "must name the service account that the application is, for the grant CLIENT_CREDENTIALS",
            ),
            (
                is_of_installation && (for_itself || self.service_account.is_some()),
                "service_account_id",
                "must be empty for an application of the installation: service accounts belong to organizations",
            ),
            (
                is_of_installation && !self.groups.is_empty(),
                "group_ids",
                "must be empty for an application of the installation: groups belong to organizations",
            ),
            (
                self.authentication == ClientAuthentication::PrivateKey && !has_keys,
                "jwks",
                "must be given for PRIVATE_KEY_JWT, or else jwks_uri: the public keys that the application signs with",
            ),
        ];
        let wrong = wrong.into_iter().filter(|(is_wrong, ..)| *is_wrong);
        wrong
            .map(|(_, field, message)| Violation::new(field, Violation::APPLICATION, message))
            .collect()
    }
}

impl Audited for Application {
    const SUBJECT: SubjectType = SubjectType::Application;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!(self.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(uris: &[&str]) -> Application {
        Application {
            organization_id: installation(),
            id: Uuid::from_u128(7).into(),
            settings: Settings {
                redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
                ..Settings::default()
            },
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn redirects_are_compared_to_the_letter() {
        let application = application(&[
            "https://app.example.com/cb",
            "http://127.0.0.1/cb",
            "http://[::1]:80/cb",
        ]);
        for uri in [
            "https://app.example.com/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:49152/cb",
            "http://[::1]:8080/cb",
        ] {
            assert!(application.redirects_to(uri), "{uri}");
        }
        for uri in [
            "",
            "https://app.example.com/cb/",
            "https://app.example.com/cb?x",
            "https://app.example.com:443/cb",
            "https://APP.example.com/cb",
            "https://app.example.com/CB",
            "https://app.example.com/x/../cb",
            "https://app.example.com/%63b",
            "https://app.example.com/cb#x",
            "https://app.example.com@evil.example/cb",
            "https://app.example.com.evil.example/cb",
            "http://app.example.com/cb",
            "http://127.0.0.1:0/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:80:80/cb",
            "http://127.0.0.1:80@evil.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1@evil.example/cb",
            "http://localhost/cb",
            "https://127.0.0.1:8443/cb",
            "http://[::1]/cb/x",
        ] {
            assert!(!application.redirects_to(uri), "{uri}");
        }
    }

    #[test]
    fn redirects_are_where_nobody_else_listens() {
        for uri in [
            "https://app.example.com/cb",
            "https://app.example.com",
            "https://app.example.com:8443/cb?tenant=1",
            "http://localhost:8080/cb",
            "https://xn--mnchen-3ya.example/cb",
        ] {
            assert_eq!(check_redirect(uri), Ok(()), "{uri}");
        }
        for uri in [
            "",
            "app.example.com/cb",
            "http://app.example.com/cb",
            "https://*.example.com/cb",
            "https://app.example.com/cb#",
            "https://user@app.example.com/cb",
            "https://user:secret@app.example.com/cb",
            "https://@app.example.com/cb",
            "https:app.example.com/cb",
            "https:///cb",
            "https://app.example.com\\cb",
            "https://münchen.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "com.example.app:/cb",
            "http://localhost.evil.example/cb",
            "https://app.example.com/c b",
        ] {
            assert!(check_redirect(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn client_ids_name_the_organization() {
        let of_one = ClientId {
            organization_id: Uuid::from_u128(1).into(),
            id: Uuid::from_u128(2).into(),
        };
        let of_all = ClientId {
            organization_id: installation(),
            ..of_one
        };
        for id in [of_one, of_all] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in [
            "",
            "rcapp_",
            "rcapp_1",
            "rcapp_00000000-0000-0000-0000-000000000002",
            "x",
        ] {
            assert!(text.parse::<ClientId>().is_err(), "{text}");
        }
    }
}
