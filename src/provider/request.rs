//! What an application asks for when it sends somebody here to sign in (OpenID Connect Core, section 3.1.2.1; RFC 7636; RFC 9126).

use serde_json::Value;

use super::error::{Code, Refused};
use super::pages;
use super::parameters::{Parameters, printable};
use crate::app::App;
use crate::domain::application::{Application, ClientId, Grant, Scope, Scopes};
use crate::domain::grant::Wanted;
use crate::domain::ids::{OrganizationId, PushedRequestId, SubjectId};
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::page::Page;
use crate::provisioning::signing;
use crate::store;

/// What the URI of a pushed request begins with (RFC 9126, section 2.2).
pub const PUSHED: &str = "urn:ietf:params:oauth:request_uri:";

/// The most claims that are asked for by name.
const MAX_WANTED: usize = 50;
/// The longest nonce, in bytes.
const MAX_NONCE: usize = 512;

/// How the answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the query of the redirect URI.
    Query,
    /// In a form that the browser sends there (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// Where the answer goes, whatever it is.
#[derive(Clone, Debug)]
pub struct Target {
    /// One of the application's redirect URIs.
    pub redirect_uri: String,
    /// What the application gets back as it sent it.
    pub state: Option<String>,
    /// How it travels.
    pub mode: Mode,
}

/// What the person is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Nothing: there must be an answer at once.
    pub none: bool,
    /// To sign in again.
    pub login: bool,
    /// To choose an account.
    pub select_account: bool,
    /// To agree.
    pub consent: bool,
}

/// A request that can be answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub application: Application,
    /// Where the answer goes.
    pub target: Target,
    /// For what: the scopes that the application may have.
    pub scopes: Scopes,
    /// What proves to the application that an ID token is the answer.
    pub nonce: Option<String>,
    /// SHA-256 of what the application will prove that it began with.
    pub code_challenge: Option<String>,
    /// What the person is asked.
    pub prompt: Prompt,
    /// How many seconds ago the person may have signed in.
    pub max_age: Option<i64>,
    /// How strongly the person should have signed in.
    pub acr_values: Vec<String>,
    /// How strongly the person must have signed in.
    pub required_acr: Vec<String>,
    /// The address of the person, as far as the application knows.
    pub login_hint: Option<String>,
    /// The only organization whose member it may be.
    pub organization: Option<OrganizationId>,
    /// The only person that it may be.
    pub subject: Option<SubjectId>,
    /// Claims that it asks for by name.
    pub wanted: Wanted,
    /// The request that was pushed, if it was.
    pub pushed: Option<PushedRequestId>,
    /// All of it, as it can be sent again.
    pub parameters: Parameters,
}

