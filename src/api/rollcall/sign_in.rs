//! `SignInService`: who signed in, who could not, and who could.

use std::num::NonZero;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use buffa_types::google::protobuf::value::Kind;
use buffa_types::google::protobuf::{Struct, Timestamp, Value as WireValue};
use serde_json::{Map, Number, Value};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::api::handler::{moment, optional_id, parse_id, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::identity::{Reader, Writer};
use crate::domain::policy::{self, Part, Verdict};
use crate::domain::sign_in::{AttemptOutcome, Check};
use crate::error::{Error, Violation};
use crate::oidc::check::{self, Finding, Outcome};
use crate::oidc::{Providers, Registration};
use crate::provisioning::client_keys::client_key;
use crate::provisioning::explain::{self, About, Step, Verdict as SignInVerdict};
use crate::provisioning::keys::open_client_secret;
use crate::provisioning::sign_in::start_url;
use crate::provisioning::test_sign_in;
use crate::store;
use crate::store::sign_in::{AttemptFilter, ListedAttempt};
use proto::rollcall::v1::check_sso_configuration_response::{
    Finding as WireFinding, Outcome as WireOutcome,
};
use proto::rollcall::v1::evaluate_claims_expression_request::Input;
use proto::rollcall::v1::evaluate_claims_expression_response::part::Result as PartResult;
use proto::rollcall::v1::evaluate_claims_expression_response::{
    Part as WirePart, Verdict as WireVerdict,
};
use proto::rollcall::v1::explain_sign_in_response::{
    Step as WireStep, Verdict as WireSignInVerdict,
};
use proto::rollcall::v1::{
    CheckIssuerRequest, CheckSSOConfigurationRequest, CheckSSOConfigurationResponse,
    CreateTestSignInRequest, EvaluateClaimsExpressionRequest, EvaluateClaimsExpressionResponse,
    ExplainSignInRequest, ExplainSignInResponse, ListSignInAttemptsRequest, SignInAttempt,
    SignInOutcome,
};

/// `ListSignInAttempts`. Two round trips.
pub async fn list_attempts(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListSignInAttemptsRequest,
) -> Result<Answer<SignInAttempt>, Error> {
    let wire = request.filter.as_option().cloned().unwrap_or_default();
    let refused = match wire.outcome.as_known() {
        Some(SignInOutcome::SIGN_IN_OUTCOME_SIGNED_IN) => Some(false),
        Some(SignInOutcome::SIGN_IN_OUTCOME_REFUSED) => Some(true),
        _ => None,
    };
    let filter = AttemptFilter {
        sso_configuration_id: optional_id(
            "filter.sso_configuration_id",
            &wire.sso_configuration_id,
        )?,
        id: optional_id("filter.reference", &wire.reference)?,
        refused,
        user_id: optional_id("filter.user_id", &wire.user_id)?,
        email: Some(wire.email.clone()).filter(|email| !email.is_empty()),
        since: moment("filter.since", wire.since.as_option())?,
        until: moment("filter.until", wire.until.as_option())?,
    };
    let organization_id = caller.organization_id;
    let list = paging.open(
        "sign_in_attempts",
        organization_id,
        format_args!("{filter:?}"),
        &request.pagination,
    )?;

    let mut db = app.store.acquire().await?;
    let (behind, size) = (list.after.as_ref(), list.size);
    let found =
        store::sign_in::list_attempts(&mut db, organization_id, &filter, behind, size).await?;
    if let (Some(id), true) = (filter.sso_configuration_id, found.items.is_empty()) {
        // Nobody tried, or there is nothing to try?
        store::sso::get(&mut db, organization_id, id).await?;
    }
    list.answer(found, ListedAttempt::place, attempt)
}

fn attempt(attempt: ListedAttempt) -> SignInAttempt {
    let outcome = match attempt.outcome {
        AttemptOutcome::SignedIn => SignInOutcome::SIGN_IN_OUTCOME_SIGNED_IN,
        AttemptOutcome::Refused => SignInOutcome::SIGN_IN_OUTCOME_REFUSED,
    };
    SignInAttempt {
        id: attempt.id.to_string(),
        sso_configuration_id: attempt.sso_configuration_id.to_string(),
        created_at: timestamp(attempt.created_at).into(),
        outcome: outcome.into(),
        failed_check: attempt.failed_check.map_or("", Check::as_str).to_owned(),
        reason: attempt.reason.unwrap_or_default(),
        failed_expression: attempt.failed_expression.unwrap_or_default(),
        email: attempt.email.unwrap_or_default(),
        subject: attempt.subject.unwrap_or_default(),
        claim_names: attempt.claim_names,
        user_id: attempt.user_id.map(|id| id.to_string()).unwrap_or_default(),
        ..Default::default()
    }
}

/// How many configurations are checked at a time: each asks a provider several times, and nothing is
/// remembered of one that does not answer.
static CHECKS: Semaphore = Semaphore::const_new(4);

/// `CheckSSOConfiguration`. Three round trips, and up to three requests to the provider, during which
/// no connection to the database is held.
pub async fn check(
    app: &App,
    caller: Reader<'_>,
    request: CheckSSOConfigurationRequest,
) -> Result<CheckSSOConfigurationResponse, Error> {
    let id = parse_id("sso_configuration_id", &request.sso_configuration_id)?;

    let organization_id = caller.organization_id;
    let mut db = app.store.acquire().await?;
    let configuration = store::sso::get(&mut db, organization_id, id).await?;
    let sealed = store::sso::client_secret(&mut db, organization_id, id).await?;
    drop(db);
    // The check goes on without one, and says that it is lost.
    let secret = open_client_secret(&app.keys, organization_id, id, &sealed);
    let secret = secret.unwrap_or_default();
    let _turn = CHECKS.acquire().await.map_err(Error::internal)?;
    // What is remembered of a provider may be older than its last change, which is being tested.
    let providers = Providers::new(app.clock.clone());
    let registration = Registration {
        client_secret: secret,
        client_key: Some(&|| Box::pin(client_key(app, organization_id, id))),
        configuration: &configuration,
        public_url: &app.public_url,
    };
    let findings = check::run(&registration, &providers, &app.outgoing).await;
    Ok(CheckSSOConfigurationResponse {
        sso_configuration_id: id.to_string(),
        display_name: configuration.display_name().to_owned(),
        findings: findings.into_iter().map(finding).collect(),
        login_url: start_url(app, &configuration, "", ""),
        tested_at: configuration.tested_at.map(timestamp).into(),
        ..Default::default()
    })
}

/// `CheckIssuer`. No round trip of its own, and up to two requests to the provider.
pub async fn check_issuer(
    app: &App,
    request: CheckIssuerRequest,
) -> Result<Vec<WireFinding>, Error> {
    let _turn = CHECKS.acquire().await.map_err(Error::internal)?;
    let providers = Providers::new(app.clock.clone());
    let findings = check::issuer(&request.issuer_url, &providers, &app.outgoing).await;
    Ok(findings.into_iter().map(finding).collect())
}

fn outcome(outcome: Outcome) -> WireOutcome {
    match outcome {
        Outcome::Good => WireOutcome::OUTCOME_OK,
        Outcome::Doubtful => WireOutcome::OUTCOME_DOUBTFUL,
        Outcome::Bad => WireOutcome::OUTCOME_BAD,
    }
}

fn finding(finding: Finding) -> WireFinding {
    WireFinding {
        outcome: outcome(finding.outcome).into(),
        subject: finding.subject.to_owned(),
        text: finding.text,
        ..Default::default()
    }
}

/// `CreateTestSignIn`. One round trip. Nothing is changed, so nothing is recorded.
pub async fn create_test(
    app: &App,
    caller: Writer<'_>,
    request: CreateTestSignInRequest,
) -> Result<(String, Timestamp), Error> {
    let id = parse_id("sso_configuration_id", &request.sso_configuration_id)?;

    let mut db = app.store.acquire().await?;
    let configuration = store::sso::get(&mut db, caller.organization_id, id).await?;
    drop(db);
    let asked_by = caller.subject;
    let link = test_sign_in::link(app, &configuration, asked_by, &request.return_to)?;
    Ok((link.url, timestamp(link.ends_at)))
}

/// `ExplainSignIn`.
pub async fn explain(
    app: &App,
    caller: Reader<'_>,
    request: ExplainSignInRequest,
) -> Result<ExplainSignInResponse, Error> {
    let member = optional_id("user_id", &request.user_id)?;
    let email = request.email.trim();
    let about = match (member, email) {
        (Some(member), "") => About::Member(member),
        (None, email) if !email.is_empty() => About::Address(email.to_owned()),
        _ => {
            let message = "must be given, or email: exactly one of both";
            return Err(Error::invalid("user_id", Violation::REQUIRED, message));
        }
    };

    let explained = explain::explain(app, caller.organization_id, about).await?;
    let verdict = match explained.verdict {
        SignInVerdict::LetsIn => WireSignInVerdict::VERDICT_LETS_IN,
        SignInVerdict::KeepsOut => WireSignInVerdict::VERDICT_KEEPS_OUT,
        SignInVerdict::Depends => WireSignInVerdict::VERDICT_DEPENDS,
    };
    Ok(ExplainSignInResponse {
        verdict: verdict.into(),
        text: explained.text,
        user_id: explained
            .member
            .map(|id| id.to_string())
            .unwrap_or_default(),
        email: explained.email,
        steps: explained.steps.into_iter().map(step).collect(),
        ..Default::default()
    })
}

fn step(step: Step) -> WireStep {
    WireStep {
        outcome: outcome(step.outcome).into(),
        subject: step.subject.to_owned(),
        text: step.text,
        sso_configuration_id: step
            .configuration
            .map(|id| id.to_string())
            .unwrap_or_default(),
        attempt_id: step.attempt.map(|id| id.to_string()).unwrap_or_default(),
        ..Default::default()
    }
}

/// How many expressions are evaluated at a time at an administrator's request: each takes a core for up
/// to some seconds, and people who sign in need some, too.
static EVALUATIONS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, NonZero::get);
    Semaphore::new(cores.div_ceil(2))
});

