//! Tests a configuration without a login: what can be known before the first person tries.

use openidconnect::core::{CoreJsonWebKeyType, CoreResponseType, CoreTokenResponse};
use openidconnect::{AuthorizationCode, JsonWebKey, PkceCodeVerifier, RequestTokenError};
use tokio::task::spawn_blocking;

use super::verify::is_accepted;
use super::{ExchangeError, Provider, Providers, Registration, printable};
use crate::domain::policy;
use crate::outgoing::Outgoing;

/// What to do where the client secret is lost.
const LOST: &str = "enter the client secret again, because the key that sealed it is lost";

/// How a test came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it must be.
    Good,
    /// It may be meant, or it may be a mistake.
    Doubtful,
    /// Nobody can sign in like this.
    Bad,
}

/// One test.
#[derive(Debug)]
pub struct Finding {
    /// How it came out.
    pub outcome: Outcome,
    /// What was tested.
    pub subject: &'static str,
    /// What was found, and what to do.
    pub text: String,
}

fn good(subject: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        outcome: Outcome::Good,
        subject,
        text: text.into(),
    }
}

fn doubtful(subject: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        outcome: Outcome::Doubtful,
        subject,
        text: text.into(),
    }
}

fn bad(subject: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        outcome: Outcome::Bad,
        subject,
        text: text.into(),
    }
}

/// Tests a configuration. A registration is without a client secret if no key opens it.
pub async fn run(
    registration: &Registration<'_>,
    providers: &Providers,
    outgoing: &Outgoing,
) -> Vec<Finding> {
    let mut findings = vec![
        good(
            "redirect URI",
            format!("register {} at the provider", registration.redirect_uri()),
        ),
        state(registration),
        domains(registration),
        expression(registration).await,
    ];
    let provider = match providers
        .get(outgoing, &registration.configuration.issuer_url)
        .await
    {
        Ok(provider) => provider,
        Err(refusal) => {
            findings.push(bad("provider", refusal.reason));
            return findings;
        }
    };
    findings.push(good(
        "provider",
        format!(
            "{} publishes its metadata",
            provider.metadata.issuer().as_str()
        ),
    ));
    findings.push(keys(&provider));
    findings.push(algorithms(&provider));
    findings.push(flow(&provider));
    findings.push(scopes(registration, &provider));
    findings.push(userinfo(&provider));
    findings.push(client(registration, &provider, outgoing).await);
    findings
}

fn state(registration: &Registration<'_>) -> Finding {
    let configuration = registration.configuration;
    if configuration.needs_client_secret {
        bad("state", format!("the configuration is INACTIVE: {LOST}"))
    } else if configuration.is_active {
        good("state", "active")
    } else {
        bad(
            "state",
            "the configuration is INACTIVE: set its state to ACTIVE",
        )
    }
}

fn domains(registration: &Registration<'_>) -> Finding {
    let domains = &registration.configuration.email_domains;
    if domains.is_empty() {
        let text = "none: any address may sign in that the provider sends, and the login page cannot offer this configuration; people need the link below";
        return doubtful("e-mail domains", text);
    }
    good("e-mail domains", domains.join(", "))
}

async fn expression(registration: &Registration<'_>) -> Finding {
    let expression = registration.configuration.claims_expression.clone();
    if expression.is_empty() {
        return good(
            "claims expression",
            "none: everybody is let in whom the provider lets in",
        );
    }
    // Parsing takes a thread of its own, which is waited for.
    let checked = spawn_blocking(move || policy::check(&expression).map(|()| expression)).await;
    match checked {
        Ok(Ok(expression)) => good("claims expression", expression),
        Ok(Err(reason)) => bad("claims expression", format!("it {reason}")),
        Err(_) => doubtful("claims expression", "it could not be tested"),
    }
}

fn keys(provider: &Provider) -> Finding {
    let keys = provider.keys.keys();
    let usable = keys
        .iter()
        .filter(|key| *key.key_type() != CoreJsonWebKeyType::Symmetric)
        .count();
    match usable {
        0 => bad(
            "keys",
            "the provider publishes no key that can verify a signature",
        ),
        count => good("keys", format!("{count} that can verify signatures")),
    }
}

