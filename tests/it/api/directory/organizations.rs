//! Organizations: operators make and delete them, administrators change them.

use axum::body::Body;
use chrono::TimeDelta;
use http::{Request, header};
use rollcall::store::audit::{self, Filter};
use serde_json::{Value, json};

use super::{group, member, put_into};
use crate::api::methods::Things;
use crate::login::Place;
use crate::support::{Reply, Server, run};

/// Calls a method with an operator's token, in an organization if one is named.
async fn operate(
    server: &Server,
    token: &str,
    organization: Option<&str>,
    path: &str,
    body: Value,
) -> Reply {
    let mut request = Request::post(format!("/{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(organization) = organization {
        request = request.header("Rollcall-Organization", organization);
    }
    server
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

const CREATE: &str = "gitpod.v1.OrganizationService/CreateOrganization";
const DELETE: &str = "gitpod.v1.OrganizationService/DeleteOrganization";
const IDENTITY: &str = "gitpod.v1.IdentityService/GetAuthenticatedIdentity";

#[test]
fn an_operator_makes_an_organization_and_acts_in_it_under_its_own_name() {
    run(async {
        let server = Server::start().await;
        let token = server.operator_token().await;
        assert!(token.starts_with("rcop_"));
        let name = server.new_domain();
        let made = operate(&server, &token, None, CREATE, json!({ "name": name }))
            .await
            .ok()["organization"]
            .clone();
        let id = made["id"].as_str().unwrap();
        let list = operate(
            &server,
            &token,
            None,
            "rollcall.v1.OrganizationService/ListOrganizations",
            json!({ "filter": { "name": name } }),
        );
        assert_eq!(list.await.ok()["organizations"][0]["id"], made["id"]);

        let request = json!({ "organizationId": id, "name": "Builders" });
        let path = "gitpod.v1.GroupService/CreateGroup";
        let here = operate(&server, &token, Some(id), path, request.clone());
        let group = here.await.ok()["group"].clone();
        assert_eq!(group["organizationId"], made["id"]);
        let elsewhere = operate(&server, &token, Some(&server.organization), path, request);
        elsewhere.await.error("permission_denied");

        // The log of the organization names the operator.
        let path = "gitpod.v1.EventService/ListAuditLogs";
        let log = operate(&server, &token, Some(id), path, json!({}))
            .await
            .ok();
        let entries = log["entries"].as_array().unwrap();
        let actions: Vec<&str> = entries
            .iter()
            .map(|e| e["action"].as_str().unwrap())
            .collect();
        assert_eq!(actions, ["CreateGroup", "CreateOrganization"]);
        let path = "gitpod.v1.EventService/GetAuditLog";
        let request = json!({ "auditLogEntryId": entries[0]["id"] });
        let entry = operate(&server, &token, Some(id), path, request).await.ok();
        let change = &entry["details"]["resourceChange"];
        assert_eq!(
            (&change["actorKind"], &change["actorName"]),
            (&json!("operator"), &json!("Fleet"))
        );
        assert_eq!(change["after"]["name"], "Builders");
    });
}

#[test]
fn the_header_opens_nothing_but_to_operators() {
    run(async {
        let server = Server::start().await;
        let neighbour = server.neighbour().await;
        let own = Some(&*server.organization);
        operate(&server, &server.token, own, IDENTITY, json!({}))
            .await
            .ok();
        for named in [&*neighbour.organization, &Things::absent(), "nonsense"] {
            let reply = operate(&server, &server.token, Some(named), IDENTITY, json!({})).await;
            reply.error("permission_denied");
        }
        let token = server.operator_token().await;
        let here = operate(&server, &token, own, IDENTITY, json!({}))
            .await
            .ok();
        assert_eq!(here["organizationId"], *server.organization);
        let absent = Things::absent();
        let nobodys = operate(&server, &token, Some(&absent), IDENTITY, json!({})).await;
        nobodys.error("not_found");
        let nonsense = operate(&server, &token, Some("nonsense"), IDENTITY, json!({})).await;
        nonsense.error("failed_precondition");
        let nowhere = operate(&server, &token, None, IDENTITY, json!({})).await;
        let message = nowhere.error("permission_denied");
        assert!(message.contains("Rollcall-Organization"), "{message}");
        // No door but this one knows operators.
        let scim =
            Request::get("/scim/v2/Users").header(header::AUTHORIZATION, format!("Bearer {token}"));
        assert_eq!(
            server.send(scim.body(Body::empty()).unwrap()).await.status,
            401
        );
    });
}

#[test]
fn an_operator_joins_nothing_and_gives_a_name_that_fits() {
    run(async {
        let server = Server::start().await;
        let token = server.operator_token().await;
        for (request, field) in [
            (
                json!({ "name": "Acme", "joinOrganization": true }),
                "join_organization",
            ),
            (
                json!({ "name": "Acme", "inviteAccountsWithMatchingDomain": true }),
                "invite_accounts_with_matching_domain",
            ),
            (json!({ "name": "ab" }), "name"),
            (json!({ "name": "x".repeat(129) }), "name"),
        ] {
            let reply = operate(&server, &token, None, CREATE, request).await;
            assert_eq!(reply.violations(), [field]);
        }
    });
}

#[test]
fn an_organization_is_renamed_and_lets_in_domains() {
    run(async {
        let server = Server::start().await;
        let update = async |more: Value| {
            let mut request = json!({ "organizationId": server.organization });
            crate::support::merge(&mut request, more);
            server.call("UpdateOrganization", request).await
        };
        let domains = json!({ "inviteDomains": { "domains": ["Example.com", "bücher.example"] } });
        let both = update(domains).await.ok()["organization"].clone();
        assert_eq!(
            both["inviteDomains"]["domains"],
            json!(["example.com", "xn--bcher-kva.example"])
        );
        let renamed = update(json!({ "name": "Renamed" })).await.ok()["organization"].clone();
        assert_eq!(
            renamed["inviteDomains"], both["inviteDomains"],
            "what is absent stays"
        );
        let request = json!({ "organizationId": server.organization });
        let shown = server.call("GetOrganization", request).await.ok();
        assert_eq!(shown["organization"], renamed);
        let none = update(json!({ "inviteDomains": {} })).await.ok();
        assert_eq!(none["organization"]["inviteDomains"], Value::Null);
        for (domains, field) in [
            (json!(["-"]), "invite_domains.domains[0]"),
            (
                json!(["a.example", "A.EXAMPLE"]),
                "invite_domains.domains[1]",
            ),
        ] {
            let reply = update(json!({ "inviteDomains": { "domains": domains } })).await;
            assert_eq!(reply.violations(), [field]);
        }
        assert_eq!(update(json!({ "name": "" })).await.violations(), ["name"]);
    });
}

#[test]
fn a_deleted_organization_opens_nothing_at_once_and_its_rows_go_but_for_its_logs() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        // Jobs look at all organizations: they run at a time before everything that other tests have.
        server.pass(TimeDelta::days(-10_000));
        let neighbour = place.neighbour().await;
        let things = Things::make(server).await;
        let theirs = Things::make(&neighbour.server).await;
        let (mut ada, id) = place.signed_in("ada").await;
        put_into(server, &group(server).await, &id).await;
        member(server, "grace").await;
        let personal = ada
            .call(
                "UserService/CreatePersonalAccessToken",
                json!({ "userId": id }),
            )
            .await
            .ok()["token"]
            .clone();
        let account = server.service_account_token(&things.ids["account"]).await;
        let operator = server.operator_token().await;
        let request = json!({ "organizationId": server.organization });
        server
            .call_as(&account, "DeleteOrganization", request.clone())
            .await
            .error("permission_denied");
        server
            .call("DeleteOrganization", request.clone())
            .await
            .ok();

        for token in [&server.token, personal.as_str().unwrap(), &account] {
            operate(server, token, None, IDENTITY, json!({}))
                .await
                .error("unauthenticated");
        }
        assert_eq!(ada.member().await, None);
        let scim = Request::get("/scim/v2/Users").header(
            header::AUTHORIZATION,
            format!("Bearer {}", things.scim_token),
        );
        assert_eq!(
            server.send(scim.body(Body::empty()).unwrap()).await.status,
            401
        );
        let push = Request::post("/scim/v2/Users")
            .header(header::CONTENT_TYPE, "application/scim+json")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", things.scim_token),
            )
            .body(Body::from(r#"{"userName": "late"}"#));
        assert_eq!(server.send(push.unwrap()).await.status, 401);
        let start = place.browser().get(&place.start_url("")).await;
        assert_eq!(start.status, 404, "nobody signs in");
        let here = Some(&*server.organization);
        operate(server, &operator, here, IDENTITY, json!({}))
            .await
            .error("not_found");
        operate(server, &operator, None, DELETE, request)
            .await
            .error("not_found");
        let invitation = json!({ "inviteId": things.invitation });
        neighbour
            .server
            .call("GetOrganizationInviteSummary", invitation)
            .await
            .error("not_found");

        // What was under way ends first; then the rows go.
        assert!(rows(server).await > 10);
        rollcall::jobs::organizations::remove_deleted(&server.app)
            .await
            .unwrap();
        assert!(rows(server).await > 10);
        server.pass(TimeDelta::minutes(3));
        rollcall::jobs::organizations::remove_deleted(&server.app)
            .await
            .unwrap();
        assert_eq!(rows(server).await, 0);
        assert!(was_told(server).await);
        // Nothing of others went with it.
        assert!(rows(&neighbour.server).await > 10);
        let group = json!({ "id": theirs.ids["group"] });
        neighbour
            .server
            .call_to("GroupService/GetGroup", group)
            .await
            .ok();

        server.pass(TimeDelta::days(2));
        rollcall::jobs::audit::delete_old(&server.app, TimeDelta::days(1))
            .await
            .unwrap();
        assert!(!was_told(server).await);
    });
}

