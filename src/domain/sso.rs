//! SSO configurations: the OpenID Connect providers of an organization.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::ids::{OrganizationId, SsoConfigurationId};
use super::letters::domain_key;
use super::sign_in::is_entra;
use super::{policy, text};
use crate::error::Violation;

/// The most code points of a client id, an issuer URL and a client secret: a page of a hundred
/// configurations stays small.
pub const MAX_TEXT_LENGTH: usize = 2_048;
/// The most e-mail domains of a configuration.
pub const MAX_EMAIL_DOMAINS: usize = 1_000;
/// The most entries of a configuration's claims map.
pub const MAX_CLAIMS: usize = 100;
/// The most code points of a claim's name, on either side of the map.
pub const MAX_CLAIM_LENGTH: usize = 256;

/// An OpenID Connect provider. Its client secret is no part of it: that is stored sealed and leaves
/// the store only to sign somebody in.
#[derive(Clone, Debug)]
pub struct SsoConfiguration {
    /// Its identifier.
    pub id: SsoConfigurationId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// The client's identifier at the provider.
    pub client_id: String,
    /// The provider's issuer identifier.
    pub issuer_url: String,
    /// Whether administrators have it switched on.
    pub is_active: bool,
    /// Whether its client secret has to be entered again, because the key that sealed it is lost.
    pub needs_client_secret: bool,
    /// Our claim names (`email`, `name`, `picture`, …) to the provider's.
    pub claims: BTreeMap<String, String>,
    /// Whose addresses may sign in, as they were sent; empty for any.
    pub email_domains: Vec<String>,
    /// What people see it called; may be empty.
    pub display_name: String,
    /// Asked for beside `openid email profile`.
    pub additional_scopes: Vec<String>,
    /// A CEL expression over `claims` that must be true to let somebody in; empty for everybody.
    pub claims_expression: String,
    /// When a test sign-in last let somebody in through it as it is.
    pub tested_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl SsoConfiguration {
    /// A new, active configuration of nothing yet: a change fills it in.
    pub fn new(
        id: SsoConfigurationId,
        organization_id: OrganizationId,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            organization_id,
            client_id: String::new(),
            issuer_url: String::new(),
            is_active: true,
            needs_client_secret: false,
            claims: BTreeMap::new(),
            email_domains: vec![],
            display_name: String::new(),
            additional_scopes: vec![],
            claims_expression: String::new(),
            tested_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether people can sign in with it.
    pub const fn is_usable(&self) -> bool {
        self.is_active && !self.needs_client_secret
    }

    /// What must be unique in an organization, the client's registration at the provider, in a
    /// size that fits an index: SHA-256 of the issuer's length, the issuer and the client id.
    pub fn registration_digest(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update((self.issuer_url.len() as u64).to_be_bytes())
            .chain_update(&self.issuer_url)
            .chain_update(&self.client_id)
            .finalize()
            .into()
    }

    /// Its e-mail domains in the form in which equal ones are equal.
    pub fn email_domain_keys(&self) -> Vec<String> {
        self.email_domains
            .iter()
            .map(|domain| domain_key(domain).into_owned())
            .collect()
    }

    /// Whether sessions that began through it must end when it becomes `after`: it is switched off,
    /// or is another client's or another provider's.
    pub fn ends_sessions(&self, after: &Self) -> bool {
        let client = |c: &Self| (c.issuer_url.clone(), c.client_id.clone());
        !after.is_active || client(self) != client(after)
    }

    /// Whether a login that the provider vouched for while it was `before` is good now that it is this: nothing
    /// of what was verified, and of what claims were asked for, is another. Whom it admits may be.
    pub fn takes_logins_of(&self, before: &Self) -> bool {
        self.is_usable()
            && self.issuer_url == before.issuer_url
            && self.client_id == before.client_id
            && self.claims == before.claims
            && self.claims_expression == before.claims_expression
    }

    /// Whether a test of `before` says something of this one, too: nothing differs that a sign-in depends on.
    fn is_tested_by(&self, before: &Self) -> bool {
        self.issuer_url == before.issuer_url
            && self.client_id == before.client_id
            && self.claims == before.claims
            && self.additional_scopes == before.additional_scopes
            && self.claims_expression == before.claims_expression
    }

    /// What people see it called: its display name, or else its issuer without the scheme.
    pub fn display_name(&self) -> &str {
        if !self.display_name.is_empty() {
            return &self.display_name;
        }
        let place = self
            .issuer_url
            .split_once("://")
            .map_or(&*self.issuer_url, |(_, place)| place);
        place.trim_end_matches('/')
    }

    /// How an administrator recognises it: its display name, or else its issuer, and its id.
    pub fn label(&self) -> String {
        let name = if self.display_name.is_empty() {
            &self.issuer_url
        } else {
            &self.display_name
        };
        format!("{name:?} ({})", self.id)
    }
}

impl Audited for SsoConfiguration {
    const SUBJECT: SubjectType = SubjectType::SsoConfiguration;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    /// All but the client secret.
    fn audited(&self) -> Value {
        json!({
            "client_id": self.client_id,
            "issuer_url": self.issuer_url,
            "state": if self.is_usable() { "active" } else { "inactive" },
            "needs_client_secret": self.needs_client_secret,
            "claims": self.claims,
            "email_domains": self.email_domains,
            "display_name": self.display_name,
            "additional_scopes": self.additional_scopes,
            "claims_expression": self.claims_expression,
        })
    }
}

/// A change of an SSO configuration: `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct SsoChange {
    /// The client's identifier at the provider.
    pub client_id: Option<String>,
    /// The provider's issuer identifier.
    pub issuer_url: Option<String>,
    /// Whether people can sign in with it.
    pub is_active: Option<bool>,
    /// Replaces all claims.
    pub claims: Option<BTreeMap<String, String>>,
    /// Replaces all e-mail domains.
    pub email_domains: Option<Vec<String>>,
    /// What people see it called.
    pub display_name: Option<String>,
    /// Replaces all additional scopes.
    pub additional_scopes: Option<Vec<String>>,
    /// The CEL expression; empty clears it.
    pub claims_expression: Option<String>,
}

impl SsoChange {
    /// Checks what the `.proto` file's rules cannot say. An expression can take tens of
    /// milliseconds.
    pub fn check(&self) -> Vec<Violation> {
        let mut violations = self.text_violations();
        violations.extend(self.length_violations());
        violations.extend(self.client_id.as_deref().and_then(blanks_violation));
        violations.extend(self.email_domains.as_deref().and_then(too_many_domains));
        violations.extend(self.claims.iter().flat_map(claims_violations));
        if let Some(Err(reason)) = self.claims_expression.as_deref().map(policy::check) {
            violations.push(Violation::new(
                "claims_expression",
                Violation::CLAIMS_EXPRESSION,
                reason,
            ));
        }
        violations
    }

