//! One person: who it is and why, what the person may do, and what happened.

mod groups;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use self::groups::Groups;
use super::Console;
use super::client::Refusal;
use super::form::{Posted, Queried};
use super::frame::{Content, Section};
use super::history::{self, Change, Difference, Entry};
use super::names::Names;
use super::parts::{PageQuery, Tone, badge, note, time, time_or};
use super::people::{self, Member};
use super::visit::{At, Visit};

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/people/{id}", get(show))
        .route("/people/{id}/why", get(why))
        .route("/people/{id}/role", post(set_role))
        .route("/people/{id}/suspension", post(set_suspended))
        .route("/people/{id}/sessions", post(end_sessions))
}

/// How many entries of the history a page tells: for each, the API is asked what changed.
const HISTORY: usize = 12;

/// How many refused sign-ins it tells.
const REFUSED: usize = 10;

async fn show(
    visit: Visit,
    At { id }: At,
    Queried(query): Queried<PageQuery>,
) -> Result<Content, Refusal> {
    page(&visit, id, &query.done, None).await
}

/// What a person's page is made of.
struct Shown {
    member: Member,
    groups: Groups,
    sessions: Vec<Session>,
    history: History,
    refused: Vec<Attempt>,
}

async fn page(
    visit: &Visit,
    id: Uuid,
    done: &str,
    problem: Option<&Refusal>,
) -> Result<Content, Refusal> {
    let member = people::get_one(visit, id).await?;
    let (groups, sessions, history, refused) = tokio::try_join!(
        Groups::read(visit, id),
        sessions(visit, id),
        History::read(visit, id),
        refused_sign_ins(visit, &member),
    )?;
    let mut shown = Shown {
        member,
        groups,
        sessions,
        history,
        refused,
    };
    let mut wanted = history::wanted(shown.history.known().map(|(entry, _)| entry));
    wanted.groups.extend(shown.groups.unnamed());
    let mut names = Names::default();
    names.learn(visit, wanted).await?;
    shown.history.names = names;
    let content = Content::new(
        Section::People,
        shown.member.label(),
        body(visit, &shown, done, problem),
    );
    Ok(content
        .below("People", visit.path("people"))
        .notice(notice(done, &shown.member)))
}

fn notice(done: &str, member: &Member) -> Option<&'static str> {
    Some(match done {
        "administrator" => "The person is an administrator now.",
        "member" => "The person is a member without administrator’s rights now.",
        "suspended" => "The person is suspended: sessions and tokens have ended.",
        "lifted" if !member.is_suspended() => "The suspension is lifted.",
        "ended" => "The sessions have ended.",
        _ => return None,
    })
}

fn body(visit: &Visit, shown: &Shown, done: &str, problem: Option<&Refusal>) -> Markup {
    let member = &shown.member;
    html! {
        @if let Some(problem) = problem { (note(Tone::Bad, problem.sentence())) }
        @if done == "lifted" && member.is_suspended() {
            (note(Tone::Doubtful, "Your suspension is lifted, but the identity provider keeps the person out: activate the person there."))
        }
        (actions(visit, member))
        (facts(visit, shown))
        (shown.groups.show(visit, &shown.history.names))
        (session_list(visit, shown))
        (timeline(visit, shown))
    }
}

fn actions(visit: &Visit, member: &Member) -> Markup {
    let id = &member.user_id;
    let name = member.label();
    let to = |page: &str| visit.path(&format!("people/{id}/{page}"));
    html! {
        div .actions {
            a .button.second href=(to("why")) {
                @if member.is_suspended() || member.has_left() { "Why can’t they sign in?" } @else { "Can they sign in?" }
            }
            @if !member.has_left() {
                form method="post" action=(to("role")) {
                    @if member.is_administrator() {
                        button .danger name="role" value="member" data-confirm={ "Take the administrator’s rights from " (name) "?" } { "Take administrator’s rights away" }
                    } @else {
                        button .second name="role" value="admin" data-confirm={ "Make " (name) " an administrator, who may change everything here?" } { "Make an administrator" }
                    }
                }
                form method="post" action=(to("suspension")) {
                    @if member.is_suspended() {
                        button .second name="suspended" value="false" data-confirm={ "Let " (name) " sign in again?" } { "Lift the suspension" }
                    } @else {
                        button .danger name="suspended" value="true" data-confirm={ "Suspend " (name) "? All sessions and tokens end at once." } { "Suspend" }
                    }
                }
            }
        }
    }
}

