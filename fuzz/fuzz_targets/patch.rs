//! No PATCH panics, and none makes of a good resource one that a PUT would refuse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scim::normalize::normalize;
use scim::patch::plan;
use scim::schema::ResourceType;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "ada@example.com",
        "name": { "givenName": "Ada" },
        "emails": [{ "value": "ada@example.com", "type": "work", "primary": true }],
    });
    let user = normalize(ResourceType::User, user).expect("a good user").resource;
    if let Ok(applied) = plan(ResourceType::User, body).and_then(|plan| plan.apply(&user)) {
        normalize(ResourceType::User, Value::Object(applied.resource)).expect("still a good user");
    }
});
