//! Which security event tokens an event of the log becomes: of CAEP 1.0, RISC 1.0 and SCIM (RFC 9967). Each token has one event.
//!
//! | event | token |
//! |---|---|
//! | `session.ended`, but for one that expired | CAEP `session-revoked` |
//! | `personal_access_token.created`, `personal_access_token.deleted`, but for one that expired | CAEP `credential-change` |
//! | `member.suspended`, `member.left` | RISC `account-disabled`; SCIM `deactivate`, `delete` |
//! | `member.reactivated` | RISC `account-enabled`; SCIM `activate`, of one that had left `create` |
//! | `member.created`, `member.updated` | SCIM `create`, `patch`; of another address RISC `identifier-changed` |
//! | `group.created`, `group.updated`, `group.deleted`, `membership.*` | SCIM `create`, `patch`, `delete` |
//!
//! Rollcall keeps no passwords and no second factors: personal access tokens are the only credentials of a member.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::domain::application::Signature;
use crate::domain::event::Event;
use crate::domain::event_stream::{EventStream, Notice};
use crate::error::Error;
use crate::provisioning::signing;

/// What says that a token is one of these (RFC 8417, section 2.3).
const KIND: &str = "secevent+jwt";

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CREDENTIAL_CHANGE: &str =
    "https://schemas.openid.net/secevent/caep/event-type/credential-change";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const ENABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-enabled";
const IDENTIFIER_CHANGED: &str =
    "https://schemas.openid.net/secevent/risc/event-type/identifier-changed";
const CREATE: &str = "urn:ietf:params:scim:event:prov:create:notice";
const PATCH: &str = "urn:ietf:params:scim:event:prov:patch:notice";
const DELETE: &str = "urn:ietf:params:scim:event:prov:delete";
const ACTIVATE: &str = "urn:ietf:params:scim:event:prov:activate";
const DEACTIVATE: &str = "urn:ietf:params:scim:event:prov:deactivate";

/// The events that receivers can ask for.
pub const SUPPORTED: [&str; 10] = [
    SESSION_REVOKED,
    CREDENTIAL_CHANGE,
    DISABLED,
    ENABLED,
    IDENTIFIER_CHANGED,
    CREATE,
    PATCH,
    DELETE,
    ACTIVATE,
    DEACTIVATE,
];

/// Those of them that SCIM knows.
pub const SCIM: [&str; 5] = [CREATE, PATCH, DELETE, ACTIVATE, DEACTIVATE];

/// Those events of the log that may become one of `wanted`.
pub fn kinds(wanted: &[&str]) -> Vec<String> {
    let of = |event: &str| -> &[&str] {
        match event {
            SESSION_REVOKED => &["session.ended"],
            CREDENTIAL_CHANGE => &[
                "personal_access_token.created",
                "personal_access_token.deleted",
            ],
            DISABLED => &["member.suspended", "member.left"],
            ENABLED | ACTIVATE => &["member.reactivated"],
            DEACTIVATE => &["member.suspended"],
            DELETE => &["member.left", "group.deleted"],
            CREATE => &["member.created", "member.reactivated", "group.created"],
            PATCH => &[
                "member.updated",
                "member.reactivated",
                "group.updated",
                "membership.created",
                "membership.deleted",
            ],
            IDENTIFIER_CHANGED => &["member.updated", "member.reactivated"],
            _ => &[],
        }
    };
    let mut kinds: Vec<String> = wanted
        .iter()
        .flat_map(|event| of(event))
        .map(|kind| (*kind).to_owned())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// A token before it is signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// What it is called: the same whenever it is told.
    pub jti: String,
    /// The event's type.
    pub event: &'static str,
    /// What brought it about: the same for all tokens of one event.
    txn: Uuid,
    subject: Value,
    payload: Value,
    /// When it happened, in seconds.
    time: i64,
}

