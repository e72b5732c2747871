//! The policies of the organization.

use axum::body::Body;
use buffa::Message;
use futures_util::future::join_all;
use http::{Request, StatusCode, header};
use proto::gitpod::v1::UpdateOrganizationPoliciesRequest;
use rollcall::store::policies::restricts_account_creation_to_scim;
use serde_json::{Value, json};

use crate::support::{Reply, Server, merge, needs_parallel_connections, run};

async fn get(server: &Server) -> Value {
    let request = json!({ "organizationId": server.organization });
    server.call("GetOrganizationPolicies", request).await.ok()["policies"].clone()
}

async fn update(server: &Server, change: Value) -> Reply {
    let mut request = json!({ "organizationId": server.organization });
    merge(&mut request, change);
    server.call("UpdateOrganizationPolicies", request).await
}

/// Sends the message of this JSON in binary.
async fn update_in_binary(server: &Server, change: Value) {
    let reply = send_in_binary(server, message(server, change)).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.bytes);
}

fn message(server: &Server, change: Value) -> UpdateOrganizationPoliciesRequest {
    let mut request = json!({ "organizationId": server.organization });
    merge(&mut request, change);
    serde_json::from_value(request).unwrap()
}

async fn send_in_binary(server: &Server, message: UpdateOrganizationPoliciesRequest) -> Reply {
    let request = Request::post("/api/gitpod.v1.OrganizationService/UpdateOrganizationPolicies")
        .header(header::CONTENT_TYPE, "application/proto")
        .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
        .body(Body::from(message.encode_to_vec()));
    server.send(request.unwrap()).await
}

/// The policies that the Terraform provider of Ona sets, all of them.
fn policies_of_terraform() -> Value {
    json!({
        "maximumEnvironmentTimeout": "1800s",
        "membersRequireProjects": true,
        "membersCreateProjects": false,
        "allowedEditorIds": ["editor-a"],
        "defaultEditorId": "editor-a",
        "allowLocalRunners": false,
        "maximumRunningEnvironmentsPerUser": "2",
        "maximumEnvironmentsPerUser": "5",
        "defaultEnvironmentImage": "ubuntu:24.04",
        "portSharingDisabled": true,
        "deleteArchivedEnvironmentsAfter": "86400s",
        "maximumEnvironmentLifetime": "2592000s",
        "requireCustomDomainAccess": false,
        "editorVersionRestrictions": { "editor-a": { "allowedVersions": ["2026.1"] } },
        "restrictAccountCreationToScim": true,
        "webBrowserDisabled": true,
        "disableFromScratch": true,
        "securityPolicyId": "0190a6e0-1c2b-7def-8123-456789abcdef",
        "archiveEnvironmentsAfter": "86400s",
        "agentPolicy": {
            "mcpDisabled": true,
            "commandDenyList": ["rm -rf /"],
            "scmToolsDisabled": true,
            "scmToolsAllowedGroupId": "group-1",
            "conversationSharingPolicy": "CONVERSATION_SHARING_POLICY_ORGANIZATION",
            "maxSubagentsPerEnvironment": 3,
            "allowedAgentIds": ["ona"],
            "codexModelPolicy": { "modelStates": { "CODEX_OPEN_AI_MODEL_GPT_5_5": "CODEX_MODEL_POLICY_STATE_DISABLED" } },
        },
    })
}

/// What that provider sends on destroy: the policies from before it, each one that it knows present.
fn restored(before: &Value) -> Value {
    let mut request = json!({
        "membersRequireProjects": false,
        "membersCreateProjects": false,
        "allowedEditorIds": [],
        "defaultEditorId": "",
        "allowLocalRunners": false,
        "maximumRunningEnvironmentsPerUser": "0",
        "maximumEnvironmentsPerUser": "0",
        "defaultEnvironmentImage": "",
        "portSharingDisabled": false,
        "requireCustomDomainAccess": false,
        "editorVersionRestrictions": {},
        "restrictAccountCreationToScim": false,
        "webBrowserDisabled": false,
        "disableFromScratch": false,
        "securityPolicyId": "",
    });
    let mut agents = json!({
        "mcpDisabled": false,
        "commandDenyList": [],
        "scmToolsDisabled": false,
        "scmToolsAllowedGroupId": "",
        "conversationSharingPolicy": "CONVERSATION_SHARING_POLICY_UNSPECIFIED",
        "maxSubagentsPerEnvironment": 0,
        "allowedAgentIds": [],
        "codexModelPolicy": {},
    });
    merge(&mut agents, before["agentPolicy"].clone());
    merge(&mut request, before.clone());
    request["agentPolicy"] = agents;
    request
}