/// `EvaluateClaimsExpression`. No round trip of its own.
pub async fn evaluate(
    request: EvaluateClaimsExpressionRequest,
) -> Result<EvaluateClaimsExpressionResponse, Error> {
    let claims = match request.input {
        None => Map::new(),
        Some(Input::Claims(claims)) => object(*claims),
        Some(Input::ClaimsJson(text)) => parse(&text)?,
    };

    let turn = EVALUATIONS.acquire().await.map_err(Error::internal)?;
    let expression = request.expression;
    let explained = spawn_blocking(move || {
        // Whoever asked may be gone: the turn lasts as long as the work.
        let _turn = turn;
        policy::explain(&expression, &claims)
    });
    let explained = explained.await.map_err(Error::internal)?;
    let explanation = explained
        .map_err(|reason| Error::invalid("expression", Violation::CLAIMS_EXPRESSION, reason))?;
    let (verdict, part, reason) = match explanation.verdict {
        Verdict::LetsIn => (WireVerdict::VERDICT_LETS_IN, String::new(), String::new()),
        Verdict::KeepsOut { part, reason } => (WireVerdict::VERDICT_KEEPS_OUT, part, reason),
    };
    Ok(EvaluateClaimsExpressionResponse {
        verdict: verdict.into(),
        part,
        reason,
        parts: explanation.parts.into_iter().map(wire_part).collect(),
        ..Default::default()
    })
}