/// The tokens that an event becomes, whoever wants them.
pub fn of(event: &Event, issuer: &str) -> Vec<Signal> {
    let teller = Teller { event, issuer };
    let found = match &*event.kind {
        "session.ended" => teller.session_ended(),
        "personal_access_token.created" => {
            vec![teller.credential_changed("create", "The member made a personal access token.")]
        }
        "personal_access_token.deleted" => teller.credential_deleted(),
        "member.created" => {
            vec![teller.scim_user(CREATE, teller.attributes_of_member(&event.data))]
        }
        "member.updated" => teller.member_updated(),
        "member.suspended" => vec![teller.account(DISABLED), teller.scim_user(DEACTIVATE, None)],
        "member.left" => vec![teller.account(DISABLED), teller.scim_user(DELETE, None)],
        "member.reactivated" => teller.member_reactivated(),
        "group.created" => {
            vec![teller.scim_group(CREATE, &event.data, Some(vec!["id", "displayName"]))]
        }
        "group.updated" => teller.group_updated(),
        "group.deleted" => vec![teller.scim_group(DELETE, &event.data, None)],
        "membership.created" | "membership.deleted" => {
            vec![teller.scim_group(PATCH, &Value::Null, Some(vec!["members"]))]
        }
        _ => vec![],
    };
    let numbered = found.into_iter().enumerate();
    numbered
        .map(|(number, told)| Signal {
            jti: match number {
                0 => event.id().to_string(),
                number => format!("{}-{}", event.id(), number + 1),
            },
            event: told.event,
            txn: event.id(),
            subject: told.subject,
            payload: told.payload,
            time: event.time.timestamp(),
        })
        .collect()
}

/// What one token says.
struct Told {
    event: &'static str,
    subject: Value,
    payload: Value,
}

struct Teller<'a> {
    event: &'a Event,
    issuer: &'a str,
}

