//! Who is signed in, and where.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};
use serde::Deserialize;
use uuid::Uuid;

use super::pages::{Account, Page};
use super::{failed, redirect, signed_in};
use crate::app::App;
use crate::domain::ids::MemberId;
use crate::domain::sign_in::origin;
use crate::error::Error;
use crate::http::session::{self, Session};
use crate::metrics::SessionEnd;
use crate::provisioning::sign_in;
use crate::store;

/// The page of the person who is signed in.
pub async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let session = match signed_in(&app, &headers).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    match read(&app, &session).await {
        Ok(account) => Page::account(&account)
            .of(session.caller.organization_id)
            .into_response(),
        Err(error) => failed(error),
    }
}

async fn read(app: &App, session: &Session) -> Result<Account, Error> {
    let caller = &session.caller;
    let (organization_id, user) = (
        caller.organization_id,
        MemberId::from(caller.subject.id.as_uuid()),
    );
    let now = app.clock.now();
    let mut db = app.store.acquire().await?;
    Ok(Account {
        member: store::members::get(&mut db, organization_id, user).await?,
        organization: store::organizations::get(&mut db, organization_id)
            .await?
            .name,
        sessions: store::sessions::list(
            &mut db,
            organization_id,
            user,
            now,
            now - app.sign_in.session_idle,
        )
        .await?,
        current: session.id,
        administers: caller.powers.administers,
    })
}

/// Which session to end.
#[derive(Debug, Deserialize)]
pub struct End {
    id: Uuid,
}

/// Ends a session of the person: this one or another.
pub async fn end_session(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    end: Result<Form<End>, FormRejection>,
) -> Response {
    if session::check_same_origin(&app, &Method::POST, &headers).is_err() {
        return Page::other_site().into_response();
    }
    let Ok(Form(end)) = end else {
        return Page::bad_form().into_response();
    };
    let session = match signed_in(&app, &headers).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    match sign_in::end_session(&app, &session.caller, end.id.into()).await {
        Ok(is_ended) => {
            let count = is_ended.into();
            app.metrics.sessions_ended(SessionEnd::EndedByMember, count);
            redirect("/account")
        }
        Err(error) => failed(error),
    }
}

/// The page after signing out.
pub async fn signed_out() -> Page {
    Page::signed_out()
}

/// Ends the sessions of the browser. A page of an application that people return to may ask for it.
pub async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let named = headers
        .get(http::header::ORIGIN)
        .and_then(|v| v.to_str().ok());
    let is_application = named
        .and_then(origin)
        .is_some_and(|origin| app.sign_in.return_origins.contains(&origin));
    if !is_application && session::check_same_origin(&app, &Method::POST, &headers).is_err() {
        return Page::other_site().into_response();
    }
    for token in session::all_presented(&app, &headers) {
        let Some(organization_id) = app.organization_of(&token) else {
            continue;
        };
        match sign_in::sign_out(&app, organization_id, &token).await {
            Ok(is_ended) => {
                let count = is_ended.into();
                app.metrics.sessions_ended(SessionEnd::SignedOut, count);
            }
            Err(error) => return failed(error),
        }
    }
    let mut response = redirect("/signed-out");
    session::clear(&app, &headers, response.headers_mut());
    response
}
