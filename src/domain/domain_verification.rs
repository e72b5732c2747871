//! Domain verifications: how an organization proves that it owns a domain.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::ids::{DomainVerificationId, OrganizationId};
use super::letters::domain_key;
use super::text;
use crate::error::{Error, Violation};

/// Where below the domain the TXT record is.
const RECORD_LABEL: &str = "_rollcall-challenge";
/// What the text of the record begins with.
const RECORD_KEY: &str = "rollcall-verification";
/// The most characters of a domain: with the label before it, it must still be a name (RFC 1035,
/// section 2.3.4).
const MAX_DOMAIN_LENGTH: usize = 253 - RECORD_LABEL.len() - 1;

/// How many of the records that were found an error shows, and how many characters of each.
const MAX_SHOWN: usize = 5;
const MAX_SHOWN_LENGTH: usize = 80;

/// A domain that an organization says it owns.
#[derive(Clone, Debug)]
pub struct DomainVerification {
    /// Its identifier.
    pub id: DomainVerificationId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// The domain, in its ASCII form and in lower case.
    pub domain: String,
    /// What the TXT record must hold.
    pub token: String,
    /// When the record was found, if it was.
    pub verified_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl DomainVerification {
    /// The name of the TXT record.
    pub fn record_name(&self) -> String {
        format!("{RECORD_LABEL}.{}", self.domain)
    }

    /// The text that one of the TXT records must be.
    pub fn record_value(&self) -> String {
        format!("{RECORD_KEY}={}", self.token)
    }

    /// Looks for the right record among those that were `found`. Others may stand beside it.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] that says what was found and what to set.
    pub fn check(&self, found: &[String]) -> Result<(), Error> {
        let wanted = self.record_value();
        if found.iter().any(|text| text.trim() == wanted) {
            return Ok(());
        }
        let name = self.record_name();
        let found = if found.is_empty() {
            format!("there is no TXT record at {name}")
        } else {
            format!("the TXT records at {name} are {}", shown(found))
        };
        Err(Error::FailedPrecondition(format!(
            "{} is not verified: {found}; set a TXT record at {name} to {wanted:?} and try again, if need be when name servers no longer remember what was there before",
            self.domain
        )))
    }
}

impl Audited for DomainVerification {
    const SUBJECT: SubjectType = SubjectType::DomainVerification;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!({
            "domain": self.domain,
            "state": if self.verified_at.is_some() { "verified" } else { "pending" },
        })
    }
}

/// Some of the records, quoted and escaped.
fn shown(found: &[String]) -> String {
    let quote = |text: &String| {
        let start: String = text.chars().take(MAX_SHOWN_LENGTH).collect();
        let dots = if start.len() < text.len() { "…" } else { "" };
        format!("{start:?}{dots}")
    };
    let mut shown: Vec<String> = found.iter().take(MAX_SHOWN).map(quote).collect();
    if found.len() > MAX_SHOWN {
        shown.push(format!("and {} more", found.len() - MAX_SHOWN));
    }
    shown.join(", ")
}

/// A new token of these unpredictable bytes.
pub fn token(bytes: [u8; 24]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The domain in the form in which equal domains are equal, and which is looked up: its [key](domain_key).
///
/// # Errors
///
/// [`Error::Invalid`] on `domain` when it is none.
pub fn normal_domain(domain: &str) -> Result<String, Error> {
    let domain = domain_key(domain.trim());
    let message = if !text::is_domain(&domain) {
        "must be a domain name such as example.com, without @".to_owned()
    } else if domain.len() > MAX_DOMAIN_LENGTH {
        format!(
            "must have at most {MAX_DOMAIN_LENGTH} characters in its ASCII form, so that {RECORD_LABEL} fits before it"
        )
    } else {
        return Ok(domain.into_owned());
    };
    Err(Error::invalid("domain", Violation::DOMAIN, message))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn verification() -> DomainVerification {
        DomainVerification {
            id: Uuid::nil().into(),
            organization_id: Uuid::nil().into(),
            domain: "example.com".to_owned(),
            token: "t0ken".to_owned(),
            verified_at: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_right_record_counts_whatever_stands_beside_it() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let check = |found: &[&str]| verification().check(&texts(found)).is_ok();
        assert!(check(&["rollcall-verification=t0ken"]));
        assert!(check(&["v=spf1 -all", " rollcall-verification=t0ken "]));
        for wrong in [
            "",
            "t0ken",
            "rollcall-verification=T0KEN",
            "rollcall-verification=t0ken2",
            "a rollcall-verification=t0ken",
        ] {
            assert!(!check(&[wrong]), "{wrong}");
        }
        assert!(!check(&[]));
    }

    #[test]
    fn what_was_found_is_shown_shortly_and_in_one_line() {
        let mut found = vec!["a\u{1b}[31m\n\"b".to_owned(), "x".repeat(1000)];
        found.extend((0..9).map(|i| i.to_string()));
        let text = verification().check(&found).unwrap_err().to_string();
        assert!(text.contains(r#""a\u{1b}[31m\n\"b", "xxx"#), "{text}");
        assert!(
            text.contains("x\"…, ") && text.contains("and 6 more;"),
            "{text}"
        );
        assert!(
            text.contains("\"rollcall-verification=t0ken\"") && text.len() < 600,
            "{text}"
        );
        assert!(!text.contains(char::is_control));
    }

    #[test]
    fn domains_are_names_in_lower_case_with_room_for_the_label() {
        for same in [
            "Example.COM",
            "example.com.",
            " example.com\n",
            "ｅxample。com",
        ] {
            assert_eq!(normal_domain(same).unwrap(), "example.com", "{same:?}");
        }
        assert_eq!(
            normal_domain("Bücher.рф").unwrap(),
            "xn--bcher-kva.xn--p1ai"
        );
        let long = |last: usize| format!("{}{}.com", "a23456789.".repeat(22), "b".repeat(last));
        assert_eq!(normal_domain(&long(9)).unwrap().len(), MAX_DOMAIN_LENGTH);
        for bad in [
            "localhost",
            "ada@example.com",
            "example.com..",
            "my_host.bücher.example",
            "xn--example-.com",
            "exam%ple.com",
            "127.0.0.1",
            &format!("{}.com", "ü".repeat(63)),
            &long(10),
        ] {
            assert!(normal_domain(bad).is_err(), "{bad}");
        }
    }
}