    fn text_violations(&self) -> Vec<Violation> {
        let single = [
            ("client_id", &self.client_id),
            ("issuer_url", &self.issuer_url),
            ("display_name", &self.display_name),
            ("claims_expression", &self.claims_expression),
        ];
        let single = single
            .iter()
            .filter_map(|(field, text)| Some((*field, text.as_deref()?)));
        let claims = self
            .claims
            .iter()
            .flatten()
            .flat_map(|(ours, theirs)| [ours, theirs]);
        let scopes = self.additional_scopes.iter().flatten();
        let lists = claims
            .map(|text| ("claims", &**text))
            .chain(scopes.map(|text| ("additional_scopes", &**text)));
        text::unstorable(single.chain(lists))
    }

    fn length_violations(&self) -> impl Iterator<Item = Violation> {
        [
            ("client_id", &self.client_id),
            ("issuer_url", &self.issuer_url),
        ]
        .into_iter()
        .filter_map(|(field, text)| too_long(field, text.as_deref()?))
    }

    /// Carries the change out.
    pub fn apply(self, configuration: &mut SsoConfiguration, now: DateTime<Utc>) {
        let c = configuration;
        let before = c.clone();
        replace(&mut c.client_id, self.client_id);
        replace(&mut c.issuer_url, self.issuer_url);
        replace(&mut c.is_active, self.is_active);
        replace(&mut c.claims, self.claims);
        replace(&mut c.email_domains, self.email_domains);
        replace(&mut c.display_name, self.display_name);
        replace(&mut c.additional_scopes, self.additional_scopes);
        replace(&mut c.claims_expression, self.claims_expression);
        c.tested_at = c.tested_at.filter(|_| c.is_tested_by(&before));
        // Tells two states apart, whatever the clocks of two processes say.
        c.updated_at = now.max(c.updated_at + TimeDelta::microseconds(1));
    }
}

/// The broken rule of a text of more than [`MAX_TEXT_LENGTH`] code points.
pub fn too_long(field: &str, text: &str) -> Option<Violation> {
    let message = || format!("must have at most {MAX_TEXT_LENGTH} characters");
    (text.chars().count() > MAX_TEXT_LENGTH)
        .then(|| Violation::new(field, Violation::LENGTH, message()))
}

/// What is copied from a page often brings a blank or the end of a line along. It is refused and not taken
/// away, so that what is read is what was written.
fn blanks_violation(client_id: &str) -> Option<Violation> {
    let message = "must not begin or end with blanks or line breaks: copy it without them";
    (client_id.trim() != client_id).then(|| Violation::new("client_id", Violation::BLANKS, message))
}

/// The documents about a provider that people take for its issuer.
const DOCUMENTS: [&str; 2] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

/// Why a provider can never be used under this issuer, as far as the text tells (OpenID Connect Discovery,
/// section 3), in words that follow its name.
pub fn unusable_issuer(issuer: &str) -> Option<String> {
    let Ok(url) = Url::parse(issuer) else {
        return Some("must be a URL such as https://accounts.example.com".to_owned());
    };
    if issuer.trim() != issuer || issuer.contains(|c: char| c.is_control()) {
        return Some("must not have blanks or line breaks: copy it without them".to_owned());
    }
    if !matches!(url.scheme(), "https" | "http") {
        return Some("must begin with https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("must not have a user name or a password".to_owned());
    }
    if let Some(document) = DOCUMENTS
        .iter()
        .find(|document| url.path().ends_with(*document))
    {
        return Some(format!(
            "is the address of a document about the provider: leave out {document}"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Some("must not have a query (?) or a fragment (#)".to_owned());
    }
    let tenant = url.path_segments().and_then(|mut segments| segments.next());
    let tenant = tenant.unwrap_or_default();
    if is_entra(issuer) && matches!(tenant, "common" | "organizations" | "consumers") {
        return Some(format!(
            "names no tenant: put your tenant's ID in the place of {tenant:?}, as in https://login.microsoftonline.com/<tenant ID>/v2.0"
        ));
    }
    None
}

fn too_many_domains(domains: &[String]) -> Option<Violation> {
    let message = || format!("must have at most {MAX_EMAIL_DOMAINS} entries");
    (domains.len() > MAX_EMAIL_DOMAINS)
        .then(|| Violation::new("email_domains", Violation::COUNT, message()))
}

fn claims_violations(claims: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = vec![];
    if claims.len() > MAX_CLAIMS {
        let message = format!("must have at most {MAX_CLAIMS} entries");
        violations.push(Violation::new("claims", Violation::COUNT, message));
    }
    let is_fitting = |name: &String| (1..=MAX_CLAIM_LENGTH).contains(&name.chars().count());
    if !claims
        .iter()
        .all(|(ours, theirs)| is_fitting(ours) && is_fitting(theirs))
    {
        let message =
            format!("must have names of 1 to {MAX_CLAIM_LENGTH} characters on both sides");
        violations.push(Violation::new("claims", Violation::LENGTH, message));
    }
    violations
}

/// Sets `field` when there is a value to set it to.
pub(super) fn replace<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// What is sealed in the place of a client secret that is forgotten. It is no UTF-8, so that nothing takes it for a
/// client secret and sends it to a provider.
pub const FORGOTTEN_SECRET: &[u8] = &[0xff];

/// What a client secret is sealed for: it opens for no other configuration or organization.
pub fn client_secret_context(organization_id: OrganizationId, id: SsoConfigurationId) -> Vec<u8> {
    [
        b"client-secret\0",
        organization_id.as_uuid().as_bytes().as_slice(),
        id.as_uuid().as_bytes(),
    ]
    .concat()
}

/// What the key pair of a configuration is sealed for.
pub fn client_key_context(organization_id: OrganizationId, id: SsoConfigurationId) -> Vec<u8> {
    [
        b"client-key\0",
        organization_id.as_uuid().as_bytes().as_slice(),
        id.as_uuid().as_bytes(),
    ]
    .concat()
}

/// The e-mail domains of a request without the blanks around them, and what is wrong with them. The older single
/// `email_domain` joins the list in front, once.
pub fn email_domains(single: Option<String>, list: Vec<String>) -> (Vec<String>, Vec<Violation>) {
    let trim = |domain: String| domain.trim().to_owned();
    let single = single.map(trim);
    let mut list: Vec<String> = list.into_iter().map(trim).collect();
    let mut violations = vec![];
    let leading = single
        .iter()
        .map(|domain| ("email_domain".to_owned(), domain));
    let others = list.iter().enumerate();
    let others = others.map(|(i, domain)| (format!("email_domains[{i}]"), domain));
    for (field, domain) in leading.chain(others) {
        if !text::is_domain(&domain_key(domain)) {
            let message = "must be a domain name such as example.com, without @";
            violations.push(Violation::new(field, Violation::DOMAIN, message));
        }
    }
    let mut seen = HashSet::new();
    if !list.iter().all(|domain| seen.insert(domain_key(domain))) {
        let message = "must not hold the same domain twice, in whatever spelling";
        violations.push(Violation::new("email_domains", Violation::UNIQUE, message));
    }
    if let Some(single) = single {
        list.retain(|domain| domain_key(domain) != domain_key(&single));
        list.insert(0, single);
    }
    (list, violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_that_can_never_be_used_say_why() {
        for (issuer, words) in [
            ("accounts.example.com", "must be a URL"),
            ("file:///etc/passwd", "must begin with https://"),
            ("https://accounts.example.com\n", "blanks or line breaks"),
            (" https://accounts.example.com", "blanks or line breaks"),
            ("https://ada:secret@accounts.example.com", "a user name"),
            ("https://ada@accounts.example.com", "a user name"),
            ("https://accounts.example.com/?x=1", "a query"),
            ("https://accounts.example.com/#x", "a fragment"),
            (
                "https://accounts.example.com/.well-known/openid-configuration",
                "leave out /.well-known/openid-configuration",
            ),
            (
                "https://login.microsoftonline.com/common/v2.0",
                "your tenant's ID in the place of \"common\"",
            ),
            (
                "https://login.microsoftonline.com/organizations/v2.0",
                "organizations",
            ),
            ("https://login.microsoftonline.us/consumers", "consumers"),
        ] {
            let reason = unusable_issuer(issuer).unwrap_or_default();
            assert!(reason.contains(words), "{issuer}: {reason}");
        }
        for issuer in [
            "https://accounts.example.com",
            "https://accounts.example.com/",
            "https://example.okta.com/oauth2/default",
            "https://common.example.com/organizations",
            "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
            "http://127.0.0.1:8080/realms/x",
        ] {
            assert_eq!(unusable_issuer(issuer), None, "{issuer}");
        }
    }

    #[test]
    fn the_single_domain_leads_and_is_not_repeated() {
        let list = vec!["a.com".to_owned(), "B.com.".to_owned()];
        let (domains, violations) = email_domains(Some(" b.com".into()), list.clone());
        assert_eq!(domains, ["b.com", "a.com"]);
        assert_eq!(violations, []);
        assert_eq!(email_domains(None, list).0, ["a.com", "B.com."]);
    }

    #[test]
    fn one_domain_in_two_spellings_is_one() {
        let fields = |single: Option<&str>, list: &[&str]| -> Vec<String> {
            let list = list.iter().map(ToString::to_string).collect();
            let (_, violations) = email_domains(single.map(Into::into), list);
            violations.into_iter().map(|v| v.field).collect()
        };
        for two in [
            ["bücher.example", "XN--bcher-kva.example"],
            ["example.com", "Example.com."],
            ["example.com", " ｅxample。com"],
        ] {
            assert_eq!(fields(None, &two), ["email_domains"], "{two:?}");
            assert_eq!(fields(Some(two[0]), &two[1..]), [""; 0], "{two:?}");
        }
        let bad = ["example.com", "exam%ple.com", "my_host.bücher.example"];
        assert_eq!(
            fields(Some("@example.com"), &bad),
            ["email_domain", "email_domains[1]", "email_domains[2]"]
        );
    }
}
