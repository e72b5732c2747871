//! What the claims of a person mean here.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::grant::Authentication;
use crate::domain::letters::address_key;
use crate::domain::policy::Named;
use crate::domain::sign_in::{
    Check, MAX_NAME_LENGTH, MAX_PICTURE_LENGTH, MAX_SUBJECT_LENGTH, Person, Refusal, email_domain,
    is_entra, origin,
};
use crate::domain::sso::SsoConfiguration;
use crate::oidc::{Claims, DOMAIN_OWNER_VERIFIED};

/// The longest name of a way to sign in (`amr`, `acr`), in bytes, and the most of them.
const MAX_METHOD_LENGTH: usize = 255;
const MAX_METHODS: usize = 20;

/// The provider's claim for ours.
fn claim<'a>(
    configuration: &SsoConfiguration,
    claims: &'a Claims,
    ours: &str,
) -> Option<&'a Value> {
    let theirs = configuration.claims.get(ours).map_or(ours, String::as_str);
    claims.get(theirs).filter(|value| !value.is_null())
}

fn text<'a>(configuration: &SsoConfiguration, claims: &'a Claims, ours: &str) -> Option<&'a str> {
    let value = claim(configuration, claims, ours)?.as_str()?.trim();
    (!value.is_empty()).then_some(value)
}

/// Whether the userinfo may have what the ID token has not: `named` are the claims of the expression.
pub fn is_missing(configuration: &SsoConfiguration, named: &Named, claims: &Claims) -> bool {
    let ours = ["email", "email_verified", "name"];
    let is_absent = |name: &str| claim(configuration, claims, name).is_none();
    let expression_lacks = match named {
        Named::These(names) => names.iter().any(|name| !claims.contains_key(name)),
        Named::Any => true,
    };
    ours.into_iter().any(is_absent) || expression_lacks
}

/// Who the claims are about.
///
/// # Errors
///
/// Claims that say nothing of who it is, or an address that may not sign in here.
pub fn person(configuration: &SsoConfiguration, claims: &Claims) -> Result<Person, Refusal> {
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_subject =
        (1..=MAX_SUBJECT_LENGTH).contains(&subject.chars().count()) && !subject.contains('\0');
    if !is_subject {
        return Err(Refusal::new(
            Check::IdToken,
            format!("the claim sub must have 1 to {MAX_SUBJECT_LENGTH} characters"),
        ));
    }
    let email = address(configuration, claims)?;
    let domain = email_domain(email).ok_or_else(|| {
        Refusal::new(
            Check::Email,
            "the provider sends something as the address that is none",
        )
    })?;
    let domains = configuration.email_domain_keys();
    if !domains.is_empty() && !domains.contains(&domain) {
        return Err(Refusal::new(
            Check::Email,
            format!(
                "addresses of {domain} do not sign in through this configuration: add the domain to email_domains, if they shall"
            ),
        ));
    }
    Ok(Person {
        issuer: configuration.issuer_url.clone(),
        subject: subject.to_owned(),
        email: email.to_owned(),
        email_verified: email_verified(configuration, claims, email),
        name: name(configuration, claims),
        given_name: part_of_name(configuration, claims, "given_name"),
        family_name: part_of_name(configuration, claims, "family_name"),
        picture: picture(configuration, claims),
        object_id: object_id(configuration, claims),
    })
}

/// What one field of a person is made of.
pub struct Mapped<'a> {
    /// The field here.
    pub field: &'static str,
    /// The provider's claim.
    pub claim: &'a str,
    /// What the field is: as the person has it if there is one, otherwise as it was sent.
    pub value: Option<Value>,
}

