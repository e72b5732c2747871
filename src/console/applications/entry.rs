//! What is entered of an application, in the forms that make and change one.

use maud::{Markup, html};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Application;
use crate::console::form::{Area, Pairs, Problems, Tick};
use crate::console::frame::{Content, Section};
use crate::console::parts::{Field, Select, Tone, note};
use crate::console::visit::Visit;

/// How an application proves who it is.
const AUTHENTICATIONS: [(&str, &str); 4] = [
    (
        "CLIENT_AUTHENTICATION_CLIENT_SECRET_BASIC",
        "A secret, in the header Authorization (client_secret_basic): right for most programs on a server",
    ),
    (
        "CLIENT_AUTHENTICATION_CLIENT_SECRET_POST",
        "A secret, in the form (client_secret_post)",
    ),
    (
        "CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT",
        "A signature with its own key (private_key_jwt)",
    ),
    (
        "CLIENT_AUTHENTICATION_NONE",
        "Nothing: it runs in the browser or on people’s devices, and can keep no secret",
    ),
];

/// What an application may learn and do: the name in the API, the name in OpenID Connect, and what it means.
const SCOPES: [(&str, &str, &str); 7] = [
    ("SCOPE_OPENID", "openid", "sign people in"),
    ("SCOPE_PROFILE", "profile", "names and pictures"),
    ("SCOPE_EMAIL", "email", "e-mail addresses"),
    ("SCOPE_GROUPS", "groups", "the groups that the person is in"),
    (
        "SCOPE_ORGANIZATION",
        "organization",
        "the name of the organization, and the person’s roles",
    ),
    (
        "SCOPE_OFFLINE_ACCESS",
        "offline_access",
        "go on while the person is away, and notice when access ends",
    ),
    (
        "SCOPE_API",
        "api",
        "use the API of Rollcall in the person’s name",
    ),
];

/// What an application may ask for, unless it is said.
const USUAL_SCOPES: [&str; 4] = [
    "SCOPE_OPENID",
    "SCOPE_PROFILE",
    "SCOPE_EMAIL",
    "SCOPE_OFFLINE_ACCESS",
];

const SIGNATURES: [(&str, &str); 3] = [
    ("SIGNATURE_RS256", "RS256: every program knows it"),
    ("SIGNATURE_ES256", "ES256"),
    ("SIGNATURE_EDDSA", "EdDSA"),
];

/// The fields of the API that have a field in the form.
const FIELDS: [&str; 8] = [
    "name",
    "redirect_uris",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "initiate_login_uri",
    "logo_url",
    "jwks_uri",
    "scopes",
];

/// The scopes as applications ask for them.
pub fn scope_words(scopes: &[String]) -> String {
    let given = SCOPES
        .iter()
        .filter(|(name, ..)| scopes.iter().any(|s| s == name));
    let words: Vec<&str> = given.map(|(_, word, _)| *word).collect();
    words.join(" ")
}

/// What is in the fields of the form.
#[derive(Clone, Debug)]
pub struct Entry {
    name: String,
    authentication: String,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    backchannel_logout_uri: String,
    initiate_login_uri: String,
    logo_url: String,
    jwks_uri: String,
    scopes: Vec<String>,
    signature: String,
    pkce: bool,
}

impl Entry {
    /// Of an application that nothing is known of.
    pub fn fresh() -> Self {
        Self::of(&Application {
            authentication: AUTHENTICATIONS[0].0.to_owned(),
            scopes: USUAL_SCOPES.map(str::to_owned).to_vec(),
            id_token_signature: SIGNATURES[0].0.to_owned(),
            require_pkce: true,
            ..Application::default()
        })
    }

    /// Of an application.
    pub fn of(application: &Application) -> Self {
        let application = application.clone();
        Self {
            name: application.name,
            authentication: application.authentication,
            redirect_uris: application.redirect_uris,
            post_logout_redirect_uris: application.post_logout_redirect_uris,
            backchannel_logout_uri: application.backchannel_logout_uri,
            initiate_login_uri: application.initiate_login_uri,
            logo_url: application.logo_url,
            jwks_uri: application.jwks_uri,
            scopes: application.scopes,
            signature: application.id_token_signature,
            pkce: application.require_pkce,
        }
    }

    /// Of a form.
    pub fn entered(form: &Pairs) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        Self {
            name: text("name"),
            authentication: text("authentication"),
            redirect_uris: form.lines("redirect_uris"),
            post_logout_redirect_uris: form.lines("post_logout_redirect_uris"),
            backchannel_logout_uri: text("backchannel_logout_uri"),
            initiate_login_uri: text("initiate_login_uri"),
            logo_url: text("logo_url"),
            jwks_uri: text("jwks_uri"),
            scopes: form.all("scope").map(str::to_owned).collect(),
            signature: text("signature"),
            pkce: form.has("pkce"),
        }
    }

    /// The request that makes the application.
    pub fn to_create(&self) -> Value {
        json!({
            "name": self.name,
            "authentication": given(&self.authentication),
            "redirectUris": self.redirect_uris,
            "postLogoutRedirectUris": self.post_logout_redirect_uris,
            "backchannelLogoutUri": self.backchannel_logout_uri,
            "initiateLoginUri": self.initiate_login_uri,
            "logoUrl": self.logo_url,
            "jwksUri": self.jwks_uri,
            "scopes": self.scopes,
            "idTokenSignature": given(&self.signature),
            "requirePkce": self.pkce,
        })
    }

    /// The request that changes an application to this.
    pub fn to_update(&self, id: Uuid) -> Value {
        json!({
            "applicationId": id,
            "name": self.name,
            "authentication": given(&self.authentication),
            "redirectUris": { "uris": self.redirect_uris },
            "postLogoutRedirectUris": { "uris": self.post_logout_redirect_uris },
            "backchannelLogoutUri": self.backchannel_logout_uri,
            "initiateLoginUri": self.initiate_login_uri,
            "logoUrl": self.logo_url,
            "jwksUri": self.jwks_uri,
            "scopes": { "scopes": self.scopes },
            "idTokenSignature": given(&self.signature),
            "requirePkce": self.pkce,
        })
    }
}

