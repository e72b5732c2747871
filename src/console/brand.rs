//! How the pages look on which people sign in: those of an organization, or those of the installation.

use std::sync::Arc;

use axum::Router;
use axum::extract::multipart::{Field as Part, MultipartError, MultipartRejection};
use axum::extract::{DefaultBodyLimit, Multipart};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Refusal;
use super::form::{Asked, Problems, Tick};
use super::frame::{Content, Section};
use super::parts::{Field, Tone, note};
use super::visit::{Visit, Who};
use super::{Console, TOP};

/// The largest form, in bytes: of a picture that is too large, somebody is told so at its field.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// The most bytes of a picture that are kept. The API takes fewer.
const MAX_PICTURE: usize = 128 * 1024;
/// The most bytes of a line of text that are kept. The API takes fewer.
const MAX_LINE: usize = 1024;
/// The most characters of a name that the picture of a page has room for.
const MAX_SHOWN: usize = 26;

/// The routes below an organization.
pub fn routes() -> Router<Arc<Console>> {
    Router::new().route("/settings/brand", get(show).post(save).layer(limit()))
}

/// The routes of the installation.
pub fn of_installation() -> Router<Arc<Console>> {
    Router::new().route("/organizations/brand", get(show).post(save).layer(limit()))
}

fn limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(MAX_BODY)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Brand {
    display_name: String,
    accent_color: String,
    accent_color_dark: String,
    logo: String,
    logo_type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    brand: Brand,
}

/// What a form has.
#[derive(Default)]
struct Sent {
    display_name: String,
    accent_color: String,
    logo: Vec<u8>,
    removes_logo: bool,
}

/// The two lines of text of the form.
struct Entry<'a> {
    display_name: &'a str,
    accent_color: &'a str,
}

fn is_of_installation(visit: &Visit) -> bool {
    visit.organization.as_uuid().is_nil()
}

fn path(visit: &Visit) -> String {
    match is_of_installation(visit) {
        true => format!("{TOP}/organizations/brand"),
        false => visit.path("settings/brand"),
    }
}

/// Whoever looks at the pages of the installation without being an operator would see those of an organization.
fn check(visit: &Visit) -> Result<(), Refusal> {
    if is_of_installation(visit) && visit.who != Who::Operator {
        let text = "Only operators decide how the pages of the installation look.";
        return Err(Refusal::new("permission_denied", text));
    }
    Ok(())
}

async fn show(visit: Visit, Asked(asked): Asked) -> Result<Content, Refusal> {
    let page = page(&visit, None, &Problems::default()).await?;
    Ok(page.notice((asked.text("done") == "saved").then_some("The brand is saved.")))
}

async fn page(
    visit: &Visit,
    entry: Option<Entry<'_>>,
    problems: &Problems,
) -> Result<Content, Refusal> {
    check(visit)?;
    let answer: Answer = visit
        .call("rollcall.v1.BrandService/GetBrand", json!({}))
        .await?;
    let brand = answer.brand;
    let entry = entry.unwrap_or(Entry {
        display_name: &brand.display_name,
        accent_color: &brand.accent_color,
    });
    let of_installation = is_of_installation(visit);
    let body = html! {
        p {
            @if of_installation {
                "What people see when they sign in, as long as it is not known to which organization, and in every organization without a brand of its own."
            } @else {
                "What your people see when they sign in. Where nothing is set, the pages look as those of the whole installation do."
            }
        }
        (form(visit, &brand, &entry, problems))
        section aria-labelledby="preview" {
            h2 #preview { "How it looks" }
            p .hint { "As it is saved. Everybody who opens the sign-in page sees it." }
            div .previews { (preview(&brand, false)) (preview(&brand, true)) }
        }
    };
    Ok(match of_installation {
        true => Content::new(Section::Organizations, "Brand", body)
            .below("Organizations", format!("{TOP}/organizations")),
        false => {
            Content::new(Section::Settings, "Brand", body).below("Settings", visit.path("settings"))
        }
    })
}

fn form(visit: &Visit, brand: &Brand, entry: &Entry<'_>, problems: &Problems) -> Markup {
    let at = |field, label| problems.at(field, label, &[]);
    let (name, colour, logo) = (
        at("display_name", "The name"),
        at("accent_color", "The colour"),
        at("logo", "The logo"),
    );
    let rest = problems.rest(&["display_name", "accent_color", "logo"]);
    let described = match logo {
        Some(_) => "logo-hint logo-problem",
        None => "logo-hint",
    };
    html! {
        section .panel {
            @if let Some(text) = rest { (note(Tone::Bad, Refusal::new("", text).sentence())) }
            form method="post" action=(path(visit)) enctype="multipart/form-data" {
                (Field { name: "display_name", label: "Name", value: entry.display_name, hint: "At the top of the page, up to 64 characters.", problem: name.as_deref(), ..Field::default() })
                (Field {
                    name: "accent_color", label: "Colour of buttons and links", value: entry.accent_color, problem: colour.as_deref(),
                    hint: "Such as #2447c8. It must be dark enough to be read on white. Dark pages have a lighter one that is made of it.",
                    ..Field::default()
                })
                div .field {
                    label for="logo" { "Logo" }
                    @if let Some(url) = logo_url(brand) { p .logo { img src=(url) alt="The logo that is saved"; } }
                    input #logo name="logo" type="file" accept="image/png,image/jpeg,image/webp"
                        aria-invalid=[logo.as_ref().map(|_| "true")] aria-describedby=(described);
                    p #logo-hint .hint { "A PNG, JPEG or WebP file of at most 64 KiB. It is shown up to 48 pixels high." }
                    @if let Some(text) = &logo { p #logo-problem .problem role="alert" { (text) } }
                }
                @if !brand.logo.is_empty() {
                    (Tick { kind: "checkbox", name: "remove_logo", value: "yes", label: "Remove the logo", hint: "", checked: false })
                }
                div .actions { button { "Save the brand" } }
            }
        }
    }
}

fn logo_url(brand: &Brand) -> Option<String> {
    let has_logo = !brand.logo.is_empty();
    has_logo.then(|| format!("data:{};base64,{}", brand.logo_type, brand.logo))
}

/// The colours of a page, as the style sheet has them.
struct Colours<'a> {
    paper: &'static str,
    card: &'static str,
    line: &'static str,
    ink: &'static str,
    accent: &'a str,
    on_accent: &'static str,
}

