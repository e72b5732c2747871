//! What the identifiers in the answers of the API are called.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::try_join_all;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::client::Refusal;
use super::people::{self, Member};
use super::visit::Visit;

/// How many identifiers the API takes at once.
const AT_ONCE: usize = 25;

/// Of what the names are wanted.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Identifiers of members.
    pub people: BTreeSet<String>,
    /// Identifiers of groups.
    pub groups: BTreeSet<String>,
    /// Identifiers of service accounts.
    pub accounts: BTreeSet<String>,
    /// Whether SCIM configurations and set-up links are among what is shown.
    pub configurations: bool,
}

/// The names that are known.
#[derive(Debug, Default)]
pub struct Names {
    people: HashMap<String, Member>,
    groups: HashMap<String, String>,
    accounts: HashMap<String, String>,
    configurations: Option<HashMap<String, String>>,
    links: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    id: String,
    name: String,
}

impl Names {
    /// Asks for the names that are not known yet, each kind once for 25 of it.
    ///
    /// # Errors
    ///
    /// What the API refuses.
    pub async fn learn(&mut self, visit: &Visit, mut wanted: Wanted) -> Result<(), Refusal> {
        wanted.people.retain(|id| !self.people.contains_key(id));
        wanted.groups.retain(|id| !self.groups.contains_key(id));
        wanted.accounts.retain(|id| !self.accounts.contains_key(id));
        let configurations = wanted.configurations && self.configurations.is_none();
        let (people, groups, accounts, configurations, links) = tokio::try_join!(
            members(visit, &wanted.people),
            groups(visit, &wanted.groups),
            accounts(visit, &wanted.accounts),
            scim(visit, configurations),
            links(visit, configurations),
        )?;
        let people = people.into_iter().map(|one| (one.user_id.clone(), one));
        self.people.extend(people);
        self.groups.extend(pairs(groups));
        self.accounts.extend(pairs(accounts));
        self.links.extend(links);
        if let Some(found) = configurations {
            self.configurations = Some(pairs(found).collect());
        }
        Ok(())
    }

    /// A member.
    pub fn person(&self, id: &str) -> Option<&Member> {
        self.people.get(id)
    }

    /// A group.
    pub fn group(&self, id: &str) -> Option<&str> {
        self.groups.get(id).map(|name| &**name)
    }

    /// A service account.
    pub fn account(&self, id: &str) -> Option<&str> {
        self.accounts.get(id).map(|name| &**name)
    }

    /// A SCIM configuration.
    pub fn configuration(&self, id: &str) -> Option<&str> {
        let known = self.configurations.as_ref()?.get(id)?;
        Some(match &**known {
            "" => "Provisioning",
            name => name,
        })
    }

    /// Whom a set-up link is for.
    pub fn link(&self, id: &str) -> Option<&str> {
        self.links.get(id).map(|description| &**description)
    }

    /// The name of a member with the way to the page, or the identifier of one who is not known.
    pub fn person_link(&self, visit: &Visit, id: &str) -> Markup {
        match self.person(id) {
            Some(member) => {
                html! { a href=(visit.path(&format!("people/{id}"))) { (member.label()) } }
            }
            None => html! { code { (id) } },
        }
    }

    /// The same for a group.
    pub fn group_link(&self, visit: &Visit, id: &str) -> Markup {
        match self.group(id) {
            Some(name) => html! { a href=(visit.path(&format!("groups/{id}"))) { (name) } },
            None => html! { code { (id) } },
        }
    }
}

fn pairs(named: Vec<Named>) -> impl Iterator<Item = (String, String)> {
    named.into_iter().map(|one| (one.id, one.name))
}

fn portions(ids: &BTreeSet<String>) -> Vec<Vec<&String>> {
    let ids: Vec<&String> = ids.iter().collect();
    ids.chunks(AT_ONCE).map(<[_]>::to_vec).collect()
}

async fn members(visit: &Visit, ids: &BTreeSet<String>) -> Result<Vec<Member>, Refusal> {
    let asked = portions(ids).into_iter().map(|ids| async move {
        let found = people::find(
            visit,
            json!({ "userIds": ids }),
            json!({ "pageSize": AT_ONCE }),
        );
        Ok::<_, Refusal>(found.await?.members)
    });
    Ok(try_join_all(asked).await?.concat())
}

async fn groups(visit: &Visit, ids: &BTreeSet<String>) -> Result<Vec<Named>, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer {
        groups: Vec<Named>,
    }
    let asked = portions(ids).into_iter().map(|ids| async move {
        let request =
            json!({ "filter": { "groupIds": ids }, "pagination": { "pageSize": AT_ONCE } });
        let method = "gitpod.v1.GroupService/ListGroups";
        Ok::<_, Refusal>(visit.call::<Answer>(method, request).await?.groups)
    });
    Ok(try_join_all(asked).await?.into_iter().flatten().collect())
}

async fn accounts(visit: &Visit, ids: &BTreeSet<String>) -> Result<Vec<Named>, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Answer {
        service_accounts: Vec<Named>,
    }
    let asked = portions(ids).into_iter().map(|ids| async move {
        let filter = json!({ "serviceAccountIds": ids, "includeSuspended": true });
        let request = json!({ "filter": filter, "pagination": { "pageSize": AT_ONCE } });
        let method = "gitpod.v1.ServiceAccountService/ListServiceAccounts";
        Ok::<_, Refusal>(
            visit
                .call::<Answer>(method, request)
                .await?
                .service_accounts,
        )
    });
    Ok(try_join_all(asked).await?.into_iter().flatten().collect())
}

async fn scim(visit: &Visit, wanted: bool) -> Result<Option<Vec<Named>>, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Answer {
        scim_configurations: Vec<Named>,
    }
    if !wanted {
        return Ok(None);
    }
    let method = "gitpod.v1.OrganizationService/ListSCIMConfigurations";
    let request = json!({ "pagination": { "pageSize": 100 } });
    let found: Answer = visit.call(method, request).await?;
    Ok(Some(found.scim_configurations))
}

async fn links(visit: &Visit, wanted: bool) -> Result<Vec<(String, String)>, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Answer {
        setup_links: Vec<Link>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Link {
        id: String,
        description: String,
    }
    if !wanted {
        return Ok(vec![]);
    }
    let method = "rollcall.v1.SetupLinkService/ListSetupLinks";
    let request = json!({ "includeEnded": true, "pagination": { "pageSize": 100 } });
    let found: Answer = visit.call(method, request).await?;
    let pairs = found.setup_links.into_iter();
    Ok(pairs.map(|link| (link.id, link.description)).collect())
}