/// What is not given is as the API has it.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The page that makes an application.
pub fn page(visit: &Visit, entry: &Entry, problems: &Problems) -> Content {
    let path = visit.path("applications/new");
    let body = html! {
        p { "An application is a program that your people sign in to: it asks Rollcall who they are, with OpenID Connect. You get its client ID and secret on the next page." }
        section .panel { (form(&path, entry, problems, "Add the application")) }
    };
    Content::new(Section::Applications, "Add an application", body)
        .below("Applications", visit.path("applications"))
}

/// The form.
pub fn form(path: &str, entry: &Entry, problems: &Problems, verb: &str) -> Markup {
    let at = |field: &str, label: &str| problems.at(field, label, &[]);
    let name = at("name", "The name");
    let redirects = problems.at("redirect_uris", "The list", &entry.redirect_uris);
    html! {
        @if let Some(text) = problems.rest(&FIELDS) { (note(Tone::Bad, sentence(&text))) }
        form method="post" action=(path) {
            (Field { name: "name", label: "Name", value: &entry.name, hint: "As people know it, such as Wiki.", problem: name.as_deref(), required: true, ..Field::default() })
            (Area {
                name: "redirect_uris", label: "Redirect addresses", lines: &entry.redirect_uris, problem: redirects.as_deref(),
                hint: "Where people are sent back to after signing in, one address a line, such as https://wiki.example.com/oauth2/callback. The documentation of the application says it (“redirect URI” or “callback URL”). They are compared letter by letter.",
            })
            (proof(entry))
            (scopes(entry, problems))
            (more(entry, problems))
            div .actions { button { (verb) } }
        }
    }
}

fn sentence(text: &str) -> String {
    crate::console::client::Refusal::new("", text).sentence()
}

fn proof(entry: &Entry) -> Markup {
    html! {
        fieldset {
            legend { "How it proves who it is" }
            @for (value, label) in &AUTHENTICATIONS {
                (Tick { kind: "radio", name: "authentication", value, label, checked: entry.authentication == *value, ..Tick::default() })
            }
        }
    }
}

fn scopes(entry: &Entry, problems: &Problems) -> Markup {
    let problem = problems.at("scopes", "The list", &[]);
    html! {
        fieldset {
            legend { "What it may ask for" }
            @for (value, word, meaning) in &SCOPES {
                (Tick { kind: "checkbox", name: "scope", value, label: word, hint: meaning, checked: entry.scopes.iter().any(|s| s == value) })
            }
            @if let Some(text) = problem { p .problem role="alert" { (text) } }
        }
    }
}

/// What most applications do without.
fn more(entry: &Entry, problems: &Problems) -> Markup {
    let logout_uris = &entry.post_logout_redirect_uris;
    let logouts = problems.at("post_logout_redirect_uris", "The list", logout_uris);
    let single = [
        (
            "backchannel_logout_uri",
            "Back-channel logout address",
            &entry.backchannel_logout_uri,
            "Rollcall tells the application there at once that somebody signed out or lost access.",
        ),
        (
            "initiate_login_uri",
            "Start address",
            &entry.initiate_login_uri,
            "Where the application begins to sign somebody in (initiate_login_uri).",
        ),
        (
            "logo_url",
            "Logo",
            &entry.logo_url,
            "The address of a picture.",
        ),
        (
            "jwks_uri",
            "Address of its public keys",
            &entry.jwks_uri,
            "Only for an application that proves itself with its own key (JWKS URI).",
        ),
    ];
    let is_wrong = logouts.is_some()
        || single
            .iter()
            .any(|(name, ..)| problems.at(name, "", &[]).is_some());
    let is_used =
        !logout_uris.is_empty() || single.iter().any(|(_, _, value, _)| !value.is_empty());
    html! {
        details .more open[is_wrong || is_used] {
            summary { "Signing out, logo, and other settings" }
            (Area {
                name: "post_logout_redirect_uris", label: "Addresses after signing out", lines: logout_uris, problem: logouts.as_deref(),
                hint: "Where the application may send people after they signed out, one a line. A page that needs no sign-in.",
            })
            @for (name, label, value, hint) in single {
                @let problem = problems.at(name, "The address", &[]);
                (Field { name, label, value, hint, problem: problem.as_deref(), ..Field::default() })
            }
            (Select { name: "signature", label: "ID tokens are signed with", value: &entry.signature, options: &SIGNATURES })
            (Tick { kind: "checkbox", name: "pkce", value: "yes", label: "Require PKCE", hint: "Switch this off only for an old program that cannot do it.", checked: entry.pkce })
        }
    }
}