fn facts(visit: &Visit, shown: &Shown) -> Markup {
    let (member, history) = (&shown.member, &shown.history);
    let rows = [
        ("Name", html! { (or_none(&member.full_name)) }, Fact::Name),
        ("Address", html! { (or_none(&member.email)) }, Fact::Address),
        ("Role", html! { (member.role_words()) }, Fact::Role),
        ("Status", member.status_badge(), Fact::Status),
    ];
    html! {
        section .panel {
            h2 { "Who this is" }
            table .list {
                thead { tr { th scope="col" { "Field" } th scope="col" { "Value" } th scope="col" { "Where it comes from" } } }
                tbody {
                    @for (name, value, fact) in rows { tr {
                        td { (name) }
                        td { (value) }
                        td data-label="From" { (history.source(visit, fact)) }
                    } }
                    tr { td { "Provisioning" } td { (history.provisioning(visit)) } td data-label="From" { "The audit log" } }
                    tr { td { "Member since" } td { (people::since(member)) } td data-label="From" { "Rollcall" } }
                    tr { td { "Id" } td { code { (member.user_id) } } td data-label="From" { "Rollcall" } }
                }
            }
        }
    }
}

fn or_none(text: &str) -> &str {
    match text {
        "" => "none",
        text => text,
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Session {
    id: String,
    user_agent: String,
    created_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
}

async fn sessions(visit: &Visit, id: Uuid) -> Result<Vec<Session>, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer {
        sessions: Vec<Session>,
    }
    let method = "rollcall.v1.SessionService/ListSessions";
    let request = json!({ "userId": id, "pagination": { "pageSize": 20 } });
    let found: Answer = visit.call(method, request).await?;
    Ok(found.sessions)
}

fn session_list(visit: &Visit, shown: &Shown) -> Markup {
    let action = visit.path(&format!("people/{}/sessions", shown.member.user_id));
    html! {
        section .panel {
            h2 { "Sessions" }
            @if shown.sessions.is_empty() {
                p { "Not signed in anywhere at the moment." }
            } @else {
                table .list {
                    thead { tr {
                        th scope="col" { "Browser" } th scope="col" { "Signed in" } th scope="col" { "Last used" }
                        th scope="col" { "Ends at the latest" } th scope="col" { "End it" }
                    } }
                    tbody {
                        @for session in &shown.sessions { tr {
                            td { (browser(&session.user_agent)) span .soft { (session.user_agent) } }
                            td data-label="Signed in" { (time_or(session.created_at, "unknown")) }
                            td data-label="Last used" { (time_or(session.last_used_at, "unknown")) }
                            td data-label="Ends" { (time_or(session.expires_at, "unknown")) }
                            td {
                                form method="post" action=(action) {
                                    button .danger name="session" value=(session.id) data-confirm="End this session? The browser is signed out at once." { "End" }
                                }
                            }
                        } }
                    }
                }
                form .actions method="post" action=(action) {
                    button .danger name="session" value="" data-confirm={ "End all sessions of " (shown.member.label()) "?" } { "End all" }
                }
            }
        }
    }
}

/// What most people call a browser that calls itself so.
fn browser(user_agent: &str) -> &'static str {
    const KNOWN: [(&str, &str); 5] = [
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    let found = KNOWN.iter().find(|(sign, _)| user_agent.contains(sign));
    found.map_or("Another browser or program", |(_, name)| name)
}

/// A field of a person whose source is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Name,
    Address,
    Role,
    Status,
}

impl Fact {
    /// The fields of changes that it is made of.
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Name => &["name", "displayName"],
            Self::Address => &["email", "emails", "userName"],
            Self::Role => &["role"],
            Self::Status => &["status", "suspended", "active"],
        }
    }
}

/// What the audit log knows of a person: the newest entries, and how it began.
#[derive(Default)]
struct History {
    newest: Vec<(Entry, Change)>,
    /// The oldest entry, where it is none of the newest.
    oldest: Option<(Entry, Change)>,
    names: Names,
}

