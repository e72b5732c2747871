//! Attacks across tenants and roles. The table of permissions says who may call what; all of its methods are called by
//! everybody, about what is their own, somebody else's, and nobody's.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Request, header};
use rollcall::domain::identity::{Access, Audience, Effect, Permission, Permissions, Powers, Role};
use rollcall::domain::token::{Token, TokenKind};
use serde_json::{Value, json};

use super::methods::{Things, call, described, is_stream, request_of, table, with_field};
use crate::login::{ORIGIN, Place};
use crate::support::{Reply, Server, run};

/// Somebody who calls.
struct Caller {
    name: &'static str,
    /// The headers that say who it is.
    headers: Vec<(header::HeaderName, String)>,
    who: Who,
    read_only: bool,
    /// Whether it is a person.
    is_person: bool,
}

/// What is known of somebody who calls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Stranger,
    /// Somebody with a role, and what a group gives besides.
    Member(Role, &'static str),
    /// Somebody with a set-up link.
    Link(Permission),
    /// An operator who names no organization.
    Operator,
    /// An operator who names the organization of the server.
    OperatorHere,
}

const MEMBER: Who = Who::Member(Role::Member, "");
const ADMINISTRATOR: Who = Who::Member(Role::Admin, "");

impl Who {
    fn powers(self) -> Powers {
        match self {
            Self::Stranger | Self::Operator => Powers::default(),
            Self::Member(role, of_group) => Powers::of(role, [of_group]),
            Self::Link(permission) => Powers::of_link(Permissions::from_iter([permission])),
            Self::OperatorHere => Powers::ALL,
        }
    }
}

impl Caller {
    fn with_token(name: &'static str, token: &str, who: Who, read_only: bool) -> Self {
        Self {
            name,
            headers: vec![(header::AUTHORIZATION, format!("Bearer {token}"))],
            who,
            read_only,
            is_person: false,
        }
    }

    fn with_session(name: &'static str, cookies: String, role: Role) -> Self {
        Self {
            name,
            headers: vec![(header::COOKIE, cookies)],
            who: Who::Member(role, ""),
            read_only: false,
            is_person: true,
        }
    }