impl Teller<'_> {
    fn member(&self, id: impl serde::Serialize) -> Value {
        json!({ "format": "iss_sub", "iss": self.issuer, "sub": id })
    }

    /// The session is part of the subject, under the identifier that ID tokens have as `sid`.
    fn session_ended(&self) -> Vec<Told> {
        let data = &self.event.data;
        let reason = data["reason"].as_str().unwrap_or("ended");
        if reason == "expired" {
            return vec![];
        }
        let (entity, words) = match reason {
            "signed_out" => ("user", "The member signed out."),
            "replaced" => ("user", "The member signed in anew in the same browser."),
            "member_suspended" => (self.entity(), "The member was suspended."),
            "member_left" => (self.entity(), "The member left the organization."),
            _ => ("admin", "An administrator ended the session."),
        };
        vec![Told {
            event: SESSION_REVOKED,
            subject: json!({
                "format": "complex",
                "user": self.member(self.event.order_key),
                "session": { "format": "opaque", "id": self.event.subject_id },
                "tenant": { "format": "opaque", "id": self.event.organization_id },
            }),
            payload: json!({
                "event_timestamp": self.event.time.timestamp(),
                "initiating_entity": entity,
                "reason_admin": { "en": words },
            }),
        }]
    }

    /// A token that goes because its member may not use it any more is revoked; one that somebody deletes is deleted.
    fn credential_deleted(&self) -> Vec<Told> {
        let (change, words) = match self.event.data["reason"].as_str() {
            Some("expired") => return vec![],
            Some("member_suspended") => ("revoke", "The member was suspended."),
            Some("member_left") => ("revoke", "The member left the organization."),
            _ => ("delete", "A personal access token was deleted."),
        };
        vec![self.credential_changed(change, words)]
    }

    /// A credential of a type of our own, as CAEP 1.0, section 3.3, allows.
    fn credential_changed(&self, change: &str, words: &str) -> Told {
        let mut payload = json!({
            "event_timestamp": self.event.time.timestamp(),
            "credential_type": "personal-access-token",
            "change_type": change,
            "initiating_entity": self.entity(),
            "reason_admin": { "en": words },
        });
        let name = self.event.data["description"].as_str();
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            payload["friendly_name"] = json!(name);
        }
        Told {
            event: CREDENTIAL_CHANGE,
            subject: self.member(self.event.order_key),
            payload,
        }
    }

    /// Who brought it about (CAEP 1.0, section 2).
    fn entity(&self) -> &'static str {
        match (self.event.actor_kind.as_deref(), self.event.actor_id) {
            (Some("user"), Some(id)) if id == self.event.order_key => "user",
            (Some("user" | "service_account" | "operator"), _) => "admin",
            (Some("sign_in"), _) => "user",
            (Some("scim_configuration"), _) => "policy",
            _ => "system",
        }
    }

    fn account(&self, event: &'static str) -> Told {
        Told {
            event,
            subject: self.member(self.event.subject_id),
            payload: json!({}),
        }
    }

    /// Of one who left there is no resource: what is another comes with its creation.
    fn member_updated(&self) -> Vec<Told> {
        if self.event.data["status"] == "left" {
            return vec![];
        }
        let mut told = self.identifier_changed();
        let changed = self.attributes_of_member(&self.event.previous);
        if changed.is_some() {
            told.push(self.scim_user(PATCH, changed));
        }
        told
    }

    fn member_reactivated(&self) -> Vec<Told> {
        let mut told = vec![self.account(ENABLED)];
        let had_left = self.event.previous["status"] == "left";
        if had_left {
            told.push(self.scim_user(CREATE, self.attributes_of_member(&self.event.data)));
        }
        told.push(self.scim_user(ACTIVATE, None));
        told.extend(self.identifier_changed());
        let changed = self.attributes_of_member(&self.event.previous);
        if changed.is_some() && !had_left {
            told.push(self.scim_user(PATCH, changed));
        }
        told
    }

    /// The member has another address: it is known by the one before (RISC 1.0, section 2.5).
    fn identifier_changed(&self) -> Vec<Told> {
        let was = self.event.previous["email"].as_str().unwrap_or_default();
        let is_now = self.event.data["email"].as_str().unwrap_or_default();
        if was.is_empty() || is_now.is_empty() {
            return vec![];
        }
        vec![Told {
            event: IDENTIFIER_CHANGED,
            subject: json!({ "format": "email", "email": was }),
            payload: json!({ "new-value": is_now }),
        }]
    }

    /// What SCIM calls what is said of a member (RFC 7643, section 4.1).
    fn attributes_of_member(&self, said: &Value) -> Option<Vec<&'static str>> {
        let names = [
            ("id", "id"),
            ("email", "emails"),
            ("name", "displayName"),
            ("avatar_url", "photos"),
            ("role", "roles"),
        ];
        named(said, &names)
    }

    fn group_updated(&self) -> Vec<Told> {
        let names = [("name", "displayName"), ("external_id", "externalId")];
        let changed = named(&self.event.previous, &names);
        let told = changed.map(|changed| self.scim_group(PATCH, &self.event.data, Some(changed)));
        told.into_iter().collect()
    }

    fn scim_user(&self, event: &'static str, attributes: Option<Vec<&'static str>>) -> Told {
        let mut subject =
            json!({ "format": "scim", "uri": format!("/Users/{}", self.event.subject_id) });
        let email = self.event.data["email"].as_str().unwrap_or_default();
        if !email.is_empty() {
            subject["emails"] = json!([{ "value": email }]);
        }
        scim(event, subject, attributes)
    }

    /// A group has the key of the order, and so have its memberships.
    fn scim_group(
        &self,
        event: &'static str,
        said: &Value,
        attributes: Option<Vec<&'static str>>,
    ) -> Told {
        let mut subject =
            json!({ "format": "scim", "uri": format!("/Groups/{}", self.event.order_key) });
        if let Some(id) = said["external_id"].as_str() {
            subject["externalId"] = json!(id);
        }
        scim(event, subject, attributes)
    }
}

fn scim(event: &'static str, subject: Value, attributes: Option<Vec<&'static str>>) -> Told {
    let mut payload = json!({});
    if let Some(attributes) = attributes {
        payload["attributes"] = json!(attributes);
    }
    Told {
        event,
        subject,
        payload,
    }
}

