//! The directory that programs run: members, groups, roles, service accounts, tokens, organizations, the audit log.

mod audit_log;
mod groups;
mod invitations;
mod organizations;
mod roles;
mod tokens;
mod watch;

use serde_json::{Value, json};

use crate::api::methods::join;
use crate::login::Browser;
use crate::support::{Reply, Server};

/// The request of a role for a member.
fn role(server: &Server, member: &str, role: &str) -> Value {
    json!({
        "organizationId": server.organization,
        "userId": member,
        "role": format!("ORGANIZATION_ROLE_{role}"),
    })
}

/// Gives a member a role.
async fn set_role(server: &Server, member: &str, name: &str) -> Reply {
    let request = role(server, member, name);
    server.call("SetRole", request).await
}

/// A new member whom nobody provisions.
async fn member(server: &Server, name: &str) -> String {
    let email = format!("{name}@{}", server.new_domain());
    join(server, &email, name).await
}

/// A new group that the organization makes.
async fn group(server: &Server) -> String {
    let request = json!({ "organizationId": server.organization, "name": server.new_domain() });
    let made = server.call_to("GroupService/CreateGroup", request).await;
    made.ok()["group"]["id"].as_str().unwrap().to_owned()
}

/// The request that puts somebody into a group.
fn membership(group: &str, member: &str) -> Value {
    json!({ "groupId": group, "subject": { "id": member, "principal": "PRINCIPAL_USER" } })
}

/// Puts a member into a group, and tells the identifier of the membership.
async fn put_into(server: &Server, group: &str, member: &str) -> String {
    let request = membership(group, member);
    let made = server
        .call_to("GroupService/CreateMembership", request)
        .await;
    made.ok()["member"]["id"].as_str().unwrap().to_owned()
}

/// Gives a group a role in the organization, and tells the identifier of the assignment.
async fn assign(server: &Server, group: &str, role: &str) -> String {
    let request = json!({
        "groupId": group,
        "resourceType": "RESOURCE_TYPE_ORGANIZATION",
        "resourceId": server.organization,
        "resourceRole": format!("RESOURCE_ROLE_{role}"),
    });
    let made = server
        .call_to("GroupService/CreateRoleAssignment", request)
        .await;
    made.ok()["assignment"]["id"].as_str().unwrap().to_owned()
}

/// Whether a browser's member administers the organization.
async fn administers(browser: &mut Browser<'_>) -> bool {
    let reply = browser
        .call("OrganizationService/ListSCIMConfigurations", json!({}))
        .await;
    match reply.status.as_u16() {
        200 => true,
        403 => false,
        other => panic!("{other}: {}", reply.json()),
    }
}
