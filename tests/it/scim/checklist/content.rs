//! Content types, errors and entity tags.

use serde_json::json;

use crate::scim::client::{Client, path, user};
use crate::support::run;

#[test]
fn content_types() {
    run(async {
        let c = Client::start().await;
        let types = [
            "application/scim+json",
            "application/json",
            "application/scim+json; charset=utf-8",
            "APPLICATION/JSON;charset=UTF-8",
        ];
        for (n, kind) in types.into_iter().enumerate() {
            let body = user(&format!("u{n}"), json!({})).to_string();
            c.send("POST", "/Users", &[("content-type", kind)], body)
                .await
                .is(201);
        }
        let body = user("x", json!({})).to_string();
        c.send("POST", "/Users", &[("content-type", "text/xml")], body)
            .await
            .refused(415, "");
        for junk in ["", "{", "[]", "null", "\"x\"", "{\"schemas\":"] {
            c.send("POST", "/Users", &[], junk)
                .await
                .refused(400, "invalidSyntax");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        c.send("POST", "/Users", &[], deep)
            .await
            .refused(400, "invalidSyntax");
        c.send("POST", "/Users", &[], b"{\"a\":\"\xff\"}".as_slice())
            .await
            .refused(400, "invalidSyntax");
        c.send("POST", "/Users", &[], vec![b' '; 10 * 1024 * 1024 + 1])
            .await
            .refused(413, "");
        for path in ["/Nope", "/Users/a/b", "/Schemas/a/b", "/nope/.search"] {
            c.get(path).await.refused(404, "");
        }
    });
}

#[test]
fn entity_tags() {
    run(async {
        let c = Client::start().await;
        for resource in [c.user("bob", json!({})).await, c.group("G", &[]).await] {
            let at = path(&resource);
            let reply = c.get(&at).await;
            let (old, whole) = (reply.header("etag"), reply.is(200));
            assert_eq!(old, whole["meta"]["version"]);
            for tag in [&*old, "*", &format!("\"x\", {old}")] {
                let reply = c.send("GET", &at, &[("if-none-match", tag)], "").await;
                assert_eq!(
                    (reply.status.as_u16(), reply.bytes.len()),
                    (304, 0),
                    "{tag}"
                );
                assert_eq!(reply.header("etag"), old);
            }
            c.send("GET", &at, &[("if-none-match", "W/\"x\"")], "")
                .await
                .is(200);
            let patch =
                json!({ "Operations": [{ "op": "replace", "path": "externalId", "value": "e" }] })
                    .to_string();
            let reply = c
                .send("PATCH", &at, &[("if-match", &old)], patch.clone())
                .await;
            reply.is(200);
            let new = reply.header("etag");
            assert_ne!(new, old);
            for (method, body) in [
                ("PATCH", patch),
                ("PUT", whole.to_string()),
                ("DELETE", String::new()),
            ] {
                c.send(method, &at, &[("if-match", &old)], body)
                    .await
                    .refused(412, "");
            }
            assert_eq!(c.get(&at).await.header("etag"), new);
            let reply = c
                .send("PUT", &at, &[("if-match", &new)], whole.to_string())
                .await;
            reply.is(200);
            c.send("DELETE", &at, &[("if-match", &reply.header("etag"))], "")
                .await
                .is(204);
        }
    });
}
