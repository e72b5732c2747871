//! Paths: percent-encoding, and what is below `/scim` without being an endpoint.

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

use crate::support::scim::{BULK, Client, LIST, PATCH_OP, U, text, user};
use crate::support::{Reply, run};

/// Sends a request without `/scim/v2` in front.
async fn send(client: &Client, method: &str, path: &str, token: Option<&str>) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.header(header::CONTENT_TYPE, "application/scim+json");
    client
        .server
        .send(request.body(Body::from("{}")).unwrap())
        .await
}

/// Every character of a text escaped.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn segments_are_decoded_before_they_are_looked_at() {
    run(async {
        let client = Client::start().await;
        let ada = client.user("ada", json!({})).await;
        let id = text(&ada["id"]);
        for path in [
            format!("/Users/{}", id.replace('-', "%2D")),
            format!("/Users/{}", id.replace('-', "%2d")),
            format!("/Users/{}", escaped(&id)),
            format!("/{}//{}/", escaped("Users"), escaped(&id)),
        ] {
            assert_eq!(client.get(&path).await.is(200)["id"], ada["id"], "{path}");
            let patch = json!([{ "op": "replace", "path": "title", "value": path }]);
            assert_eq!(
                client.patch(&path, patch).await.is(200)["title"],
                json!(path)
            );
            client.put(&path, user("ada", json!({}))).await.is(200);
        }
        let urn = escaped(U);
        assert_eq!(
            client.get(&format!("/Schemas/{urn}")).await.is(200)["id"],
            U
        );
        client.get("/%53ervice%50rovider%43onfig").await.is(200);
        client.post("/Users/%2Esearch", json!({})).await.is(200);
        client
            .delete(&format!("/Users/{}", escaped(&id)))
            .await
            .is(204);
        client.get(&format!("/Users/{id}")).await.refused(404, "");
    });
}

#[test]
fn attack_escapes_separate_nothing_and_are_decoded_once() {
    run(async {
        let client = Client::start().await;
        let ada = client.user("ada", json!({})).await;
        let id = text(&ada["id"]);
        for path in [
            format!("/Users%2F{id}"),
            format!("/Users/%2F{id}"),
            format!("/Users/..%2fUsers%2f{id}"),
            format!("/Users/%2e%2e/Users/{id}"),
            format!("/Users/{}", id.replace('-', "%252D")),
            format!("/Users/{id}%00"),
            format!("/Users/{id}%20"),
            "/..%2f..%2flivez".to_owned(),
            "/%2e%2e/%2e%2e/livez".to_owned(),
            "/%00".to_owned(),
            "/%C3%A9".to_owned(),
        ] {
            client.get(&path).await.refused(404, "");
            client.delete(&path).await.refused(404, "");
        }
        for path in [
            "/Users/%",
            "/Users/%2",
            "/%zz",
            "/Users/%FF",
            "/Users/%C3/%A9",
            "/%%32%46",
        ] {
            client.get(path).await.refused(400, "");
            let other = client
                .send("GET", path, &[("authorization", "Bearer x")], "")
                .await;
            other.refused(401, "");
        }
        client.read(&ada).await;
    });
}

#[test]
fn paths_of_bulk_operations_are_paths() {
    run(async {
        let client = Client::start().await;
        let ada = client.user("ada", json!({})).await;
        let id = escaped(&text(&ada["id"]));
        let title = |title: &str| json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "add", "path": "title", "value": title }] });
        let bulk = json!({ "schemas": [BULK], "Operations": [
            { "method": "POST", "path": "/%55sers/", "bulkId": "new one", "data": user("grace", json!({})) },
            { "method": "PATCH", "path": format!("/Users//{id}"), "data": title("Countess") },
            { "method": "PATCH", "path": "/Users/bulkId:new%20one", "data": title("Admiral") },
            { "method": "DELETE", "path": format!("/Users%2F{id}") },
            { "method": "DELETE", "path": "/Users/%zz" },
            { "method": "DELETE", "path": "/Users/\u{0}" },
            { "method": "HEAD", "path": "/Users" },
        ] });
        let reply = client.post("/Bulk", bulk).await.is(200);
        let results = reply["Operations"].as_array().unwrap();
        let statuses: Vec<&str> = results
            .iter()
            .map(|r| r["status"].as_str().unwrap())
            .collect();
        assert_eq!(
            statuses,
            ["201", "200", "200", "400", "400", "404", "400"],
            "{reply}"
        );
        // The resource that an operation is about, where its path names one.
        assert_eq!(results[1]["location"], ada["meta"]["location"]);
        assert_eq!(results[2]["location"], results[0]["location"]);
        for result in &results[3..] {
            assert_eq!(result.get("location"), None, "{result}");
        }
        assert_eq!(client.read(&ada).await["title"], "Countess");
        assert_eq!(client.names("title eq \"Admiral\"").await, ["grace"]);
        // Refusals are on record, whatever their paths hold.
        let refused: Vec<(String,)> = client
            .rows("select path from scim_events where organization_id = $1 and scim_configuration_id = $2 and outcome = 'refused'")
            .await;
        assert_eq!(refused.len(), 4);
    });
}