    async fn call(&self, server: &Server, path: &str, body: &Value) -> Reply {
        let mut request = Request::post(format!("/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ORIGIN, ORIGIN);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        server
            .send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// The code of the error and a word of its message with which the caller is refused; `None` where it is not.
    fn refusal(&self, path: &str, access: Access) -> Option<(&'static str, &'static str)> {
        let denied = |word| Some(("permission_denied", word));
        let powers = self.who.powers();
        let is_operator = matches!(self.who, Who::Operator | Who::OperatorHere);
        match access.audience {
            Audience::Everybody => None,
            _ if self.who == Who::Stranger => Some(("unauthenticated", "token")),
            Audience::Operator => (!is_operator).then_some(("permission_denied", "operator")),
            Audience::Owner if self.who == Who::Operator => None,
            _ if self.who == Who::Operator => denied("Rollcall-Organization"),
            Audience::SsoAdministrator if !powers.sets_up.sso => denied("single sign-on"),
            Audience::ScimAdministrator if !powers.sets_up.scim => denied("provisioning"),
            Audience::DomainsAdministrator if !powers.sets_up.domains => denied("domains"),
            Audience::DomainsReader if !powers.sets_up.domains && !powers.sets_up.sso => {
                denied("domains or single sign-on")
            }
            // The link that calls is another one.
            Audience::SetupLinkItself if !powers.administers => denied("set-up link"),
            Audience::Member if matches!(self.who, Who::Link(_)) => denied("members"),
            Audience::MemberItself if matches!(self.who, Who::Link(_)) => denied("only the member"),
            Audience::Oneself if matches!(self.who, Who::Link(_)) => denied("may do this"),
            Audience::ServiceAccountItself if matches!(self.who, Who::Link(_)) => {
                denied("only a service account")
            }
            Audience::GroupAdministrator if matches!(self.who, Who::Link(_)) => {
                denied("GROUP_ADMIN")
            }
            Audience::Administrator | Audience::Owner if !powers.administers => {
                denied("administrator")
            }
            Audience::ServiceAccountItself if is_operator || self.is_person => {
                denied("only a service account")
            }
            Audience::GroupsAdministrator if !powers.administers_groups => {
                denied("ORG_GROUPS_ADMIN")
            }
            Audience::AuditLogReader if !powers.reads_audit_log => denied("ORG_AUDIT_LOG_READER"),
            _ if access.effect == Effect::Writes && self.read_only => denied("read-only"),
            // The requests are about somebody else, but for one, which is about the service account that calls.
            Audience::MemberItself => denied("only the member"),
            Audience::Oneself
                if !powers.administers
                    && (self.is_person || !path.ends_with("/ListServiceAccountTokens")) =>
            {
                denied("may do this")
            }
            Audience::GroupAdministrator if !powers.administers_groups => denied("GROUP_ADMIN"),
            _ => None,
        }
    }

    /// The code of the error with which a method refuses, for another reason, whoever may call it.
    fn fault(&self, server: &Server, path: &str) -> Option<&'static str> {
        let (_, method) = path.split_once('/').unwrap();
        // Several machines have no order of the events of all organizations.
        let of_all = [
            "rollcall.v1.EventService/ListEvents",
            "rollcall.v1.WebhookService/CreateWebhook",
        ];
        if self.who == Who::Operator && of_all.contains(&path) && server.app.store.is_distributed()
        {
            return Some("failed_precondition");
        }
        match method {
            "GetAuthenticatedUser" | "GetAccount" | "ListJoinableOrganizations"
                if !self.is_person =>
            {
                Some("failed_precondition")
            }
            // Who is a member cannot become one.
            "JoinOrganization" if self.is_person => Some("already_exists"),
            "JoinOrganization" => Some("failed_precondition"),
            "CreateMembership" => Some("already_exists"),
            // It is of the organization, and so is what it names.
            "GetApplication"
            | "UpdateApplication"
            | "DeleteApplication"
            | "RotateApplicationSecret"
            | "GetWebhook"
            | "UpdateWebhook"
            | "DeleteWebhook"
            | "RotateWebhookSecret"
            | "SendTestEvent"
            | "ListWebhookDeliveries"
            | "ReplayWebhookDeliveries"
                if self.who == Who::Operator =>
            {
                Some("not_found")
            }
            "CreateApplication" if self.who == Who::Operator => Some("invalid_argument"),
            // Of these, an operator's command made the account.
            "CreateServiceAccountToken" if matches!(self.who, Who::Member(_, "")) => {
                Some("failed_precondition")
            }
            _ => None,
        }
    }
}

/// The identifier and the token of a new set-up link.
async fn link(server: &Server, permission: Permission) -> (Value, String) {
    let name = permission.as_str().to_ascii_uppercase();
    let request = json!({ "permissions": [format!("SETUP_PERMISSION_{name}")], "description": "Of a caller" });
    let path = "rollcall.v1.SetupLinkService/CreateSetupLink";
    let made = call(server, path, Some(&server.token), &request).await.ok();
    let (_, token) = made["url"].as_str().unwrap().rsplit_once('/').unwrap();
    (made["setupLink"]["id"].clone(), token.to_owned())
}

/// Everybody who could call a server.
async fn callers(place: &Place) -> Vec<Caller> {
    let server = &place.server;
    let (member, admin) = (MEMBER, ADMINISTRATOR);
    let organization = server.organization_id();
    let now = Some(server.now());
    let expired = server.issue(organization, Role::Admin, false, now).await;
    let revoked = server.token(Role::Admin, false).await;
    let id = Token::parse(TokenKind::Api, &revoked).unwrap().id();
    let mut db = server.app.store.acquire().await.unwrap();
    let revocation =
        rollcall::store::tokens::revoke(&mut db, organization, id.into(), server.now());
    revocation.await.unwrap();
    drop(db);
    let scim = server.scim(json!({})).await;
    let (ada, _) = place.signed_in("ada").await;
    let (grace, id) = place.signed_in("grace").await;
    place.make_administrator(&id).await;
    let operator = server.operator_token().await;
    let (id, revoked_link) = link(server, Permission::Sso).await;
    let path = "rollcall.v1.SetupLinkService/RevokeSetupLink";
    let named = json!({ "setupLinkId": id });
    call(server, path, Some(&server.token), &named).await.ok();
    let (_, sso) = link(server, Permission::Sso).await;
    let (_, provisioning) = link(server, Permission::Scim).await;
    let (_, domains) = link(server, Permission::Domains).await;
    vec![
        Caller::with_token("a revoked link", &revoked_link, Who::Stranger, false),
        Caller::with_token("a link for sso", &sso, Who::Link(Permission::Sso), false),
        Caller::with_token(
            "a link for scim",
            &provisioning,
            Who::Link(Permission::Scim),
            false,
        ),
        Caller::with_token(
            "a link for domains",
            &domains,
            Who::Link(Permission::Domains),
            false,
        ),
        Caller::with_token("nobody", "nonsense", Who::Stranger, false),
        Caller::with_token("an expired token", &expired, Who::Stranger, false),
        Caller::with_token("a revoked token", &revoked, Who::Stranger, false),
        Caller::with_token(
            "a SCIM token",
            scim["token"].as_str().unwrap(),
            Who::Stranger,
            false,
        ),
        Caller::with_token(
            "a read-only member",
            &server.token(Role::Member, true).await,
            member,
            true,
        ),
        Caller::with_token(
            "a member",
            &server.token(Role::Member, false).await,
            member,
            false,
        ),
        Caller::with_session("a member's session", ada.cookies(), Role::Member),
        Caller::with_token(
            "a read-only administrator",
            &server.token(Role::Admin, true).await,
            admin,
            true,
        ),
        Caller::with_token("an administrator", &server.token, admin, false),
        Caller::with_session("an administrator's session", grace.cookies(), Role::Admin),
        Caller::with_token(
            "a service account in a group of administrators",
            &server.with_role("ORG_ADMIN").await,
            Who::Member(Role::Member, "org_admin"),
            false,
        ),
        Caller::with_token(
            "who administers groups",
            &server.with_role("ORG_GROUPS_ADMIN").await,
            Who::Member(Role::Member, "org_groups_admin"),
            false,
        ),
        Caller::with_token(
            "who reads the audit log",
            &server.with_role("ORG_AUDIT_LOG_READER").await,
            Who::Member(Role::Member, "org_audit_log_reader"),
            false,
        ),
        Caller::with_token("an operator", &operator, Who::Operator, false),
        Caller {
            headers: vec![
                (header::AUTHORIZATION, format!("Bearer {operator}")),
                (
                    header::HeaderName::from_static("rollcall-organization"),
                    server.organization.clone(),
                ),
            ],
            ..Caller::with_token("an operator here", &operator, Who::OperatorHere, false)
        },
    ]
}

/// How many changes are recorded in the organization of a server.
async fn changes(server: &Server) -> i64 {
    let mut db = server.app.store.acquire().await.unwrap();
    sqlx::query_scalar("select count(*) from audit_entries where organization_id = $1")
        .bind(server.organization_id().as_uuid())
        .fetch_one(&mut *db)
        .await
        .unwrap()
}

/// A request that names another thing instead.
fn renamed(request: &Value, from: &str, to: &str) -> Value {
    serde_json::from_str(&request.to_string().replace(from, to)).unwrap()
}

#[test]
fn every_method_that_is_described_is_in_the_table_and_what_takes_get_changes_nothing() {
    let (table, methods) = (table(), described());
    let paths: BTreeSet<&String> = methods.iter().map(|method| &method.path).collect();
    assert_eq!(paths, table.keys().collect());
    for method in methods.iter().filter(|method| method.takes_get) {
        assert_eq!(table[&method.path].effect, Effect::Reads, "{}", method.path);
    }
}

#[test]
fn every_method_is_for_whom_the_table_says_and_shows_nothing_of_others() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let others = Things::make(&server.neighbour().await).await;
        let mut things = Things::make(server).await;
        let callers = callers(&place).await;
        for (path, access) in table() {
            // Its answers are a stream.
            if is_stream(&path) {
                continue;
            }
            for caller in &callers {
                let about = format!("{path} as {}", caller.name);
                // Nobody could call anything any more.
                if path.ends_with("/DeleteOrganization") && caller.refusal(&path, access).is_none()
                {
                    continue;
                }
                let before = changes(server).await;
                let reply = caller.call(server, &path, &things.request(&path)).await;
                let is_done = match (caller.refusal(&path, access), caller.fault(server, &path)) {
                    (Some((code, word)), _) => {
                        let message = reply.error(code);
                        assert!(message.contains(word), "{about}: {message}");
                        false
                    }
                    (None, Some(code)) => {
                        reply.error(code);
                        false
                    }
                    (None, None) => {
                        assert_eq!(reply.status, 200, "{about}: {}", reply.json());
                        // The log of all organizations, or one of what operators alone see.
                        let is_of_all = matches!(caller.who, Who::Operator)
                            && path == "rollcall.v1.EventService/ListEvents";
                        let shows_all = access.audience == Audience::Operator || is_of_all;
                        for (kind, id) in others.ids.iter().filter(|_| !shows_all) {
                            assert!(!reply.json().to_string().contains(id), "{about}: {kind}");
                        }
                        access.effect == Effect::Writes
                    }
                };
                if is_done {
                    // What there was may be no more.
                    things = Things::make(server).await;
                } else {
                    assert_eq!(changes(server).await, before, "{about}");
                }
            }
        }
    });
}

