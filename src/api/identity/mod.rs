//! `IdentityService`: who the caller is.

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use crate::api::enums::wire_subject;
use crate::api::handler::service;
use crate::app::App;
use crate::domain::application::{CLIENT_ID, Signature};
use crate::domain::identity::{Reader, Writer};
use crate::error::{Error, Violation, no_violations};
use crate::provisioning::signing;
use proto::gitpod::v1::{
    GetAuthenticatedIdentityRequest, GetAuthenticatedIdentityResponse, GetIDTokenRequest,
    GetIDTokenResponse, IdentityService,
};

service! { METHODS: IdentityService {
    member reads get_authenticated_identity(GetAuthenticatedIdentityRequest) -> GetAuthenticatedIdentityResponse =
        get_authenticated(caller);
    member writes get_id_token(GetIDTokenRequest) -> GetIDTokenResponse { token } =
        id_token(app, caller, request);
}}

/// Every organization has all features.
const TIER: &str = "ORGANIZATION_TIER_ENTERPRISE";

/// Answers with the caller.
async fn get_authenticated(caller: Reader<'_>) -> Result<GetAuthenticatedIdentityResponse, Error> {
    Ok(GetAuthenticatedIdentityResponse {
        subject: wire_subject(caller.subject).into(),
        organization_id: caller.organization_id.to_string(),
        organization_tier: TIER.to_owned(),
        ..Default::default()
    })
}

/// How long an ID token is good. Nobody can take it back.
const ID_TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// The most audiences, and the longest, in bytes.
const MAX_AUDIENCES: usize = 20;
const MAX_AUDIENCE: usize = 512;

/// `GetIDToken`: a token that proves to others who the caller is, as one for an application would. Others verify it with the keys
/// that the server publishes.
async fn id_token(
    app: &App,
    caller: Writer<'_>,
    request: GetIDTokenRequest,
) -> Result<String, Error> {
    no_violations(audience_violations(&request.audience))?;
    let now = app.clock.now();
    let claims = json!({
        "iss": app.public_url,
        "sub": caller.subject.id,
        "aud": request.audience,
        "iat": now.timestamp(),
        "exp": (now + ID_TOKEN_LIFETIME).timestamp(),
        "jti": app.new_id::<Uuid>(),
        "org_id": caller.organization_id,
        "principal": caller.subject.principal,
    });
    signing::sign(app, Signature::Rs256, "JWT", &claims).await
}

/// A token for an application would let somebody in there who never signed in.
fn audience_violations(audience: &[String]) -> Vec<Violation> {
    let mut violations = vec![];
    if audience.len() > MAX_AUDIENCES {
        let text = format!("must have at most {MAX_AUDIENCES} audiences");
        violations.push(Violation::new("audience", Violation::COUNT, text));
    }
    for (index, one) in audience.iter().enumerate().take(MAX_AUDIENCES) {
        let field = format!("audience[{index}]");
        if !(1..=MAX_AUDIENCE).contains(&one.len()) {
            let text = format!("must have 1 to {MAX_AUDIENCE} bytes");
            violations.push(Violation::new(field, Violation::LENGTH, text));
        } else if one.starts_with(CLIENT_ID) {
            let text =
                "must not be an application: people sign in to it, which gives it an ID token";
            violations.push(Violation::new(field, Violation::APPLICATION, text));
        }
    }
    violations
}
