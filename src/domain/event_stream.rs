//! Streams of security events: what a receiver sets of them, and what it is shown (OpenID Shared Signals Framework 1.0, section 8.1.1).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::event::Cursor;
use super::ids::{EventStreamId, OrganizationId};
use super::names::named;

/// Where streams are configured, below the public URL.
pub const STREAMS_PATH: &str = "/ssf/streams";
/// Where a receiver polls, below the public URL; the stream follows.
pub const POLL_PATH: &str = "/ssf/poll";

/// How long a receiver waits before it asks again for a token that verifies the stream, in seconds.
pub const MIN_VERIFICATION_INTERVAL: i64 = 10;

/// The most characters of a description; what is longer is cut.
const MAX_DESCRIPTION: usize = 500;
/// The most characters of the URL and of the header with which tokens are pushed.
const MAX_URL: usize = 2_048;
const MAX_HEADER: usize = 4_096;
/// The most events that are asked for, and the most characters of each.
const MAX_EVENTS: usize = 100;
const MAX_EVENT: usize = 512;

/// The event that verifies a stream, and the one that says that its status changed. They are told whatever a receiver asked for.
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

named! {
    /// Whether tokens go out over a stream.
    pub enum StreamStatus {
        /// They do.
        Enabled = "enabled",
        /// They are kept until it is enabled again.
        Paused = "paused",
        /// They do not, and are not kept.
        Disabled = "disabled",
    }
}

/// How tokens reach a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase")]
pub enum Delivery {
    /// They are sent to it (RFC 8935).
    Push {
        /// Where.
        endpoint_url: String,
    },
    /// It asks for them (RFC 8936).
    Poll,
}

impl Delivery {
    /// What identifies sending.
    pub const PUSH: &str = "urn:ietf:rfc:8935";
    /// What identifies asking.
    pub const POLL: &str = "urn:ietf:rfc:8936";

    /// What identifies the method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Push { .. } => Self::PUSH,
            Self::Poll => Self::POLL,
        }
    }
}

/// What a receiver sets, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How tokens reach it.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The events that it asked for, also those that there are not.
    pub events_requested: Option<Vec<String>>,
    /// What the stream is for, in its own words.
    pub description: Option<String>,
}

impl Settings {
    /// The events that it gets of those that there are.
    pub fn delivered<'a>(&self, supported: &'a [&'a str]) -> Vec<&'a str> {
        let requested = self.events_requested.as_deref().unwrap_or_default();
        let is_requested = |event: &&&str| requested.iter().any(|one| one == **event);
        supported.iter().filter(is_requested).copied().collect()
    }
}

/// A stream.
#[derive(Clone, Debug)]
pub struct EventStream {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its identifier.
    pub id: EventStreamId,
    /// What its receiver set.
    pub settings: Settings,
    /// The header with which tokens are pushed, sealed.
    pub authorization_header: Option<Vec<u8>>,
    /// Whether tokens go out.
    pub status: StreamStatus,
    /// Why.
    pub reason: Option<String>,
    /// Where its receiver is in the log.
    pub cursor: Cursor,
    /// The tokens behind it that the receiver took already.
    pub taken: Vec<String>,
    /// When its receiver asked last for a token that verifies it.
    pub verified_at: Option<DateTime<Utc>>,
    /// How often pushing failed since it worked.
    pub failures: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its receiver changed it.
    pub updated_at: DateTime<Utc>,
}

impl EventStream {
    /// For whom its tokens are: for no receiver of another stream.
    pub fn audience(&self, issuer: &str) -> String {
        format!("{issuer}{STREAMS_PATH}/{}", self.id)
    }

    /// Where its receiver polls.
    pub fn poll_url(&self, issuer: &str) -> String {
        format!("{issuer}{POLL_PATH}/{}", self.id)
    }

    /// The configuration, as receivers have it. The header is a secret, and not in it.
    pub fn configuration(&self, issuer: &str, supported: &[&str]) -> Value {
        let url = match &self.settings.delivery {
            Delivery::Push { endpoint_url } => endpoint_url.clone(),
            Delivery::Poll => self.poll_url(issuer),
        };
        let mut shown = json!({
            "stream_id": self.id,
            "iss": issuer,
            "aud": self.audience(issuer),
            "delivery": { "method": self.settings.delivery.method(), "endpoint_url": url },
            "events_supported": supported,
            "events_delivered": self.settings.delivered(supported),
            "min_verification_interval": MIN_VERIFICATION_INTERVAL,
        });
        if let Some(events) = &self.settings.events_requested {
            shown["events_requested"] = json!(events);
        }
        if let Some(description) = &self.settings.description {
            shown["description"] = json!(description);
        }
        shown
    }

