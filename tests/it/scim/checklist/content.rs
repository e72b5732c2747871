//! Content types, errors and entity tags.

use serde_json::json;

use crate::support::run;
use crate::support::scim::{Client, path, user};

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

#[test]
fn head_is_get_without_a_body() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({})).await;
        let team = c.group("Team", &[&bob]).await;
        let tag = c.get(&path(&bob)).await.header("etag");
        let by_tag = [("if-none-match", &*tag)];
        let nothing: [(&str, &str); 0] = [];
        let wrong = [("authorization", "Bearer wrong")];
        let user_schema = format!("/Schemas/{}", crate::support::scim::U);
        for (at, headers) in [
            ("", &nothing[..]),
            ("/", &nothing),
            ("/Users", &nothing),
            ("/Groups?count=0", &nothing),
            ("/Users?filter=userName+eq+%22bob%22", &nothing),
            ("/Users?filter=userName+eq+%22x%22", &nothing),
            ("/Users?cursor", &nothing),
            ("/Users?filter=nope", &nothing),
            (&path(&bob), &nothing),
            (&path(&bob), &by_tag),
            (&path(&bob), &wrong),
            (&format!("{}?attributes=userName", path(&bob)), &nothing),
            (&path(&team), &nothing),
            ("/Users/x", &nothing),
            ("/nope", &nothing),
            ("/ServiceProviderConfig", &nothing),
            ("/ServiceProviderConfig", &wrong),
            ("/ResourceTypes", &nothing),
            ("/ResourceTypes/User", &nothing),
            ("/Schemas", &nothing),
            (&user_schema, &nothing),
            ("/Schemas?filter=x", &nothing),
            ("/Me", &nothing),
        ] {
            let get = c.send("GET", at, headers, "").await;
            let head = c.send("HEAD", at, headers, "").await;
            assert_eq!(head.status, get.status, "{at}");
            assert_eq!(head.bytes.len(), 0, "{at}");
            let length = get.bytes.len().to_string();
            let mut expected = get.headers.clone();
            let mut found = head.headers.clone();
            for headers in [&mut expected, &mut found] {
                headers.remove("x-request-id");
                if let Some(found) = headers.remove("content-length") {
                    assert_eq!(found, length.as_str(), "{at}");
                }
            }
            assert_eq!(found, expected, "{at}");
        }
        for at in ["/Bulk", "/.search", "/Users/.search"] {
            let head = c.send("HEAD", at, &[], "").await;
            assert_eq!((head.status.as_u16(), head.bytes.len()), (405, 0), "{at}");
            assert_eq!(head.header("allow"), "POST");
        }
        let put = c.send("PUT", "/Users", &[], "").await;
        assert_eq!(put.header("allow"), "GET, HEAD, POST");
    });
}