impl History {
    async fn read(visit: &Visit, id: Uuid) -> Result<Self, Refusal> {
        let filter = json!({ "subjectIds": [id] });
        let size = json!({ "pageSize": HISTORY });
        let found = history::list(visit, &filter, "SORT_ORDER_DESC", size).await?;
        let is_whole = found.pagination.next_token.is_empty();
        let newest = history::changes(visit, found.entries).await?;
        let oldest = match is_whole {
            true => None,
            false => {
                let size = json!({ "pageSize": 1 });
                let first = history::list(visit, &filter, "SORT_ORDER_ASC", size).await?;
                history::changes(visit, first.entries).await?.pop()
            }
        };
        Ok(Self {
            newest,
            oldest,
            names: Names::default(),
        })
    }

    /// What is known, the newest first.
    fn known(&self) -> impl Iterator<Item = &(Entry, Change)> {
        self.newest.iter().chain(&self.oldest)
    }

    /// Whether nothing is left out between the newest and the beginning.
    fn is_whole(&self) -> bool {
        self.oldest.is_none()
    }

    fn source(&self, visit: &Visit, fact: Fact) -> Markup {
        let mut known = self.newest.iter();
        if let Some((entry, change)) = known.find(|(_, change)| change.touches(fact.fields())) {
            return self.by(visit, entry, change);
        }
        let beginning = match self.is_whole() {
            true => self.newest.last(),
            false => self.oldest.as_ref(),
        };
        let beginning = beginning.filter(|(entry, _)| entry.action == "CreateUser");
        match beginning {
            Some(_) if !self.is_whole() => html! { "Earlier than the history below" },
            Some(_) if fact == Fact::Role => html! { "Nobody changed it" },
            Some((entry, change)) => self.by(visit, entry, change),
            None => html! { "Earlier than the audit log is kept" },
        }
    }

    fn by(&self, visit: &Visit, entry: &Entry, change: &Change) -> Markup {
        html! {
            @if entry.actor_principal == "PRINCIPAL_USER" && entry.actor_id == entry.subject_id {
                "The identity provider, at a sign-in"
            } @else if self.names.configuration(&entry.actor_id).is_some() {
                "Pushed by " (history::actor(visit, &self.names, entry, Some(change)))
            } @else {
                "Set by " (history::actor(visit, &self.names, entry, Some(change)))
            }
            @if let Some(at) = entry.created_at { span .soft { (time(at)) } }
        }
    }

    /// Whether an identity provider pushes the person, as far as the entries tell.
    fn provisioning(&self, visit: &Visit) -> Markup {
        let mut pushed = self.known().filter(|(entry, _)| {
            entry.actor_principal != "PRINCIPAL_USER"
                && entry.actor_principal != "PRINCIPAL_SERVICE_ACCOUNT"
                && ["CreateUser", "UpdateUser", "DeleteUser"].contains(&&*entry.action)
        });
        match pushed.next() {
            Some((entry, _)) if entry.action == "DeleteUser" => {
                html! { "No longer pushed by an identity provider" }
            }
            Some((entry, change)) => {
                html! { "Pushed by " (history::actor(visit, &self.names, entry, Some(change))) }
            }
            None if self.is_whole() => html! { "Not pushed by an identity provider" },
            None => html! { "Not pushed lately" },
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Attempt {
    id: String,
    created_at: Option<DateTime<Utc>>,
    outcome: String,
    reason: String,
    email: String,
    user_id: String,
}

/// The sign-ins of a person that were refused, the newest first: those of the member, and those with the member's address.
async fn refused_sign_ins(visit: &Visit, member: &Member) -> Result<Vec<Attempt>, Refusal> {
    let by_id = attempts(visit, json!({ "userId": member.user_id }));
    let by_address = async {
        match &*member.email {
            "" => Ok(vec![]),
            email => attempts(visit, json!({ "email": email })).await,
        }
    };
    let (mut found, more) = tokio::try_join!(by_id, by_address)?;
    found.extend(more);
    found.retain(|attempt| {
        attempt.outcome == "SIGN_IN_OUTCOME_REFUSED"
            && (attempt.user_id == member.user_id
                || (!member.email.is_empty() && attempt.email.eq_ignore_ascii_case(&member.email)))
    });
    found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    found.dedup_by(|a, b| a.id == b.id);
    found.truncate(REFUSED);
    Ok(found)
}

async fn attempts(visit: &Visit, mut filter: Value) -> Result<Vec<Attempt>, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer {
        attempts: Vec<Attempt>,
    }
    filter["outcome"] = json!("SIGN_IN_OUTCOME_REFUSED");
    let request = json!({ "filter": filter, "pagination": { "pageSize": REFUSED } });
    let method = "rollcall.v1.SignInService/ListSignInAttempts";
    match visit.call::<Answer>(method, request).await {
        Ok(found) => Ok(found.attempts),
        // No sign-in has an address that is none.
        Err(refusal) if refusal.code == "invalid_argument" => Ok(vec![]),
        Err(refusal) => Err(refusal),
    }
}

/// What happened, the newest first.
enum Moment<'a> {
    Entry(&'a Entry, &'a Change),
    Refused(&'a Attempt),
}

impl Moment<'_> {
    const fn at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Entry(entry, _) => entry.created_at,
            Self::Refused(attempt) => attempt.created_at,
        }
    }
}

