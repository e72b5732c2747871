//! All methods, as the descriptors and the table of permissions have them, and a valid request of each.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::Body;
use buffa_descriptor::generated::descriptor::method_options::IdempotencyLevel;
use buffa_descriptor::{DescriptorPool, FieldKind, MessageDescriptor, SingularKind};
use chrono::TimeDelta;
use http::{Request, header};
use rollcall::api;
use rollcall::domain::identity::Access;
use rollcall::domain::ids::MemberId;
use rollcall::domain::personal_access_token::PersonalAccessToken;
use rollcall::store::personal_access_tokens;
use rollcall::store::sign_in::Profile;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Reply, Server, merge};

pub static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTORS).unwrap());

/// A method that is described.
pub struct Described {
    /// Such as `gitpod.v1.GroupService/GetGroup`.
    pub path: String,
    pub request: &'static MessageDescriptor,
    /// Whether it takes GET.
    pub takes_get: bool,
}

/// Every method that the descriptors have.
pub fn described() -> Vec<Described> {
    let services = POOL.services().iter();
    let methods = services.flat_map(|service| {
        service.methods().iter().map(|method| {
            let level = method.options().and_then(|o| o.idempotency_level);
            Described {
                path: format!("{}/{}", service.full_name(), method.name()),
                request: POOL.message(method.input()),
                takes_get: level == Some(IdempotencyLevel::NO_SIDE_EFFECTS),
            }
        })
    });
    methods.collect()
}

/// Whether the answers of a method are a stream, which has a content type of its own.
pub fn is_stream(path: &str) -> bool {
    path.ends_with("/WatchEvents")
}

/// The message of a method's request.
pub fn request_of(path: &str) -> &'static MessageDescriptor {
    let method = described().into_iter().find(|method| method.path == path);
    method.unwrap().request
}

/// Whether a field has values of an enumeration.
pub fn is_enum(message: &MessageDescriptor, path: &str) -> bool {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    match message.field_by_name(name).unwrap().kind() {
        FieldKind::Singular(SingularKind::Message(inner)) if !rest.is_empty() => {
            is_enum(POOL.message(inner), rest)
        }
        kind => matches!(
            kind,
            FieldKind::Singular(SingularKind::Enum(_)) | FieldKind::List(SingularKind::Enum(_))
        ),
    }
}

/// A message with one field, and the path of the field as errors have it. In a list, the value is the first item, unless it
/// is the list.
pub fn with_field(
    message: &MessageDescriptor,
    path: &str,
    value: Value,
    is_list: bool,
) -> (Value, String) {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let field = message.field_by_name(name).unwrap();
    let (value, inside) = match (rest, field.kind()) {
        (None, _) => (value, String::new()),
        (
            Some(rest),
            FieldKind::Singular(SingularKind::Message(inner))
            | FieldKind::List(SingularKind::Message(inner))
            | FieldKind::Map {
                value: SingularKind::Message(inner),
                ..
            },
        ) => {
            let (value, inside) = with_field(POOL.message(inner), rest, value, is_list);
            (value, format!(".{inside}"))
        }
        (Some(_), _) => panic!("{name} is no message"),
    };
    let is_whole = rest.is_none() && is_list;
    let (value, place) = match field.kind() {
        FieldKind::List(_) if !is_whole => (json!([value]), "[0]"),
        FieldKind::Map { .. } if !is_whole => (json!({ "key": value }), ""),
        _ => (value, ""),
    };
    (
        json!({ field.json_name(): value }),
        format!("{name}{place}{inside}"),
    )
}

/// The table of permissions, by the paths of the methods.
pub fn table() -> BTreeMap<String, Access> {
    let rows = api::methods().map(|method| (method.path(), method.access));
    rows.collect()
}

