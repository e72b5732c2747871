//! The audit log as pages tell it: who did what, and what is another way since.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Refusal;
use super::names::{Names, Wanted};
use super::parts::Pagination;
use super::visit::Visit;

/// An entry of the audit log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// The identifier.
    pub id: String,
    /// Who acted.
    pub actor_id: String,
    /// What kind of subject acted; empty where `gitpod.v1.Principal` has no name for it.
    pub actor_principal: String,
    /// What it was done to.
    pub subject_id: String,
    /// The kind of thing that it was done to; empty where `gitpod.v1.ResourceType` has no name for it.
    pub subject_type: String,
    /// What was done, as the API calls it.
    pub action: String,
    /// When.
    pub created_at: Option<DateTime<Utc>>,
}

/// What an entry says beside that.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Change {
    /// The thing before.
    before: Map<String, Value>,
    /// The thing after.
    after: Map<String, Value>,
    /// Who acted, where the entry does not say it.
    actor_kind: String,
    /// What the operator's token is called.
    actor_name: String,
    /// The kind of thing, also where the entry does not say it.
    pub subject_kind: String,
}

/// A page of entries.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Entries {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the list goes on.
    pub pagination: Pagination,
}

/// The entries that a filter of the API lets through.
///
/// # Errors
///
/// What the API refuses.
pub async fn list(
    visit: &Visit,
    filter: &Value,
    order: &str,
    pagination: Value,
) -> Result<Entries, Refusal> {
    let request = json!({
        "filter": filter,
        "sort": { "field": "createdAt", "order": order },
        "pagination": pagination,
    });
    visit
        .call("gitpod.v1.EventService/ListAuditLogs", request)
        .await
}