/// What `names` call that of which something is said.
fn named(said: &Value, names: &[(&str, &'static str)]) -> Option<Vec<&'static str>> {
    let is_said = |(ours, _): &&(&str, &str)| said.get(*ours).is_some_and(|value| *value != "");
    let found: Vec<_> = names
        .iter()
        .filter(is_said)
        .map(|(_, name)| *name)
        .collect();
    (!found.is_empty()).then_some(found)
}

impl Signal {
    /// The token for the receiver of a stream.
    ///
    /// # Errors
    ///
    /// As the keys have them.
    pub async fn sign(&self, app: &App, stream: &EventStream) -> Result<String, Error> {
        let events = json!({ self.event: self.payload });
        let more = [("txn", json!(self.txn)), ("toe", json!(self.time))];
        sign(app, stream, json!(self.jti), &self.subject, &events, more).await
    }
}

/// The token of what a stream tells of itself.
///
/// # Errors
///
/// As the keys have them.
pub async fn sign_notice(
    app: &App,
    stream: &EventStream,
    notice: &Notice,
) -> Result<String, Error> {
    sign(
        app,
        stream,
        json!(notice.id),
        &stream.subject(),
        &notice.events,
        [],
    )
    .await
}

/// RSA with SHA-256, which every receiver knows (CAEP Interoperability Profile 1.0, section 2.6).
async fn sign(
    app: &App,
    stream: &EventStream,
    jti: Value,
    subject: &Value,
    events: &Value,
    more: impl IntoIterator<Item = (&'static str, Value)>,
) -> Result<String, Error> {
    let mut claims = Map::new();
    let usual = [
        ("iss", json!(app.public_url)),
        ("aud", json!(stream.audience(&app.public_url))),
        ("iat", json!(app.clock.now().timestamp())),
        ("jti", jti),
        ("sub_id", subject.clone()),
        ("events", events.clone()),
    ];
    for (name, value) in usual.into_iter().chain(more) {
        claims.insert(name.to_owned(), value);
    }
    signing::sign(app, Signature::Rs256, KIND, &claims).await
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn event(kind: &str, data: Value, previous: Value) -> Event {
        Event {
            organization_id: Uuid::from_u128(1).into(),
            seq: 7,
            time: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(1_000),
            kind: kind.to_owned(),
            subject_id: Uuid::from_u128(2),
            order_key: Uuid::from_u128(3),
            data,
            previous,
            actor_kind: None,
            actor_id: None,
        }
    }

    fn events(event: &Event) -> Vec<&'static str> {
        of(event, "https://id.example")
            .into_iter()
            .map(|signal| signal.event)
            .collect()
    }

    #[test]
    fn every_token_has_a_name_of_its_own_and_comes_of_an_event_that_is_read() {
        let data = json!({ "email": "b@x", "reason": "signed_out", "name": "B" });
        let previous = json!({ "email": "a@x", "status": "left", "name": "A" });
        let kinds_of_log = [
            "session.ended",
            "personal_access_token.created",
            "personal_access_token.deleted",
            "member.created",
            "member.updated",
            "member.suspended",
            "member.left",
            "member.reactivated",
            "group.created",
            "group.updated",
            "group.deleted",
            "membership.created",
            "membership.deleted",
        ];
        let mut told = vec![];
        for kind in kinds_of_log {
            let event = event(kind, data.clone(), previous.clone());
            let signals = of(&event, "https://id.example");
            let mut names: Vec<_> = signals.iter().map(|signal| signal.jti.clone()).collect();
            names.dedup();
            assert_eq!(names.len(), signals.len());
            assert_eq!(names[0], event.id().to_string());
            for signal in signals {
                assert!(kinds(&[signal.event]).contains(&kind.to_owned()), "{kind}");
                told.push(signal.event);
            }
        }
        for event in SUPPORTED {
            assert!(told.contains(&event), "{event} is never told");
            assert!(!kinds(&[event]).is_empty());
        }
        assert!(kinds(&["urn:of:nothing"]).is_empty());
    }

    #[test]
    fn what_ended_by_itself_or_is_seen_by_nobody_is_not_told() {
        let expired = event("session.ended", json!({ "reason": "expired" }), json!({}));
        assert!(events(&expired).is_empty());
        let expired = json!({ "reason": "expired", "description": "ci" });
        let expired = event("personal_access_token.deleted", expired, json!({}));
        assert!(events(&expired).is_empty());
        let verified = json!({ "email_verified": false });
        assert!(events(&event("member.updated", json!({}), verified)).is_empty());
        assert!(
            events(&event(
                "group.updated",
                json!({}),
                json!({ "description": "x" })
            ))
            .is_empty()
        );
        assert!(events(&event("role_assignment.created", json!({}), json!({}))).is_empty());
        let left = json!({ "status": "left", "email": "b@x" });
        let previous = json!({ "email": "a@x" });
        assert!(events(&event("member.updated", left, previous)).is_empty());
    }
}