/// What becomes of the claims, field by field: for people.
pub fn mapped<'a>(
    configuration: &'a SsoConfiguration,
    claims: &Claims,
    person: Option<&Person>,
) -> Vec<Mapped<'a>> {
    let of_person = |field: &str| {
        let person = person?;
        let text = match field {
            "subject" => &person.subject,
            "email" => &person.email,
            "email_verified" => return person.email_verified.map(Value::from),
            "name" => &person.name,
            "given_name" => &person.given_name,
            "family_name" => &person.family_name,
            "picture" => &person.picture,
            _ => return person.object_id.clone().map(Value::from),
        };
        (!text.is_empty()).then(|| Value::from(&**text))
    };
    let fields = [
        ("subject", "sub"),
        ("email", "email"),
        ("email_verified", "email_verified"),
        ("name", "name"),
        ("given_name", "given_name"),
        ("family_name", "family_name"),
        ("picture", "picture"),
        ("object_id", "oid"),
    ];
    let is_used =
        |(field, _): &(&str, &str)| *field != "object_id" || is_entra(&configuration.issuer_url);
    let row = |(field, standard): (&'static str, &'static str)| {
        // Two of them are always called the same.
        let theirs = configuration.claims.get(standard);
        let theirs = theirs.filter(|_| !matches!(standard, "sub" | "oid"));
        let claim = theirs.map_or(standard, String::as_str);
        let sent = || claims.get(claim).filter(|value| !value.is_null()).cloned();
        Mapped {
            field,
            claim,
            value: match person {
                Some(_) => of_person(field),
                None => sent(),
            },
        }
    };
    fields.into_iter().filter(is_used).map(row).collect()
}

/// How the person proved to the provider who it is (OpenID Connect Core, section 2): what applications are told of it. A time in the
/// future is none.
pub fn authentication(claims: &Claims, now: DateTime<Utc>) -> Authentication {
    let time = claims.get("auth_time").and_then(Value::as_i64);
    let time = time.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let is_fit = |text: &str| (1..=MAX_METHOD_LENGTH).contains(&text.len()) && !text.contains('\0');
    let methods = claims.get("amr").and_then(Value::as_array);
    let methods = methods.into_iter().flatten().filter_map(Value::as_str);
    let class = claims.get("acr").and_then(Value::as_str);
    Authentication {
        time: time.filter(|time| *time <= now),
        methods: methods
            .filter(|text| is_fit(text))
            .take(MAX_METHODS)
            .map(str::to_owned)
            .collect(),
        class: class.filter(|text| is_fit(text)).map(str::to_owned),
    }
}

/// The address. Some claims are lists of them (Entra's `emails`): one of several would be chosen by chance.
fn address<'a>(configuration: &SsoConfiguration, claims: &'a Claims) -> Result<&'a str, Refusal> {
    let theirs = configuration
        .claims
        .get("email")
        .map_or("email", String::as_str);
    let refuse = |text: String| Err(Refusal::new(Check::Email, text));
    let value = match claims.get(theirs) {
        Some(Value::Array(list)) if list.len() > 1 => {
            return refuse(format!(
                "the provider sends several addresses (claim {theirs:?}), and the right one cannot be told: map email to a claim with one"
            ));
        }
        Some(Value::Array(list)) => list.first(),
        value => value,
    };
    match value.and_then(Value::as_str).map(str::trim) {
        Some(email) if !email.is_empty() => Ok(email),
        _ => refuse(format!(
            "the provider sends no address (claim {theirs:?}): have it send the claim, or map email to the one that has the address"
        )),
    }
}

/// Only Entra ID's claim `oid` is known to name a person for good; elsewhere it may be anything.
fn object_id(configuration: &SsoConfiguration, claims: &Claims) -> Option<String> {
    let id = claims.get("oid").and_then(Value::as_str)?;
    let is_id = (1..=MAX_SUBJECT_LENGTH).contains(&id.chars().count()) && !id.contains('\0');
    (is_id && is_entra(&configuration.issuer_url)).then(|| id.to_owned())
}