    /// Its status, as receivers have it.
    pub fn shown_status(&self) -> Value {
        let mut shown = json!({ "stream_id": self.id, "status": self.status });
        if let Some(reason) = &self.reason {
            shown["reason"] = json!(reason);
        }
        shown
    }

    /// The subject of what it tells of itself.
    pub fn subject(&self) -> Value {
        json!({ "format": "opaque", "id": self.id })
    }
}

/// What a stream tells of itself.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its identifier.
    pub id: Uuid,
    /// The event.
    pub events: Value,
    /// Whether it is told although the stream is not enabled.
    pub is_last_word: bool,
}

impl Notice {
    /// The answer to a receiver that asks a stream to verify itself.
    pub fn verification(id: Uuid, state: Option<&str>) -> Self {
        let payload = state.map_or_else(|| json!({}), |state| json!({ "state": state }));
        Self {
            id,
            events: json!({ VERIFICATION: payload }),
            is_last_word: false,
        }
    }

    /// That the status of a stream is another, and not by its receiver's doing.
    pub fn stream_updated(id: Uuid, stream: &EventStream) -> Self {
        let mut payload = json!({ "status": stream.status });
        if let Some(reason) = &stream.reason {
            payload["reason"] = json!(reason);
        }
        Self {
            id,
            events: json!({ STREAM_UPDATED: payload }),
            is_last_word: true,
        }
    }
}

impl Audited for EventStream {
    const SUBJECT: SubjectType = SubjectType::EventStream;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!({
            "settings": self.settings,
            "has_authorization_header": self.authorization_header.is_some(),
            "status": self.status,
            "reason": self.reason,
        })
    }
}

/// What the header of a stream is sealed for.
pub fn authorization_header_context(organization_id: OrganizationId, id: EventStreamId) -> Vec<u8> {
    [
        b"event-stream\0",
        organization_id.as_uuid().as_bytes().as_slice(),
        id.as_uuid().as_bytes(),
    ]
    .concat()
}

/// The configuration that a receiver sends, whole or in part. `Some(None)` is a property that is `null`, and to be taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How tokens are to reach it.
    pub delivery: Option<Option<SentDelivery>>,
    /// The events that it wants.
    pub events_requested: Option<Option<Vec<String>>>,
    /// What the stream is for.
    pub description: Option<Option<String>>,
}

/// How tokens are to reach a receiver, as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentDelivery {
    /// How.
    pub delivery: Delivery,
    /// The header to push with.
    pub authorization_header: Option<String>,
    /// Where it thinks that it polls.
    pub poll_url: Option<String>,
}

impl Sent {
    /// Reads a configuration, of which the receiver's properties are looked at.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(body: &Value) -> Result<Self, String> {
        let property = |name: &str| body.get(name);
        let delivery = property("delivery").map(|value| match value {
            Value::Null => Ok(None),
            value => SentDelivery::read(value).map(Some),
        });
        let events = property("events_requested").map(|value| match value {
            Value::Null => Ok(None),
            value => events(value).map(Some),
        });
        let description = property("description").map(|value| match value {
            Value::Null => Ok(None),
            value => text("description", value, usize::MAX)
                .map(|text| Some(text.chars().take(MAX_DESCRIPTION).collect())),
        });
        Ok(Self {
            delivery: delivery.transpose()?,
            events_requested: events.transpose()?,
            description: description.transpose()?,
        })
    }

    /// The settings of a stream of which nothing else is said.
    pub fn whole(&self) -> Settings {
        let delivery = self.delivery.clone().flatten();
        Settings {
            delivery: delivery.map_or(Delivery::Poll, |sent| sent.delivery),
            events_requested: self.events_requested.clone().flatten(),
            description: self.description.clone().flatten(),
        }
    }

    /// The settings of a stream of which something is changed.
    pub fn change(&self, settings: &Settings) -> Settings {
        let whole = self.whole();
        let mut changed = settings.clone();
        if self.delivery.is_some() {
            changed.delivery = whole.delivery;
        }
        if self.events_requested.is_some() {
            changed.events_requested = whole.events_requested;
        }
        if self.description.is_some() {
            changed.description = whole.description;
        }
        changed
    }

    /// The header to push with, if one is sent.
    pub fn authorization_header(&self) -> Option<&str> {
        let delivery = self.delivery.as_ref()?.as_ref()?;
        delivery.authorization_header.as_deref()
    }

    /// Where the receiver thinks that it polls, if it says so.
    pub fn poll_url(&self) -> Option<&str> {
        self.delivery.as_ref()?.as_ref()?.poll_url.as_deref()
    }
}