fn wire_part(part: Part) -> WirePart {
    let result = match part.value {
        Ok(value) => PartResult::Value(value),
        Err(reason) => PartResult::Reason(reason),
    };
    WirePart {
        depth: i32::try_from(part.depth).unwrap_or(i32::MAX),
        source: part.source,
        result: Some(result),
        ..Default::default()
    }
}

/// Claims as they are written. A mistake is told by its place: they are private.
fn parse(text: &str) -> Result<Map<String, Value>, Error> {
    let invalid = |message| Error::invalid("claims_json", Violation::JSON_OBJECT, message);
    match serde_json::from_str(text) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => Err(invalid("must be a JSON object".to_owned())),
        Err(error) => Err(invalid(format!(
            "must be a JSON object: it is no JSON at line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

fn object(wire: Struct) -> Map<String, Value> {
    let fields = wire.fields.into_iter();
    fields.map(|(name, value)| (name, json(value))).collect()
}

fn json(wire: WireValue) -> Value {
    match wire.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(number)) => Value::Number(whole(number)),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::StructValue(wire)) => Value::Object(object(*wire)),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect(),
    }
}

/// A double as the number that was written: CEL tells whole numbers from others.
fn whole(number: f64) -> Number {
    /// Below it, every whole number is a double.
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= LIMIT {
        return (number as i64).into();
    }
    Number::from_f64(number).unwrap_or_else(|| 0.into())
}
