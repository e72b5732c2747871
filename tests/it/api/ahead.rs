//! What is read together with a token is what a query of its own reads.

use axum::body::Body;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Reply, Server, run};

/// The same request with so many blanks that nothing is read ahead.
async fn padded(server: &Server, method: &str, body: &Value) -> Reply {
    let body = format!("{body}{}", " ".repeat(2048));
    let request = server.request(method, &server.token);
    server.send(request.body(Body::from(body)).unwrap()).await
}

#[test]
fn a_configuration_is_the_same_however_it_is_read() {
    run(async {
        let server = Server::start().await;
        let scim = server.scim(json!({ "name": "One" })).await["scimConfiguration"].clone();
        server.scim(json!({ "name": "Two" })).await;
        let organization = server.organization_id().as_uuid();
        for (method, body) in [
            (
                "GetSSOConfiguration",
                json!({ "ssoConfigurationId": scim["ssoConfigurationId"] }),
            ),
            (
                "GetSCIMConfiguration",
                json!({ "scimConfigurationId": scim["id"] }),
            ),
            (
                "ListSSOConfigurations",
                json!({ "organizationId": organization }),
            ),
            ("ListSCIMConfigurations", json!({})),
        ] {
            let read = server.call(method, body.clone()).await.ok();
            assert_eq!(read, padded(&server, method, &body).await.ok(), "{method}");
        }
        // A page that is not the last, and the one after it.
        let page = |token: &str| json!({ "pagination": { "pageSize": 1, "token": token } });
        let first = server.call("ListSCIMConfigurations", page("")).await.ok();
        assert_eq!(first["scimConfigurations"][0]["id"], scim["id"]);
        assert_eq!(first["scimConfigurations"].as_array().unwrap().len(), 1);
        let token = first["pagination"]["nextToken"].as_str().unwrap();
        let second = server
            .call("ListSCIMConfigurations", page(token))
            .await
            .ok();
        assert_eq!(second["scimConfigurations"][0]["name"], "Two");
        assert_eq!(second["pagination"].get("nextToken"), None);
    });
}

#[test]
fn the_next_configuration_is_not_taken_for_one_that_is_not_there() {
    run(async {
        let server = Server::start().await;
        let scim = server.scim(json!({})).await["scimConfiguration"].clone();
        for (method, field, id) in [
            (
                "GetSSOConfiguration",
                "ssoConfigurationId",
                &scim["ssoConfigurationId"],
            ),
            ("GetSCIMConfiguration", "scimConfigurationId", &scim["id"]),
        ] {
            let id: Uuid = id.as_str().unwrap().parse().unwrap();
            let before = Uuid::from_u128(id.as_u128() - 1);
            server
                .call(method, json!({ field: before }))
                .await
                .error("not_found");
        }
    });
}
