//! Signing in: the person that a provider names, the record of each attempt, and the reasons to refuse one.

use std::net::{IpAddr, Ipv6Addr};

use chrono::{DateTime, TimeDelta, Utc};
use http::uri::Authority;
use sha2::{Digest, Sha256};

use super::ids::{LoginId, MemberId, OrganizationId, SsoConfigurationId};
use super::letters::{address_key, domain_key};
use super::names::named;
use crate::error::Error;

/// How long a person may take at the provider.
pub const LOGIN_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// The most code points of a provider's subject (OpenID Connect Core, section 2: 255 ASCII characters).
pub const MAX_SUBJECT_LENGTH: usize = 255;
/// The most code points of an address (RFC 5321 has 254 octets).
pub const MAX_EMAIL_LENGTH: usize = 254;
/// The most code points of a name and of a picture's address, of which more is cut off or left out.
pub const MAX_NAME_LENGTH: usize = 256;
/// See [`MAX_NAME_LENGTH`].
pub const MAX_PICTURE_LENGTH: usize = 2_048;

/// Who signs in, as the provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The provider.
    pub issuer: String,
    /// The `sub` claim: the provider never gives it to another person.
    pub subject: String,
    /// The address.
    pub email: String,
    /// Whether the person proved to own the address; `None` when the provider does not say.
    pub email_verified: Option<bool>,
    /// The name; may be empty.
    pub name: String,
    /// Its parts; may be empty.
    pub given_name: String,
    /// See `given_name`.
    pub family_name: String,
    /// Where the picture is; may be empty.
    pub picture: String,
    /// What Entra ID calls the person in every application (the claim `oid`): its `sub` differs from
    /// one application to the next.
    pub object_id: Option<String>,
}

impl Person {
    /// What provisioning may call the person in `externalId`.
    pub fn external_ids(&self) -> Vec<String> {
        let subject = [self.subject.clone()];
        subject.into_iter().chain(self.object_id.clone()).collect()
    }

    /// The address in the form in which equal ones are equal.
    pub fn email_key(&self) -> String {
        address_key(&self.email).into_owned()
    }

    /// What makes the person the same at each login, in a size that fits an index: SHA-256 of the
    /// issuer's length, the issuer and the subject.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update((self.issuer.len() as u64).to_be_bytes())
            .chain_update(&self.issuer)
            .chain_update(&self.subject)
            .finalize()
            .into()
    }
}

/// The [key](domain_key) of an address's domain; `None` for what is no address.
pub fn email_domain(email: &str) -> Option<String> {
    let (local, domain) = email.rsplit_once('@')?;
    let is_address = !local.is_empty()
        && !domain.is_empty()
        && email.chars().count() <= MAX_EMAIL_LENGTH
        && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    is_address.then(|| domain_key(domain).into_owned())
}

/// Whether an issuer is Entra ID, in one of its clouds.
pub fn is_entra(issuer: &str) -> bool {
    let host = origin(issuer);
    let host = host
        .as_deref()
        .and_then(|origin| origin.strip_prefix("https://"));
    host.is_some_and(|host| {
        matches!(
            host,
            "login.microsoftonline.com"
                | "login.microsoftonline.us"
                | "login.partner.microsoftonline.cn"
                | "sts.windows.net"
        ) || host.ends_with(".ciamlogin.com")
    })
}

named! {
    /// Which check kept a person out.
    pub enum Check {
        /// The provider does not answer as it must.
        Provider = "provider",
        /// The answer came to another browser, too late, or again.
        Login = "login",
        /// The provider refused.
        Authorization = "authorization",
        /// The answer is another provider's.
        Issuer = "issuer",
        /// The code is not exchanged for tokens.
        Code = "code",
        /// The ID token.
        IdToken = "id_token",
        /// The userinfo.
        Userinfo = "userinfo",
        /// The address.
        Email = "email",
        /// The claims expression.
        ClaimsExpression = "claims_expression",
        /// The member.
        Member = "member",
        /// The configuration.
        Configuration = "configuration",
        /// The client secret is lost with the key that sealed it.
        ClientSecret = "client_secret",
    }
}

named! {
    /// How an attempt to sign in ended.
    pub enum AttemptOutcome {
        /// The person has a session.
        SignedIn = "signed_in",
        /// The person was kept out.
        Refused = "refused",
    }
}

/// Why a person is kept out, for administrators. It has no secret and, of the claims, no value but
/// address and subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The check.
    pub check: Check,
    /// The reason in plain words, and what to do.
    pub reason: String,
    /// The part of the claims expression that was not true.
    pub part: Option<String>,
}

impl Refusal {
    /// A refusal.
    pub fn new(check: Check, reason: impl Into<String>) -> Self {
        Self {
            check,
            reason: reason.into(),
            part: None,
        }
    }
}

/// Why nobody is signed in.
#[derive(Debug)]
pub enum SignInError {
    /// The person is kept out, and administrators can read why.
    Refused(Refusal),
    /// Neither the person's nor the provider's doing.
    Fault(Error),
}

