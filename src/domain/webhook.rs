//! Webhooks: addresses to which events are sent, signed as Standard Webhooks has it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::event;
use super::ids::{OrganizationId, WebhookId};
use crate::error::{Error, Violation, no_violations};

/// The most webhooks of an organization, and of the installation.
pub const MAX_WEBHOOKS: usize = 20;

/// A webhook, without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Whose events it hears; [`installation`](super::application::installation) for those of all organizations.
    pub organization_id: OrganizationId,
    /// Its identifier.
    pub id: WebhookId,
    /// What is said of it.
    pub settings: Settings,
    /// Since when there is one.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// What is said of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where events are sent.
    pub url: String,
    /// What it is for.
    pub description: String,
    /// The types of events that it hears, such as `member.suspended` or `member.*`; all if there are none.
    pub types: Vec<String>,
    /// Whether events are sent.
    pub enabled: bool,
    /// Why it was switched off, if that happened by itself.
    pub disabled_reason: String,
}

impl Settings {
    /// Checks what is said of a webhook.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] on `url` and `types`.
    pub fn check(&self) -> Result<(), Error> {
        let mut violations = vec![];
        let is_url = Url::parse(&self.url).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
        });
        if !is_url {
            violations.push(Violation::new(
                "url",
                Violation::URI,
                "must be an address such as https://app.example.com/hooks, without a user name, a password or a fragment",
            ));
        }
        for (place, pattern) in self.types.iter().enumerate() {
            if event::types(pattern).next().is_none() {
                violations.push(Violation::new(
                    format!("types[{place}]"),
                    Violation::EVENT_TYPE,
                    event::NO_TYPE,
                ));
            }
        }
        no_violations(violations)
    }

    /// The types of events that it hears, each in full; all if there are none.
    pub fn wanted(&self) -> Vec<String> {
        let all = self.types.iter().flat_map(|pattern| event::types(pattern));
        let mut all: Vec<String> = all.collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Audited for Webhook {
    const SUBJECT: SubjectType = SubjectType::Webhook;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    /// An address may have a secret in its query.
    fn audited(&self) -> Value {
        let mut shown = json!(self.settings);
        if let Ok(mut url) = Url::parse(&self.settings.url)
            && url.query().is_some()
        {
            url.set_query(Some("…"));
            shown["url"] = json!(url.as_str());
        }
        shown
    }
}

/// What a secret of a webhook is sealed for.
pub fn secret_context(organization_id: OrganizationId, id: WebhookId) -> Vec<u8> {
    let mut context = b"webhook secret".to_vec();
    context.extend_from_slice(organization_id.as_uuid().as_bytes());
    context.extend_from_slice(id.as_uuid().as_bytes());
    context
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, types: &[&str]) -> Settings {
        Settings {
            url: url.to_owned(),
            description: String::new(),
            types: types.iter().map(|kind| (*kind).to_owned()).collect(),
            enabled: true,
            disabled_reason: String::new(),
        }
    }

    #[test]
    fn addresses_and_types_are_checked() {
        let good = "https://app.example.com/hooks?key=1";
        assert!(
            settings(good, &["member.*", "session.ended"])
                .check()
                .is_ok()
        );
        for bad in [
            "",
            "app.example.com",
            "ftp://a.example",
            "https://u:p@a.example",
            "https://a.example/#x",
        ] {
            assert!(settings(bad, &[]).check().is_err(), "{bad}");
        }
        for bad in ["", "*", "member", "member.", "members.*", "member.created "] {
            assert!(settings(good, &[bad]).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_stands_for_every_type_of_a_noun() {
        let wanted = settings("", &["membership.*", "membership.created"]).wanted();
        assert_eq!(wanted, ["membership.created", "membership.deleted"]);
    }
}