async fn is_restricted(server: &Server) -> bool {
    let mut db = server.app.store.acquire().await.unwrap();
    restricts_account_creation_to_scim(&mut db, server.organization_id())
        .await
        .unwrap()
}

#[test]
fn account_creation_is_restricted_to_scim_when_a_policy_says_so() {
    run(async {
        let server = Server::start().await;
        let none = json!({ "organizationId": server.organization, "agentPolicy": {} });
        assert_eq!(get(&server).await, none);
        assert!(!is_restricted(&server).await);

        assert_eq!(
            update(&server, json!({ "restrictAccountCreationToScim": true }))
                .await
                .ok(),
            json!({})
        );
        assert_eq!(get(&server).await["restrictAccountCreationToScim"], true);
        assert!(is_restricted(&server).await);
        assert!(!is_restricted(&server.neighbour().await).await);
        update(&server, json!({ "allowLocalRunners": true }))
            .await
            .ok();
        assert!(is_restricted(&server).await, "absent stays");
        update(&server, json!({ "restrictAccountCreationToScim": false }))
            .await
            .ok();
        assert_eq!(
            get(&server).await["restrictAccountCreationToScim"],
            Value::Null
        );
        assert!(!is_restricted(&server).await);
    });
}

#[test]
fn every_other_policy_is_kept_as_it_was_sent() {
    run(async {
        let server = Server::start().await;
        let policies = json!({
            "maximumEnvironmentTimeout": "1800s",
            "membersRequireProjects": true,
            "membersCreateProjects": true,
            "allowedEditorIds": ["a", "b"],
            "defaultEditorId": "a",
            "allowLocalRunners": true,
            "maximumRunningEnvironmentsPerUser": "5",
            "maximumEnvironmentsPerUser": "9007199254740993",
            "defaultEnvironmentImage": "image:ü",
            "portSharingDisabled": true,
            "deleteArchivedEnvironmentsAfter": "2419200s",
            "agentPolicy": {
                "mcpDisabled": true,
                "commandDenyList": ["rm"],
                "scmToolsDisabled": true,
                "scmToolsAllowedGroupId": "group",
                "conversationSharingPolicy": "CONVERSATION_SHARING_POLICY_ORGANIZATION",
                "maxSubagentsPerEnvironment": 10,
                "allowedAgentIds": ["x"],
                "allowedCodexModels": ["CODEX_OPEN_AI_MODEL_GPT_5_5"],
                "allowedCodexReasoningEfforts": ["CODEX_REASONING_EFFORT_ULTRA"],
                "allowedCodexServiceTiers": ["CODEX_SERVICE_TIER_FAST"],
                "goalModeDisabled": true,
                "codexModelPolicy": { "modelStates": { "m": "CODEX_MODEL_POLICY_STATE_ALLOWED" } },
            },
            "maximumEnvironmentLifetime": "15552000s",
            "requireCustomDomainAccess": true,
            "editorVersionRestrictions": { "a": { "allowedVersions": ["1"] } },
            "securityAgentPolicy": {
                "crowdstrike": {
                    "enabled": true,
                    "image": "i",
                    "cidSecretId": "0190a6e0-1c2b-7def-8123-456789abcdef",
                    "tags": "t",
                    "additionalOptions": { "k": "v" },
                },
                "customAgents": [{
                    "id": "c", "enabled": true, "name": "n", "description": "d", "startCommand": "s",
                    "envMappings": [{ "name": "n", "secretName": "s" }],
                }],
            },
            "restrictAccountCreationToScim": true,
            "vetoExecPolicy": {
                "enabled": true, "executables": ["e"], "action": "KERNEL_CONTROLS_ACTION_BLOCK", "safelist": ["s"],
            },
            "maximumEnvironmentLifetimeStrict": true,
            "maxPortAdmissionLevel": "ADMISSION_LEVEL_CREATOR_ONLY",
            "webBrowserDisabled": true,
            "disableFromScratch": true,
            "vetoFilePolicy": {
                "enabled": true,
                "paths": {
                    "entries": [{
                        "path": "/p", "surface": "VETO_FILE_SURFACE_ACCESS",
                        "effect": "KERNEL_CONTROLS_ACTION_AUDIT", "trackChanges": true,
                    }],
                    "defaultSurface": "VETO_FILE_SURFACE_CONTENT_READ",
                    "defaultEffect": "KERNEL_CONTROLS_ACTION_BLOCK",
                },
                "blockDevices": { "enabled": true, "action": "KERNEL_CONTROLS_ACTION_BLOCK" },
            },
            "securityPolicyId": "0190a6e0-1c2b-7def-8123-456789abcdef",
            "archiveEnvironmentsAfter": "172800s",
        });
        update(&server, policies.clone()).await.ok();
        let mut expected = policies;
        expected["organizationId"] = json!(server.organization);
        assert_eq!(get(&server).await, expected);

        // A part of a group leaves the rest of it; a list replaces the one before.
        let change = json!({
            "allowedEditorIds": ["c"],
            "securityAgentPolicy": { "crowdstrike": { "enabled": false, "image": "j" } },
            "defaultEditorId": "",
        });
        update(&server, change).await.ok();
        expected["allowedEditorIds"] = json!(["c"]);
        let crowdstrike = &mut expected["securityAgentPolicy"]["crowdstrike"];
        crowdstrike["image"] = json!("j");
        crowdstrike.as_object_mut().unwrap().remove("enabled");
        expected.as_object_mut().unwrap().remove("defaultEditorId");
        assert_eq!(get(&server).await, expected);
    });
}