#[test]
fn an_id_of_another_organization_is_not_found_like_one_of_nobody() {
    // Filters that find nothing.
    const EMPTY: [&str; 6] = [
        "gitpod.v1.EventService/ListAuditLogs",
        "gitpod.v1.GroupService/ListGroups",
        "gitpod.v1.GroupService/ListRoleAssignments",
        "gitpod.v1.OrganizationService/ListMembers",
        "gitpod.v1.ServiceAccountService/ListServiceAccounts",
        "gitpod.v1.UserService/ListPersonalAccessTokens",
    ];
    run(async {
        let server = Server::start().await;
        let victim = server.neighbour().await;
        let (own, theirs) = (Things::make(&server).await, Things::make(&victim).await);
        let before = changes(&victim).await;
        for (path, _) in table() {
            let request = own.request(&path);
            let named = own
                .ids
                .iter()
                .filter(|(kind, id)| **kind != "organization" && request.to_string().contains(*id));
            for (kind, id) in named {
                let ask = async |id: &str, other: &str| {
                    let request = renamed(&request, id, other);
                    call(&server, &path, Some(&server.token), &request).await
                };
                let foreign = ask(id, &theirs.ids[kind]).await;
                let absent = ask(id, &Things::absent()).await;
                if path.ends_with("/LeaveOrganization")
                    || path.ends_with("/CreatePersonalAccessToken")
                {
                    // Nobody but the member is told whether there is one.
                    let message = foreign.error("permission_denied");
                    assert_eq!(message, absent.error("permission_denied"), "{path}");
                } else if path.contains(".ApplicationService/") && *kind != "application" {
                    // The error names the field.
                    assert_eq!(
                        foreign.violations(),
                        absent.violations(),
                        "{path}: no oracle"
                    );
                } else if EMPTY.contains(&&*path) {
                    assert_eq!(foreign.ok(), json!({ "pagination": {} }), "{path}: {kind}");
                    assert_eq!(absent.ok(), json!({ "pagination": {} }), "{path}: {kind}");
                } else {
                    let message = foreign.error("not_found");
                    assert_eq!(message, absent.error("not_found"), "{path}: no oracle");
                }
            }
        }
        assert_eq!(changes(&victim).await, before);
    });
}