/// Calls a method of any service with a bearer token, or without one.
pub async fn call(server: &Server, path: &str, token: Option<&str>, body: &Value) -> Reply {
    let mut request =
        Request::post(format!("/{path}")).header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    server
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

/// Things of an organization that requests name: one of each kind. The group has two members.
pub struct Things {
    /// Identifiers by the kind of thing.
    pub ids: BTreeMap<&'static str, String>,
    /// An address with which people sign in.
    pub email: String,
    /// A bearer token for SCIM.
    pub scim_token: String,
    /// An invitation, which opens the organization to everybody.
    pub invitation: String,
    /// Of a domain that is not there, and a client that is not there.
    pub new: String,
}

impl Things {
    /// Makes new ones in the organization of a server.
    pub async fn make(server: &Server) -> Self {
        let domain = server.new_domain();
        // Nobody is there: a check of the configuration ends at once.
        let mut sso = server.sso_request(&domain);
        let more = json!({ "issuerUrl": "https://127.0.0.1:1", "emailDomains": [domain] });
        merge(&mut sso, more);
        let sso = server.call("CreateSSOConfiguration", sso).await.ok();
        let scim = server.scim(json!({})).await;
        let verification = server.domain(&server.new_domain()).await;
        server.publish(&verification);
        let organization = json!({ "organizationId": server.organization });
        let invitation = server.call("CreateOrganizationInvite", organization).await;
        let mut things = Self {
            ids: BTreeMap::new(),
            email: format!("ada@{domain}"),
            scim_token: text(&scim["token"]),
            invitation: text(&invitation.ok()["invite"]["inviteId"]),
            new: server.new_domain(),
        };
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": format!("grace@{domain}"),
            "displayName": "grace",
        });
        things.push(server, "Users", user).await;
        let user = join(server, &things.email, "Ada").await;
        let group = json!({ "organizationId": server.organization, "name": domain });
        let group = server.call_to("GroupService/CreateGroup", group).await;
        let group = text(&group.ok()["group"]["id"]);
        let account = json!({ "name": "Builder", "validUntil": "2100-01-01T00:00:00Z" });
        let account = server
            .call_to("ServiceAccountService/CreateServiceAccount", account)
            .await;
        let account = text(&account.ok()["serviceAccount"]["id"]);
        let mut membership = String::new();
        for (id, principal) in [
            (&account, "PRINCIPAL_SERVICE_ACCOUNT"),
            (&user, "PRINCIPAL_USER"),
        ] {
            let subject = json!({ "id": id, "principal": principal });
            let request = json!({ "groupId": group, "subject": subject });
            let made = server
                .call_to("GroupService/CreateMembership", request)
                .await;
            membership = text(&made.ok()["member"]["id"]);
        }
        let role = json!({
            "groupId": group,
            "resourceType": "RESOURCE_TYPE_GROUP",
            "resourceId": group,
            "resourceRole": "RESOURCE_ROLE_GROUP_VIEWER",
        });
        let role = server
            .call_to("GroupService/CreateRoleAssignment", role)
            .await;
        let about_group = json!({ "filter": { "subjectIds": [group] } });
        let entries = server
            .call_to("EventService/ListAuditLogs", about_group)
            .await
            .ok();
        let acts_as = server.service_account_token(&account).await;
        let lasting = server
            .call_to_as(
                &acts_as,
                "ServiceAccountService/CreateServiceAccountToken",
                json!({}),
            )
            .await;
        let application = json!({
            "name": "Wiki",
            "redirectUris": ["https://wiki.example.com/callback"],
            "groupIds": [group],
        });
        let path = "rollcall.v1.ApplicationService/CreateApplication";
        let application = call(server, path, Some(&server.token), &application).await;
        let application = text(&application.ok()["application"]["id"]);
        let webhook = webhook(server).await;
        let link = setup_link(server).await;
        things.ids = [
            ("application", application),
            ("webhook", webhook),
            ("setup link", link),
            ("organization", text(&json!(server.organization))),
            ("sso", text(&sso["ssoConfiguration"]["id"])),
            ("scim", text(&scim["scimConfiguration"]["id"])),
            ("domain", text(&verification["id"])),
            ("personal token", personal_token(server, &user).await),
            ("user", user),
            ("group", group),
            ("membership", membership),
            ("role", text(&role.ok()["assignment"]["id"])),
            ("account", account),
            (
                "account token",
                text(&lasting.ok()["serviceAccountToken"]["id"]),
            ),
            ("entry", text(&entries["entries"][0]["id"])),
        ]
        .into();
        things
    }

    async fn push(&self, server: &Server, path: &str, resource: Value) -> Value {
        let request = Request::post(format!("/scim/v2/{path}"))
            .header(header::CONTENT_TYPE, "application/scim+json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.scim_token))
            .body(Body::from(resource.to_string()));
        let reply = server.send(request.unwrap()).await;
        assert_eq!(reply.status, 201, "{:?}", reply.bytes);
        reply.json()
    }

    /// The request of a method about these things. It names each thing that the method can be asked about.
    pub fn request(&self, path: &str) -> Value {
        let id = |kind: &str| &self.ids[kind];
        let (_, method) = path.split_once('/').unwrap();
        match method {
            _ if path.starts_with("rollcall.v1.EventService/") => json!({}),
            "GetAccount"
            | "GetAuthenticatedIdentity"
            | "GetAuthenticatedUser"
            | "GetStatus"
            | "ListJoinableOrganizations"
            | "ListLoginProviders"
            | "ListOrganizations"
            | "ListSCIMConfigurations"
            | "GetBrand" => json!({}),
            // Nobody's pages look otherwise afterwards: the installation's are those of other tests, too.
            "UpdateBrand" => json!({ "displayName": "" }),
            "GetIDToken" => json!({ "audience": ["https://vault.example.com"] }),
            "GetSSOLoginURL" | "ListSSOLogins" => json!({ "email": self.email }),
            "CreateOrganization" => json!({ "name": self.new }),
            "CreateOrganizationInvite"
            | "DeleteOrganization"
            | "GetOrganization"
            | "GetOrganizationInvite"
            | "GetOrganizationPolicies"
            | "ListDomainVerifications"
            | "ListSSOConfigurations" => json!({ "organizationId": id("organization") }),
            "UpdateOrganization" => {
                json!({ "organizationId": id("organization"), "name": "Renamed" })
            }
            "GetOrganizationInviteSummary" | "JoinOrganization" => {
                json!({ "inviteId": self.invitation })
            }
            "UpdateOrganizationPolicies" => {
                json!({ "organizationId": id("organization"), "allowLocalRunners": true })
            }
            "ListMembers" => {
                json!({ "organizationId": id("organization"), "filter": { "userIds": [id("user")] } })
            }
            "SetRole" => json!({
                "organizationId": id("organization"),
                "userId": id("user"),
                "role": "ORGANIZATION_ROLE_ADMIN",
            }),
            "DeleteUser" | "EndSessions" | "ExplainSignIn" | "GetUser" | "LeaveOrganization"
            | "ListMemberGroups" | "ListSessions" => {
                json!({ "userId": id("user") })
            }
            "SetSuspended" => json!({ "userId": id("user"), "suspended": true }),
            "CreatePersonalAccessToken" => json!({ "userId": id("user") }),
            "GetPersonalAccessToken" | "DeletePersonalAccessToken" => {
                json!({ "personalAccessTokenId": id("personal token") })
            }
            "ListPersonalAccessTokens" => json!({ "filter": { "userIds": [id("user")] } }),
            "CreateGroup" => {
                json!({ "organizationId": id("organization"), "name": self.new })
            }
            "GetGroup" => json!({ "id": id("group") }),
            "ListGroups" => json!({ "filter": { "groupIds": [id("group")] } }),
            "UpdateGroup" => json!({ "groupId": id("group"), "name": self.new }),
            "DeleteGroup" | "ListMemberships" => json!({ "groupId": id("group") }),
            // Who is in the group is no news.
            "CreateMembership" | "GetMembership" => json!({
                "groupId": id("group"),
                "subject": { "id": id("user"), "principal": "PRINCIPAL_USER" },
            }),
            "DeleteMembership" => json!({ "membershipId": id("membership") }),
            "CreateRoleAssignment" => json!({
                "groupId": id("group"),
                "resourceType": "RESOURCE_TYPE_GROUP",
                "resourceId": id("group"),
                "resourceRole": "RESOURCE_ROLE_GROUP_ADMIN",
            }),
            "ListRoleAssignments" => json!({ "filter": { "groupId": id("group") } }),
            "DeleteRoleAssignment" => json!({ "assignmentId": id("role") }),
            "CreateServiceAccount" => {
                json!({ "name": self.new, "validUntil": "2100-01-01T00:00:00Z" })
            }
            "ListServiceAccounts" => {
                json!({ "filter": { "serviceAccountIds": [id("account")] } })
            }
            "GetServiceAccount"
            | "UpdateServiceAccount"
            | "DeleteServiceAccount"
            | "CreateServiceAccountAccessToken" => json!({ "serviceAccountId": id("account") }),
            "CreateServiceAccountToken" | "ListServiceAccountTokens" => json!({}),
            "GetServiceAccountToken" | "DeleteServiceAccountToken" => {
                json!({ "serviceAccountTokenId": id("account token") })
            }
            "ListAuditLogs" => json!({ "filter": { "subjectIds": [id("group")] } }),
            "GetAuditLog" => json!({ "auditLogEntryId": id("entry") }),
            "WatchEvents" => json!({ "organization": true }),
            "CreateSSOConfiguration" => json!({
                "organizationId": id("organization"),
                "clientId": self.new,
                "clientSecret": "hunter2-hunter2",
                "issuerUrl": "https://127.0.0.1:1",
            }),
            "GetSSOConfiguration"
            | "DeleteSSOConfiguration"
            | "CheckSSOConfiguration"
            | "CreateTestSignIn" => {
                json!({ "ssoConfigurationId": id("sso") })
            }
            "UpdateSSOConfiguration" => {
                json!({ "ssoConfigurationId": id("sso"), "displayName": "New" })
            }
            "ListSignInAttempts" => json!({ "filter": { "ssoConfigurationId": id("sso") } }),
            "CreateSCIMConfiguration" => {
                json!({ "organizationId": id("organization"), "ssoConfigurationId": id("sso") })
            }
            "GetSCIMConfiguration" | "DeleteSCIMConfiguration" | "RegenerateSCIMToken" => {
                json!({ "scimConfigurationId": id("scim") })
            }
            "UpdateSCIMConfiguration" => {
                json!({ "scimConfigurationId": id("scim"), "ssoConfigurationId": id("sso") })
            }
            "ListProvisioningEvents" => json!({ "filter": { "scimConfigurationId": id("scim") } }),
            "CreateDomainVerification" => {
                json!({ "organizationId": id("organization"), "domain": self.new })
            }
            "GetDomainVerification" | "VerifyDomain" | "DeleteDomainVerification" => {
                json!({ "domainVerificationId": id("domain") })
            }
            "CreateApplication" => json!({
                "name": self.new,
                "redirectUris": ["https://wiki.example.com/callback"],
                "groupIds": [id("group")],
                "serviceAccountId": id("account"),
            }),
            "GetApplication" | "DeleteApplication" | "RotateApplicationSecret" => {
                json!({ "applicationId": id("application") })
            }
            "UpdateApplication" => {
                json!({ "applicationId": id("application"), "groups": { "groupIds": [id("group")] } })
            }
            "ListApplications" | "ListSetupLinks" | "ListWebhooks" => json!({}),
            "CreateSetupLink" => json!({ "permissions": ["SETUP_PERMISSION_SSO"] }),
            "GetSetupLink" | "RevokeSetupLink" => json!({ "setupLinkId": id("setup link") }),
            "CreateWebhook" => json!({ "url": "https://127.0.0.1:1/hooks" }),
            "GetWebhook"
            | "DeleteWebhook"
            | "RotateWebhookSecret"
            | "SendTestEvent"
            | "ListWebhookDeliveries" => json!({ "webhookId": id("webhook") }),
            "UpdateWebhook" => json!({ "webhookId": id("webhook"), "description": "New" }),
            "ReplayWebhookDeliveries" => {
                json!({ "webhookId": id("webhook"), "startTime": "2099-01-01T00:00:00Z" })
            }
            "CheckIssuer" => json!({ "issuerUrl": "https://127.0.0.1:1" }),
            "EvaluateClaimsExpression" => json!({ "expression": "true", "claims": {} }),
            _ => panic!("no request of {path} is known: write one here"),
        }
    }

    /// A thing that is nobody's.
    pub fn absent() -> String {
        Uuid::nil().to_string()
    }
}