/// Whether the audit log has the end of the organization.
async fn was_told(server: &Server) -> bool {
    let mut db = server.app.store.acquire().await.unwrap();
    let (id, all) = (server.organization_id(), Filter::default());
    let log = audit::list(&mut db, id, &all, true, None, 100).await;
    let log = log.unwrap();
    log.items
        .iter()
        .any(|entry| entry.action == "DeleteOrganization")
}

/// How many rows there are of an organization, the audit log and the events aside, which are kept for as long as those of others.
async fn rows(server: &Server) -> i64 {
    let mut db = server.app.store.acquire().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and a.attname = 'organization_id'
             and not a.attisdropped and c.relname not in ('audit_entries', 'events')",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    assert!(tables.len() > 20);
    let mut total = 0;
    for table in tables {
        let count = sqlx::AssertSqlSafe(format!(
            "select count(*) from {table} where organization_id = $1"
        ));
        let count: i64 = sqlx::query_scalar(count)
            .bind(server.organization_id().as_uuid())
            .fetch_one(&mut *db)
            .await
            .unwrap();
        total += count;
    }
    total
}

#[test]
fn an_operators_token_that_is_revoked_or_over_opens_nothing() {
    run(async {
        let server = Server::start().await;
        let token = server.operator_token().await;
        let list = "rollcall.v1.OrganizationService/ListOrganizations";
        operate(&server, &token, None, list, json!({})).await.ok();
        let id = rollcall::domain::token::Token::parse(
            rollcall::domain::token::TokenKind::Operator,
            &token,
        )
        .unwrap()
        .id();
        let mut db = server.app.store.acquire().await.unwrap();
        let now = server.now();
        rollcall::store::operator_tokens::revoke(&mut db, id.into(), now)
            .await
            .unwrap();
        drop(db);
        operate(&server, &token, None, list, json!({}))
            .await
            .error("unauthenticated");
        operate(
            &server,
            &token,
            Some(&server.organization),
            IDENTITY,
            json!({}),
        )
        .await
        .error("unauthenticated");
    });
}
