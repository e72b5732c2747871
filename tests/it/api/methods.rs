//! All methods, as the descriptors and the table of permissions have them, and a valid request of each.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::Body;
use buffa_descriptor::generated::descriptor::method_options::IdempotencyLevel;
use buffa_descriptor::{DescriptorPool, FieldKind, MessageDescriptor, SingularKind};
use http::{Request, header};
use rollcall::api;
use rollcall::domain::identity::Access;
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

/// The message of a method's request.
pub fn request_of(path: &str) -> &'static MessageDescriptor {
    let method = described().into_iter().find(|method| method.path == path);
    method.unwrap().request
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
        let mut things = Self {
            ids: BTreeMap::new(),
            email: format!("ada@{domain}"),
            scim_token: text(&scim["token"]),
            new: server.new_domain(),
        };
        let user = |name: &str| {
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": format!("{name}@{domain}"),
                "displayName": name,
            })
        };
        let ada = things.push(server, "Users", user("ada")).await;
        let grace = things.push(server, "Users", user("grace")).await;
        let group = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": domain,
            "members": [{ "value": ada["id"] }, { "value": grace["id"] }],
        });
        let group = things.push(server, "Groups", group).await;
        let members =
            json!({ "organizationId": server.organization, "filter": { "email": things.email } });
        let members = server.call("ListMembers", members).await.ok();
        things.ids = [
            ("organization", text(&json!(server.organization))),
            ("sso", text(&sso["ssoConfiguration"]["id"])),
            ("scim", text(&scim["scimConfiguration"]["id"])),
            ("domain", text(&verification["id"])),
            ("user", text(&members["members"][0]["userId"])),
            ("group", text(&group["id"])),
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
            "GetAuthenticatedIdentity"
            | "GetAuthenticatedUser"
            | "GetStatus"
            | "ListLoginProviders"
            | "ListSCIMConfigurations" => json!({}),
            "GetSSOLoginURL" | "ListSSOLogins" => json!({ "email": self.email }),
            "GetOrganization"
            | "GetOrganizationPolicies"
            | "ListDomainVerifications"
            | "ListSSOConfigurations" => json!({ "organizationId": id("organization") }),
            "UpdateOrganizationPolicies" => {
                json!({ "organizationId": id("organization"), "allowLocalRunners": true })
            }
            "ListMembers" => {
                json!({ "organizationId": id("organization"), "filter": { "userIds": [id("user")] } })
            }
            "ListSessions" | "EndSessions" => json!({ "userId": id("user") }),
            "GetGroup" => json!({ "id": id("group") }),
            "ListGroups" => json!({ "filter": { "groupIds": [id("group")] } }),
            "ListMemberships" => json!({ "groupId": id("group") }),
            "CreateSSOConfiguration" => json!({
                "organizationId": id("organization"),
                "clientId": self.new,
                "clientSecret": "hunter2-hunter2",
                "issuerUrl": "https://127.0.0.1:1",
            }),
            "GetSSOConfiguration" | "DeleteSSOConfiguration" | "CheckSSOConfiguration" => {
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
            "EvaluateClaimsExpression" => json!({ "expression": "true", "claims": {} }),
            _ => panic!("no request of {path} is known: write one here"),
        }
    }

    /// A thing that is nobody's.
    pub fn absent() -> String {
        Uuid::nil().to_string()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