/// Makes somebody a member whom nobody provisions, and tells the member's identifier.
pub async fn join(server: &Server, email: &str, name: &str) -> String {
    let id: MemberId = server.app.new_id();
    let profile = Profile {
        email,
        email_key: email,
        email_verified: true,
        name,
        avatar_url: "",
    };
    let mut db = server.app.store.acquire().await.unwrap();
    let organization = server.organization_id();
    let now = server.now();
    let joined = rollcall::store::sign_in::insert_member(&mut db, organization, id, &profile, now);
    joined.await.unwrap();
    id.to_string()
}

/// Makes a webhook at an address at which nobody is, and tells its identifier. An organization has twenty at most: some of before go.
async fn webhook(server: &Server) -> String {
    let ask = async |method: &str, request: Value| {
        let path = format!("rollcall.v1.WebhookService/{method}");
        call(server, &path, Some(&server.token), &request)
            .await
            .ok()
    };
    let there = ask("ListWebhooks", json!({})).await;
    let there = there["webhooks"].as_array().cloned().unwrap_or_default();
    for webhook in there.iter().take(there.len().saturating_sub(10)) {
        ask("DeleteWebhook", json!({ "webhookId": webhook["id"] })).await;
    }
    let made = ask(
        "CreateWebhook",
        json!({ "url": "https://127.0.0.1:1/hooks" }),
    )
    .await;
    text(&made["webhook"]["id"])
}