#[test]
fn every_answer_below_scim_is_one_of_scim() {
    run(async {
        let client = Client::start().await;
        client.user("ada", json!({})).await;
        client.group("team", &[]).await;
        let token = Some(&*client.token);
        let list = |reply: Reply, count: usize| {
            let body = reply.is(200);
            assert_eq!(body["schemas"], json!([LIST]));
            assert_eq!(body["totalResults"], count, "{body}");
        };
        // Over both types, as RFC 7644, section 3.4.2.1 has it.
        for path in [
            "/scim/v2",
            "/scim/v2/",
            "/scim/v2//",
            "//scim//v2/?",
            "/%73cim/v2",
            "/scim/%762/",
        ] {
            list(send(&client, "GET", path, token).await, 2);
        }
        for root in ["/scim/v2", "/scim/v2/"] {
            let filter = |filter: &str| format!("{root}?filter={filter}");
            list(
                send(&client, "GET", &filter("userName%20eq%20%22ada%22"), token).await,
                1,
            );
            list(
                send(&client, "GET", &filter("displayName+eq+%22team%22"), token).await,
                1,
            );
            list(
                send(
                    &client,
                    "GET",
                    &filter("meta.resourceType+eq+%22User%22"),
                    token,
                )
                .await,
                1,
            );
            send(&client, "GET", &filter("nope+pr"), token)
                .await
                .refused(400, "invalidFilter");
            for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
                let reply = send(&client, method, root, token).await;
                assert!(!reply.refused(405, "").is_empty());
                assert_eq!(reply.header("allow"), "GET, HEAD");
            }
            send(&client, "GET", root, None).await.refused(401, "");
            send(&client, "GET", root, Some("wrong"))
                .await
                .refused(401, "");
        }
        for path in [
            "/scim",
            "/scim/",
            "/scim?filter=x",
            "/scim/Users",
            "/scim/v2x/Users",
            "/scim/v",
            "/scim/V2/Users",
            "/scim/v2%2FUsers",
            "/scim/%zz",
        ] {
            for token in [token, None] {
                let detail = send(&client, "GET", path, token).await.refused(404, "");
                assert!(detail.contains("/scim/v2"), "{detail}");
                send(&client, "POST", path, token).await.refused(404, "");
            }
        }
        for path in [
            "/scim/v1",
            "/scim/v1/Users",
            "/scim/v3/Users",
            "/scim/v2.1/",
        ] {
            send(&client, "GET", path, token)
                .await
                .refused(400, "invalidVers");
        }
        for path in [
            "/scim/v2/nope",
            "/scim/v2//Users/x/y",
            "/scim/v2/Users/x",
            "/scim/v2/Schemas/x",
            "/scim/v2/users",
            "/scim/v2/../v2/Users",
        ] {
            send(&client, "GET", path, token).await.refused(404, "");
            send(&client, "GET", path, None).await.refused(401, "");
        }
        // What is beside it is not.
        for path in ["/scimx", "/scim.json", "/api/scim/v2/Users"] {
            send(&client, "GET", path, token).await.error("not_found");
        }
    });
}

#[test]
fn a_body_that_is_too_large_is_refused_in_the_form_of_scim() {
    run(async {
        let client = Client::start().await;
        let large = "x".repeat(10 * 1024 * 1024 + 1);
        for (method, path) in [
            ("POST", "/Users"),
            ("POST", "/Bulk"),
            ("POST", "/.search"),
            ("POST", "/Groups/.search"),
        ] {
            client
                .send(method, path, &[], large.clone())
                .await
                .refused(413, "");
        }
        let reply: Value = client.send("GET", "/Users", &[], large).await.is(200);
        assert_eq!(reply["totalResults"], 0);
    });
}
