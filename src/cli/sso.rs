//! `rollcall sso`.

mod attempts;
mod check;

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::remote::{Remote, plain};
use crate::cli::output::{print, remark};
use crate::config::{BadSetting, RemoteSettings};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tests an SSO configuration without a login: the provider, its keys, the client, the scopes. Exits with 1 when
    /// nobody could sign in.
    Check(check::Check),
    /// Prints who tried to sign in, the newest first: what came of each, and why one was refused.
    Attempts(attempts::Attempts),
    /// Tells whether a claims expression lets somebody in, and how each of its parts comes out. Exits with 0 when it
    /// lets in, with 1 when it keeps out.
    TryExpression {
        /// The expression, such as 'claims.email_verified && "staff" in claims.groups'.
        expression: String,
        /// A file with the claims, or - for standard input: a JSON object, or an ID token, whose signature is not looked
        /// at. [default: no claims]
        #[arg(long, value_name = "FILE")]
        claims: Option<String>,
        #[command(flatten)]
        remote: RemoteSettings,
    },
}

const LETS_IN: &str = "VERDICT_LETS_IN";

#[derive(Deserialize)]
struct Evaluated {
    verdict: String,
    #[serde(default)]
    part: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    depth: usize,
    #[serde(default)]
    source: String,
    value: Option<String>,
    reason: Option<String>,
}

impl Command {
    pub async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Check(check) => check.run().await,
            Self::Attempts(attempts) => attempts.run().await.map(|()| ExitCode::SUCCESS),
            Self::TryExpression {
                expression,
                claims,
                remote,
            } => try_expression(&expression, claims.as_deref(), &remote).await,
        }
    }
}

async fn try_expression(
    expression: &str,
    file: Option<&str>,
    remote: &RemoteSettings,
) -> Result<ExitCode> {
    let claims = match file {
        Some(file) => parse(&read(file)?).map_err(|e| BadSetting(format!("--claims: {e}")))?,
        None => Map::new(),
    };
    let remote = Remote::new(remote)?;
    // As text, in which numbers stay what they are.
    let request =
        json!({ "expression": expression, "claimsJson": Value::Object(claims).to_string() });
    let method = "SignInService/EvaluateClaimsExpression";
    let evaluated: Evaluated = remote.call(method, &request).await?;
    for line in lines(&evaluated) {
        print(plain(&line))?;
    }
    Ok(match &*evaluated.verdict {
        LETS_IN => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn read(file: &str) -> Result<String> {
    let text = match file {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        file => std::fs::read_to_string(file),
    };
    text.with_context(|| BadSetting(format!("--claims: cannot read {file}")))
}

/// Claims as JSON, or the payload of a token.
fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.trim();
    let json = if text.starts_with('{') {
        text.as_bytes().to_vec()
    } else {
        let payload = payload(text)?;
        remark("The token's signature and expiry were not looked at.");
        payload
    };
    match serde_json::from_slice(&json) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => Err("the claims must be a JSON object".to_owned()),
        Err(error) => Err(format!("the claims are not JSON: {error}")),
    }
}

fn payload(token: &str) -> Result<Vec<u8>, String> {
    let neither =
        "there must be a JSON object, such as {\"email\": \"ada@example.com\"}, or an ID token";
    match &*token.split('.').collect::<Vec<_>>() {
        [_, payload, _] => URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| neither.to_owned()),
        [_, _, _, _, _] => Err("the token is encrypted: its claims cannot be read".to_owned()),
        _ => Err(neither.to_owned()),
    }
}

fn lines(evaluated: &Evaluated) -> Vec<String> {
    let mut lines = match &*evaluated.verdict {
        LETS_IN => vec!["lets in".to_owned()],
        _ => vec![format!(
            "keeps out: {} {}",
            evaluated.part, evaluated.reason
        )],
    };
    if !evaluated.parts.is_empty() {
        lines.push(String::new());
    }
    for part in &evaluated.parts {
        let value = match (&part.value, &part.reason) {
            (Some(value), _) => format!("= {value}"),
            (None, reason) => format!(
                "cannot be evaluated: {}",
                reason.as_deref().unwrap_or_default()
            ),
        };
        let indent = "  ".repeat(part.depth);
        lines.push(format!("{indent}{}  {value}", part.source));
    }
    lines
}
