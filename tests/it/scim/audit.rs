//! What identity providers change is in the audit log, once each, and nothing else is.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::run;
use crate::support::scim::{BULK, Client, PATCH_OP, U, group, path, user};

/// The entries of the configuration in the audit log: action, kind of subject, subject, and what changed.
async fn entries(c: &Client) -> Vec<(String, String, Uuid, Value)> {
    c.rows(
        "select action, subject_type, subject_id, jsonb_build_object('before', before, 'after', after) from audit_entries
         where organization_id = $1 and actor_id = $2 and actor_principal = 'scim_configuration' order by id",
    )
    .await
}

async fn actions(c: &Client) -> Vec<String> {
    let entries = entries(c).await;
    entries.into_iter().map(|(action, ..)| action).collect()
}

#[test]
fn every_change_writes_one_entry() {
    run(async {
        let c = Client::start().await;
        let ada = c.user("ada@example.com", json!({})).await;
        let at = path(&ada);
        c.patch(
            &at,
            json!([{ "op": "replace", "path": "title", "value": "Dr." }]),
        )
        .await
        .is(200);
        c.patch(
            &at,
            json!([{ "op": "replace", "path": "active", "value": false }]),
        )
        .await
        .is(200);
        c.put(
            &at,
            user("ada@example.com", json!({ "displayName": "Ada" })),
        )
        .await
        .is(200);
        let team = c.group("Team", &[]).await;
        let of_team = path(&team);
        c.patch(
            &of_team,
            json!([{ "op": "add", "path": "members", "value": [{ "value": ada["id"] }] }]),
        )
        .await
        .is(200);
        c.patch(
            &of_team,
            json!([{ "op": "replace", "value": { "displayName": "The team" } }]),
        )
        .await
        .is(200);
        c.put(&of_team, group("The team", &[])).await.is(200);
        c.delete(&of_team).await.is(204);
        c.delete(&at).await.is(204);
        let entries = entries(&c).await;
        let told: Vec<(&str, &str)> = entries.iter().map(|(a, k, ..)| (&**a, &**k)).collect();
        assert_eq!(
            told,
            [
                ("CreateUser", "user"),
                ("UpdateUser", "user"),
                ("UpdateUser", "user"),
                ("SetUserStatus", "user"),
                ("UpdateUser", "user"),
                ("CreateGroup", "group"),
                ("UpdateGroup", "group"),
                ("UpdateGroup", "group"),
                ("UpdateGroup", "group"),
                ("DeleteGroup", "group"),
                ("DeleteUser", "user"),
                ("SetUserStatus", "user"),
            ]
        );
        // The subject of what is done to a user is the member, whom the rest of the log is about, too.
        let members: Vec<(Uuid,)> = c
            .rows("select id from users where organization_id = $1 and $2::uuid is not null")
            .await;
        let group: Uuid = team["id"].as_str().unwrap().parse().unwrap();
        for (action, kind, subject, _) in &entries {
            let expected = if kind == "user" { members[0].0 } else { group };
            assert_eq!(*subject, expected, "{action}");
        }
        let changed = |at: usize| &entries[at].3;
        assert_eq!(
            *changed(1),
            json!({ "before": null, "after": { "title": "Dr." } })
        );
        assert_eq!(
            *changed(3),
            json!({
                "before": { "status": "active" },
                "after": { "status": "suspended", "ended_sessions": 0 },
            })
        );
        assert_eq!(changed(6)["after"], json!({ "members": [ada["id"]] }));
        let deleted = json!({ "userName": "ada@example.com", "externalId": null });
        assert_eq!(*changed(10), json!({ "before": deleted, "after": null }));
        assert_eq!(changed(11)["after"]["status"], "left");
    });
}

#[test]
fn users_of_a_bulk_request_have_an_entry_each() {
    run(async {
        let c = Client::start().await;
        let post = |name: &str| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": { "schemas": [U], "userName": name } });
        let operations = [post("ada"), post("grace"), post("ada")];
        let body = json!({ "schemas": [BULK], "Operations": operations });
        c.post("/Bulk", body).await.is(200);
        assert_eq!(actions(&c).await, ["CreateUser", "CreateUser"]);
    });
}

#[test]
fn what_changes_nothing_writes_none() {
    run(async {
        let c = Client::start().await;
        let ada = c.user("ada", json!({})).await;
        let team = c.group("Team", &[&ada]).await;
        let before = actions(&c).await;
        c.post("/Users", user("ada", json!({}))).await.is(409);
        c.post("/Users", json!({})).await.is(400);
        c.patch(
            &path(&ada),
            json!([{ "op": "replace", "path": "userName", "value": "ada" }]),
        )
        .await
        .is(200);
        let same = json!([{ "op": "add", "path": "members", "value": [{ "value": ada["id"] }] }]);
        c.patch(&path(&team), same).await.is(200);
        let foreign =
            json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "remove", "path": "title" }] });
        c.send(
            "PATCH",
            &path(&ada),
            &[("authorization", "Bearer rollcall_scim_nothing")],
            foreign.to_string(),
        )
        .await
        .is(401);
        c.get(&path(&ada)).await.is(200);
        assert_eq!(actions(&c).await, before);
    });
}

#[test]
fn a_user_who_is_a_member_already_is_linked() {
    run(async {
        let c = Client::start().await;
        let linking = c
            .beside(json!({ "allowUnverifiedEmailAccountLinking": true }))
            .await;
        c.user("ada@example.com", json!({})).await;
        linking.user("ada@example.com", json!({})).await;
        assert_eq!(actions(&linking).await, ["LinkUser"]);
    });
}