/// Why a request is not answered with a code.
pub enum Stop {
    /// The person is told: where to send an answer is not known for certain.
    Page(Page),
    /// The application is told.
    Refused(Target, Refused),
    /// Nobody's doing but the server's.
    Fault(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// A page for an application or a redirect URI that is not known: nothing is sent there. Everything else that is wrong, for the
    /// application.
    pub async fn read(app: &App, sent: Parameters) -> Result<Self, Stop> {
        let client: Option<ClientId> = sent.get("client_id").and_then(|id| id.parse().ok());
        let client = client.ok_or_else(|| Stop::Page(pages::unknown_application()))?;
        let application = find(app, client).await?;
        let application = application.ok_or_else(|| Stop::Page(pages::unknown_application()))?;
        let (pushed, parameters) = match sent.get("request_uri") {
            Some(uri) if uri.starts_with(PUSHED) => {
                let found = pulled(app, &application, uri).await?;
                let (id, parameters) =
                    found.ok_or_else(|| Stop::Page(pages::pushed_request_is_over()))?;
                (Some(id), parameters)
            }
            _ => (None, sent.clone()),
        };
        let target = target(&application, &parameters)?;
        let again = match pushed {
            Some(_) => referring(&sent, &parameters),
            None => parameters.clone(),
        };
        let read = read(app, application, target.clone(), &parameters, again, pushed).await;
        read.map_err(|stop| match stop {
            Wrong::Refused(refused) => Stop::Refused(target, refused),
            Wrong::Fault(error) => Stop::Fault(error),
        })
    }
}

/// Checks a request that is pushed: what would be wrong with it when it is used.
///
/// # Errors
///
/// As [`Request::read`] has them, for the application.
pub async fn check(
    app: &App,
    application: Application,
    parameters: &Parameters,
) -> Result<(), super::error::Failure> {
    if parameters.get("request_uri").is_some() {
        return Err(
            Refused::request("a pushed request must not refer to another (request_uri)").into(),
        );
    }
    let target = match target(&application, parameters) {
        Ok(target) => target,
        Err(_) => {
            return Err(Refused::request(
                "redirect_uri must be one of those that the application has, to the letter",
            )
            .into());
        }
    };
    read(
        app,
        application,
        target,
        parameters,
        Parameters::default(),
        None,
    )
    .await
    .map(drop)
    .map_err(|wrong| match wrong {
        Wrong::Refused(refused) => refused.into(),
        Wrong::Fault(error) => error.into(),
    })
}

/// What can be sent again of a request that was pushed: the reference, and what the sign-in has to know. Those who answer look at
/// what was pushed alone.
fn referring(sent: &Parameters, pushed: &Parameters) -> Parameters {
    let mut again = Parameters::default();
    for name in ["client_id", "request_uri", super::SINCE] {
        if let Some(value) = sent.get(name) {
            again.0.insert(name.to_owned(), value.to_owned());
        }
    }
    for name in ["prompt", "max_age", "acr_values"] {
        if let Some(value) = pushed.get(name) {
            again.0.insert(name.to_owned(), value.to_owned());
        }
    }
    again
}

/// Finds an application.
pub async fn find(app: &App, client: ClientId) -> Result<Option<Application>, Error> {
    let found = app
        .store
        .read(|db| {
            Box::pin(store::applications::find_client(
                db,
                client.organization_id,
                client.id,
            ))
        })
        .await?;
    Ok(found.map(|(application, _)| application))
}

async fn pulled(
    app: &App,
    application: &Application,
    uri: &str,
) -> Result<Option<(PushedRequestId, Parameters)>, Error> {
    let text = uri.strip_prefix(PUSHED).unwrap_or_default();
    let Some(token) = Token::parse(TokenKind::PushedRequest, text) else {
        return Ok(None);
    };
    let id = PushedRequestId::from(token.id());
    let mut db = app.store.acquire().await?;
    let found = store::pushed_requests::find(
        &mut db,
        application.organization_id,
        id,
        application.id,
        &token.digest(),
        app.clock.now(),
    )
    .await?;
    Ok(found.map(|parameters| (id, Parameters(parameters))))
}

/// Where the answer goes. Before this is known, nothing is sent anywhere (RFC 6749, section 4.1.2.1).
fn target(application: &Application, parameters: &Parameters) -> Result<Target, Stop> {
    let uri = parameters.get("redirect_uri").unwrap_or_default();
    if !application.redirects_to(uri) {
        return Err(Stop::Page(pages::unknown_redirect(
            &application.settings.name,
        )));
    }
    Ok(Target {
        redirect_uri: uri.to_owned(),
        state: parameters.get("state").map(str::to_owned),
        mode: match parameters.get("response_mode") {
            Some("form_post") => Mode::FormPost,
            _ => Mode::Query,
        },
    })
}

enum Wrong {
    Refused(Refused),
    Fault(Error),
}

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

async fn read(
    app: &App,
    application: Application,
    target: Target,
    parameters: &Parameters,
    again: Parameters,
    pushed: Option<PushedRequestId>,
) -> Result<Request, Wrong> {
    check_kind(&application, parameters)?;
    let asked = Scopes::known(parameters.get("scope").unwrap_or_default());
    let mut scopes = asked.within(&application.scopes());
    if !application.has(Grant::RefreshToken) {
        scopes = scopes.without(Scope::OfflineAccess);
    }
    if scopes.is_empty() {
        return Err(Refused::new(
            Code::InvalidScope,
            "scope has none that the application may have: openid is the one that signs people in",
        )
        .into());
    }
    let nonce = parameters.get("nonce");
    if nonce.is_some_and(|nonce| nonce.len() > MAX_NONCE) {
        return Err(Refused::request("nonce must have at most 512 bytes").into());
    }
    let (wanted, named, required_acr) = wanted(parameters.get("claims"))?;
    let hinted = match parameters.get("id_token_hint") {
        Some(hint) => Some(hinted(app, &application, hint).await?),
        None => None,
    };
    if named.is_some() && hinted.is_some() && named != hinted {
        return Err(Refused::request("claims and id_token_hint name two people").into());
    }
    Ok(Request {
        code_challenge: code_challenge(&application, parameters)?,
        prompt: prompt(parameters.get("prompt"))?,
        max_age: max_age(parameters.get("max_age"))?,
        organization: organization(&application, parameters.get("organization"))?,
        nonce: nonce.map(str::to_owned),
        acr_values: words(parameters.get("acr_values")),
        required_acr,
        login_hint: parameters.get("login_hint").map(str::to_owned),
        subject: named.or(hinted),
        application,
        target,
        scopes,
        wanted,
        pushed,
        parameters: again,
    })
}

fn words(text: Option<&str>) -> Vec<String> {
    let words = text.unwrap_or_default().split(' ');
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What there is no support for, in the standard's words.
fn check_kind(application: &Application, parameters: &Parameters) -> Result<(), Refused> {
    let has = |name: &str| parameters.get(name).is_some();
    if has("request") {
        return Err(Refused::new(
            Code::RequestNotSupported,
            "request objects are not supported: send the parameters themselves, or push them (RFC 9126)",
        ));
    }
    if has("request_uri") {
        return Err(Refused::new(
            Code::RequestUriNotSupported,
            "request objects are not supported: request_uri must be one that the pushed authorization request endpoint returned",
        ));
    }
    if has("registration") {
        return Err(Refused::new(
            Code::RegistrationNotSupported,
            "applications are registered by administrators, not in requests",
        ));
    }
    if !application.has(Grant::AuthorizationCode) {
        return Err(Refused::new(
            Code::UnauthorizedClient,
            "the application signs nobody in: it has not the grant authorization_code",
        ));
    }
    match parameters.get("response_type") {
        Some("code") => {}
        None => {
            return Err(Refused::request(
                "the parameter response_type is missing: code is the only one",
            ));
        }
        Some(_) => {
            return Err(Refused::new(
                Code::UnsupportedResponseType,
                "response_type must be code: the implicit and hybrid flows are not supported",
            ));
        }
    }
    match parameters.get("response_mode") {
        None | Some("query" | "form_post") => Ok(()),
        Some(_) => Err(Refused::request("response_mode must be query or form_post")),
    }
}

/// RFC 7636, section 4.3. The method `plain` proves nothing to whoever sees the request.
fn code_challenge(
    application: &Application,
    parameters: &Parameters,
) -> Result<Option<String>, Refused> {
    let method = parameters.get("code_challenge_method");
    let Some(challenge) = parameters.get("code_challenge") else {
        return match (application.settings.require_pkce, method) {
            (false, None) => Ok(None),
            (true, _) => Err(Refused::request(
                "the parameter code_challenge is missing: the application must use PKCE with code_challenge_method=S256",
            )),
            (false, Some(_)) => Err(Refused::request("the parameter code_challenge is missing")),
        };
    };
    let is_digest = challenge.len() == 43
        && challenge
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    match (method, is_digest) {
        (Some("S256"), true) => Ok(Some(challenge.to_owned())),
        (Some("S256"), false) => Err(Refused::request(
            "code_challenge must be the base64url of a SHA-256, without padding: 43 characters",
        )),
        _ => Err(Refused::request("code_challenge_method must be S256")),
    }
}

fn prompt(text: Option<&str>) -> Result<Prompt, Refused> {
    let mut prompt = Prompt::default();
    let words = words(text);
    for word in &words {
        match &**word {
            "none" => prompt.none = true,
            "login" => prompt.login = true,
            "select_account" => prompt.select_account = true,
            "consent" => prompt.consent = true,
            _ => {
                return Err(Refused::request(
                    "prompt must be none, login, select_account or consent",
                ));
            }
        }
    }
    match prompt.none && words.len() > 1 {
        true => Err(Refused::request(
            "prompt must not have none together with another",
        )),
        false => Ok(prompt),
    }
}

fn max_age(text: Option<&str>) -> Result<Option<i64>, Refused> {
    text.map(|text| {
        let seconds = text.parse::<u32>().ok();
        seconds
            .map(i64::from)
            .ok_or_else(|| Refused::request("max_age must be a number of seconds"))
    })
    .transpose()
}

/// The organization whose member it must be: the application's own, or that which the request names.
fn organization(
    application: &Application,
    named: Option<&str>,
) -> Result<Option<OrganizationId>, Refused> {
    let named = named
        .map(|id| id.parse::<OrganizationId>())
        .transpose()
        .map_err(|_| {
            Refused::request("organization must be the identifier of an organization, a UUID")
        })?;
    if application.is_of_installation() {
        return Ok(named);
    }
    match named {
        Some(named) if named != application.organization_id => Err(Refused::new(
            Code::AccessDenied,
            "the application belongs to another organization, whose members alone sign in to it",
        )),
        _ => Ok(Some(application.organization_id)),
    }
}

/// The parameter `claims`: the names, the person that it names, and how strongly that one must have signed in (OpenID Connect Core,
/// sections 5.5 and 5.5.1.1).
fn wanted(text: Option<&str>) -> Result<(Wanted, Option<SubjectId>, Vec<String>), Refused> {
    let Some(text) = text else {
        return Ok((Wanted::default(), None, vec![]));
    };
    let wrong = || {
        Refused::request(
            "claims must be a JSON object, as section 5.5 of OpenID Connect Core has it",
        )
    };
    let value: Value = serde_json::from_str(text).map_err(|_| wrong())?;
    let object = value.as_object().ok_or_else(wrong)?;
    let names = |place: &str| -> Result<Vec<String>, Refused> {
        match object.get(place) {
            None | Some(Value::Null) => Ok(vec![]),
            Some(Value::Object(claims)) if claims.len() <= MAX_WANTED => {
                Ok(claims.keys().cloned().collect())
            }
            Some(_) => Err(wrong()),
        }
    };
    let subject = value["id_token"]["sub"]["value"].as_str();
    let subject = subject.map(|subject| {
        let subject = subject.parse::<SubjectId>();
        // Somebody whom there is not: nobody who signs in is.
        subject.unwrap_or_else(|_| uuid::Uuid::nil().into())
    });
    let wanted = Wanted {
        id_token: names("id_token")?,
        userinfo: names("userinfo")?,
    };
    let acr = &value["id_token"]["acr"];
    let one = acr["value"].as_str().map(str::to_owned);
    let several = acr["values"].as_array().into_iter().flatten();
    let several = several.filter_map(|value| Some(value.as_str()?.to_owned()));
    let required = one.into_iter().chain(several);
    let required = required.filter(|_| acr["essential"] == true).collect();
    Ok((wanted, subject, required))
}

/// Whom an ID token of ours is about. It may be over, but it must be the application's.
async fn hinted(app: &App, application: &Application, hint: &str) -> Result<SubjectId, Wrong> {
    let ring = signing::ring(app).await?;
    let claims = ring.open(hint, super::ID_TOKEN);
    let claims = claims.filter(|claims| {
        claims.get("iss").and_then(Value::as_str) == Some(&app.public_url)
            && claims.get("aud").and_then(Value::as_str)
                == Some(&application.client_id().to_string())
    });
    let subject = claims.and_then(|claims| claims.get("sub")?.as_str()?.parse().ok());
    subject.ok_or_else(|| {
        Refused::request(
            "id_token_hint must be an ID token that this server made for this application",
        )
        .into()
    })
}

/// The error of an unknown scope, for a client that narrows what it has.
pub fn foreign_scope(text: &str) -> Refused {
    Refused::new(
        Code::InvalidScope,
        format!(
            "the scopes {} are not all among those that were granted",
            printable(text)
        ),
    )
}
