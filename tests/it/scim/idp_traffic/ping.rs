//! PingOne and PingFederate.

use serde_json::json;

use crate::support::run;
use crate::support::scim::{Client, ids, path};

#[test]
fn matching_disabling_and_membership() {
    run(async {
        let c = Client::start().await;
        // Row 81: provisioned disabled.
        let more = json!({ "active": false, "emails": [{ "value": "X@b.com", "type": "work" }] });
        let x = c.user("x", more).await;
        assert_eq!(x["active"], false);
        // Row 80.
        for filter in [
            r#"userName eq "X""#,
            r#"emails eq "x@b.com""#,
            r#"emails.value eq "x@B.com""#,
        ] {
            assert_eq!(c.names(filter).await, ["x"], "{filter}");
        }
        assert_eq!(c.names(r#"emails eq "y@b.com""#).await.len(), 0);
        let y = c.user("y", json!({})).await;
        let team = c.group("Team", &[&y]).await;
        // Row 83, and row 82: merge.
        let value = json!({ "members": [{ "value": x["id"] }] });
        c.patch(&path(&team), json!([{ "op": "add", "value": value }]))
            .await
            .is(200);
        assert_eq!(c.members(&team).await, ids(&[&x, &y]));
        // Row 82: overwrite.
        c.patch(&path(&team), json!([{ "op": "replace", "value": value }]))
            .await
            .is(200);
        assert_eq!(c.members(&team).await, ids(&[&x]));
    });
}
