//! What receivers are told, and of whom.

use http::Method;
use serde_json::{Value, json};

use super::{
    ACTIVATE, CREATE, CREDENTIAL, DEACTIVATE, DELETE, DISABLED, ENABLED, IDENTIFIER, PATCH,
    REVOKED, Stream, all_events, types,
};
use crate::login::Place;
use crate::support::scim::{Client, path};
use crate::support::{Server, run};

fn event<'a>(claims: &'a Value, kind: &str) -> &'a Value {
    &claims["events"][kind]
}

#[test]
fn a_member_is_told_of_from_the_first_day_to_the_last() {
    run(async {
        let c = Client::start().await;
        let stream = Stream::polled(&c.server, &all_events()).await;
        let mut email = format!("ada@{}", c.server.new_domain());
        let name = email.clone();
        let more = json!({ "displayName": "Ada", "emails": [{ "value": email, "primary": true }] });
        let user = c.user(&email, more).await;
        let told = stream.take().await;
        assert_eq!(types(&told), [CREATE]);
        let subject = told[0]["sub_id"].clone();
        assert_eq!(subject["format"], "scim");
        let member = subject["uri"].as_str().unwrap().strip_prefix("/Users/");
        let member = member.unwrap().to_owned();
        assert_eq!(subject["emails"], json!([{ "value": email }]));
        let attributes = json!({ "attributes": ["id", "emails", "displayName", "roles"] });
        assert_eq!(*event(&told[0], CREATE), attributes);
        assert!(told[0]["toe"].is_i64() && told[0]["txn"] == told[0]["jti"]);

        let user = path(&user);
        let set = async |path: &str, value: Value| {
            let operation = json!([{ "op": "replace", "path": path, "value": value }]);
            c.patch(&user, operation).await.is(200);
        };
        set("displayName", json!("Ada L.")).await;
        let told = stream.take().await;
        assert_eq!(types(&told), [PATCH]);
        assert_eq!(
            *event(&told[0], PATCH),
            json!({ "attributes": ["displayName"] })
        );

        let before = std::mem::replace(&mut email, format!("ada@{}", c.server.new_domain()));
        set("emails", json!([{ "value": email, "primary": true }])).await;
        let told = stream.take().await;
        assert_eq!(types(&told), [IDENTIFIER, PATCH]);
        assert_eq!(
            told[0]["sub_id"],
            json!({ "format": "email", "email": before })
        );
        assert_eq!(*event(&told[0], IDENTIFIER), json!({ "new-value": email }));
        assert_eq!(told[0]["txn"], told[1]["txn"]);

        let account = json!({ "format": "iss_sub", "iss": "https://rollcall.test", "sub": member });
        for (active, kinds) in [(false, [DISABLED, DEACTIVATE]), (true, [ENABLED, ACTIVATE])] {
            c.set_active(&user, active).await;
            let told = stream.take().await;
            assert_eq!(types(&told), kinds);
            assert_eq!(told[0]["sub_id"], account);
            assert_eq!(*event(&told[0], kinds[0]), json!({}));
            assert_eq!(told[1]["sub_id"]["uri"], subject["uri"]);
        }
        c.delete(&user).await.is(204);
        let told = stream.take().await;
        assert_eq!(types(&told), [DISABLED, DELETE]);
        assert_eq!(told[1]["sub_id"]["uri"], subject["uri"]);
        c.user(
            &name,
            json!({ "emails": [{ "value": email, "primary": true }] }),
        )
        .await;
        let told = stream.take().await;
        assert_eq!(types(&told)[..3], [ENABLED, CREATE, ACTIVATE]);
    });
}

#[test]
fn a_group_and_who_comes_into_it_are_told_of() {
    run(async {
        let c = Client::start().await;
        let user = c.user("ada@example.com", json!({})).await;
        let stream = Stream::polled(&c.server, &all_events()).await;
        let group = c.group("Math", &[&user]).await;
        let told = stream.take().await;
        assert_eq!(types(&told), [CREATE, PATCH]);
        let uri = format!("/Groups/{}", group["id"].as_str().unwrap());
        for (claims, (kind, attributes)) in told.iter().zip([
            (CREATE, json!(["id", "displayName"])),
            (PATCH, json!(["members"])),
        ]) {
            assert_eq!(claims["sub_id"]["uri"], *uri);
            assert_eq!(event(claims, kind)["attributes"], attributes);
        }
        c.delete(&path(&group)).await.is(204);
        let told = stream.take().await;
        assert_eq!(types(&told), [DELETE]);
        assert_eq!(told[0]["sub_id"]["uri"], *uri);
    });
}

