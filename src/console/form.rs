//! What browsers send with forms and addresses, and how what was wrong with it is told.

use std::fmt::Write as _;

use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use maud::{Markup, Render, html};
use serde::de::DeserializeOwned;

use super::client::Refusal;

/// Names and values, where a name may come several times.
#[derive(Clone, Debug, Default)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// The first value of a name without what surrounds it; the empty text if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// All values of a name that are not empty.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// Whether a box of this name is ticked.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The lines of a value that are not empty.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.text(name).lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }
}

/// What a form has.
#[derive(Clone, Debug)]
pub struct Entered(pub Pairs);

impl<S: Send + Sync> FromRequest<S> for Entered {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match Form::from_request(request, state).await {
            Ok(Form(pairs)) => Ok(Self(Pairs(pairs))),
            Err(_) => Err(Refusal::bad_form()),
        }
    }
}

/// What the query of an address has, of which the names are known. Nothing is where something else is asked for.
#[derive(Clone, Debug)]
pub struct Queried<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Queried<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(_) => Err(Refusal::nothing_here()),
        }
    }
}

/// What a form of ours has sent. Another than ours is refused.
#[derive(Clone, Debug)]
pub struct Posted<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Posted<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match Form::from_request(request, state).await {
            Ok(Form(posted)) => Ok(Self(posted)),
            Err(_) => Err(Refusal::bad_form()),
        }
    }
}

/// What the query of an address has.
#[derive(Clone, Debug)]
pub struct Asked(pub Pairs);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(pairs)) => Ok(Self(Pairs(pairs))),
            Err(_) => Err(Refusal::nothing_here()),
        }
    }
}

/// What the API says is wrong with what was entered: to each field what belongs to it, and the rest above the form.
#[derive(Clone, Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Those of a refusal.
    pub fn of(refusal: &Refusal) -> Self {
        if refusal.code != "invalid_argument" {
            return Self(vec![refusal.sentence()]);
        }
        let pieces = refusal.message.split("; ").map(str::to_owned);
        Self(pieces.collect())
    }

    /// One that no method of the API tells.
    pub fn one(field: &str, message: &str) -> Self {
        Self(vec![format!("{field} {message}")])
    }

    /// What is wrong with a field of the API, such as `redirect_uris`. `label` is what people know it by, and `lines` are its values
    /// if it has several.
    pub fn at(&self, field: &str, label: &str, lines: &[String]) -> Option<String> {
        let mut text = String::new();
        for piece in &self.0 {
            let Some((place, message)) = of_field(piece, field) else {
                continue;
            };
            let gap = if text.is_empty() { "" } else { " " };
            let line = place.and_then(|place| lines.get(place));
            let _ = match line {
                Some(line) => write!(text, "{gap}“{line}” {message}."),
                None => write!(text, "{gap}{label} {message}."),
            };
        }
        (!text.is_empty()).then_some(text)
    }

    /// What is wrong with none of these fields.
    pub fn rest(&self, fields: &[&str]) -> Option<String> {
        let is_rest = |piece: &&String| fields.iter().all(|field| of_field(piece, field).is_none());
        let rest: Vec<&str> = self.0.iter().filter(is_rest).map(|s| &**s).collect();
        (!rest.is_empty()).then(|| rest.join("; "))
    }
}

/// The place in the field's list, and the message, if a piece is about the field.
fn of_field<'a>(piece: &'a str, field: &str) -> Option<(Option<usize>, &'a str)> {
    let rest = piece.strip_prefix(field)?;
    let (path, message) = rest.split_once(' ')?;
    if !path.is_empty() && !path.starts_with(['[', '.']) {
        return None;
    }
    let place = path.split_once('[').and_then(|(_, index)| {
        let (index, _) = index.split_once(']')?;
        index.parse().ok()
    });
    Some((place, message.trim_end_matches('.')))
}

/// A field of a form with several lines of text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Area<'a> {
    /// Its name in the form.
    pub name: &'a str,
    /// What it is called.
    pub label: &'a str,
    /// What is in it, a line each.
    pub lines: &'a [String],
    /// What to enter.
    pub hint: &'a str,
    /// What is wrong with what is in it.
    pub problem: Option<&'a str>,
}

impl Render for Area<'_> {
    fn render(&self) -> Markup {
        let hint = format!("{}-hint", self.name);
        let problem = format!("{}-problem", self.name);
        let described = match self.problem {
            Some(_) => format!("{hint} {problem}"),
            None => hint.clone(),
        };
        html! {
            div .field {
                label for=(self.name) { (self.label) }
                textarea .code id=(self.name) name=(self.name) rows="3" autocomplete="off" spellcheck="false"
                    aria-invalid=[self.problem.map(|_| "true")] aria-describedby=(described) {
                    // A first line break of the value would be lost.
                    "\n" (self.lines.join("\n"))
                }
                p .hint id=(hint) { (self.hint) }
                @if let Some(text) = self.problem { p .problem id=(problem) role="alert" { (text) } }
            }
        }
    }
}

/// A box to tick, or with `kind` radio one of several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tick<'a> {
    /// `checkbox` or `radio`.
    pub kind: &'a str,
    /// Its name in the form.
    pub name: &'a str,
    /// What the form has if it is ticked.
    pub value: &'a str,
    /// What it stands for.
    pub label: &'a str,
    /// What that means.
    pub hint: &'a str,
    /// Whether it is ticked.
    pub checked: bool,
}

impl Render for Tick<'_> {
    fn render(&self) -> Markup {
        html! {
            label .check {
                input type=(self.kind) name=(self.name) value=(self.value) checked[self.checked];
                span {
                    (self.label)
                    @if !self.hint.is_empty() { span .hint { " " (self.hint) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_stands_at_its_field() {
        let refusal = Refusal::new(
            "invalid_argument",
            "redirect_uris[1] must begin with https://; or else; name must be short; redirect_uris.uris[0] must be there",
        );
        let problems = Problems::of(&refusal);
        let lines = ["one".to_owned(), "two".to_owned()];
        let at = |field| problems.at(field, "It", &lines);
        assert_eq!(
            at("redirect_uris").unwrap(),
            "“two” must begin with https://. “one” must be there."
        );
        assert_eq!(at("name").unwrap(), "It must be short.");
        assert_eq!(at("redirect").as_deref(), None);
        assert_eq!(
            problems.rest(&["name", "redirect_uris"]).unwrap(),
            "or else"
        );
    }

    #[test]
    fn a_form_has_a_name_several_times() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let pairs = Pairs(vec![
            pair("a", " 1 "),
            pair("a", ""),
            pair("a", "2"),
            pair("b", "x\r\n\r\n y"),
        ]);
        assert_eq!(pairs.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(pairs.lines("b"), ["x", "y"]);
        assert_eq!(pairs.text("c"), "");
        assert!(pairs.has("a") && !pairs.has("c"));
    }
}
