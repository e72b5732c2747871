//! Tests a configuration without a login: what can be known before the first person tries.

use tokio::task::spawn_blocking;
use url::Url;

use super::jose::Alg;
use super::token::{Authentication, Exchange, NoTokens};
use super::{LoginSecrets, Provider, Providers, Registration, printable};
use crate::domain::{policy, sso};
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

/// Why a provider can never be asked under this issuer, as far as its text and the settings tell; in words that
/// follow its name.
pub fn unusable_issuer(outgoing: &Outgoing, issuer: &str) -> Option<String> {
    let reason = sso::unusable_issuer(issuer);
    reason.or_else(|| {
        let refused = outgoing.check(&Url::parse(issuer).ok()?).err()?;
        Some(format!("cannot be used: {refused}"))
    })
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
    let issuer = &registration.configuration.issuer_url;
    let provider = match published(issuer, providers, outgoing).await {
        Ok((provider, published)) => {
            findings.extend(published);
            provider
        }
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    };
    findings.push(scopes(registration, &provider));
    findings.push(userinfo(&provider));
    findings.push(client(registration, &provider, providers, outgoing).await);
    findings
}

/// Tests an issuer before there is a configuration.
pub async fn issuer(issuer: &str, providers: &Providers, outgoing: &Outgoing) -> Vec<Finding> {
    match published(issuer, providers, outgoing).await {
        Ok((provider, mut findings)) => {
            findings.push(userinfo(&provider));
            findings
        }
        Err(finding) => vec![finding],
    }
}

/// The provider, and what there is to say of what it publishes.
async fn published(
    issuer: &str,
    providers: &Providers,
    outgoing: &Outgoing,
) -> Result<(Provider, Vec<Finding>), Finding> {
    if let Some(reason) = unusable_issuer(outgoing, issuer) {
        return Err(bad("provider", format!("issuer_url {reason}")));
    }
    let found = providers.get(outgoing, issuer).await;
    let provider = found.map_err(|refusal| bad("provider", refusal.reason))?;
    let name = &provider.metadata.issuer;
    let findings = vec![
        good("provider", format!("{name} publishes its metadata")),
        keys(&provider),
        algorithms(&provider),
        flow(&provider),
    ];
    Ok((provider, findings))
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
    let count = provider.keys.len();
    good("keys", format!("{count} that can verify signatures"))
}

fn algorithms(provider: &Provider) -> Finding {
    const SUBJECT: &str = "signatures";
    let Some(offered) = &provider.metadata.id_token_signing else {
        return doubtful(
            SUBJECT,
            "the provider does not list the algorithms of its ID tokens: RS256 is most likely",
        );
    };
    let is_accepted = |alg: &&String| Alg::named(alg).is_some();
    let accepted: Vec<&str> = offered
        .iter()
        .filter(is_accepted)
        .map(|alg| &**alg)
        .collect();
    if accepted.is_empty() {
        return bad(
            SUBJECT,
            format!(
                "the provider offers {}, of which none is accepted: have it sign with RS256",
                printable(&offered.join(", "))
            ),
        );
    }
    good(SUBJECT, accepted.join(", "))
}

fn flow(provider: &Provider) -> Finding {
    const SUBJECT: &str = "code flow";
    let metadata = &provider.metadata;
    let lists_code = |types: &Vec<String>| types.iter().any(|types| types == "code");
    if !metadata.response_types.as_ref().is_none_or(lists_code) {
        return bad(
            SUBJECT,
            "the provider does not offer the response type code",
        );
    }
    let methods = metadata.code_challenge_methods.iter().flatten();
    if methods.into_iter().any(|method| method == "S256") {
        return good(SUBJECT, "with PKCE S256");
    }
    doubtful(
        SUBJECT,
        "the provider does not say that it checks PKCE S256; the proof is sent anyway",
    )
}

fn scopes(registration: &Registration<'_>, provider: &Provider) -> Finding {
    const SUBJECT: &str = "scopes";
    let asked: Vec<&str> = registration.scopes().collect();
    let offered = provider.metadata.scopes.as_ref();
    let is_listed = |scope: &str| offered.is_none_or(|all| all.iter().any(|one| one == scope));
    let missing: Vec<&str> = asked
        .iter()
        .filter(|scope| !is_listed(scope))
        .copied()
        .collect();
    if missing.is_empty() {
        return good(SUBJECT, format!("asks for {}", asked.join(" ")));
    }
    doubtful(
        SUBJECT,
        format!(
            "the provider does not list {}: it may refuse a login that asks for it",
            missing.join(" ")
        ),
    )
}

fn userinfo(provider: &Provider) -> Finding {
    match provider.metadata.userinfo_endpoint {
        Some(_) => good("userinfo", "asked where the ID token lacks a claim"),
        None => doubtful(
            "userinfo",
            "the provider has none: the ID token must hold every claim",
        ),
    }
}

/// Sends a made-up code. The error with which the provider refuses it tells whether the provider knows the client.
async fn client(
    registration: &Registration<'_>,
    provider: &Provider,
    providers: &Providers,
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
    let nobody = LoginSecrets {
        nonce: String::new(),
        verifier: "rollcall-check-rollcall-check-rollcall-check".to_owned(),
    };
    let exchange = Exchange {
        registration,
        metadata: &provider.metadata,
        code: &format!("rollcall-check-{}", providers.now().timestamp_micros()),
        secrets: &nobody,
    };
    match exchange.run(providers, outgoing).await {
        Err(NoTokens::Refused(code, description)) => refused(
            registration,
            provider.wants_signature() || is_known_to_sign(registration, providers),
            &code,
            description.as_deref(),
        ),
        Err(NoTokens::NoProof(reason)) => bad(SUBJECT, format!("the provider {reason}")),
        Err(NoTokens::Unanswered(error)) => bad(
            SUBJECT,
            format!("the token endpoint does not answer: {error}"),
        ),
        _ => doubtful(
            SUBJECT,
            "the token endpoint answers in a way that says nothing of client_id and client_secret",
        ),
    }
}

/// Whether the provider took a signature just now, and no secret.
fn is_known_to_sign(registration: &Registration<'_>, providers: &Providers) -> bool {
    let client = registration.configuration.registration_digest();
    providers.way_of(&client) == Some(Authentication::Signature)
}

fn refused(
    registration: &Registration<'_>,
    is_signed: bool,
    code: &str,
    description: Option<&str>,
) -> Finding {
    const SUBJECT: &str = "client";
    let said = description.map(|text| format!("; it says: {}", printable(text)));
    let said = said.unwrap_or_default();
    let proof = match is_signed {
        true => "client_id and what Rollcall signs in the place of a secret (private_key_jwt)",
        false => "client_id and client_secret",
    };
    match code {
        "invalid_grant" => good(SUBJECT, format!("the provider accepts {proof}")),
        "invalid_client" | "unauthorized_client" => {
            let what_to_do = match is_signed {
                true => format!(
                    "check client_id, and register {} there as the client's JWKS URL",
                    registration.jwks_uri()
                ),
                false => format!(
                    "copy both again; if the client is to sign in the place of a secret (private_key_jwt), register {} there as its JWKS URL",
                    registration.jwks_uri()
                ),
            };
            bad(
                SUBJECT,
                format!("the provider does not accept {proof}: {what_to_do}{said}"),
            )
        }
        code => doubtful(
            SUBJECT,
            format!(
                "the provider answers a code that is none with {}, not with invalid_grant: it may demand what Rollcall does not send{said}",
                printable(code)
            ),
        ),
    }
}