#[test]
fn another_organizations_id_is_denied_whether_it_exists_or_not() {
    run(async {
        let server = Server::start().await;
        let victim = server.neighbour().await;
        let own = Things::make(&server).await;
        let before = changes(&victim).await;
        let mut tried = 0;
        for (path, access) in table() {
            let request = own.request(&path);
            let is_for_operators = access.audience == Audience::Operator;
            if request.get("organizationId").is_none() || is_for_operators {
                continue;
            }
            tried += 1;
            let ask = async |other: &str| {
                let request = renamed(&request, &server.organization, other);
                call(&server, &path, Some(&server.token), &request).await
            };
            let theirs = ask(&victim.organization).await.error("permission_denied");
            let nobodys = ask(&Things::absent()).await.error("permission_denied");
            assert_eq!(theirs, nobodys, "{path}: no oracle");
            assert!(theirs.contains("another organization"), "{path}: {theirs}");
        }
        assert!(tried > 0);
        assert_eq!(changes(&victim).await, before);
    });
}

/// The tests above know of the identifiers that the requests have.
#[test]
fn the_requests_of_these_tests_have_every_identifier_that_is_looked_up() {
    // What is not looked up, or only found nowhere.
    const OTHERS: [(&str, &str); 20] = [
        ("EndSessions", "session_id"),
        // Which organization they are of, the invitation says.
        ("GetOrganizationInviteSummary", "invite_id"),
        ("JoinOrganization", "invite_id"),
        ("JoinOrganization", "organization_id"),
        ("ListAuditLogs", "filter.actor_ids"),
        // What happened to nobody is nothing.
        ("ListEvents", "subject_ids"),
        ("WatchEvents", "subject_ids"),
        ("ListRoleAssignments", "filter.resource_ids"),
        ("WatchEvents", "resource_type_filters.resource_ids"),
        ("WatchEvents", "resource_type_filters.creator_ids"),
        (
            "ListGroups",
            "filter.exclude_assigned_to_resource.resource_id",
        ),
        ("ListLoginProviders", "filter.invite_id"),
        ("ListMembers", "filter.exclude_group_ids"),
        ("ListProvisioningEvents", "filter.resource_id"),
        ("ListProvisioningEvents", "filter.user_id"),
        ("ListSignInAttempts", "filter.reference"),
        ("ListSignInAttempts", "filter.user_id"),
        (
            "UpdateOrganizationPolicies",
            "security_agent_policy.crowdstrike.cid_secret_id",
        ),
        ("UpdateOrganizationPolicies", "security_policy_id"),
        // Of one that was sent, which is known by its place.
        ("ReplayWebhookDeliveries", "event_id"),
    ];
    run(async {
        let server = Server::start().await;
        let things = Things::make(&server).await;
        for rule in proto::RULES.iter().filter(|rule| rule.id == "string.uuid") {
            let path = rule.method.trim_start_matches('/');
            let (_, name) = path.split_once('/').unwrap();
            if OTHERS.contains(&(name, rule.field)) {
                continue;
            }
            let (body, _) = with_field(request_of(path), rule.field, json!("x"), false);
            let place = pointer(&body);
            let request = things.request(path);
            let named = request.pointer(&place).and_then(Value::as_str);
            assert!(
                named.is_some_and(|id| things.ids.values().any(|known| known == id)),
                "{path}: {}",
                rule.field
            );
        }
    });
}