/// One entry with what it says beside.
///
/// # Errors
///
/// `not_found` where the organization has none, and what else the API refuses.
pub async fn get_one(visit: &Visit, id: &str) -> Result<(Entry, Change), Refusal> {
    #[derive(Deserialize)]
    struct Answer {
        entry: Entry,
        #[serde(default)]
        details: Details,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Details {
        resource_change: Change,
    }
    let method = "gitpod.v1.EventService/GetAuditLog";
    let request = json!({ "auditLogEntryId": id });
    let answer: Answer = visit.call(method, request).await?;
    Ok((answer.entry, answer.details.resource_change))
}

/// What a few entries say beside.
///
/// # Errors
///
/// What the API refuses.
pub async fn changes(visit: &Visit, entries: Vec<Entry>) -> Result<Vec<(Entry, Change)>, Refusal> {
    let asked = entries.into_iter().map(|entry| async move {
        match get_one(visit, &entry.id).await {
            // It has just become too old to be kept.
            Err(refusal) if refusal.code == "not_found" => Ok((entry, Change::default())),
            found => found,
        }
    });
    try_join_all(asked).await
}

/// Whose names the entries need.
pub fn wanted<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Wanted {
    let mut wanted = Wanted::default();
    for entry in entries {
        let actors: Option<&mut BTreeSet<String>> = match &*entry.actor_principal {
            USER => Some(&mut wanted.people),
            SERVICE_ACCOUNT => Some(&mut wanted.accounts),
            _ => None,
        };
        match actors {
            Some(ids) => drop(ids.insert(entry.actor_id.clone())),
            None => wanted.configurations = true,
        }
        let subjects = match &*entry.subject_type {
            "RESOURCE_TYPE_USER" => &mut wanted.people,
            "RESOURCE_TYPE_GROUP" => &mut wanted.groups,
            "RESOURCE_TYPE_SERVICE_ACCOUNT" => &mut wanted.accounts,
            _ => continue,
        };
        subjects.insert(entry.subject_id.clone());
    }
    wanted
}

const USER: &str = "PRINCIPAL_USER";
const SERVICE_ACCOUNT: &str = "PRINCIPAL_SERVICE_ACCOUNT";

/// Who acted, in words without links, with the kind of subject.
pub fn actor_text(names: &Names, entry: &Entry) -> (String, &'static str) {
    let id = &*entry.actor_id;
    let (known, kind) = match &*entry.actor_principal {
        USER => (names.person(id).map(|member| member.label()), "person"),
        SERVICE_ACCOUNT => (names.account(id), "service account"),
        _ => match (names.configuration(id), names.link(id)) {
            (Some(name), _) => (Some(name), "provisioning"),
            (None, Some(whom)) => (Some(whom), "set-up link"),
            (None, None) => (None, "operator, provisioning or set-up link"),
        },
    };
    (known.unwrap_or_default().to_owned(), kind)
}

/// Who acted.
pub fn actor(visit: &Visit, names: &Names, entry: &Entry, change: Option<&Change>) -> Markup {
    let id = &*entry.actor_id;
    match &*entry.actor_principal {
        USER => names.person_link(visit, id),
        SERVICE_ACCOUNT => match names.account(id) {
            Some(name) => html! { (name) " " span .soft { "(service account)" } },
            None => html! { "A service account" },
        },
        _ => match (names.configuration(id), change) {
            (Some(name), _) => {
                html! { a href=(visit.path(&format!("provisioning/{id}"))) { (name) } }
            }
            _ if names.link(id).is_some() => html! {
                a href=(visit.path("setup-links")) { "Set-up link" }
                @if let Some(whom) = names.link(id).filter(|whom| !whom.is_empty()) { " for " (whom) }
            },
            (None, Some(change)) if change.actor_kind == "operator" => html! {
                "An operator"
                @if !change.actor_name.is_empty() { " (" (change.actor_name) ")" }
            },
            (None, Some(change)) if change.actor_kind == "setup_link" => html! {
                "A set-up link"
                @if !change.actor_name.is_empty() { " for " (change.actor_name) }
            },
            (None, Some(_)) => html! { "A removed provisioning" },
            (None, None) => html! { "An operator, or a removed provisioning or set-up link" },
        },
    }
}

/// What it was done to: in words, with the way there.
pub fn subject(visit: &Visit, names: &Names, entry: &Entry) -> Markup {
    let id = &*entry.subject_id;
    match &*entry.subject_type {
        "RESOURCE_TYPE_USER" => names.person_link(visit, id),
        "RESOURCE_TYPE_GROUP" => names.group_link(visit, id),
        kind => match names.account(id) {
            Some(name) => html! { (name) },
            None => html! { (kind_words(kind)) },
        },
    }
}

/// What it was done to, as a name without links; empty where it has none that is known.
pub fn subject_text(names: &Names, entry: &Entry) -> String {
    let id = &*entry.subject_id;
    let known = match &*entry.subject_type {
        "RESOURCE_TYPE_USER" => names.person(id).map(|member| member.label()),
        "RESOURCE_TYPE_GROUP" => names.group(id),
        _ => names.account(id),
    };
    known.unwrap_or_default().to_owned()
}

/// The kinds of things that entries are about: the name in an address, that of the API, and the words.
pub const KINDS: [(&str, &str, &str); 13] = [
    ("person", "RESOURCE_TYPE_USER", "Person"),
    ("group", "RESOURCE_TYPE_GROUP", "Group"),
    (
        "membership",
        "RESOURCE_TYPE_GROUP_MEMBERSHIP_CHANGED",
        "Membership of a group",
    ),
    ("role", "RESOURCE_TYPE_ROLE_ASSIGNMENT", "Role of a group"),
    ("sso", "RESOURCE_TYPE_SSO_CONFIG", "Single sign-on"),
    (
        "provisioning",
        "RESOURCE_TYPE_SCIM_CONFIGURATION",
        "Provisioning",
    ),
    ("domain", "RESOURCE_TYPE_DOMAIN_VERIFICATION", "Domain"),
    ("organization", "RESOURCE_TYPE_ORGANIZATION", "Organization"),
    ("policies", "RESOURCE_TYPE_ORGANIZATION_POLICY", "Policies"),
    (
        "account",
        "RESOURCE_TYPE_SERVICE_ACCOUNT",
        "Service account",
    ),
    (
        "account-token",
        "RESOURCE_TYPE_SERVICE_ACCOUNT_TOKEN",
        "Token of a service account",
    ),
    (
        "personal-token",
        "RESOURCE_TYPE_PERSONAL_ACCESS_TOKEN",
        "Personal access token",
    ),
    ("webhook", "RESOURCE_TYPE_WEBHOOK", "Webhook"),
];

/// A kind of thing in words.
pub fn kind_words(kind: &str) -> String {
    let known = KINDS.iter().find(|(_, name, _)| *name == kind);
    match known {
        Some((_, _, words)) => (*words).to_owned(),
        None if kind.is_empty() => "Something else".to_owned(),
        None => capitalized(
            &kind
                .trim_start_matches("RESOURCE_TYPE_")
                .replace('_', " ")
                .to_ascii_lowercase(),
        ),
    }
}

/// What was done, as what follows the name of whoever did it.
pub fn action_words(action: &str) -> String {
    let known = match action {
        "CreateUser" => "added the person",
        "UpdateUser" => "changed the person’s details",
        "DeleteUser" => "removed the person",
        "SetUserStatus" => "changed the person’s status",
        "SetRole" => "changed the role",
        "SetSuspended" => "suspended, or lifted that",
        "LeaveOrganization" => "left the organization",
        "SignIn" => "signed in",
        "EndSession" => "signed out",
        "EndSessions" => "ended sessions",
        "CreateMembership" => "added somebody to a group",
        "DeleteMembership" => "took somebody out of a group",
        "CreateRoleAssignment" => "gave a group a role",
        "DeleteRoleAssignment" => "took a role from a group",
        _ => return spelled(action),
    };
    known.to_owned()
}

/// The name of a method in words: `CreateSSOConfiguration` created an SSO configuration.
fn spelled(action: &str) -> String {
    let words = words(action);
    let Some((verb, rest)) = words.split_first() else {
        return String::new();
    };
    let (verb, is_new) = match &**verb {
        "create" => ("created", true),
        "update" => ("changed", false),
        "delete" => ("deleted", false),
        "verify" => ("verified", false),
        "rotate" => ("replaced", false),
        "regenerate" => ("replaced", false),
        "disable" => ("turned off", false),
        "replay" => ("sent again", false),
        "set" => ("set", false),
        "add" => ("added", false),
        "remove" => ("removed", false),
        "join" => ("joined", false),
        _ => return words.join(" "),
    };
    let article = match rest.first() {
        _ if !is_new => "the",
        Some(word) if word == "SSO" || word.starts_with(['a', 'e', 'i', 'o']) => "an",
        _ => "a",
    };
    format!("{verb} {article} {}", rest.join(" "))
}

/// The words of a name that has none apart: `ssoConfigurationId` and `sso_configuration_id` alike. What is all in capitals stays so.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let is_after_small = before.is_some_and(|c| c.is_lowercase() || c.is_numeric());
        let is_before_small = letters.get(at + 1).is_some_and(|c| c.is_lowercase());
        let is_start = is_after_small || (before.is_some() && is_before_small);
        if letter.is_uppercase() && is_start {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(*letter);
        }
    }
    let is_acronym = |word: &str| word.len() > 1 && word.chars().all(char::is_uppercase);
    let words = words.into_iter().filter(|word| !word.is_empty());
    words
        .map(|word| match is_acronym(&word) {
            true => word,
            false => word.to_ascii_lowercase(),
        })
        .collect()
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// A field in words.
pub fn field_words(field: &str) -> String {
    match field {
        "userName" => "User name".to_owned(),
        "externalId" => "Id at the identity provider".to_owned(),
        "avatar_url" => "Picture".to_owned(),
        "email" => "Address".to_owned(),
        "emails" => "Addresses".to_owned(),
        "email_verified" => "Address proven".to_owned(),
        "suspended" => "Suspended by an administrator".to_owned(),
        _ => capitalized(&words(field).join(" ")),
    }
}

