//! The policies of the organization.

use futures_util::future::join_all;
use rollcall::domain::identity::Role;
use rollcall::store::policies::restricts_account_creation_to_scim;
use serde_json::{Value, json};

use crate::support::{Reply, Server, merge, run};

async fn get(server: &Server) -> Value {
    let request = json!({ "organizationId": server.organization });
    server.call("GetOrganizationPolicies", request).await.ok()["policies"].clone()
}

async fn update(server: &Server, change: Value) -> Reply {
    let mut request = json!({ "organizationId": server.organization });
    merge(&mut request, change);
    server.call("UpdateOrganizationPolicies", request).await
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
            "agentPolicy": { "goalModeDisabled": false, "maxSubagentsPerEnvironment": 3 },
            "defaultEditorId": "",
        });
        update(&server, change).await.ok();
        expected["allowedEditorIds"] = json!(["c"]);
        expected["agentPolicy"]["maxSubagentsPerEnvironment"] = json!(3);
        expected["agentPolicy"]
            .as_object_mut()
            .unwrap()
            .remove("goalModeDisabled");
        expected.as_object_mut().unwrap().remove("defaultEditorId");
        assert_eq!(get(&server).await, expected);
    });
}

#[test]
fn parallel_updates_of_different_policies_all_survive() {
    run(async {
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
                "1800s",
            ),
            (
                json!({ "deleteArchivedEnvironmentsAfter": "2419201s" }),
                "delete_archived_environments_after",
                "28 days",
            ),
            (
                json!({ "maximumEnvironmentLifetime": "15552001s" }),
                "maximum_environment_lifetime",
                "180 days",
            ),
            (
                json!({ "archiveEnvironmentsAfter": "3600s" }),
                "archive_environments_after",
                "30 days",
            ),
            (
                json!({ "archiveEnvironmentsAfter": "86401s" }),
                "archive_environments_after",
                "whole number of days",
            ),
            (
                json!({ "agentPolicy": { "maxSubagentsPerEnvironment": 11 } }),
                "agent_policy.max_subagents_per_environment",
                "0 to 10",
            ),
            (
                json!({ "securityPolicyId": "x" }),
                "security_policy_id",
                "UUID",
            ),
        ] {
            let reply = update(&server, change.clone()).await;
            assert_eq!(reply.violations(), [field], "{change}");
            let message = reply.error("invalid_argument");
            assert!(message.contains(words), "{message}");
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
fn every_member_reads_policies_and_administrators_write_them() {
    run(async {
        let server = Server::start().await;
        let stranger = server.neighbour().await;
        let (member, reader) = (
            server.token(Role::Member, true).await,
            server.token(Role::Admin, true).await,
        );
        let request = json!({ "organizationId": server.organization });
        for token in [&member, &reader] {
            server
                .call_as(token, "GetOrganizationPolicies", request.clone())
                .await
                .ok();
            server
                .call_as(token, "UpdateOrganizationPolicies", request.clone())
                .await
                .error("permission_denied");
        }
        for method in ["GetOrganizationPolicies", "UpdateOrganizationPolicies"] {
            stranger
                .call(method, request.clone())
                .await
                .error("permission_denied");
            stranger
                .call(method, json!({}))
                .await
                .error("invalid_argument");
        }
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