#[test]
fn terraform_creates_changes_and_destroys_policies_over_json_and_in_binary() {
    run(async {
        for binary in [false, true] {
            let send = async |server: &Server, change: Value| match binary {
                true => update_in_binary(server, change).await,
                false => assert_eq!(update(server, change).await.ok(), json!({})),
            };
            let server = Server::start().await;
            let nothing = get(&server).await;
            let shown = |mut policies: Value| {
                policies["organizationId"] = json!(server.organization);
                policies.as_object_mut().unwrap().retain(|_, v| *v != false);
                policies
            };
            send(&server, policies_of_terraform()).await;
            let created = get(&server).await;
            assert_eq!(created, shown(policies_of_terraform()));

            let mut changed = policies_of_terraform();
            changed["archiveEnvironmentsAfter"] = json!("172800s");
            changed["editorVersionRestrictions"] = json!({ "editor-b": {} });
            changed["securityPolicyId"] = json!("");
            changed["agentPolicy"]["commandDenyList"] = json!([]);
            changed["agentPolicy"]["allowedAgentIds"] = json!(["ona", "other"]);
            send(&server, changed.clone()).await;
            changed.as_object_mut().unwrap().remove("securityPolicyId");
            changed["agentPolicy"]
                .as_object_mut()
                .unwrap()
                .remove("commandDenyList");
            assert_eq!(get(&server).await, shown(changed));

            send(&server, restored(&created)).await;
            assert_eq!(get(&server).await, created, "policies from before");

            // The API has no way to take back durations, nor lists and maps outside of a message.
            send(&server, restored(&nothing)).await;
            assert_eq!(
                get(&server).await,
                json!({
                    "organizationId": server.organization,
                    "maximumEnvironmentTimeout": "1800s",
                    "allowedEditorIds": ["editor-a"],
                    "deleteArchivedEnvironmentsAfter": "86400s",
                    "maximumEnvironmentLifetime": "2592000s",
                    "editorVersionRestrictions": { "editor-a": { "allowedVersions": ["2026.1"] } },
                    "archiveEnvironmentsAfter": "86400s",
                    "agentPolicy": { "codexModelPolicy": {} },
                }),
                "nothing from before"
            );
        }
    });
}

#[test]
fn the_lists_of_the_agents_policy_are_replaced_with_it() {
    run(async {
        let server = Server::start().await;
        let lists = json!({
            "commandDenyList": ["rm"],
            "allowedAgentIds": ["x"],
            "allowedCodexModels": ["CODEX_OPEN_AI_MODEL_GPT_5_5"],
            "allowedCodexReasoningEfforts": ["CODEX_REASONING_EFFORT_LOW"],
            "allowedCodexServiceTiers": ["CODEX_SERVICE_TIER_FAST"],
        });
        let mut agents = lists.clone();
        merge(&mut agents, json!({ "mcpDisabled": true }));
        update(&server, json!({ "agentPolicy": agents })).await.ok();
        update(&server, json!({ "allowLocalRunners": true }))
            .await
            .ok();
        assert_eq!(get(&server).await["agentPolicy"], agents, "absent stays");

        update(
            &server,
            json!({ "agentPolicy": { "commandDenyList": ["dd", "mkfs"] } }),
        )
        .await
        .ok();
        let left = json!({ "mcpDisabled": true, "commandDenyList": ["dd", "mkfs"] });
        assert_eq!(get(&server).await["agentPolicy"], left);
        update_in_binary(&server, json!({ "agentPolicy": {} })).await;
        assert_eq!(
            get(&server).await["agentPolicy"],
            json!({ "mcpDisabled": true })
        );
    });
}

