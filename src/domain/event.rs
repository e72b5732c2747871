//! What happened in an organization: the events that programs follow, and where a reader is among them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use super::identity::Subject;
use super::ids::{OrganizationId, SsoConfigurationId};

/// Who makes a change, as the events of it tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    kind: &'static str,
    id: Uuid,
}

impl From<Subject> for Actor {
    fn from(subject: Subject) -> Self {
        Self {
            kind: subject.principal.as_str(),
            id: subject.id.as_uuid(),
        }
    }
}

/// A sign-in through a provider: what it says of the person is written.
impl From<SsoConfigurationId> for Actor {
    fn from(provider: SsoConfigurationId) -> Self {
        Self {
            kind: "sign_in",
            id: provider.as_uuid(),
        }
    }
}

/// As the database is told of it: letters, digits and punctuation that need no quoting.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// The nouns of events, and what happens to each.
pub const TYPES: [(&str, &[&str]); 16] = [
    (
        "member",
        &["created", "updated", "suspended", "reactivated", "left"],
    ),
    ("group", &["created", "updated", "deleted"]),
    ("membership", &["created", "deleted"]),
    ("role_assignment", &["created", "deleted"]),
    ("session", &["created", "ended"]),
    ("personal_access_token", &["created", "deleted"]),
    ("service_account_token", &["created", "deleted"]),
    ("organization", &["created", "updated", "deleted"]),
    ("organization_policy", &["updated"]),
    ("sso_configuration", &["created", "updated", "deleted"]),
    ("scim_configuration", &["created", "updated", "deleted"]),
    ("domain_verification", &["created", "updated", "deleted"]),
    ("service_account", &["created", "updated", "deleted"]),
    ("application", &["created", "updated", "deleted"]),
    ("webhook", &["created", "updated", "deleted"]),
    ("event_stream", &["created", "updated", "deleted"]),
];

/// What is said of a text that is no type.
pub const NO_TYPE: &str = "must be a type of event, such as member.suspended, or all types of a noun, such as member.*: docs/events.md has the list";

/// The types that a pattern stands for: a type for itself, a noun with a star for all of its types. Nothing for anything else.
pub fn types(pattern: &str) -> impl Iterator<Item = String> {
    let (noun, verb) = pattern.split_once('.').unwrap_or_default();
    let verbs = TYPES.iter().find(|(known, _)| *known == noun);
    let verbs = verbs.map_or(&[][..], |(_, verbs)| *verbs).iter();
    verbs
        .filter(move |known| verb == "*" || **known == verb)
        .map(move |known| format!("{noun}.{known}"))
}

/// An event, as it is read.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where it happened; [`installation`](super::application::installation) for what belongs to all.
    pub organization_id: OrganizationId,
    /// Its place: of one subject, a later event has a greater one.
    pub seq: i64,
    /// When, by the database's clock.
    pub time: DateTime<Utc>,
    /// What happened, such as `member.suspended`.
    pub kind: String,
    /// What it happened to.
    pub subject_id: Uuid,
    /// Events with the same key have an order to keep.
    pub order_key: Uuid,
    /// What the subject is now; of one that is gone, what it was last.
    pub data: Value,
    /// Of what changed, what it was before.
    pub previous: Value,
    /// Who did it, by kind; `None` for a program of the release before.
    pub actor_kind: Option<String>,
    /// Who did it.
    pub actor_id: Option<Uuid>,
}

impl Event {
    /// Its identifier: a UUIDv7 (RFC 9562, section 5.7) of its time and its place.
    pub fn id(&self) -> Uuid {
        Self::id_of(self.time, self.seq)
    }

    /// The identifier of the event of a time and a place.
    pub fn id_of(time: DateTime<Utc>, seq: i64) -> Uuid {
        let millis = u64::try_from(time.timestamp_millis()).unwrap_or_default();
        let [zero, one, rest @ ..] = seq.to_be_bytes();
        let mut random = [0; 10];
        random[..2].copy_from_slice(&[zero, one]);
        random[4..].copy_from_slice(&rest);
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// The place of the event that has an identifier, if it is that of an event.
    pub fn seq_of(id: Uuid) -> Option<i64> {
        let bytes = id.as_bytes();
        let mut seq = [0; 8];
        seq[2..].copy_from_slice(&bytes[10..]);
        seq[0] = bytes[6] & 0x0f;
        seq[1] = bytes[7];
        (id.get_version_num() == 7).then(|| i64::from_be_bytes(seq))
    }

    /// What kind of thing it happened to, such as `member`.
    pub fn subject_type(&self) -> &str {
        self.kind
            .split_once('.')
            .map_or(&*self.kind, |(noun, _)| noun)
    }

    /// As webhooks carry it, and the API in JSON. The names are those of the fields of the API.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id(),
            "type": self.kind,
            "organization_id": self.organization_id,
            "timestamp": self.time,
            "subject": { "type": self.subject_type(), "id": self.subject_id },
            "data": self.data,
            "previous": self.previous,
            "actor": self.actor_kind.as_ref().map(|kind| json!({ "type": kind, "id": self.actor_id })),
        })
    }
}

/// Where a reader is in the log. It has had every event whose place is up to `seq` and whose transaction had ended when it read last.
/// So it has had none of the transactions in `open`, and all that it has not had is theirs, or behind `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The place.
    #[serde(rename = "s")]
    pub seq: i64,
    /// The transactions that may have been under way at the last reading.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<i64>,
    /// Of those that were under way before and had ended by then, of which the reader had too many events for one page.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub late: Option<Late>,
    /// Nothing that happened before this moment is still to be read, but for what took long to end.
    #[serde(rename = "t", with = "chrono::serde::ts_milliseconds")]
    pub time: DateTime<Utc>,
}

/// What a reader has had of transactions that ended late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// The transactions.
    #[serde(rename = "x")]
    pub ended: Vec<i64>,
    /// It has had their events up to this place.
    #[serde(rename = "s")]
    pub seq: i64,
}

impl Cursor {
    /// Before everything that is kept.
    pub fn beginning(now: DateTime<Utc>) -> Self {
        Self {
            seq: 0,
            open: vec![],
            late: None,
            time: now,
        }
    }

    /// Reads the text of one.
    pub fn parse(text: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// As clients have it. It opens nothing, so it is not sealed.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_that_of_one_place() {
        for seq in [1, 4_096, 281_474_976_710_657, i64::MAX >> 4] {
            let event = Event {
                organization_id: Uuid::nil().into(),
                seq,
                time: DateTime::UNIX_EPOCH + chrono::TimeDelta::milliseconds(1_234_567),
                kind: "member.created".to_owned(),
                subject_id: Uuid::nil(),
                order_key: Uuid::nil(),
                data: json!({}),
                previous: json!({}),
                actor_kind: None,
                actor_id: None,
            };
            let id = event.id();
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(Event::seq_of(id), Some(seq), "{id}");
        }
        assert_eq!(Event::seq_of(Uuid::nil()), None);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = Cursor {
            seq: 7,
            open: vec![9, 12],
            late: Some(Late {
                ended: vec![5],
                seq: 3,
            }),
            time: DateTime::UNIX_EPOCH,
        };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        assert_eq!(Cursor::parse("none"), None);
    }
}