/// Where the one text of a message is.
fn pointer(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let (name, inner) = fields.iter().next().unwrap();
            format!("/{name}{}", pointer(inner))
        }
        Value::Array(items) => format!("/0{}", pointer(&items[0])),
        _ => String::new(),
    }
}

#[test]
fn lists_show_the_callers_organization_alone() {
    run(async {
        let server = Server::start().await;
        let neighbour = server.neighbour().await;
        server.scim(json!({})).await;
        let theirs = neighbour.scim(json!({})).await["scimConfiguration"].clone();
        let scim = neighbour
            .call("ListSCIMConfigurations", json!({}))
            .await
            .ok();
        assert_eq!(scim["scimConfigurations"], json!([theirs]));
        let sso = neighbour
            .call(
                "ListSSOConfigurations",
                json!({ "organizationId": neighbour.organization }),
            )
            .await
            .ok();
        assert_eq!(sso["ssoConfigurations"].as_array().unwrap().len(), 1);
        assert_eq!(
            sso["ssoConfigurations"][0]["id"],
            theirs["ssoConfigurationId"]
        );
    });
}

#[test]
fn the_rules_come_before_permission_and_after_the_token() {
    run(async {
        let server = Server::start().await;
        let member = server.token(Role::Member, false).await;
        let rules = |path: &str| {
            let method = format!("/{path}");
            let required = |rule: &&proto::Rule| rule.id == "required" && rule.method == method;
            proto::RULES.iter().filter(required).count()
        };
        let mut tried = 0;
        for (path, access) in table() {
            let is_open = access.audience == Audience::Everybody;
            if rules(&path) > 0 && !is_open && !is_stream(&path) {
                tried += 1;
                let reply = call(&server, &path, Some(&member), &json!({})).await;
                reply.error("invalid_argument");
            }
            if !is_open {
                let reply = call(&server, &path, None, &json!({})).await;
                reply.error("unauthenticated");
            }
        }
        assert!(tried > 0);
    });
}

