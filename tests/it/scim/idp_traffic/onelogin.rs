//! OneLogin.

use serde_json::json;

use crate::support::run;
use crate::support::scim::{Client, E, U, path};

#[test]
fn users() {
    run(async {
        let c = Client::start().await;
        // Row 75.
        let body = json!({ "schemas": ["urn:scim:schemas:core:1.0"], "userName": "a@b.com" });
        let detail = c.post("/Users", body).await.refused(400, "invalidSyntax");
        assert!(detail.contains(U), "{detail}");
        // Row 76.
        let one = c
            .user("one", json!({ "emails": { "value": "one@b.com" } }))
            .await;
        assert_eq!(one["emails"], json!([{ "value": "one@b.com" }]));
        // Rows 77 and 78.
        let boss = c.user("boss", json!({ "displayName": "Boss" })).await;
        let two = c.user("two@b.com", json!({
            "schemas": [U, E],
            "emails": [{ "value": "two@b.com", "type": "work" }, { "value": "zwei@b.com", "type": "home" }],
            "addresses": [{ "streetAddress": "S", "locality": "L" }],
            E: { "manager": { "value": boss["id"], "displayName": "Somebody else" } },
        })).await;
        assert_eq!(two[E]["manager"]["displayName"], "Boss");
        assert_eq!(
            two["addresses"],
            json!([{ "streetAddress": "S", "locality": "L" }])
        );
        let rows: Vec<(String,)> = c
            .rows("select email from users where organization_id = $1 and email like '%@b.com' and $2 is distinct from id order by email")
            .await;
        assert!(
            rows.contains(&("two@b.com".to_owned(),)),
            "the first address counts: {rows:?}"
        );
        assert!(!rows.contains(&("zwei@b.com".to_owned(),)));
        // Row 79.
        assert_eq!(c.names(r#"userName eq "two@b.com""#).await.len(), 1);
        let mut whole = c.read(&two).await;
        whole["title"] = json!("T");
        assert_eq!(c.put(&path(&two), whole).await.is(200)["title"], "T");
    });
}
