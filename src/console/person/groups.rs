//! The groups of a person, and what they let the person do.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::console::client::Refusal;
use crate::console::groups::{self, Role};
use crate::console::names::Names;
use crate::console::parts::Pagination;
use crate::console::visit::Visit;

/// How many groups a page tells.
const SHOWN: usize = 100;

/// A group that a person is in.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    id: String,
    name: String,
    system_managed: bool,
    direct: bool,
}

/// The first groups of a person by name, and all roles that come of groups.
pub struct Groups {
    groups: Vec<Group>,
    has_more: bool,
    roles: Vec<Role>,
}

impl Groups {
    /// Asks for them.
    pub async fn read(visit: &Visit, user_id: Uuid) -> Result<Self, Refusal> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Answer {
            groups: Vec<Group>,
            pagination: Pagination,
        }
        let method = "rollcall.v1.MemberService/ListMemberGroups";
        let request = json!({ "userId": user_id, "pagination": { "pageSize": SHOWN } });
        let (answer, roles) = tokio::try_join!(
            visit.call::<Answer>(method, request),
            groups::roles(visit, json!({ "userId": user_id })),
        )?;
        Ok(Self {
            groups: answer.groups,
            has_more: !answer.pagination.next_token.is_empty(),
            roles,
        })
    }

    /// The groups that give a role and are not among the first, of which the names are to be learnt.
    pub fn unnamed(&self) -> impl Iterator<Item = String> {
        let further = self.roles_of_others();
        further.map(|role| role.group_id.clone())
    }

    fn roles_of_others(&self) -> impl Iterator<Item = &Role> {
        let is_shown = |role: &&Role| !self.groups.iter().any(|group| group.id == role.group_id);
        self.roles.iter().filter(is_shown)
    }

    /// The part of the page.
    pub fn show(&self, visit: &Visit, names: &Names) -> Markup {
        html! {
            section .panel {
                h2 { "Groups" }
                @if self.groups.is_empty() && self.roles.is_empty() {
                    p { "This person is in no group." }
                } @else {
                    table .list {
                        thead { tr { th scope="col" { "Group" } th scope="col" { "In it" } th scope="col" { "Managed by" } th scope="col" { "Role that it gives" } } }
                        tbody {
                            @for group in &self.groups { tr {
                                td { a href=(visit.path(&format!("groups/{}", group.id))) { (group.name) } }
                                td data-label="In it" { @if group.direct { "Directly" } @else { "Through another group" } }
                                td data-label="Managed by" { @if group.system_managed { "The identity provider" } @else { "Rollcall" } }
                                td data-label="Role" { (self.role_of(&group.id)) }
                            } }
                            @for role in self.roles_of_others() { tr {
                                td { (names.group_link(visit, &role.group_id)) }
                                td {}
                                td {}
                                td data-label="Role" { (role.words()) }
                            } }
                        }
                    }
                    @if self.has_more {
                        p .soft .small { "The first " (SHOWN) " groups by name, and those that give a role." }
                    }
                }
            }
        }
    }

    fn role_of(&self, group: &str) -> Markup {
        let mut roles = self.roles.iter().filter(|role| role.group_id == group);
        let first = roles.next();
        html! {
            @if let Some(role) = first { (role.words()) } @else { "none" }
            @for role in roles { br; (role.words()) }
        }
    }
}