#[test]
fn a_session_that_ends_is_revoked_and_says_who_did_it() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let stream = Stream::polled(server, &[REVOKED]).await;
        let (mut browser, member) = place.signed_in("ada").await;
        assert!(stream.take().await.is_empty());
        browser.post("/logout", &[]).await;
        let told = stream.take().await;
        assert_eq!(types(&told), [REVOKED]);
        let subject = &told[0]["sub_id"];
        assert_eq!(subject["format"], "complex");
        assert_eq!(subject["user"]["sub"], *member);
        assert_eq!(subject["tenant"]["id"], *server.organization);
        assert_eq!(subject["session"]["format"], "opaque");
        let said = event(&told[0], REVOKED);
        assert_eq!(said["initiating_entity"], "user");
        assert!(said["event_timestamp"].is_i64());
        assert!(!said["reason_admin"]["en"].as_str().unwrap().is_empty());

        place.signed_in("ada").await;
        let mut db = server.app.store.acquire().await.unwrap();
        let ended = "update users set status = 'suspended' where organization_id = $1";
        sqlx::query(ended)
            .bind(server.organization_id().as_uuid())
            .execute(&mut *db)
            .await
            .unwrap();
        // By nobody, as a session ends that is over.
        let ended = "delete from sessions where organization_id = $1";
        sqlx::query(ended)
            .bind(server.organization_id().as_uuid())
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        let told = stream.take().await;
        assert_eq!(types(&told), [REVOKED]);
        let said = event(&told[0], REVOKED);
        assert_eq!(said["reason_admin"]["en"], "The member was suspended.");
        assert_eq!(said["initiating_entity"], "system");
    });
}

#[test]
fn a_personal_access_token_is_a_credential_that_changes() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let stream = Stream::polled(server, &[CREDENTIAL]).await;
        let (mut browser, ada) = place.signed_in("ada").await;
        let mut make = async |description: &str| {
            let request = json!({ "userId": ada, "description": description });
            let method = "UserService/CreatePersonalAccessToken";
            let made = browser.call(method, request).await.ok();
            made["token"].as_str().unwrap().to_owned()
        };
        let secret = make("ci").await;
        let told = stream.take().await;
        assert_eq!(types(&told), [CREDENTIAL]);
        assert_eq!(
            told[0]["sub_id"],
            json!({ "format": "iss_sub", "iss": "https://rollcall.test", "sub": ada })
        );
        let said = event(&told[0], CREDENTIAL);
        assert_eq!(said["credential_type"], "personal-access-token");
        assert_eq!(said["change_type"], "create");
        assert_eq!(said["friendly_name"], "ci");
        assert_eq!(said["initiating_entity"], "user");
        assert!(said["event_timestamp"].is_i64());
        assert!(!told[0].to_string().contains(&secret));

        let list = "UserService/ListPersonalAccessTokens";
        let tokens = server.call_to(list, json!({})).await.ok();
        let gone = json!({ "personalAccessTokenId": tokens["personalAccessTokens"][0]["id"] });
        let path = "UserService/DeletePersonalAccessToken";
        server.call_to(path, gone).await.ok();
        make("").await;
        let suspend = json!({ "userId": ada, "suspended": true });
        let path = "UserService/SetSuspended";
        server.call_to(path, suspend).await.ok();
        let told = stream.take().await;
        let said: Vec<_> = told.iter().map(|told| event(told, CREDENTIAL)).collect();
        let changes: Vec<_> = said.iter().map(|said| &said["change_type"]).collect();
        assert_eq!(changes, ["delete", "create", "revoke"]);
        assert_eq!(said[0]["initiating_entity"], "admin");
        assert_eq!(said[1].get("friendly_name"), None);
        assert_eq!(said[2]["reason_admin"]["en"], "The member was suspended.");
    });
}

#[test]
fn a_session_that_expires_is_not_revoked() {
    run(async {
        let place = Place::start().await;
        let stream = Stream::polled(&place.server, &[REVOKED]).await;
        place.signed_in("ada").await;
        let mut db = place.server.app.store.acquire().await.unwrap();
        sqlx::query("delete from sessions where organization_id = $1")
            .bind(place.server.organization_id().as_uuid())
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        assert!(stream.take().await.is_empty());
    });
}

