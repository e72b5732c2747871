//! Asking a running server over its API, as any other program does: Connect with JSON.

use std::time::Duration;

use anyhow::{Result, anyhow};
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::{BadSetting, RemoteSettings, ResolvedRemote};
use crate::domain::sign_in::is_loopback;
use crate::domain::token::TokenKind;
use crate::outgoing::trust;

/// The most items of a page.
const PAGE: u32 = 100;
/// How long the server may take to answer: as long as it lets anybody wait.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server, and the token that it is asked with.
pub struct Remote {
    client: reqwest::Client,
    server: String,
    authorization: HeaderValue,
    /// Where the token comes from.
    token_place: String,
    /// Whether the token is an operator's.
    is_operator: bool,
    /// The organization that an operator acts in.
    organization: Option<Uuid>,
}

/// What the server says of the next page.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Pagination {
    next_token: String,
}

/// The server does not answer now: who asks again later may have an answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Outage(String);

/// An error of the API.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
}

impl Remote {
    pub fn new(settings: &RemoteSettings) -> Result<Self> {
        let ResolvedRemote {
            server,
            token,
            token_place,
        } = settings.resolve()?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()))?;
        authorization.set_sensitive(true);
        // A redirect would lead the token elsewhere.
        let mut client = trust::client()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(DEADLINE + CONNECT_TIMEOUT)
            .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&server) {
            // No proxy leads to this machine.
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build()?,
            server,
            authorization,
            token_place,
            is_operator: token.kind() == TokenKind::Operator,
            organization: None,
        })
    }

    /// The same in an organization that an operator's token acts in.
    pub fn in_organization(self, organization: Uuid) -> Self {
        Self {
            organization: Some(organization),
            ..self
        }
    }

    /// Whether what is asked for is that of all organizations.
    pub const fn is_of_all(&self) -> bool {
        self.is_operator && self.organization.is_none()
    }

    /// Where the server is reached.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Calls a method of a service of `rollcall.v1`.
    ///
    /// # Errors
    ///
    /// One line: what the server says, or why it says nothing.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, request: &Value) -> Result<T> {
        let mut asked = self
            .client
            .post(format!("{}/rollcall.v1.{method}", self.server));
        if let Some(organization) = self.organization {
            asked = asked.header("rollcall-organization", organization.to_string());
        }
        let answer = asked
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.authorization.clone())
            .header("connect-timeout-ms", DEADLINE.as_millis().to_string())
            .body(request.to_string())
            .send()
            .await
            .map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|e| self.unreachable(&e))?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| self.no_rollcall(status));
        }
        match serde_json::from_slice(&body) {
            Ok(refusal) => Err(self.refused(refusal)),
            Err(_) => Err(self.no_rollcall(status)),
        }
    }

    /// Reads the first `limit` items of a list, page by page. `name` is that of the list in the
    /// answers.
    ///
    /// # Errors
    ///
    /// As [`Remote::call`] has them.
    pub async fn list<T: DeserializeOwned>(
        &self,
        method: &str,
        mut request: Value,
        name: &str,
        limit: u32,
    ) -> Result<Vec<T>> {
        let mut items = vec![];
        let mut left = limit;
        request["pagination"] = json!({});
        loop {
            request["pagination"]["pageSize"] = left.min(PAGE).into();
            let mut answer: Value = self.call(method, &request).await?;
            let page: Vec<T> = match answer[name].take() {
                Value::Null => vec![],
                page => {
                    serde_json::from_value(page).map_err(|_| self.no_rollcall(StatusCode::OK))?
                }
            };
            left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
            items.extend(page);
            let next: Pagination =
                serde_json::from_value(answer["pagination"].take()).unwrap_or_default();
            if left == 0 || next.next_token.is_empty() {
                return Ok(items);
            }
            request["pagination"]["token"] = next.next_token.into();
        }
    }

    fn refused(&self, refusal: Refusal) -> anyhow::Error {
        match &*refusal.code {
            "unauthenticated" => anyhow!(
                "the server at {} does not take the token of {}: it is another server's, has expired or was revoked; `rollcall token create` makes one",
                self.server,
                self.token_place
            ),
            "invalid_argument" => BadSetting(refusal.message).into(),
            "unimplemented" => anyhow!(
                "the server at {} is older than this command: {}",
                self.server,
                refusal.message
            ),
            "unavailable" | "deadline_exceeded" | "resource_exhausted" | "internal" => {
                Outage(refusal.message).into()
            }
            _ => anyhow!(refusal.message),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        if error.is_timeout() && !error.is_connect() {
            return Outage(format!(
                "the server at {} takes too long to answer",
                self.server
            ))
            .into();
        }
        // The innermost cause says what happened; the others say where, which is known.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Outage(format!(
            "no server answers at {}: start it, or name another with ROLLCALL_SERVER ({cause})",
            self.server
        ))
        .into()
    }

    fn no_rollcall(&self, status: StatusCode) -> anyhow::Error {
        let hint = match status.is_redirection() {
            true => "it leads elsewhere, and redirects are not followed",
            false => "it answers, but not as a Rollcall does",
        };
        let told = format!(
            "{} is not where Rollcall is reached: {hint} (status {}); set ROLLCALL_SERVER",
            self.server,
            status.as_u16()
        );
        // So does a proxy answer whose server is away.
        match status.is_server_error() {
            true => Outage(told).into(),
            false => anyhow!(told),
        }
    }
}

/// The value of an enum without its prefix, in lower case: `REFUSED` of `SIGN_IN_OUTCOME_REFUSED`.
pub fn enum_name(wire: &str, prefix: &str) -> String {
    wire.strip_prefix(prefix)
        .unwrap_or(wire)
        .to_ascii_lowercase()
}

/// What the server sent in a line for a terminal, which takes control characters for orders.
pub fn plain(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(harmless).collect()
}