/// docs/api.md has the table, and whoever changes the one changes the other.
/// Whether both packages have a service of this name.
fn is_of_both(service: &str) -> bool {
    let is_of = |package: &str| {
        let mut methods = rollcall::api::methods();
        methods.any(|method| (method.package, method.service) == (package, service))
    };
    is_of("gitpod.v1") && is_of("rollcall.v1")
}

#[test]
fn the_table_of_the_documentation_is_that_of_the_program() {
    let text = include_str!("../../../docs/api.md");
    let rows: String = rollcall::api::methods()
        .map(|method| {
            let who = match method.access.audience {
                Audience::Everybody => "everybody, without a token",
                Audience::Member => "members",
                Audience::MemberItself => "members, about themselves",
                Audience::ServiceAccountItself => "service accounts, about themselves",
                Audience::Oneself => {
                    "members and service accounts, about themselves; administrators"
                }
                Audience::Administrator => "administrators",
                Audience::GroupsAdministrator => "administrators; `ORG_GROUPS_ADMIN`",
                Audience::GroupAdministrator => {
                    "administrators; `ORG_GROUPS_ADMIN`; `GROUP_ADMIN` of the group"
                }
                Audience::AuditLogReader => "administrators; `ORG_AUDIT_LOG_READER`",
                Audience::SsoAdministrator => "administrators; set-up links for SSO",
                Audience::ScimAdministrator => "administrators; set-up links for SCIM",
                Audience::DomainsAdministrator => "administrators; set-up links for domains",
                Audience::DomainsReader => "administrators; set-up links for domains or SSO",
                Audience::SetupLinkItself => "administrators; set-up links, about themselves",
                Audience::Owner => "administrators; operators",
                Audience::Operator => "operators",
            };
            let effect = match method.access.effect {
                Effect::Reads => "reads",
                Effect::Writes => "writes",
            };
            let (service, name) = (method.service, method.name());
            let package = match method.package {
                "rollcall.v1" if is_of_both(service) => "rollcall.v1.",
                _ => "",
            };
            format!("| `{package}{service}.{name}` | {who} | {effect} |\n")
        })
        .collect();
    let table = format!("| method | who may call it | effect |\n|---|---|---|\n{rows}");
    assert!(text.contains(&table), "docs/api.md should have:\n{table}");
}