/// A field that is another way since.
#[derive(Debug, PartialEq)]
pub struct Difference<'a> {
    /// The field.
    pub field: &'a str,
    /// What it was.
    pub before: Option<&'a Value>,
    /// What it is.
    pub after: Option<&'a Value>,
}

impl Change {
    /// The fields that are another way since, in the order of their names.
    pub fn differences(&self) -> Vec<Difference<'_>> {
        let fields: BTreeSet<&String> = self.before.keys().chain(self.after.keys()).collect();
        let all = fields.into_iter().map(|field| Difference {
            field,
            before: self.before.get(field).filter(|value| !is_nothing(value)),
            after: self.after.get(field).filter(|value| !is_nothing(value)),
        });
        all.filter(|one| one.before != one.after).collect()
    }

    /// Whether one of these fields is another way since.
    pub fn touches(&self, fields: &[&str]) -> bool {
        let is_meant = |field: &str| {
            let base = field.split_once('.').map_or(field, |(base, _)| base);
            fields.contains(&base)
        };
        let mut all = self.differences().into_iter();
        all.any(|one| is_meant(one.field))
    }

    /// What a field is since.
    pub fn now(&self, field: &str) -> Option<&Value> {
        self.after.get(field)
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// How much of a value is shown.
const LONGEST: usize = 400;

/// A value in words.
pub fn value_words(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => joined(items.iter().map(value_words)),
        Value::Object(fields) => match fields.get("value") {
            Some(value) => value_words(value),
            None => joined(fields.values().map(value_words)),
        },
        Value::Number(_) => whole(value),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

/// The API has every number as a double: what is whole is shown so.
fn whole(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 => format!("{number:.0}"),
        _ => value.to_string(),
    }
}

/// The fields that are another way since, a line each.
pub fn compared<'a>(all: impl IntoIterator<Item = &'a Difference<'a>>) -> Markup {
    html! {
        ul .diff.small {
            @for one in all { li { (field_words(one.field)) ": " (difference(one)) } }
        }
    }
}