fn colours(brand: &Brand, is_dark: bool) -> Colours<'_> {
    let or = |own: &'static str, accent| match accent {
        "" => own,
        accent => accent,
    };
    match is_dark {
        false => Colours {
            paper: "#f4f5f8",
            card: "#ffffff",
            line: "#d5d9e2",
            ink: "#16181d",
            accent: or("#2447c8", &*brand.accent_color),
            on_accent: "#ffffff",
        },
        true => Colours {
            paper: "#111318",
            card: "#1b1e26",
            line: "#3a3f4c",
            ink: "#eceef3",
            accent: or("#9db2ff", &*brand.accent_color_dark),
            on_accent: "#0c1230",
        },
    }
}

/// A picture of the sign-in page. It is a drawing: a page of the console has no styles of its own.
fn preview(brand: &Brand, is_dark: bool) -> Markup {
    let colours = colours(brand, is_dark);
    let label = match is_dark {
        false => "The sign-in page on a light screen",
        true => "The sign-in page on a dark screen",
    };
    let name = shortened(&brand.display_name);
    let logo = logo_url(brand);
    let name_at = if logo.is_some() { "78" } else { "58" };
    html! {
        svg viewBox="0 0 320 230" role="img" aria-label=(label) {
            rect width="320" height="230" fill=(colours.paper) {}
            rect x="20" y="16" width="280" height="198" rx="12" fill=(colours.card) stroke=(colours.line) {}
            @if let Some(url) = logo {
                foreignObject x="38" y="28" width="244" height="32" {
                    img .mark.on-dark[is_dark] src=(url) alt="";
                }
            }
            text x="38" y=(name_at) font-size="13" font-weight="600" fill=(colours.ink) { (name) }
            text x="38" y="112" font-size="19" font-weight="700" fill=(colours.ink) { "Sign in" }
            rect x="38" y="124" width="244" height="30" rx="6" fill="none" stroke=(colours.line) {}
            rect x="38" y="166" width="244" height="32" rx="6" fill=(colours.accent) {}
            text x="160" y="187" font-size="13" font-weight="600" text-anchor="middle" fill=(colours.on_accent) { "Continue" }
        }
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= MAX_SHOWN {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(MAX_SHOWN - 1).collect();
    short.push('…');
    short
}

async fn save(
    visit: Visit,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Refusal> {
    check(&visit)?;
    let form = form.map_err(|_| Refusal::bad_form())?;
    let sent = read(form).await?;
    let mut request = json!({ "displayName": sent.display_name, "accentColor": sent.accent_color });
    if sent.removes_logo {
        request["logo"] = Value::from("");
    } else if !sent.logo.is_empty() {
        request["logo"] = Value::from(STANDARD.encode(&sent.logo));
    }
    let method = "rollcall.v1.BrandService/UpdateBrand";
    match visit.tell(method, request).await {
        Ok(()) => Ok(Redirect::to(&format!("{}?done=saved", path(&visit))).into_response()),
        Err(refusal) if refusal.is_about_input() => {
            let entry = Entry {
                display_name: &sent.display_name,
                accent_color: &sent.accent_color,
            };
            let page = page(&visit, Some(entry), &Problems::of(&refusal)).await?;
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn read(mut form: Multipart) -> Result<Sent, Refusal> {
    let mut sent = Sent::default();
    while let Some(part) = form.next_field().await.map_err(unreadable)? {
        let name = part.name().unwrap_or_default().to_owned();
        match &*name {
            "display_name" => sent.display_name = line(part).await?,
            "accent_color" => sent.accent_color = line(part).await?,
            "logo" => sent.logo = bytes(part, MAX_PICTURE).await?,
            "remove_logo" => sent.removes_logo = true,
            _ => {}
        }
    }
    Ok(sent)
}

async fn line(part: Part<'_>) -> Result<String, Refusal> {
    let bytes = bytes(part, MAX_LINE).await?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// What a part has, up to `most` bytes; the rest is let go.
async fn bytes(mut part: Part<'_>, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![];
    while let Some(chunk) = part.chunk().await.map_err(unreadable)? {
        let room = most - bytes.len();
        bytes.extend_from_slice(&chunk[..room.min(chunk.len())]);
    }
    Ok(bytes)
}

fn unreadable(error: MultipartError) -> Refusal {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
            "invalid_argument",
            "The file is much too large: a logo may have at most 64 KiB. Go back, and choose a smaller one.",
        ),
        _ => Refusal::bad_form(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_shortened_between_letters() {
        assert_eq!(shortened("Acme"), "Acme");
        let long = shortened(&"ü".repeat(64));
        assert_eq!(long, format!("{}…", "ü".repeat(25)));
    }
}
