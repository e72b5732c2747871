//! `OrganizationService` of our own.

use axum::body::Body;
use chrono::TimeDelta;
use http::{Request, header};
use serde_json::{Value, json};

use super::ask_as;
use crate::login::Place;
use crate::support::{Server, run};

const LIST: &str = "OrganizationService/ListOrganizations";

/// What an operator is told of an organization, which is given a name that no other has.
async fn listed(server: &Server, more: Value) -> Value {
    let name = server.new_domain();
    let rename = json!({ "organizationId": server.organization, "name": name });
    server.call("UpdateOrganization", rename).await.ok();
    let mut request = json!({ "filter": { "name": name } });
    crate::support::merge(&mut request, more);
    let found = ask_as(server, &server.operator_token().await, LIST, request)
        .await
        .ok();
    assert_eq!(found["organizations"].as_array().unwrap().len(), 1);
    found["organizations"][0].clone()
}

async fn health(server: &Server) -> Value {
    listed(server, json!({ "includeHealth": true })).await["health"].clone()
}

#[test]
fn operators_are_told_how_an_organization_is_if_they_ask() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        assert_eq!(listed(server, json!({})).await["health"], Value::Null);
        assert_eq!(
            health(server).await,
            json!({ "activeSsoConfigurations": 1 })
        );

        place.sign_in(&mut place.browser()).await;
        place.sign_in(&mut place.browser()).await;
        place.comes("grace", json!({ "email": null }));
        place.try_sign_in(&mut place.browser()).await;
        let scim = server.scim(json!({ "tokenExpiresIn": "172800s" })).await;
        let request = Request::delete("/scim/v2/Users/nobody")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", scim["token"].as_str().unwrap()),
            )
            .body(Body::empty());
        assert_eq!(server.send(request.unwrap()).await.status, 404);
        let expected = json!({
            "activeSsoConfigurations": 2,
            "enabledScimConfigurations": 1,
            "lastProvisionedAt": "2026-03-01T12:00:00Z",
            "refusedProvisioningRequests": 1,
            "signedIn": 2,
            "refusedSignIns": 1,
        });
        assert_eq!(health(server).await, expected);
        assert_eq!(health(&server.neighbour().await).await, json!({}));

        // Two days later, nothing of it is of the last day, and the token has ended.
        place.pass(TimeDelta::days(2));
        let mut db = server.app.store.acquire().await.unwrap();
        sqlx::query("update sso_configurations set forgotten_secret = client_secret where organization_id = $1 and id::text = $2")
            .bind(server.organization_id().as_uuid())
            .bind(&place.sso)
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        let expected = json!({
            "activeSsoConfigurations": 1,
            "brokenSsoConfigurations": 1,
            "enabledScimConfigurations": 1,
            "expiredScimTokens": 1,
            "lastProvisionedAt": "2026-03-01T12:00:00Z",
        });
        assert_eq!(health(server).await, expected);
    });
}
