//! `rollcall application`.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::remote::{Remote, plain};
use crate::cli::output::{print, remark};
use crate::config::{BadSetting, RemoteSettings};
use crate::domain::application::{ClientAuthentication, Grant, Scope, Signature};

/// More applications than anybody has.
const LIMIT: u32 = 100_000;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes an application and prints it, with its secret, this once.
    Create {
        /// What people know it by: 1 to 80 characters.
        #[arg(long)]
        name: String,
        /// Programs may begin a sign-in without PKCE: for an old one that cannot do otherwise.
        #[arg(long)]
        no_pkce: bool,
        #[command(flatten)]
        options: Box<Options>,
        /// Print the server's answer, a JSON object, instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Lists the applications, the oldest first.
    List {
        /// Print a JSON array instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Prints an application.
    Get {
        /// The application's id, as `application list` shows it.
        application: Uuid,
        /// Print the server's answer, a JSON object, instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Changes an application: what is not given stays, and an empty value clears what there was.
    Update {
        /// The application's id, as `application list` shows it.
        application: Uuid,
        /// What people know it by: 1 to 80 characters.
        #[arg(long)]
        name: Option<String>,
        /// Whether a sign-in must be begun with PKCE.
        #[arg(long, value_name = "BOOL")]
        require_pkce: Option<bool>,
        #[command(flatten)]
        options: Box<Options>,
        /// Print the server's answer, a JSON object, instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Deletes an application. Nothing that it got can be used from then on.
    Delete {
        /// The application's id, as `application list` shows it.
        application: Uuid,
        #[command(flatten)]
        whose: Whose,
    },
    /// Gives an application another secret and prints it, this once.
    RotateSecret {
        /// The application's id, as `application list` shows it.
        application: Uuid,
        /// How long the secret before goes on working, such as 7d: up to 30 days. [default: it ends at once]
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        keep_previous_for: Option<Duration>,
        /// Print the server's answer, a JSON object, instead of the bare secret.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
}

/// Whose applications: those of the token's organization; with an operator's token, those of the installation.
#[derive(Args, Debug)]
pub struct Whose {
    /// With an operator's token, the organization. [default: the applications of the installation, for all organizations]
    #[arg(long, value_name = "ID")]
    organization: Option<Uuid>,
    #[command(flatten)]
    remote: RemoteSettings,
}

/// What is said of an application. URIs and groups are given once and empty for none.
#[derive(Args, Debug)]
pub struct Options {
    /// Where its picture is.
    #[arg(long, value_name = "URL")]
    logo_url: Option<String>,
    /// Where people are sent after signing in. May be given several times.
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// Where people may be sent after signing out. May be given several times.
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Vec<String>,
    /// Where it is told that a session ended.
    #[arg(long, value_name = "URI")]
    backchannel_logout_uri: Option<String>,
    /// Where it begins to sign somebody in.
    #[arg(long, value_name = "URI")]
    initiate_login_uri: Option<String>,
    /// How it proves who it is: client_secret_basic, client_secret_post, private_key_jwt or none.
    #[arg(long, value_name = "METHOD")]
    authentication: Option<ClientAuthentication>,
    /// A file with the public keys for private_key_jwt: a JSON Web Key Set.
    #[arg(long, value_name = "FILE")]
    jwks: Option<String>,
    /// Where it publishes these keys.
    #[arg(long, value_name = "URI")]
    jwks_uri: Option<String>,
    /// How it gets tokens: authorization_code, refresh_token or client_credentials. May be given several times.
    #[arg(long, value_name = "GRANT")]
    grant: Vec<Grant>,
    /// What it may learn and do: openid, profile, email, groups, organization, offline_access or api. May be given several times.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<Scope>,
    /// How its ID tokens are signed: RS256, ES256 or EdDSA.
    #[arg(long, value_name = "ALGORITHM")]
    id_token_signature: Option<Signature>,
    /// How the userinfo is signed.
    #[arg(long, value_name = "ALGORITHM")]
    userinfo_signature: Option<Signature>,
    /// Only members of this group may sign in. May be given several times.
    #[arg(long, value_name = "ID")]
    group: Vec<String>,
    /// The service account that it acts as with its own credentials.
    #[arg(long, value_name = "ID")]
    service_account: Option<String>,
    /// How long its access tokens live: 1m to 1h.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    access_token_lifetime: Option<Duration>,
    /// How long its ID tokens live: 1m to 24h.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    id_token_lifetime: Option<Duration>,
    /// How long a refresh token lives that is not used: 1h to 365d.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    refresh_token_lifetime: Option<Duration>,
}

impl Command {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Create {
                name,
                no_pkce,
                options,
                json,
                whose,
            } => {
                let mut request = options.request(|_, list| list)?;
                request.insert("name".to_owned(), name.into());
                if no_pkce {
                    request.insert("requirePkce".to_owned(), false.into());
                }
                let remote = whose.remote()?;
                let made: Value = remote.call(&method("Create"), &request.into()).await?;
                shown(&made, json)
            }
            Self::List { json, whose } => {
                let remote = whose.remote()?;
                let method = "ApplicationService/ListApplications";
                let all: Vec<Value> = remote
                    .list(method, json!({}), "applications", LIMIT)
                    .await?;
                if json {
                    return print(json!(all));
                }
                all.iter().try_for_each(|one| print(plain(&line(one))))
            }
            Self::Get {
                application,
                json,
                whose,
            } => {
                let request = json!({ "applicationId": application });
                let found: Value = whose.remote()?.call(&method("Get"), &request).await?;
                shown(&found, json)
            }
            Self::Update {
                application,
                name,
                require_pkce,
                options,
                json,
                whose,
            } => {
                let mut request = options.request(|name, list| json!({ name: list }))?;
                request.insert("applicationId".to_owned(), json!(application));
                request.insert("name".to_owned(), name.into());
                request.insert("requirePkce".to_owned(), require_pkce.into());
                let remote = whose.remote()?;
                let changed: Value = remote.call(&method("Update"), &request.into()).await?;
                shown(&changed, json)
            }
            Self::Delete { application, whose } => {
                let request = json!({ "applicationId": application });
                let _: Value = whose.remote()?.call(&method("Delete"), &request).await?;
                print(format_args!("{application} deleted"))
            }
            Self::RotateSecret {
                application,
                keep_previous_for,
                json,
                whose,
            } => {
                let request = json!({
                    "applicationId": application,
                    "keepPreviousFor": keep_previous_for.map(seconds),
                });
                let method = "ApplicationService/RotateApplicationSecret";
                let rotated: Value = whose.remote()?.call(method, &request).await?;
                if json {
                    return print(rotated);
                }
                print(text(&rotated["clientSecret"]))?;
                remark(match rotated["previousSecretExpiresAt"].as_str() {
                    None => "The secret before has ended. This one is shown this once.".to_owned(),
                    Some(end) => format!(
                        "The secret before goes on working until {}. This one is shown this once.",
                        plain(end)
                    ),
                });
                Ok(())
            }
        }
    }
}

impl Whose {
    /// The server that is asked.
    pub fn remote(&self) -> Result<Remote> {
        let remote = Remote::new(&self.remote)?;
        Ok(match self.organization {
            Some(organization) => remote.in_organization(organization),
            None => remote,
        })
    }
}

impl Options {
    /// The fields of a request that are given. `list` makes of the name of a list and of the list what the field holds.
    fn request(&self, list: impl Fn(&str, Value) -> Value) -> Result<Map<String, Value>> {
        let lists = [
            ("redirectUris", "uris", texts(&self.redirect_uri)),
            (
                "postLogoutRedirectUris",
                "uris",
                texts(&self.post_logout_redirect_uri),
            ),
            ("grants", "grants", names("GRANT_TYPE_", &self.grant)),
            ("scopes", "scopes", names("SCOPE_", &self.scope)),
        ];
        let mut fields: Map<String, Value> = lists
            .into_iter()
            .filter_map(|(field, name, values)| Some((field.to_owned(), list(name, values?))))
            .collect();
        if let Some(groups) = texts(&self.group) {
            let groups = list("groupIds", groups);
            let field = if groups.is_array() {
                "groupIds"
            } else {
                "groups"
            };
            fields.insert(field.to_owned(), groups);
        }
        let name = |prefix: &str, name: &str| format!("{prefix}{}", name.to_ascii_uppercase());
        let signature = |signature: Signature| name("SIGNATURE_", signature.as_str());
        let authentication = self.authentication;
        let authentication =
            authentication.map(|method| name("CLIENT_AUTHENTICATION_", method.as_str()));
        let texts = [
            ("logoUrl", self.logo_url.clone()),
            ("backchannelLogoutUri", self.backchannel_logout_uri.clone()),
            ("initiateLoginUri", self.initiate_login_uri.clone()),
            ("jwksUri", self.jwks_uri.clone()),
            ("serviceAccountId", self.service_account.clone()),
            ("authentication", authentication),
            ("idTokenSignature", self.id_token_signature.map(signature)),
            ("userinfoSignature", self.userinfo_signature.map(signature)),
            (
                "accessTokenLifetime",
                self.access_token_lifetime.map(seconds),
            ),
            ("idTokenLifetime", self.id_token_lifetime.map(seconds)),
            (
                "refreshTokenLifetime",
                self.refresh_token_lifetime.map(seconds),
            ),
        ];
        let given = texts
            .into_iter()
            .filter_map(|(field, text)| Some((field.to_owned(), text?.into())));
        fields.extend(given);
        if let Some(file) = &self.jwks {
            fields.insert("jwks".to_owned(), keys(file)?);
        }
        Ok(fields)
    }
}

/// What a file has; nothing clears what there was.
fn keys(file: &str) -> Result<Value> {
    if file.is_empty() {
        return Ok(json!({}));
    }
    let text = std::fs::read_to_string(file)
        .with_context(|| BadSetting(format!("--jwks: cannot read {file}")))?;
    serde_json::from_str(&text)
        .map_err(|e| BadSetting(format!("--jwks: {file} is not JSON: {e}")).into())
}

/// A list that is given; one empty text is the empty list.
fn texts(given: &[String]) -> Option<Value> {
    let texts = given.iter().filter(|text| !text.is_empty());
    (!given.is_empty()).then(|| texts.cloned().collect())
}

fn names<T: ToString>(prefix: &str, given: &[T]) -> Option<Value> {
    let name = |value: &T| format!("{prefix}{}", value.to_string().to_ascii_uppercase());
    (!given.is_empty()).then(|| given.iter().map(name).collect())
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}

fn method(verb: &str) -> String {
    format!("ApplicationService/{verb}Application")
}

/// What every text of the server's answer is, and what is absent.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn line(application: &Value) -> String {
    format!(
        "{}  {}  {}",
        text(&application["id"]),
        text(&application["clientId"]),
        text(&application["name"])
    )
}

/// The fields of an application as they are printed.
const FIELDS: [(&str, &str); 22] = [
    ("id", "id"),
    ("client id", "clientId"),
    ("organization", "organizationId"),
    ("name", "name"),
    ("logo", "logoUrl"),
    ("redirect URI", "redirectUris"),
    ("after signing out", "postLogoutRedirectUris"),
    ("back-channel logout", "backchannelLogoutUri"),
    ("initiate login", "initiateLoginUri"),
    ("authentication", "authentication"),
    ("keys", "jwks"),
    ("keys at", "jwksUri"),
    ("PKCE required", "requirePkce"),
    ("grant", "grants"),
    ("scope", "scopes"),
    ("ID token signed with", "idTokenSignature"),
    ("userinfo signed with", "userinfoSignature"),
    ("group", "groupIds"),
    ("service account", "serviceAccountId"),
    ("access token lives", "accessTokenLifetime"),
    ("ID token lives", "idTokenLifetime"),
    ("refresh token lives", "refreshTokenLifetime"),
];

/// Prints an application, and its secret if there is one in the answer.
fn shown(answer: &Value, json: bool) -> Result<()> {
    if json {
        return print(answer);
    }
    let mut application = answer["application"].clone();
    if application["requirePkce"].is_null() {
        application["requirePkce"] = false.into();
    }
    for (label, field) in FIELDS {
        let values = match application[field].take() {
            Value::Array(values) => values,
            Value::Null => vec![],
            value => vec![value],
        };
        for value in values {
            print(plain(&format!("{label:<21} {}", shown_value(&value))))?;
        }
    }
    if let Some(secret) = answer["clientSecret"].as_str() {
        print(plain(&format!("{:<21} {secret}", "client secret")))?;
        remark(
            "The secret is shown this once: `rollcall application rotate-secret` makes another.",
        );
    }
    Ok(())
}

/// A value in words: an enum's without its prefix, as the options have it.
fn shown_value(value: &Value) -> String {
    const PREFIXES: [&str; 4] = [
        "CLIENT_AUTHENTICATION_",
        "GRANT_TYPE_",
        "SCOPE_",
        "SIGNATURE_",
    ];
    let Some(text) = value.as_str() else {
        return value.to_string();
    };
    let name = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
    match name {
        None => text.to_owned(),
        Some("EDDSA") => Signature::EdDsa.to_string(),
        Some(name) if text.starts_with("SIGNATURE_") => name.to_owned(),
        Some(name) => name.to_ascii_lowercase(),
    }
}