#[test]
fn a_receiver_hears_of_nobody_whom_it_removed() {
    run(async {
        let c = Client::start().await;
        let domain = c.server.new_domain();
        let mut users = vec![];
        for name in ["ada", "bob", "eve", "joe"] {
            let email = format!("{name}@{domain}");
            let more = json!({ "emails": [{ "value": email, "primary": true }] });
            users.push(path(&c.user(&email, more).await));
        }
        let group = c.group("Math", &[]).await;
        let stream = Stream::polled(&c.server, &[DISABLED, ENABLED, DELETE]).await;
        c.set_active(&users[1], false).await;
        let told = stream.take().await;
        let issuer = "https://rollcall.test";
        let bob = json!({ "format": "iss_sub", "iss": issuer, "sub": told[0]["sub_id"]["sub"] });
        c.set_active(&users[2], false).await;
        let eve = stream.take().await[0]["sub_id"].clone();
        for subject in [
            json!({ "format": "email", "email": format!("ADA@{domain}") }),
            bob.clone(),
            json!({ "format": "complex", "user": eve, "tenant": { "format": "opaque", "id": c.server.organization } }),
            json!({ "format": "scim", "uri": format!("/Groups/{}", group["id"].as_str().unwrap()) }),
            // Nobody.
            json!({ "format": "email", "email": "nobody@nowhere.example" }),
            json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "1" }),
            json!({ "format": "phone_number", "phone_number": "+12065550100" }),
        ] {
            let body = json!({ "subject": subject });
            let removed = stream
                .send(Method::POST, "/ssf/subjects/remove", body)
                .await;
            assert_eq!(removed.status, 204, "{:?}", removed.bytes);
            assert!(removed.bytes.is_empty());
        }
        for (user, active) in users.iter().zip([false, true, true, false]) {
            c.set_active(user, active).await;
        }
        c.delete(&path(&group)).await.is(204);
        let told = stream.take().await;
        assert_eq!(types(&told), [DISABLED], "of the one who is left: {told:?}");

        let body = json!({ "subject": bob, "verified": true });
        let added = stream.send(Method::POST, "/ssf/subjects/add", body).await;
        assert_eq!(added.status, 200);
        assert!(added.bytes.is_empty());
        for user in &users[..3] {
            c.set_active(user, false).await;
        }
        let told = stream.take().await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["sub_id"], bob);
        let recorded = c.server.audit("event_stream").await;
        let actions: Vec<&str> = recorded.iter().map(|(action, ..)| &**action).collect();
        assert_eq!(
            actions
                .iter()
                .filter(|a| **a == "RemoveEventStreamSubject")
                .count(),
            4
        );
        assert_eq!(actions.last(), Some(&"AddEventStreamSubject"));

        // What would be less than everything that is told of somebody.
        let session = json!({ "format": "opaque", "id": "1" });
        for subject in [
            json!({ "format": "complex", "user": bob, "session": session }),
            json!({ "format": "complex" }),
            json!({ "format": "email" }),
            json!({ "format": "magic", "id": "1" }),
            json!("ada"),
        ] {
            let body = json!({ "subject": subject });
            let removed = stream
                .send(Method::POST, "/ssf/subjects/remove", body)
                .await;
            assert_eq!(removed.status, 400, "{:?}", removed.bytes);
        }
    });
}

#[test]
fn a_receiver_hears_of_nothing_that_it_did_not_ask_for_and_of_nothing_before() {
    run(async {
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let nothing = Stream::make(&c.server, json!({})).await;
        let some = Stream::polled(&c.server, &[ENABLED, "urn:example:unknown"]).await;
        assert_eq!(some.made["events_delivered"], json!([ENABLED]));
        assert_eq!(
            some.made["events_requested"],
            json!([ENABLED, "urn:example:unknown"])
        );
        assert_eq!(nothing.made["events_delivered"], json!([]));
        c.set_active(&user, false).await;
        c.set_active(&user, true).await;
        assert!(nothing.take().await.is_empty());
        assert_eq!(types(&some.take().await), [ENABLED]);
        // What it asks for later, it hears from then on.
        let body = json!({ "events_requested": [DISABLED, ENABLED] });
        nothing.send(Method::PATCH, "/ssf/streams", body).await.ok();
        assert!(nothing.take().await.is_empty());
        c.set_active(&user, false).await;
        assert_eq!(types(&nothing.take().await), [DISABLED]);
    });
}

#[test]
fn attack_events_of_another_organization_are_not_told() {
    run(async {
        let c = Client::start().await;
        let neighbour: Server = c.server.neighbour().await;
        let stream = Stream::polled(&neighbour, &all_events()).await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        c.set_active(&user, false).await;
        assert!(stream.take().await.is_empty());
        // Nor does removing its people change anything for it.
        let own = Stream::polled(&c.server, &[ENABLED]).await;
        c.set_active(&user, true).await;
        let told = own.take().await;
        let body = json!({ "subject": told[0]["sub_id"] });
        let removed = stream
            .send(Method::POST, "/ssf/subjects/remove", body)
            .await;
        assert_eq!(removed.status, 204);
        assert!(
            neighbour.audit("event_stream").await.len() == 1,
            "it is nobody of its own"
        );
    });
}
