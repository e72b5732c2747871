//! The policies of an organization. One concerns this server; the others are kept for the
//! applications that they concern.

use serde_json::{Map, Value};

use crate::error::{Error, Violation};

/// The most bytes of an organization's policies in JSON.
const MAX_LENGTH: usize = 65_536;

/// The messages of which a change replaces the parts that it has; of others, the whole.
const GROUPS: [&str; 3] = [AGENTS, "crowdstrike", "securityAgentPolicy"];

const AGENTS: &str = "agentPolicy";

/// The lists of the agents' policy. A change that has this policy replaces all of them, and clears
/// those that it leaves empty: clients have no other way to clear them.
const AGENTS_LISTS: [&str; 5] = [
    "allowedAgentIds",
    "allowedCodexModels",
    "allowedCodexReasoningEfforts",
    "allowedCodexServiceTiers",
    "commandDenyList",
];

/// The policies that were ever set, in the JSON of the API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrganizationPolicies(pub Map<String, Value>);

impl OrganizationPolicies {
    /// Carries a change out: what it does not have stays, but for the lists of the agents' policy
    /// where it has that.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when there would be too much to keep.
    pub fn apply(&mut self, change: Map<String, Value>) -> Result<(), Error> {
        if change.contains_key(AGENTS)
            && let Some(Value::Object(agents)) = self.0.get_mut(AGENTS)
        {
            agents.retain(|name, _| !AGENTS_LISTS.contains(&&**name));
        }
        merge(&mut self.0, change);
        let length = serde_json::to_vec(&self.0).map_err(Error::internal)?.len();
        if length > MAX_LENGTH {
            return Err(Error::invalid(
                "",
                Violation::LENGTH,
                format!(
                    "the policies of an organization must have at most {MAX_LENGTH} bytes in all: shorten their lists"
                ),
            ));
        }
        Ok(())
    }
}

fn merge(policies: &mut Map<String, Value>, change: Map<String, Value>) {
    for (name, value) in change {
        match (policies.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) if GROUPS.contains(&&*name) => {
                merge(old, new);
            }
            (_, value) => {
                policies.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_change_replaces_what_it_has() {
        let mut policies = OrganizationPolicies(object(json!({
            "allowedEditorIds": ["a", "b"],
            "allowLocalRunners": true,
            "editorVersionRestrictions": { "a": {}, "b": {} },
            "agentPolicy": { "mcpDisabled": true, "commandDenyList": ["rm"], "codexModelPolicy": { "modelStates": { "x": "ALLOWED" } } },
            "securityAgentPolicy": { "crowdstrike": { "enabled": true, "image": "one" } },
        })));
        let change = json!({
            "allowedEditorIds": ["c"],
            "editorVersionRestrictions": { "c": {} },
            "agentPolicy": { "goalModeDisabled": false, "codexModelPolicy": { "modelStates": { "y": "DISABLED" } } },
            "securityAgentPolicy": { "crowdstrike": { "image": "two" } },
        });
        policies.apply(object(change)).unwrap();
        assert_eq!(
            Value::Object(policies.0),
            json!({
                "allowedEditorIds": ["c"],
                "allowLocalRunners": true,
                "editorVersionRestrictions": { "c": {} },
                "agentPolicy": {
                    "mcpDisabled": true,
                    "goalModeDisabled": false,
                    "codexModelPolicy": { "modelStates": { "y": "DISABLED" } },
                },
                "securityAgentPolicy": { "crowdstrike": { "enabled": true, "image": "two" } },
            })
        );
    }
}