/// A field that is another way since: `old → new`.
fn difference(one: &Difference<'_>) -> Markup {
    html! {
        @match (one.before, one.after) {
            (Some(before), Some(after)) => {
                del { (value_words(before)) }
                " → "
                ins { (value_words(after)) }
            }
            (None, Some(after)) => { ins { (value_words(after)) } }
            (Some(before), None) => { del { (value_words(before)) } " → nothing" }
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_told_in_words() {
        for (action, told) in [
            ("SetRole", "changed the role"),
            ("CreateSSOConfiguration", "created an SSO configuration"),
            ("CreateSCIMConfiguration", "created a SCIM configuration"),
            ("RegenerateSCIMToken", "replaced the SCIM token"),
            ("UpdateGroup", "changed the group"),
            ("Frobnicate", "frobnicate"),
            ("", ""),
        ] {
            assert_eq!(action_words(action), told);
        }
        assert_eq!(field_words("ssoConfigurationId"), "Sso configuration id");
        assert_eq!(field_words("member_count"), "Member count");
    }

    #[test]
    fn only_what_changed_is_told() {
        let change: Change = serde_json::from_value(json!({
            "before": { "role": "member", "name": "Ada", "title": null, "kept": 1.0 },
            "after": { "role": "admin", "name": "Ada", "title": "", "kept": 1.0, "name.givenName": "A" },
        }))
        .unwrap_or_default();
        let fields: Vec<&str> = change.differences().iter().map(|one| one.field).collect();
        assert_eq!(fields, ["name.givenName", "role"]);
        assert!(change.touches(&["name"]));
        assert!(!change.touches(&["title", "kept"]));
        assert_eq!(value_words(&json!(3.0)), "3");
        assert_eq!(value_words(&json!(["a", "b"])), "a, b");
        let addresses = json!([{ "value": "ada@demo.example", "primary": true }]);
        assert_eq!(value_words(&addresses), "ada@demo.example");
        let name = json!({ "familyName": "Lovelace", "givenName": "Ada" });
        assert_eq!(value_words(&name), "Lovelace, Ada");
        assert_eq!(value_words(&json!("é".repeat(500))).chars().count(), 401);
    }
}