fn algorithms(provider: &Provider) -> Finding {
    let offered = provider.metadata.id_token_signing_alg_values_supported();
    let names = |algs: &mut dyn Iterator<Item = &openidconnect::core::CoreJwsSigningAlgorithm>| {
        algs.map(|alg| {
            let text = serde_json::to_value(alg).unwrap_or_default();
            text.as_str().unwrap_or("?").to_owned()
        })
        .collect::<Vec<_>>()
        .join(", ")
    };
    let accepted = names(&mut offered.iter().filter(|alg| is_accepted(alg)));
    if accepted.is_empty() {
        let offered = names(&mut offered.iter());
        return bad(
            "signatures",
            format!(
                "the provider offers {}, of which none is accepted: have it sign with RS256",
                printable(&offered)
            ),
        );
    }
    good("signatures", accepted)
}

fn flow(provider: &Provider) -> Finding {
    let metadata = &provider.metadata;
    let has_code = metadata
        .response_types_supported()
        .iter()
        .any(|types| **types == [CoreResponseType::Code]);
    if !has_code {
        return bad(
            "code flow",
            "the provider does not offer the response type code",
        );
    }
    if metadata.token_endpoint().is_none() {
        return bad("code flow", "the provider names no token endpoint");
    }
    let methods = &metadata
        .additional_metadata()
        .code_challenge_methods_supported;
    match methods {
        Some(methods) if methods.iter().any(|method| method == "S256") => {
            good("code flow", "with PKCE S256")
        }
        _ => doubtful(
            "code flow",
            "the provider does not say that it checks PKCE S256; the proof is sent anyway",
        ),
    }
}

fn scopes(registration: &Registration<'_>, provider: &Provider) -> Finding {
    let asked: Vec<&str> = registration.scopes().collect();
    let Some(offered) = provider.metadata.scopes_supported() else {
        return good("scopes", format!("asks for {}", asked.join(" ")));
    };
    let missing: Vec<&str> = asked
        .iter()
        .filter(|scope| !offered.iter().any(|offered| offered.as_str() == **scope))
        .copied()
        .collect();
    if missing.is_empty() {
        return good("scopes", format!("asks for {}", asked.join(" ")));
    }
    doubtful(
        "scopes",
        format!(
            "the provider does not list {}: it may refuse a login that asks for it",
            missing.join(" ")
        ),
    )
}

fn userinfo(provider: &Provider) -> Finding {
    match provider.metadata.userinfo_endpoint() {
        Some(_) => good("userinfo", "asked where the ID token lacks a claim"),
        None => doubtful(
            "userinfo",
            "the provider has none: the ID token must hold every claim",
        ),
    }
}

/// Offers a code that is none: how the provider refuses it tells whether it knows the client.
async fn client(
    registration: &Registration<'_>,
    provider: &Provider,
    outgoing: &Outgoing,
) -> Finding {
    const SUBJECT: &str = "client";
    if registration.configuration.needs_client_secret {
        return bad(SUBJECT, LOST);
    }
    if registration.client_secret.is_none() {
        return bad(
            SUBJECT,
            "no key of the server's ROLLCALL_ENCRYPTION_KEYS opens the client secret: add the key that sealed it, or set clientSecret again",
        );
    }
    let client = match registration.client(provider) {
        Ok(client) => client,
        Err(refusal) => return bad(SUBJECT, refusal.reason),
    };
    let request = match client.exchange_code(AuthorizationCode::new("rollcall-check".to_owned())) {
        Ok(request) => request,
        Err(error) => return bad(SUBJECT, error.to_string()),
    };
    let verifier = PkceCodeVerifier::new("rollcall-check-rollcall-check-rollcall-check".to_owned());
    let answer: Result<CoreTokenResponse, ExchangeError> = request
        .set_pkce_verifier(verifier)
        .request_async(outgoing)
        .await;
    match answer {
        Err(RequestTokenError::ServerResponse(answer)) => match &*answer.error().to_string() {
            "invalid_grant" => good(SUBJECT, "the provider accepts client_id and client_secret"),
            "invalid_client" | "unauthorized_client" => bad(
                SUBJECT,
                "the provider does not accept client_id and client_secret: copy both again",
            ),
            code => doubtful(
                SUBJECT,
                format!(
                    "the provider answers a code that is none with {}, not with invalid_grant: it may demand what Rollcall does not send",
                    printable(code)
                ),
            ),
        },
        Err(RequestTokenError::Request(error)) => bad(
            SUBJECT,
            format!("the token endpoint does not answer: {error}"),
        ),
        _ => doubtful(
            SUBJECT,
            "the token endpoint answers in a way that says nothing of client_id and client_secret",
        ),
    }
}
