//! Which way calls go (docs/ARCHITECTURE.md), held over the `use` statements and paths.

pub mod imports;
pub mod tenants;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use self::imports::{
    Imports, Module, circles, code, files, imports, sources, used, without_comments,
};

/// Each room of `src`, and the rooms that it may name. Every room is here.
const ROOMS: [(&str, &[&str]); 23] = [
    (
        "cli",
        &[
            "app",
            "config",
            "domain",
            "error",
            "events",
            "http",
            "jobs",
            "log",
            "metrics",
            "outgoing",
            "provisioning",
            "router",
            "secrets",
            "store",
            "traces",
        ],
    ),
    (
        "router",
        &[
            "api", "app", "console", "error", "http", "login", "metrics", "provider", "scim",
            "signals", "store",
        ],
    ),
    // They make folded keys anew as the door makes them.
    (
        "jobs",
        &[
            "app",
            "domain",
            "error",
            "events",
            "metrics",
            "provisioning",
            "scim",
            "store",
        ],
    ),
    // The doors: none names another.
    ("api", &DOOR),
    ("scim", &DOOR),
    ("login", &DOOR),
    ("provider", &DOOR),
    ("signals", &DOOR),
    ("console", &DOOR),
    (
        "http",
        &[
            "app",
            "domain",
            "error",
            "log",
            "metrics",
            // The session of a request is a presented token as any other.
            "provisioning",
            "store",
            "traces",
        ],
    ),
    (
        "provisioning",
        &[
            "app", "domain", "error", "metrics", "oidc", "secrets", "store",
        ],
    ),
    (
        "events",
        &[
            "app",
            "domain",
            "error",
            "metrics",
            "outgoing",
            "provisioning",
            "secrets",
            "store",
        ],
    ),
    ("oidc", &["app", "domain", "error", "outgoing", "secrets"]),
    // What every door is handed.
    (
        "app",
        &[
            "domain", "http", "metrics", "oidc", "outgoing", "secrets", "store",
        ],
    ),
    (
        "config",
        &["domain", "http", "outgoing", "secrets", "store"],
    ),
    ("secrets", &["app", "domain", "error", "metrics"]),
    ("store", &["domain", "error", "metrics"]),
    ("outgoing", &["error", "metrics", "traces"]),
    ("traces", &["config", "domain", "outgoing"]),
    ("metrics", &["domain"]),
    ("domain", &["error"]),
    ("error", &[]),
    ("log", &[]),
];

/// What a door may name.
const DOOR: [&str; 10] = [
    "app",
    "domain",
    "error",
    "events",
    "http",
    "metrics",
    "oidc",
    "provisioning",
    "store",
    "traces",
];

/// What may be named by few rooms alone.
const RESERVED: [(&str, &[&str]); 7] = [
    ("sqlx", &["store"]),
    // The generated messages, and what reads and writes them.
    ("connectrpc", &["api"]),
    ("buffa", &["api"]),
    ("buffa_types", &["api"]),
    ("protovalidate_buffa", &["api"]),
    ("proto", &["api"]),
    (
        "axum",
        &[
            "router", "http", "api", "scim", "login", "provider", "signals", "console",
        ],
    ),
];

/// What the crates below `crates` must not name: they do nothing but compute.
const IMPURE: [&str; 10] = [
    "axum",
    "connectrpc",
    "http",
    "hyper",
    "reqwest",
    "rollcall",
    "sqlx",
    "std::fs",
    "std::net",
    "tokio",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the sources of the crates of the workspace are.
fn crates() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(root().join("crates")).unwrap();
    let engines = folders.map(|folder| folder.unwrap().path().join("src"));
    engines.chain([root().join("src")]).collect()
}

