//! What is entered of a webhook, in the forms that make and change one.

use maud::{Markup, Render, html};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Webhook;
use crate::console::client::Refusal;
use crate::console::form::{Pairs, Problems, Tick};
use crate::console::frame::{Content, Section};
use crate::console::parts::{Field, Tone, note};
use crate::console::visit::Visit;
use crate::domain::event;

/// What is in the fields of the form.
#[derive(Clone, Debug)]
pub struct Entry {
    url: String,
    description: String,
    /// Whether it hears everything, also what later releases bring.
    all: bool,
    types: Vec<String>,
}

impl Entry {
    /// Of a webhook that nothing is known of.
    pub fn fresh() -> Self {
        Self::of(&Webhook::default())
    }

    /// Of a webhook.
    pub fn of(webhook: &Webhook) -> Self {
        Self {
            url: webhook.url.clone(),
            description: webhook.description.clone(),
            all: webhook.types.is_empty(),
            types: webhook.types.clone(),
        }
    }

    /// Of a form.
    pub fn entered(form: &Pairs) -> Self {
        Self {
            url: form.text("url").to_owned(),
            description: form.text("description").to_owned(),
            all: form.text("hears") == "all",
            types: form.all("type").map(str::to_owned).collect(),
        }
    }

    /// What the form says that no webhook could: no type is every type for the API.
    pub fn problems(&self) -> Option<Problems> {
        let is_none = !self.all && self.types.is_empty();
        is_none.then(|| Problems::one("types", "must have at least one: tick what to send"))
    }

    /// The types as the API has them. A type is left out where all of its noun are named.
    fn wanted(&self) -> Vec<&str> {
        if self.all {
            return vec![];
        }
        let is_covered = |kind: &str| {
            let (noun, verb) = kind.split_once('.').unwrap_or_default();
            verb != "*" && self.types.iter().any(|other| *other == format!("{noun}.*"))
        };
        let types = self.types.iter().map(|kind| &**kind);
        types.filter(|kind| !is_covered(kind)).collect()
    }

    /// The request that makes the webhook.
    pub fn to_create(&self) -> Value {
        json!({ "url": self.url, "description": self.description, "types": self.wanted() })
    }

    /// The request that changes a webhook to this.
    pub fn to_update(&self, id: Uuid) -> Value {
        json!({
            "webhookId": id,
            "url": self.url,
            "description": self.description,
            "types": { "types": self.wanted() },
        })
    }
}

/// The page that makes a webhook.
pub fn page(visit: &Visit, entry: &Entry, problems: &Problems) -> Content {
    let path = visit.path("webhooks/new");
    let body = html! {
        p { "Rollcall calls the address with each event, signed. It hears what happens from now on." }
        section .panel { (form(&path, entry, problems, "Add the webhook")) }
    };
    Content::new(Section::Webhooks, "Add a webhook", body).below("Webhooks", visit.path("webhooks"))
}

/// The form.
pub fn form(path: &str, entry: &Entry, problems: &Problems, verb: &str) -> Markup {
    let url = problems.at("url", "The address", &[]);
    let description = problems.at("description", "The description", &[]);
    html! {
        @if let Some(text) = problems.rest(&["url", "description", "types"]) {
            (note(Tone::Bad, Refusal::new("", text).sentence()))
        }
        form method="post" action=(path) {
            (Field {
                name: "url", label: "Address", value: &entry.url, kind: "url", problem: url.as_deref(), required: true,
                hint: "Of your program, such as https://app.example.com/hooks.",
            })
            (Field {
                name: "description", label: "Description", value: &entry.description, problem: description.as_deref(),
                hint: "What it is for, such as Billing. It names the webhook in the list.", ..Field::default()
            })
            (types(entry, problems))
            div .actions { button { (verb) } }
        }
    }
}

fn types(entry: &Entry, problems: &Problems) -> Markup {
    let problem = problems.at("types", "The list", &entry.types);
    let is_ticked = |kind: &str| entry.types.iter().any(|t| t == kind);
    let unknown = entry
        .types
        .iter()
        .filter(|kind| event::types(kind).next().is_none());
    let tick = |kind: &str, label: &str| {
        Tick {
            kind: "checkbox",
            name: "type",
            value: kind,
            label,
            checked: is_ticked(kind),
            hint: "",
        }
        .render()
    };
    html! {
        fieldset .hears {
            legend { "What it hears" }
            (Tick { kind: "radio", name: "hears", value: "all", label: "Everything", hint: "(also what later releases bring)", checked: entry.all })
            (Tick { kind: "radio", name: "hears", value: "some", label: "Only what I choose", hint: "", checked: !entry.all })
            @if let Some(text) = problem { p .problem role="alert" { (text) } }
            div .ticks {
                @for (noun, verbs) in &event::TYPES {
                    fieldset {
                        legend { (words(noun)) }
                        (tick(&format!("{noun}.*"), "all of these"))
                        @for verb in *verbs { (tick(&format!("{noun}.{verb}"), verb)) }
                    }
                }
            }
            @for kind in unknown { (tick(kind, kind)) }
        }
    }
}

/// What a noun of events is called here.
fn words(noun: &str) -> String {
    let known = match noun {
        "member" => "People",
        "membership" => "Members of groups",
        "role_assignment" => "Roles of groups",
        "organization" => "Organization",
        "session" => "Sign-ins (sessions)",
        "organization_policy" => "Policies",
        "sso_configuration" => "Single sign-on",
        "scim_configuration" => "Provisioning",
        "domain_verification" => "Domains",
        noun => {
            let mut words = noun.replace('_', " ");
            if let Some(first) = words.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            return format!("{words}s");
        }
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_with_a_star_has_all_of_its_types() {
        let entry = Entry {
            url: String::new(),
            description: String::new(),
            all: false,
            types: ["member.*", "member.left", "group.created"]
                .map(str::to_owned)
                .to_vec(),
        };
        assert_eq!(entry.wanted(), ["member.*", "group.created"]);
        assert_eq!(Entry { all: true, ..entry }.wanted(), [""; 0]);
    }

    #[test]
    fn a_noun_has_words() {
        assert_eq!(words("event_stream"), "Event streams");
        assert_eq!(words("member"), "People");
    }
}
