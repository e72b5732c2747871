//! Of whom a stream tells (section 8.1.3): of everybody, but for those that its receiver removed.
//!
//! A subject is looked for when it is named. One that nobody is gets the same answer as one that somebody is, so that nobody learns
//! who there is.

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::Failure;
use super::request::{Asked, object, stream_of};
use crate::domain::audit::{Audited, Change};
use crate::domain::letters::address_key;
use crate::provisioning::work::Work;
use crate::store;

/// `POST /ssf/subjects/add`.
pub async fn add(asked: Asked, body: Bytes) -> Response {
    let added = change(&asked, &body, What::Add).await;
    asked.answer(added.map(|()| StatusCode::OK.into_response()))
}

/// `POST /ssf/subjects/remove`.
pub async fn remove(asked: Asked, body: Bytes) -> Response {
    let removed = change(&asked, &body, What::Remove).await;
    asked.answer(removed.map(|()| StatusCode::NO_CONTENT.into_response()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Add,
    Remove,
}

impl What {
    const fn action(self) -> &'static str {
        match self {
            Self::Add => "AddEventStreamSubject",
            Self::Remove => "RemoveEventStreamSubject",
        }
    }
}

async fn change(asked: &Asked, body: &[u8], what: What) -> Result<(), Failure> {
    let (app, caller) = (&asked.app, asked.writer()?);
    let body = object(body)?;
    let (organization_id, id) = (caller.organization_id, stream_of(&body)?);
    let named = body
        .get("subject")
        .ok_or_else(|| Failure::request("subject is missing"))?;
    let named = Named::read(named, &app.public_url, &organization_id.to_string())?;
    if body
        .get("verified")
        .is_some_and(|verified| !verified.is_boolean())
    {
        return Err(Failure::request("verified must be true or false"));
    }
    let now = app.clock.now();
    let mut work = Work::begin(app, organization_id, caller.subject, now).await?;
    let mut stream = store::event_streams::lock(&mut work, organization_id, id).await?;
    let email = named.email.as_deref().map(address_key);
    let subjects =
        store::event_streams::recognise(&mut work, organization_id, email.as_deref(), named.id)
            .await?;
    if subjects.is_empty() {
        return Ok(());
    }
    for subject in &subjects {
        match what {
            What::Add => {
                store::event_streams::add_subject(&mut work, organization_id, id, *subject).await?
            }
            What::Remove => {
                store::event_streams::remove_subject(&mut work, organization_id, id, *subject)
                    .await?
            }
        }
    }
    let change = recorded(&stream, what, &subjects);
    stream.updated_at = now;
    // Whoever sends to the stream looks again before the next token.
    store::event_streams::update(&mut work, &stream).await?;
    Ok(work.commit(change).await?)
}

fn recorded(stream: &impl Audited, what: What, subjects: &[Uuid]) -> Change {
    let mut change = Change::updated(what.action(), stream, stream);
    let name = match what {
        What::Add => "added_subjects",
        What::Remove => "removed_subjects",
    };
    if let Some(after) = &mut change.after {
        after[name] = json!(subjects);
    }
    change
}

/// Who is named by a subject identifier (RFC 9493; RFC 9967, section 2.1).
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    email: Option<String>,
    id: Option<Uuid>,
}

impl Named {
    fn read(subject: &Value, issuer: &str, organization: &str) -> Result<Self, Failure> {
        let format = member(subject, "format")?;
        let by_id = |text: &str| Self {
            id: text.parse().ok(),
            email: None,
        };
        match format {
            "email" => Ok(Self {
                email: Some(member(subject, "email")?.to_owned()),
                id: None,
            }),
            "iss_sub" => {
                let (by, sub) = (member(subject, "iss")?, member(subject, "sub")?);
                // Whom others call by this name is not known.
                Ok(if by == issuer {
                    by_id(sub)
                } else {
                    Self::default()
                })
            }
            "opaque" => Ok(by_id(member(subject, "id")?)),
            "scim" => {
                let uri = member(subject, "uri")?;
                let id = uri
                    .strip_prefix("/Users/")
                    .or_else(|| uri.strip_prefix("/Groups/"));
                Ok(id.map(by_id).unwrap_or_default())
            }
            "complex" => Self::complex(subject, issuer, organization),
            "account" | "aliases" | "did" | "phone_number" | "uri" | "jwt_id"
            | "saml_assertion_id" | "ip-addresses" => Ok(Self::default()),
            _ => Err(Failure::request(
                "the format of the subject is not known: use email, iss_sub, opaque, scim or complex",
            )),
        }
    }

    /// A user or a group, perhaps of this organization. A session, say, or two of these would be less than everything that is told of
    /// either.
    fn complex(subject: &Value, issuer: &str, organization: &str) -> Result<Self, Failure> {
        let mut found = None;
        for (name, value) in subject.as_object().into_iter().flatten() {
            match &**name {
                "format" => {}
                "tenant" if member(value, "id").is_ok_and(|id| id == organization) => {}
                "tenant" => return Ok(Self::default()),
                "user" | "group" if found.is_none() && value["format"] != "complex" => {
                    found = Some(Self::read(value, issuer, organization)?);
                }
                _ => {
                    return Err(Failure::request(
                        "a complex subject must be a user or a group, and nothing but a tenant besides",
                    ));
                }
            }
        }
        found.ok_or_else(|| Failure::request("a complex subject must have a user or a group"))
    }
}

fn member<'a>(subject: &'a Value, name: &str) -> Result<&'a str, Failure> {
    let text = subject.get(name).and_then(Value::as_str);
    let text = text.filter(|text| !text.is_empty() && !text.contains('\0') && text.len() <= 2_048);
    text.ok_or_else(|| Failure::request(format!("{name} is missing in the subject, or no text")))
}