#[test]
fn parallel_updates_of_different_policies_all_survive() {
    run(async {
        needs_parallel_connections();
        let server = Server::start().await;
        let fields = [
            "membersRequireProjects",
            "membersCreateProjects",
            "allowLocalRunners",
            "portSharingDisabled",
            "requireCustomDomainAccess",
            "restrictAccountCreationToScim",
            "webBrowserDisabled",
            "disableFromScratch",
        ];
        for reply in join_all(fields.map(|field| update(&server, json!({ field: true })))).await {
            reply.ok();
        }
        let policies = get(&server).await;
        assert!(
            fields.iter().all(|field| policies[*field] == true),
            "{policies}"
        );
    });
}

#[test]
fn limits_of_policies() {
    run(async {
        let server = Server::start().await;
        for (change, field, words) in [
            (
                json!({ "maximumEnvironmentTimeout": "60s" }),
                "maximum_environment_timeout",
                "must be 0s (no limit) or at least 1800s (30 minutes)",
            ),
            (
                json!({ "deleteArchivedEnvironmentsAfter": "2419201s" }),
                "delete_archived_environments_after",
                "must be from 0s to 2419200s (28 days)",
            ),
            (
                json!({ "maximumEnvironmentLifetime": "15552001s" }),
                "maximum_environment_lifetime",
                "must be from 0s to 15552000s (180 days)",
            ),
            (
                json!({ "archiveEnvironmentsAfter": "0s" }),
                "archive_environments_after",
                "must be from 86400s (1 day) to 2592000s (30 days)",
            ),
            (
                json!({ "archiveEnvironmentsAfter": "2678400s" }),
                "archive_environments_after",
                "must be from 86400s (1 day) to 2592000s (30 days)",
            ),
            (
                json!({ "archiveEnvironmentsAfter": "86401s" }),
                "archive_environments_after",
                "must be a whole number of days, such as 172800s",
            ),
            (
                json!({ "archiveEnvironmentsAfter": "172800.000000001s" }),
                "archive_environments_after",
                "must be a whole number of days, such as 172800s",
            ),
            (
                json!({ "agentPolicy": { "maxSubagentsPerEnvironment": 11 } }),
                "agent_policy.max_subagents_per_environment",
                "must be from 0 to 10",
            ),
            (
                json!({ "securityPolicyId": "x" }),
                "security_policy_id",
                "must be empty, or a UUID",
            ),
            (
                json!({ "agentPolicy": {}, "securityAgentPolicy": { "crowdstrike": { "cidSecretId": "" } } }),
                "security_agent_policy.crowdstrike.cid_secret_id",
                "must be a UUID",
            ),
        ] {
            let reply = update(&server, change.clone()).await;
            assert_eq!(reply.violations(), [field], "{change}");
            let message = reply.error("invalid_argument");
            assert!(message.contains(words), "{message}");
        }
        // JSON has no durations as long as these.
        for seconds in [i64::MIN, i64::MAX] {
            let mut endless = message(&server, json!({ "archiveEnvironmentsAfter": "86400s" }));
            endless
                .archive_environments_after
                .get_or_insert_default()
                .seconds = seconds;
            let reply = send_in_binary(&server, endless).await;
            assert!(
                reply
                    .violations()
                    .contains(&"archive_environments_after".to_owned()),
                "{seconds}"
            );
        }
        for fine in ["0s", "1800s"] {
            update(&server, json!({ "maximumEnvironmentTimeout": fine }))
                .await
                .ok();
        }
        let long = json!({ "defaultEnvironmentImage": "x".repeat(70_000) });
        let message = update(&server, long).await.error("invalid_argument");
        assert!(message.contains("65536 bytes"), "{message}");
        let nul = json!({ "defaultEnvironmentImage": "a\u{0}b" });
        let message = update(&server, nul).await.error("invalid_argument");
        assert!(message.contains("NUL"), "{message}");
    });
}

#[test]
fn a_change_leaves_an_audit_row() {
    run(async {
        let server = Server::start().await;
        update(&server, json!({ "allowLocalRunners": true }))
            .await
            .ok();
        update(&server, json!({ "allowLocalRunners": false, "agentPolicy": { "maxSubagentsPerEnvironment": 11 } }))
            .await
            .error("invalid_argument");
        update(&server, json!({ "restrictAccountCreationToScim": true }))
            .await
            .ok();
        let action = || "UpdateOrganizationPolicies".to_owned();
        let first = json!({ "allowLocalRunners": true });
        let second = json!({ "allowLocalRunners": true, "restrictAccountCreationToScim": true });
        assert_eq!(
            server.audit("organization_policy").await,
            [
                (action(), json!({}), first.clone()),
                (action(), first, second)
            ]
        );
    });
}