fn timeline(visit: &Visit, shown: &Shown) -> Markup {
    let entries = shown.history.newest.iter();
    let mut moments: Vec<Moment<'_>> = entries
        .map(|(entry, change)| Moment::Entry(entry, change))
        .chain(shown.refused.iter().map(Moment::Refused))
        .collect();
    moments.sort_by_key(|moment| std::cmp::Reverse(moment.at()));
    let all = visit.path(&format!("audit-log?about={}", shown.member.user_id));
    html! {
        section .panel {
            h2 { "What happened" }
            @if moments.is_empty() {
                p { "Nothing that the audit log still has." }
            } @else {
                ol .timeline {
                    @for moment in &moments { li {
                        @if let Some(at) = moment.at() { (time(at)) }
                        div { @match moment {
                            Moment::Entry(entry, change) => { (told(visit, &shown.history.names, entry, change)) }
                            Moment::Refused(attempt) => { (told_refused(attempt)) }
                        } }
                    } }
                }
            }
            div .actions { a href=(all) { "All changes in the audit log" } }
        }
    }
}

fn told(visit: &Visit, names: &Names, entry: &Entry, change: &Change) -> Markup {
    let is_own = entry.actor_principal == "PRINCIPAL_USER" && entry.actor_id == entry.subject_id;
    let suspended = change.now("suspended").and_then(Value::as_bool);
    let words = match (&*entry.action, suspended) {
        ("CreateUser", _) if is_own => "joined by signing in".to_owned(),
        ("UpdateUser", _) if is_own => "got new details at a sign-in".to_owned(),
        ("SetSuspended", Some(true)) => "suspended this person".to_owned(),
        ("SetSuspended", _) => "lifted the suspension".to_owned(),
        (action, _) => history::action_words(action),
    };
    let differences = change.differences();
    let telling: Vec<&Difference<'_>> = differences
        .iter()
        .filter(|one| is_telling(&entry.action, one))
        .collect();
    html! {
        (history::actor(visit, names, entry, Some(change))) " " (words)
        (history::compared(telling))
    }
}

/// Whether somebody wants to know of a field beside the words of the action.
fn is_telling(action: &str, one: &Difference<'_>) -> bool {
    let is_said = match one.field {
        "suspended" => action == "SetSuspended",
        "ended_sessions" => one.after.and_then(Value::as_f64) == Some(0.0),
        field => field.ends_with("_id") || field.ends_with("_key"),
    };
    !is_said
}

fn told_refused(attempt: &Attempt) -> Markup {
    html! {
        (badge(Tone::Bad, "Sign-in refused")) " "
        span .small { "Reference " code { (attempt.id) } }
        @if !attempt.reason.is_empty() { p .small { (Refusal::new("", &*attempt.reason).sentence()) } }
    }
}

#[derive(Deserialize)]
struct NewRole {
    role: String,
}

async fn set_role(
    visit: Visit,
    At { id }: At,
    Posted(NewRole { role }): Posted<NewRole>,
) -> Result<Response, Refusal> {
    let Some(role) = people::role(&role) else {
        return Err(Refusal::bad_form());
    };
    let method = "gitpod.v1.OrganizationService/SetRole";
    let request = json!({ "organizationId": visit.organization, "userId": id, "role": role });
    let done = match role.ends_with("ADMIN") {
        true => "administrator",
        false => "member",
    };
    settle(&visit, id, visit.tell(method, request).await, done).await
}