/// Makes a set-up link, and tells its identifier. An organization has twenty at most: some of before are revoked.
async fn setup_link(server: &Server) -> String {
    const NAME: &str = "Of these tests";
    let ask = async |method: &str, request: Value| {
        let path = format!("rollcall.v1.SetupLinkService/{method}");
        call(server, &path, Some(&server.token), &request)
            .await
            .ok()
    };
    let there = ask("ListSetupLinks", json!({})).await;
    let there = there["setupLinks"].as_array().cloned().unwrap_or_default();
    let is_ours = |link: &&Value| link["description"] == NAME || link["description"].is_null();
    for link in there
        .iter()
        .filter(is_ours)
        .take(there.len().saturating_sub(10))
    {
        ask("RevokeSetupLink", json!({ "setupLinkId": link["id"] })).await;
    }
    let request = json!({ "permissions": ["SETUP_PERMISSION_SSO"], "description": NAME });
    text(&ask("CreateSetupLink", request).await["setupLink"]["id"])
}

/// Makes a personal access token that opens nothing, and tells its identifier.
async fn personal_token(server: &Server, user: &str) -> String {
    let token = PersonalAccessToken {
        id: server.app.new_id(),
        user_id: user.parse().unwrap(),
        description: String::new(),
        read_only: false,
        created_at: server.now(),
        expires_at: server.now() + TimeDelta::days(90),
        last_used_at: None,
    };
    let mut db = server.app.store.acquire().await.unwrap();
    let organization = server.organization_id();
    let made = personal_access_tokens::insert(&mut db, organization, &token, "$argon2id$");
    made.await.unwrap();
    token.id.to_string()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
