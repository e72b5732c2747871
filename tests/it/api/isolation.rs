//! Attacks across tenants and roles. The table of permissions says who may call what; all of its methods are called by
//! everybody, about what is their own, somebody else's, and nobody's.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Request, header};
use rollcall::domain::identity::{Access, Audience, Effect, Role};
use rollcall::domain::token::{Token, TokenKind};
use serde_json::{Value, json};

use super::methods::{Things, call, described, request_of, table, with_field};
use crate::login::{ORIGIN, Place};
use crate::support::{Reply, Server, run};

/// Somebody who calls.
struct Caller {
    name: &'static str,
    /// The header that says who it is.
    header: (header::HeaderName, String),
    /// `None` for somebody whom nobody knows.
    role: Option<Role>,
    read_only: bool,
    /// Whether it is a person.
    is_person: bool,
}

impl Caller {
    fn with_token(name: &'static str, token: &str, role: Option<Role>, read_only: bool) -> Self {
        Self {
            name,
            header: (header::AUTHORIZATION, format!("Bearer {token}")),
            role,
            read_only,
            is_person: false,
        }
    }

    fn with_session(name: &'static str, cookies: String, role: Role) -> Self {
        Self {
            name,
            header: (header::COOKIE, cookies),
            role: Some(role),
            read_only: false,
            is_person: true,
        }
    }

    async fn call(&self, server: &Server, path: &str, body: &Value) -> Reply {
        let request = Request::post(format!("/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ORIGIN, ORIGIN)
            .header(&self.header.0, &self.header.1);
        server
            .send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// The code of the error and a word of its message with which the caller is refused; `None` where it is not.
    fn refusal(&self, access: Access) -> Option<(&'static str, &'static str)> {
        let Some(role) = self.role else {
            let is_open = access.audience == Audience::Everybody;
            return (!is_open).then_some(("unauthenticated", "token"));
        };
        match (access.audience, access.effect) {
            (Audience::Everybody, _) => None,
            (Audience::Administrator, _) if role == Role::Member => {
                Some(("permission_denied", "administrator"))
            }
            (_, Effect::Writes) if self.read_only => Some(("permission_denied", "read-only")),
            (Audience::Member | Audience::Administrator, _) => None,
        }
    }
}

/// Everybody who could call a server.
async fn callers(place: &Place) -> Vec<Caller> {
    let server = &place.server;
    let (member, admin) = (Some(Role::Member), Some(Role::Admin));
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
    vec![
        Caller::with_token("nobody", "nonsense", None, false),
        Caller::with_token("an expired token", &expired, None, false),
        Caller::with_token("a revoked token", &revoked, None, false),
        Caller::with_token("a SCIM token", scim["token"].as_str().unwrap(), None, false),
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
            for caller in &callers {
                let about = format!("{path} as {}", caller.name);
                let before = changes(server).await;
                let reply = caller.call(server, &path, &things.request(&path)).await;
                match caller.refusal(access) {
                    Some((code, word)) => {
                        let message = reply.error(code);
                        assert!(message.contains(word), "{about}: {message}");
                    }
                    None if path.ends_with("/GetAuthenticatedUser") && !caller.is_person => {
                        reply.error("failed_precondition");
                    }
                    None => {
                        assert_eq!(reply.status, 200, "{about}: {}", reply.json());
                        for (kind, id) in &others.ids {
                            assert!(!reply.json().to_string().contains(id), "{about}: {kind}");
                        }
                    }
                }
                if access.effect == Effect::Writes && caller.refusal(access).is_none() {
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
    const EMPTY: [&str; 2] = [
        "gitpod.v1.GroupService/ListGroups",
        "gitpod.v1.OrganizationService/ListMembers",
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
                if EMPTY.contains(&&*path) {
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
        for (path, _) in table() {
            let request = own.request(&path);
            if request.get("organizationId").is_none() {
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
    const OTHERS: [(&str, &str); 8] = [
        ("EndSessions", "session_id"),
        (
            "ListGroups",
            "filter.exclude_assigned_to_resource.resource_id",
        ),
        ("ListLoginProviders", "filter.invite_id"),
        ("ListMembers", "filter.exclude_group_ids"),
        ("ListProvisioningEvents", "filter.resource_id"),
        ("ListSignInAttempts", "filter.reference"),
        (
            "UpdateOrganizationPolicies",
            "security_agent_policy.crowdstrike.cid_secret_id",
        ),
        ("UpdateOrganizationPolicies", "security_policy_id"),
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
            if rules(&path) > 0 && !is_open {
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
#[test]
fn the_table_of_the_documentation_is_that_of_the_program() {
    let text = include_str!("../../../docs/api.md");
    let rows: String = rollcall::api::methods()
        .map(|method| {
            let who = match method.access.audience {
                Audience::Everybody => "everybody, without a token",
                Audience::Member => "members",
                Audience::Administrator => "administrators",
            };
            let effect = match method.access.effect {
                Effect::Reads => "reads",
                Effect::Writes => "writes",
            };
            let (service, name) = (method.service, method.name());
            format!("| `{service}.{name}` | {who} | {effect} |\n")
        })
        .collect();
    let table = format!("| method | who may call it | effect |\n|---|---|---|\n{rows}");
    assert!(text.contains(&table), "docs/api.md should have:\n{table}");
}
