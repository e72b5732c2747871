//! Door 4: applications sign people in here. Rollcall is their OpenID provider (OpenID Connect Core 1.0, the code flow), and asks the
//! organization's own provider who somebody is.
//!
//! | path | |
//! |---|---|
//! | `GET /.well-known/openid-configuration`, `GET /.well-known/oauth-authorization-server` | what applications read by themselves |
//! | `GET /oauth2/keys` | the keys that verify tokens |
//! | `GET`, `POST /oauth2/authorize` | where applications send people to sign in |
//! | `POST /oauth2/authorize/decide` | what people decide on the pages there |
//! | `POST /oauth2/par` | takes the request before the person comes |
//! | `POST /oauth2/token` | codes and refresh tokens become tokens |
//! | `GET`, `POST /oauth2/userinfo` | who somebody is |
//! | `POST /oauth2/introspect`, `POST /oauth2/revoke` | whether a token is live; ends what it came of |
//! | `GET`, `POST /oauth2/logout`, `POST /oauth2/logout/confirm` | signs people out |

mod answer;
mod authorize;
mod claims;
mod client;
mod discovery;
mod error;
mod logout;
mod pages;
mod parameters;
mod request;
mod token;
mod tokens;

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use crate::app::App;
use crate::http::page::{dress, protect};
use crate::provisioning::sign_in::AUTHORIZE_PATH;
use crate::provisioning::signing::KEYS_PATH;

/// The kind of ID tokens (`typ`).
const ID_TOKEN: &str = "JWT";

/// The parameter of an authorization request that comes back from signing in: when that began, sealed.
const SINCE: &str = "rollcall_since";

const TOKEN_PATH: &str = "/oauth2/token";
const USERINFO_PATH: &str = "/oauth2/userinfo";
const INTROSPECTION_PATH: &str = "/oauth2/introspect";
const REVOCATION_PATH: &str = "/oauth2/revoke";
const PUSH_PATH: &str = "/oauth2/par";
const LOGOUT_PATH: &str = "/oauth2/logout";

/// What the issuer and the endpoints that clients may mean it by have behind the public URL.
const ISSUER_PATHS: [&str; 5] = ["", "/", INTROSPECTION_PATH, REVOCATION_PATH, PUSH_PATH];

/// The largest body, in bytes.
const MAX_BODY: usize = 64 * 1_024;

/// All routes of this door.
pub fn router(app: &Arc<App>) -> Router {
    let pages = Router::new()
        .route(AUTHORIZE_PATH, get(authorize::get).post(authorize::post))
        .route(pages::DECIDE_PATH, post(authorize::decide))
        .route(LOGOUT_PATH, get(logout::get).post(logout::post))
        .route(pages::LOGOUT_CONFIRM_PATH, post(logout::confirm))
        .layer(middleware::map_response_with_state(app.clone(), dress))
        .layer(middleware::map_response(protect));
    let published = Router::new()
        .route(
            "/.well-known/openid-configuration",
            get(discovery::metadata),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(discovery::metadata),
        )
        .layer(Extension(discovery::Document::of(&app.public_url)))
        .route(KEYS_PATH, get(discovery::keys));
    let tokens = Router::new()
        .route(TOKEN_PATH, post(token::token))
        .route(USERINFO_PATH, get(tokens::userinfo).post(tokens::userinfo))
        .route(INTROSPECTION_PATH, post(tokens::introspect))
        .route(REVOCATION_PATH, post(tokens::revoke))
        .route(PUSH_PATH, post(tokens::push))
        .layer(middleware::map_response(keep_nothing));
    pages
        .merge(
            published
                .merge(tokens)
                .layer(middleware::from_fn(for_every_origin)),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app.clone())
}

/// Tokens are not for caches (RFC 6749, section 5.1).
async fn keep_nothing(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Lets scripts of applications in browsers read what they ask for (Fetch, section 3.2): no cookie opens anything here.
async fn for_every_origin(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "www-authenticate"),
        (header::ACCESS_CONTROL_MAX_AGE, "3600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