#[derive(Deserialize)]
struct Suspension {
    suspended: bool,
}

async fn set_suspended(
    visit: Visit,
    At { id }: At,
    Posted(Suspension { suspended }): Posted<Suspension>,
) -> Result<Response, Refusal> {
    let method = "gitpod.v1.UserService/SetSuspended";
    let request = json!({ "userId": id, "suspended": suspended });
    let done = if suspended { "suspended" } else { "lifted" };
    settle(&visit, id, visit.tell(method, request).await, done).await
}

#[derive(Deserialize)]
struct WhichSession {
    /// All of them, if it is empty.
    session: String,
}

async fn end_sessions(
    visit: Visit,
    At { id }: At,
    Posted(WhichSession { session }): Posted<WhichSession>,
) -> Result<Response, Refusal> {
    let mut request = json!({ "userId": id });
    if !session.is_empty() {
        request["sessionId"] = json!(session);
    }
    let method = "rollcall.v1.SessionService/EndSessions";
    settle(&visit, id, visit.tell(method, request).await, "ended").await
}

/// Back to the page after a change, or the page with why there was none.
async fn settle(
    visit: &Visit,
    id: Uuid,
    result: Result<(), Refusal>,
    done: &str,
) -> Result<Response, Refusal> {
    match result {
        Ok(()) => Ok(visit.go(&format!("people/{id}?done={done}"))),
        Err(refusal) if refusal.is_about_input() => {
            let content = page(visit, id, "", Some(&refusal)).await?;
            Ok(content.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Explanation {
    verdict: String,
    text: String,
    steps: Vec<Step>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Step {
    outcome: String,
    subject: String,
    text: String,
    sso_configuration_id: String,
    attempt_id: String,
}

impl Step {
    fn tone(&self) -> (Tone, &'static str) {
        match &*self.outcome {
            "OUTCOME_OK" => (Tone::Good, "As it should be"),
            "OUTCOME_DOUBTFUL" => (Tone::Doubtful, "Look at this"),
            "OUTCOME_BAD" => (Tone::Bad, "This keeps them out"),
            _ => (Tone::Plain, "Not known"),
        }
    }
}

async fn why(visit: Visit, At { id }: At) -> Result<Content, Refusal> {
    let member = people::get_one(&visit, id).await?;
    let method = "rollcall.v1.SignInService/ExplainSignIn";
    let body = match visit.call(method, json!({ "userId": id })).await {
        Ok(explanation) => explained(&visit, &explanation),
        Err(refusal) if refusal.code == "unimplemented" => note(
            Tone::Doubtful,
            "This server cannot explain sign-ins yet. The person’s page shows the sign-ins that were refused, and why.",
        ),
        Err(refusal) => return Err(refusal),
    };
    let title = format!("Can {} sign in?", member.label());
    let content = Content::new(Section::People, title, body);
    Ok(content
        .below("People", visit.path("people"))
        .below(member.label(), visit.path(&format!("people/{id}"))))
}

fn explained(visit: &Visit, explanation: &Explanation) -> Markup {
    let (tone, words) = match &*explanation.verdict {
        "VERDICT_LETS_IN" => (Tone::Good, "Yes, if the identity provider lets them."),
        "VERDICT_KEEPS_OUT" => (Tone::Bad, "No."),
        "VERDICT_DEPENDS" => (
            Tone::Doubtful,
            "It depends on what the identity provider says of them.",
        ),
        _ => (Tone::Doubtful, "That is not known."),
    };
    html! {
        (note(tone, html! { strong { (words) } " " (explanation.text) }))
        p { "Rollcall looked at the same things as when somebody signs in, in the same order:" }
        ol .steps {
            @for step in &explanation.steps {
                @let (tone, words) = step.tone();
                li class=(tone.class()) {
                    h2 { (step.subject) " " (badge(tone, words)) }
                    p { (step.text) }
                    @if !step.sso_configuration_id.is_empty() {
                        p .small { a href=(visit.path(&format!("sso/{}", step.sso_configuration_id))) { "Open the SSO configuration" } }
                    }
                    @if !step.attempt_id.is_empty() {
                        p .small { "Reference of the try to sign in: " code { (step.attempt_id) } }
                    }
                }
            }
        }
    }
}
