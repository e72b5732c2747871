//! No path panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scim::path::parse;
use scim::schema::ResourceType;

fuzz_target!(|text: &str| {
    for kind in ResourceType::ALL {
        let _ = parse(text, kind);
    }
});
