//! What pages are made of.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

/// How many rows a list shows.
pub const PAGE_SIZE: u32 = 50;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// It may be meant, or it may be a mistake.
    Doubtful,
    /// Somebody has to do something.
    Bad,
    /// Nothing to say about it.
    Plain,
}

impl Tone {
    /// The class of the style.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
            Self::Plain => "plain",
        }
    }
}

/// A word that says how something is.
pub fn badge(tone: Tone, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (text) } }
}

/// A moment, which the script shows in the reader's zone.
pub fn time(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(at.to_rfc3339()) { (at.format("%Y-%m-%d %H:%M UTC")) } }
}

/// A moment, if there is one, or else `none`.
pub fn time_or(at: Option<DateTime<Utc>>, none: &str) -> Markup {
    match at {
        Some(at) => time(at),
        None => html! { span .soft { (none) } },
    }
}

/// A value to be copied somewhere else.
pub fn copy(label: &str, value: &str) -> Markup {
    html! {
        div .copy {
            span .label { (label) }
            code { (value) }
            button .second type="button" data-copy=(value) aria-label={ "Copy: " (label) } { "Copy" }
        }
    }
}

/// A field of a form with a choice of few.
#[derive(Clone, Copy, Debug, Default)]
pub struct Select<'a> {
    /// Its name in the form.
    pub name: &'a str,
    /// What it is called.
    pub label: &'a str,
    /// What is chosen.
    pub value: &'a str,
    /// The choices: the value and the words of each.
    pub options: &'a [(&'a str, &'a str)],
}

impl maud::Render for Select<'_> {
    fn render(&self) -> Markup {
        html! {
            div .field {
                label for=(self.name) { (self.label) }
                select id=(self.name) name=(self.name) {
                    @for (value, words) in self.options {
                        option value=(value) selected[*value == self.value] { (words) }
                    }
                }
            }
        }
    }
}

/// What there is where a list is empty: what it would have, and what to do.
pub fn empty(title: &str, text: &str, action: Option<Markup>) -> Markup {
    html! {
        div .empty {
            h2 { (title) }
            p { (text) }
            @if let Some(action) = action { div .actions { (action) } }
        }
    }
}

/// Something to read before anything else.
pub fn note(tone: Tone, text: impl maud::Render) -> Markup {
    let role = match tone {
        Tone::Bad => "alert",
        _ => "status",
    };
    html! { div class={ "note " (tone.class()) } role=(role) { p { (text) } } }
}

/// A field of a form with one line of text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Field<'a> {
    /// Its name in the form.
    pub name: &'a str,
    /// What it is called.
    pub label: &'a str,
    /// What is in it.
    pub value: &'a str,
    /// What to enter.
    pub hint: &'a str,
    /// What is wrong with what is in it.
    pub problem: Option<&'a str>,
    /// The type of the input; text unless given.
    pub kind: &'a str,
    /// Whether something must be entered.
    pub required: bool,
}

impl maud::Render for Field<'_> {
    fn render(&self) -> Markup {
        let hint = format!("{}-hint", self.name);
        let problem = format!("{}-problem", self.name);
        let mut described = vec![];
        if !self.hint.is_empty() {
            described.push(&*hint);
        }
        if self.problem.is_some() {
            described.push(&*problem);
        }
        let kind = if self.kind.is_empty() {
            "text"
        } else {
            self.kind
        };
        html! {
            div .field {
                label for=(self.name) { (self.label) }
                input id=(self.name) name=(self.name) type=(kind) value=(self.value) required[self.required] autocomplete="off"
                    spellcheck="false" aria-invalid=[self.problem.map(|_| "true")]
                    aria-describedby=[(!described.is_empty()).then(|| described.join(" "))];
                @if !self.hint.is_empty() { p .hint id=(hint) { (self.hint) } }
                @if let Some(text) = self.problem { p .problem id=(problem) role="alert" { (text) } }
            }
        }
    }
}

/// Where a list goes on, as the API says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pagination {
    /// The token of the next page; empty on the last one.
    pub next_token: String,
}

/// Which page of a list the browser asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct PageQuery {
    /// The token of the page; empty for the first.
    pub page: String,
    /// What was done just now.
    pub done: String,
}

/// The page of a list as the API is asked for it.
pub fn pagination(token: &str) -> serde_json::Value {
    serde_json::json!({ "token": token, "pageSize": PAGE_SIZE })
}

/// The links from a page of a list to the next and to the first one. `query` is what the list is filtered by.
pub fn pager(path: &str, query: &[(&str, &str)], current: &str, next: &Pagination) -> Markup {
    let url = |token: &str| {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            pairs.append_pair(name, value);
        }
        if !token.is_empty() {
            pairs.append_pair("page", token);
        }
        format!("{path}?{}", pairs.finish())
    };
    html! {
        @if !current.is_empty() || !next.next_token.is_empty() {
            nav .pager aria-label="Pages of this list" {
                @if !current.is_empty() { a href=(url("")) { "To the beginning" } }
                @if !next.next_token.is_empty() { a href=(url(&next.next_token)) rel="next" { "Next page" } }
            }
        }
    }
}

/// A message of the API as a sentence. It begins with the name of a field where it is about one.
pub fn sentence(message: &str) -> String {
    let (field, rest) = match message.split_once(' ') {
        Some((first, rest)) if first.contains('_') => {
            let name = first.split('[').next().unwrap_or_default();
            (name.replace('_', " "), rest)
        }
        _ => (String::new(), message),
    };
    let gap = if field.is_empty() { "" } else { " " };
    let text = format!("{field}{gap}{rest}");
    // The name of a domain stays as it is.
    let is_name = text
        .split(' ')
        .next()
        .is_some_and(|word| word.trim_end_matches('.').contains('.'));
    let mut letters = text.chars();
    let first = letters.next().map(|letter| match is_name {
        true => letter,
        false => letter.to_ascii_uppercase(),
    });
    let is_whole = text.is_empty() || text.ends_with(['.', '!', '?']);
    let end = if is_whole { "" } else { "." };
    let first = first.map(String::from).unwrap_or_default();
    format!("{first}{}{end}", letters.as_str())
}

/// A number with its thousands apart.
pub fn number(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if count < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_sentence() {
        for (message, text) in [
            ("no such user", "No such user."),
            ("issuer_url must be a URL", "Issuer url must be a URL."),
            ("done.", "Done."),
            (
                "acme.example is not verified",
                "acme.example is not verified.",
            ),
            ("", ""),
        ] {
            assert_eq!(sentence(message), text);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        let numbers = [0, 7, 999, 1_000, 12_345, 1_234_567, -4_000];
        let texts = ["0", "7", "999", "1,000", "12,345", "1,234,567", "-4,000"];
        assert_eq!(numbers.map(number), texts);
    }

    #[test]
    fn a_list_goes_on_with_its_filter() {
        let next = Pagination {
            next_token: "t&1".to_owned(),
        };
        let links = pager("/x", &[("search", "a b"), ("role", "")], "", &next).into_string();
        assert!(links.contains("/x?search=a+b&amp;page=t%261"), "{links}");
        assert!(!links.contains("beginning"), "{links}");
    }
}