/// Whether the address is verified. The claim `email_verified` speaks of the claim `email` (OpenID
/// Connect Core, section 5.1): of an address that is taken from another claim it says nothing, unless
/// it is the same, or the configuration says which claim does.
///
/// Entra ID sends another claim in its place, whose yes counts. Its no says that the domain is none of
/// the directory's verified ones, not that the address is somebody else's: it is as if nothing was said.
fn email_verified(configuration: &SsoConfiguration, claims: &Claims, email: &str) -> Option<bool> {
    let standard = claims.get("email").and_then(Value::as_str).map(str::trim);
    let is_standard = standard.is_some_and(|standard| address_key(standard) == address_key(email));
    let theirs = configuration.claims.get("email_verified");
    let name = theirs.map_or("email_verified", String::as_str);
    let Some(verified) = claims.get(name).map(is_true) else {
        let is_owned = claims.get(DOMAIN_OWNER_VERIFIED).is_some_and(is_owned);
        return (is_standard && is_owned).then_some(true);
    };
    Some(verified).filter(|verified| is_standard || theirs.is_some() || !verified)
}

/// Some providers write booleans as texts. Whatever else it says, it is no yes.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// Entra ID has several ways to say yes in `xms_edov`.
fn is_owned(value: &Value) -> bool {
    is_true(value) || value == "1" || *value == 1
}

fn name(configuration: &SsoConfiguration, claims: &Claims) -> String {
    let part = |name| text(configuration, claims, name);
    let parts: Vec<&str> = [part("given_name"), part("family_name")]
        .into_iter()
        .flatten()
        .collect();
    let name = match part("name") {
        Some(name) => name.to_owned(),
        None => parts.join(" "),
    };
    fitting(&name)
}

fn part_of_name(configuration: &SsoConfiguration, claims: &Claims, part: &str) -> String {
    fitting(text(configuration, claims, part).unwrap_or_default())
}

fn fitting(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAME_LENGTH)
        .collect()
}

/// An address that a page may show as a picture, or none.
fn picture(configuration: &SsoConfiguration, claims: &Claims) -> String {
    let url = text(configuration, claims, "picture").unwrap_or_default();
    let is_fit = url.chars().count() <= MAX_PICTURE_LENGTH && origin(url).is_some();
    if is_fit {
        url.to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn configuration(issuer: &str) -> SsoConfiguration {
        let id = Uuid::from_u128(7);
        let mut configuration = SsoConfiguration::new(id.into(), id.into(), DateTime::UNIX_EPOCH);
        configuration.issuer_url = issuer.to_owned();
        configuration
    }

    fn claims(more: Value) -> Claims {
        let mut claims = json!({ "sub": "pairwise", "email": "ada@example.com" });
        let more = more.as_object().cloned().unwrap_or_default();
        claims.as_object_mut().unwrap().extend(more);
        claims.as_object().unwrap().clone()
    }

    #[test]
    fn entra_names_a_person_by_oid_and_nobody_else_does() {
        let oid = json!({ "oid": "5f2c9f2e-7a4c-4f0e-9a52-7a8f2a6f3a11" });
        for (issuer, is_entra) in [
            (
                "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
                true,
            ),
            (
                "https://sts.windows.net/11111111-2222-3333-4444-555555555555/",
                true,
            ),
            ("https://login.microsoftonline.us/x/v2.0", true),
            ("https://login.partner.microsoftonline.cn/x/v2.0", true),
            ("https://contoso.ciamlogin.com/x/v2.0", true),
            ("https://accounts.example.com", false),
            (
                "https://login.microsoftonline.com.evil.example/x/v2.0",
                false,
            ),
            ("https://evil.example/login.microsoftonline.com", false),
            ("http://login.microsoftonline.com/x/v2.0", false),
            ("https://login.microsoftonline.com:8443/x/v2.0", false),
            ("https://evilciamlogin.com/x", false),
        ] {
            let person = person(&configuration(issuer), &claims(oid.clone())).unwrap();
            assert_eq!(person.object_id.is_some(), is_entra, "{issuer}");
            assert_eq!(person.external_ids().len(), if is_entra { 2 } else { 1 });
        }
    }

    #[test]
    fn an_oid_that_is_no_identifier_is_none() {
        let entra = configuration("https://login.microsoftonline.com/x/v2.0");
        for odd in [
            json!(""),
            json!(7),
            json!(null),
            json!(["x"]),
            json!("a\0b"),
            json!("x".repeat(256)),
        ] {
            let person = person(&entra, &claims(json!({ "oid": odd }))).unwrap();
            assert_eq!(person.object_id, None, "{odd}");
        }
    }
}