impl SentDelivery {
    fn read(value: &Value) -> Result<Self, String> {
        let optional = |name: &str, most: usize| match value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => text(&format!("delivery.{name}"), value, most).map(Some),
        };
        let url = optional("endpoint_url", MAX_URL)?;
        let header = optional("authorization_header", MAX_HEADER)?;
        match optional("method", MAX_URL)?.as_deref() {
            Some(Delivery::PUSH) => Ok(Self {
                delivery: Delivery::Push {
                    endpoint_url: endpoint_url(url)?,
                },
                authorization_header: header.map(header_value).transpose()?,
                poll_url: None,
            }),
            Some(Delivery::POLL) => Ok(Self {
                delivery: Delivery::Poll,
                authorization_header: None,
                poll_url: url,
            }),
            _ => Err(format!(
                "delivery.method must be {} or {}",
                Delivery::PUSH,
                Delivery::POLL
            )),
        }
    }
}

fn endpoint_url(url: Option<String>) -> Result<String, String> {
    let url = url.ok_or("delivery.endpoint_url is missing, where tokens are to be sent")?;
    let parsed = Url::parse(&url).ok();
    let is_fit = |url: &Url| {
        matches!(url.scheme(), "https" | "http")
            && url.has_host()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    parsed.filter(is_fit).map(String::from).ok_or_else(|| {
        "delivery.endpoint_url must be a URL that begins with https://, without user and fragment"
            .to_owned()
    })
}

fn header_value(text: String) -> Result<String, String> {
    let is_fit = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_fit.then_some(text).ok_or_else(|| {
        "delivery.authorization_header must be printable ASCII, such as \"Bearer …\"".to_owned()
    })
}

fn events(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("events_requested must be an array of up to {MAX_EVENTS} URIs");
    let list = value.as_array().filter(|list| list.len() <= MAX_EVENTS);
    let list = list.ok_or_else(wrong)?;
    list.iter()
        .map(|event| text("events_requested", event, MAX_EVENT))
        .collect()
}

/// A text that can be stored.
///
/// # Errors
///
/// What is wrong with it.
pub fn text(name: &str, value: &Value, most: usize) -> Result<String, String> {
    let text = value.as_str().filter(|text| {
        !text.contains('\0') && (most == usize::MAX || text.chars().count() <= most)
    });
    match text {
        Some(text) => Ok(text.to_owned()),
        None if most == usize::MAX => {
            Err(format!("{name} must be a text without the NUL character"))
        }
        None => Err(format!(
            "{name} must be a text of up to {most} characters, without the NUL character"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_nothing_polls_and_asks_for_nothing() {
        let settings = Sent::read(&json!({})).unwrap().whole();
        assert_eq!(settings.delivery, Delivery::Poll);
        assert!(settings.delivered(&["a"]).is_empty());
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let push = json!({ "method": Delivery::PUSH, "endpoint_url": "https://a.example/x" });
        let sent = json!({ "delivery": push, "events_requested": ["a", "z"], "description": "d" });
        let settings = Sent::read(&sent).unwrap().whole();
        assert_eq!(settings.delivered(&["b", "a"]), ["a"]);
        let changed = Sent::read(&json!({ "description": null })).unwrap();
        let changed = changed.change(&settings);
        assert_eq!(changed.description, None);
        assert_eq!(changed.delivery, settings.delivery);
        assert_eq!(changed.events_requested, settings.events_requested);
        let stored = serde_json::to_value(&settings).unwrap();
        assert_eq!(stored["method"], "push");
        assert_eq!(
            serde_json::from_value::<Settings>(stored).unwrap(),
            settings
        );
    }

    #[test]
    fn attack_urls_and_headers_that_are_none_are_refused() {
        for delivery in [
            json!("push"),
            json!({ "method": "push" }),
            json!({ "method": Delivery::PUSH }),
            json!({ "method": Delivery::PUSH, "endpoint_url": "ftp://a.example/" }),
            json!({ "method": Delivery::PUSH, "endpoint_url": "https://u:p@a.example/" }),
            json!({ "method": Delivery::PUSH, "endpoint_url": "https://a.example/", "authorization_header": "a\r\nb: c" }),
            json!({ "method": Delivery::PUSH, "endpoint_url": "https://a.example/", "authorization_header": "" }),
        ] {
            let sent = json!({ "delivery": delivery });
            assert!(Sent::read(&sent).is_err(), "{sent}");
        }
        assert!(Sent::read(&json!({ "description": "\0" })).is_err());
        assert!(Sent::read(&json!({ "events_requested": "a" })).is_err());
    }
}
