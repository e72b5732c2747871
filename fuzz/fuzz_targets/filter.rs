//! No filter panics; one that parses prints as one that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scim::filter::{compile, parse};
use scim::schema::ResourceType;
use rollcall::store::scim_search::condition;

fuzz_target!(|text: &str| {
    if let Ok(filter) = parse(text) {
        let printed = filter.to_string();
        assert_eq!(parse(&printed).as_ref(), Ok(&filter), "{printed}");
    }
    for kind in ResourceType::ALL {
        if let Ok(resolved) = compile(text, kind) {
            let _ = condition("https://example.com/scim/v2", kind, &resolved);
        }
    }
});