impl From<Refusal> for SignInError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for SignInError {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

/// The record of an attempt to sign in.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The reference that the person is shown.
    pub id: LoginId,
    /// Whether other tries have the same reference: the first of them alone is kept.
    pub is_shared: bool,
    /// The organization whose provider it was.
    pub organization_id: OrganizationId,
    /// Through which provider.
    pub sso_configuration_id: SsoConfigurationId,
    /// When the answer of the provider arrived.
    pub at: DateTime<Utc>,
    /// Why it was refused, if it was.
    pub refusal: Option<Refusal>,
    /// A remark for administrators about an attempt that was not refused, such as an address that another member keeps.
    pub note: Option<String>,
    /// The address, if it is known.
    pub email: Option<String>,
    /// The subject, if it is known.
    pub subject: Option<String>,
    /// The names of the claims.
    pub claim_names: Vec<String>,
    /// The member, if it is known.
    pub user_id: Option<MemberId>,
}

impl Attempt {
    /// A try that begins now, of which nothing else is known yet.
    pub const fn new(
        id: LoginId,
        organization_id: OrganizationId,
        sso_configuration_id: SsoConfigurationId,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            is_shared: false,
            organization_id,
            sso_configuration_id,
            at: now,
            refusal: None,
            note: None,
            email: None,
            subject: None,
            claim_names: vec![],
            user_id: None,
        }
    }
}

/// Settings of signing in.
#[derive(Clone, Debug)]
pub struct SignInSettings {
    /// Origins that a login may return to, beside that of the public URL.
    pub return_origins: Vec<String>,
    /// How long a session lives without being used.
    pub session_idle: TimeDelta,
    /// How long a session lives.
    pub session_lifetime: TimeDelta,
    /// Whether an address signs in only where its domain is verified for the organization.
    pub require_verified_domains: bool,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            return_origins: vec![],
            session_idle: TimeDelta::hours(12),
            session_lifetime: TimeDelta::days(7),
            require_verified_domains: false,
        }
    }
}

/// The origin of a URL as browsers write it (RFC 6454, section 6.1); `None` for a text that is not an
/// http or https URL, and for a URL that browsers may read in another way.
pub fn origin(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let is_odd = |b: u8| b == b'\\' || b.is_ascii_control() || b == b' ';
    let scheme = uri
        .scheme_str()
        .filter(|s| matches!(*s, "http" | "https"))?;
    let authority = uri.authority()?;
    if url.bytes().any(is_odd) || authority.as_str().contains('@') || !has_good_port(authority) {
        return None;
    }
    let default_port = if scheme == "https" { 443 } else { 80 };
    let host = authority.host().to_ascii_lowercase();
    if !is_host(&host) {
        return None;
    }
    Some(match authority.port_u16() {
        Some(port) if port != default_port => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    })
}

/// Whether nothing but a valid port follows the host. The library drops an invalid port without an error.
pub fn has_good_port(authority: &Authority) -> bool {
    let (_, place) = authority
        .as_str()
        .rsplit_once('@')
        .unwrap_or(("", authority.as_str()));
    match place.strip_prefix(authority.host()) {
        Some("") => true,
        Some(rest) => rest.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        }),
        None => false,
    }
}

/// Whether a text is a name or an address of a host, without wildcards.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !label.is_empty() && label.bytes().all(is_part)
    };
    host.strip_suffix('.')
        .unwrap_or(host)
        .split('.')
        .all(is_label)
}

/// Whether a public URL is on this very machine, where browsers trust http as well.
pub fn is_loopback(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok();
    let host = host.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_take_them_for() {
        for (url, expected) in [
            (
                "https://app.example.com/x?y#z",
                Some("https://app.example.com"),
            ),
            (
                "https://APP.example.com:443",
                Some("https://app.example.com"),
            ),
            ("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080")),
            (
                "https://app.example.com:8443/",
                Some("https://app.example.com:8443"),
            ),
            ("http://[::1]:8080/", Some("http://[::1]:8080")),
            ("https://user@app.example.com/", None),
            ("https://app.example.com:99999/", None),
            ("https://app.example.com:0/", None),
            ("https://app.example.com:+443/", None),
            ("https://app.example.com:/", None),
            ("https://*.example.com/", None),
            ("https://app..example.com/", None),
            ("https://[::1/", None),
            ("https://app.example.com\\@evil.example/", None),
            ("//evil.example/", None),
            ("/path", None),
            ("javascript:alert(1)", None),
            ("https://app.example.com /", None),
            ("", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn domains_of_addresses() {
        assert_eq!(
            email_domain("Ada@Example.COM").as_deref(),
            Some("example.com")
        );
        assert_eq!(
            email_domain("\"a@b\"@example.com").as_deref(),
            Some("example.com")
        );
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            "a\n@example.com",
        ] {
            assert_eq!(email_domain(text), None, "{text:?}");
        }
    }
}
