//! `MemberService`.

use serde_json::json;
use uuid::Uuid;

use super::{ask, pages};
use crate::support::run;
use crate::support::scim::Client;

const GROUPS: &str = "MemberService/ListMemberGroups";

#[test]
fn the_groups_of_a_member_are_listed_by_name_however_the_member_is_in_them() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let ada = c.user("ada@example.com", json!({})).await;
        let platform = c.group("platform", &[&ada]).await;
        // In it twice: by herself, and through a group.
        let everybody = c.group("Everybody", &[&ada, &platform]).await;
        let engineering = c.group("Engineering", &[&platform]).await;
        // A circle ends.
        let operations =
            json!([{ "op": "add", "path": "members", "value": [{ "value": engineering["id"] }] }]);
        let path = format!("/Groups/{}", platform["id"].as_str().unwrap());
        c.patch(&path, operations).await;
        c.group("Sales", &[]).await;
        let members =
            json!({ "organizationId": server.organization, "filter": { "search": "ada" } });
        let members = server
            .call_to("OrganizationService/ListMembers", members)
            .await
            .ok();
        let user_id = &members["members"][0]["userId"];
        let own = json!({ "organizationId": server.organization, "name": "Builders" });
        let own = server.call_to("GroupService/CreateGroup", own).await.ok()["group"]["id"].clone();
        let membership =
            json!({ "groupId": own, "subject": { "id": user_id, "principal": "PRINCIPAL_USER" } });
        server
            .call_to("GroupService/CreateMembership", membership)
            .await
            .ok();

        let request = json!({ "userId": user_id });
        let whole = ask(server, GROUPS, request.clone()).await.ok();
        let expected = json!([
            { "id": own, "name": "Builders", "direct": true },
            { "id": engineering["id"], "name": "Engineering", "systemManaged": true },
            { "id": everybody["id"], "name": "Everybody", "systemManaged": true, "direct": true },
            { "id": platform["id"], "name": "platform", "systemManaged": true, "direct": true },
        ]);
        assert_eq!(whole["groups"], expected);
        let read = pages(server, GROUPS, request.clone(), "groups", 3).await;
        assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(json!(read.concat()), expected);

        let stranger = server.neighbour().await;
        ask(&stranger, GROUPS, request).await.error("not_found");
        let nobody = json!({ "userId": Uuid::nil() });
        ask(server, GROUPS, nobody).await.error("not_found");
    });
}