/// Whether `code` names the crate or module `path`.
fn names(code: &str, path: &str) -> bool {
    let is_boundary =
        |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
    let is_path = |used: &str| {
        let rest = used.trim_start_matches("::").strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    used(code).iter().any(|used| is_path(used))
        || code
            .match_indices(&format!("{path}::"))
            .any(|(at, _)| is_boundary(code[..at].trim_end_matches("::").chars().next_back()))
}

/// What is wrong with who names which room, in words.
fn broken_rules(imports: &Imports, rooms: &[(&str, &[&str])]) -> BTreeSet<String> {
    let rooms: BTreeMap<&str, &[&str]> = rooms.iter().copied().collect();
    let mut broken = BTreeSet::new();
    for (module, named) in imports {
        let Some(room) = module.first().filter(|room| *room != "main") else {
            continue;
        };
        let Some(allowed) = rooms.get(room.as_str()) else {
            broken.insert(format!("{room} is no room of the list"));
            continue;
        };
        for other in named.iter().filter_map(|other| other.first()) {
            if other != room && !allowed.contains(&other.as_str()) {
                broken.insert(format!("{} names {other}", module.join("::")));
            }
        }
    }
    let there: BTreeSet<&str> = imports
        .keys()
        .filter_map(|module| module.first())
        .map(String::as_str)
        .collect();
    for (room, allowed) in &rooms {
        for name in allowed.iter().chain([room]) {
            if !there.contains(name) {
                broken.insert(format!("there is no room {name}"));
            }
        }
    }
    broken
}

#[test]
fn calls_go_one_way() {
    let broken = broken_rules(&imports(&sources(&root().join("src"))), &ROOMS);
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What is wrong in a made-up crate with the rooms `api`, `store` and `domain`, if `code` is in the file `module`.
fn broken_by(module: &str, code: &str) -> BTreeSet<String> {
    let rooms: [(&str, &[&str]); 3] = [
        ("api", &["store", "domain"]),
        ("store", &["domain"]),
        ("domain", &[]),
    ];
    let files = [
        ("api", ""),
        ("store", ""),
        ("store::sso", ""),
        ("domain", ""),
        (module, code),
    ];
    let module = |text: &str| -> Module { text.split("::").map(str::to_owned).collect() };
    let files = files.map(|(name, code)| (module(name), without_comments(code)));
    broken_rules(&imports(&BTreeMap::from(files)), &rooms)
}

#[test]
fn the_check_of_the_rooms_reads_every_form_of_a_path() {
    for code in [
        "use crate::api;",
        "use crate::api::paging::Paging;",
        "use crate::{api, domain};",
        "use crate::{domain, api::paging};",
        "use crate::{domain::{ids, sso}, api::{self, paging}};",
        "use crate::{\n    // Why.\n    domain,\n    api, // why\n};",
        "pub(crate) use crate::api as door;",
        "use super::super::api;",
        "use super::super::{domain, api::paging};",
        "use super::{super::api::paging, schema};",
        "use {crate::domain, crate::api};",
        "fn f() { crate::api::f() }",
        "fn f() { super::super::api::f() }",
        "use crate::api as a;\nfn f() { a::f() }",
        "macro_rules! m { () => { $crate::api::f() } }",
    ] {
        let found = broken_by("store::sso", code);
        assert_eq!(
            found,
            BTreeSet::from(["store::sso names api".to_owned()]),
            "{code}"
        );
    }
    for code in [
        "use crate::domain;",
        "use crate::{domain::ids, store::page};",
        "use super::super::domain::ids;",
        "use super::page;",
        "// use crate::api;",
        "use api::x;",
    ] {
        assert_eq!(broken_by("store::sso", code), BTreeSet::new(), "{code}");
    }
}

#[test]
fn a_room_that_is_not_in_the_list_is_told() {
    let unknown = BTreeSet::from(["webhooks is no room of the list".to_owned()]);
    assert_eq!(broken_by("webhooks", ""), unknown);
    assert_eq!(
        broken_by("webhooks::delivery", "use crate::store;"),
        unknown
    );
    let gone = broken_rules(&Imports::new(), &[("api", &["store"])]);
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    assert_eq!(gone, ["there is no room api", "there is no room store"]);
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    for source in crates() {
        let circles = circles(&imports(&sources(&source)));
        assert!(circles.is_empty(), "{}: {circles:#?}", source.display());
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut broken = vec![];
    for (module, code) in sources(&root().join("src")) {
        let room = module.first().map_or("lib", String::as_str);
        for (path, rooms) in RESERVED {
            if !rooms.contains(&room) && names(&code, path) {
                broken.push(format!("{} names {path}", module.join("::")));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn engines_know_neither_rollcall_nor_the_outside() {
    let mut broken = vec![];
    // The contract is what is spoken with the outside: it has no logic.
    let others = ["src", "crates/proto/src"].map(|path| root().join(path));
    for source in crates().iter().filter(|source| !others.contains(source)) {
        for file in files(source) {
            let code = code(&file);
            let found = IMPURE.iter().filter(|path| names(&code, path));
            broken.extend(found.map(|path| format!("{} names {path}", file.display())));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Files that commit a transaction, and why what they change is recorded.
const COMMITTING: [(&str, &str); 9] = [
    (
        "src/provisioning/work.rs",
        "it writes the record, or tells the log of the installation's",
    ),
    (
        "src/scim/users.rs",
        "each function of the database records what it changes",
    ),
    (
        "src/scim/groups.rs",
        "each change is recorded by `scim_events::record`",
    ),
    (
        "src/provisioning/keys.rs",
        "what is forgotten is recorded of each configuration",
    ),
    (
        "src/provisioning/organizations.rs",
        "organizations and their tokens are the operator's, whose terminal tells of them",
    ),
    (
        "src/provisioning/signing.rs",
        "keys that sign are the installation's, and are made by themselves",
    ),
    ("src/cli/keys.rs", "the same secrets, sealed anew"),
    (
        "src/jobs/folding.rs",
        "the same values, in the form of this release",
    ),
    ("src/store/wide.rs", "it only reads"),
];

#[test]
fn nothing_is_committed_without_a_record() {
    let commits = |file: &PathBuf| code(file).contains(".commit()");
    let committing: BTreeSet<PathBuf> = files(&root().join("src"))
        .into_iter()
        .filter(commits)
        .collect();
    let known: BTreeSet<PathBuf> = COMMITTING
        .iter()
        .map(|(file, _)| root().join(file))
        .collect();
    assert_eq!(committing, known);
}

/// Files that may change the case of letters, and by which words.
const LETTERS: [(&str, &str); 1] = [
    // Names of the domain name system.
    ("src/outgoing/dns.rs", "name.to_lowercase()"),
];

#[test]
fn letters_are_folded_in_one_place() {
    let mut broken = vec![];
    for file in crates().iter().flat_map(|source| files(source)) {
        let place = file.strip_prefix(root()).unwrap().to_str().unwrap();
        let mut code = code(&file);
        let allowed = LETTERS.iter().filter(|(file, _)| *file == place);
        for (_, words) in allowed {
            assert!(code.contains(words), "{place} has {words} no more");
            code = code.replace(words, "");
        }
        // What comes after stands in tests alone, which may fold what they like.
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = place.ends_with("tests.rs");
        for word in [
            "to_lowercase",
            "to_uppercase",
            "lower(",
            "upper(",
            "initcap(",
            "ilike",
            "~*",
        ] {
            let is_bound = |(at, _): (usize, &str)| {
                let before = code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            };
            if !is_test && code.match_indices(word).any(is_bound) {
                broken.push(format!("{place}: {word}"));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "letters are folded by crates/letters, and in SQL by the function folded: {broken:#?}"
    );
}

#[test]
fn the_check_itself_finds_what_it_looks_for() {
    assert!(names("use sqlx::query;", "sqlx"));
    assert!(names("let x = crate::store::sso::get();", "crate::store"));
    assert!(!names("use crate::storehouse::x;", "crate::store"));
    assert!(!names("use my_sqlx::query;", "sqlx"));
    assert!(names("use {serde_json::json, sqlx};", "sqlx"));
    assert!(names("use sqlx as database;", "sqlx"));
    assert!(names("fn f() { ::sqlx::query(); }", "sqlx"));
    assert!(names("use std::{fmt, net::IpAddr};", "std::net"));
    let sources = sources(&root().join("src"));
    let routing = ["scim", "routing"].map(str::to_owned).to_vec();
    let users = ["scim", "users"].map(str::to_owned).to_vec();
    assert!(imports(&sources)[&routing].len() > 5 && sources.contains_key(&users));
}
