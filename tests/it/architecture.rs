//! Which way calls go (docs/ARCHITECTURE.md), held over the `use` statements and paths.

mod imports;
mod tenants;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use self::imports::{circles, code, files, imports, sources};

/// Each room of `src`, and the rooms that it may name. A room that is not here may name none.
const ROOMS: [(&str, &[&str]); 19] = [
    (
        "cli",
        &[
            "app",
            "config",
            "domain",
            "error",
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
            "api", "app", "error", "http", "login", "metrics", "scim", "store",
        ],
    ),
    // They make folded keys anew as the door makes them.
    (
        "jobs",
        &["app", "domain", "error", "metrics", "scim", "store"],
    ),
    // The doors: none names another.
    ("api", &DOOR),
    ("scim", &DOOR),
    ("login", &DOOR),
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
    ("oidc", &["app", "domain", "error", "outgoing"]),
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
const DOOR: [&str; 9] = [
    "app",
    "domain",
    "error",
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
    ("axum", &["router", "http", "api", "scim", "login"]),
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
    let used = [
        format!("{path}::"),
        format!("use {path};"),
        format!("use {path} as"),
    ];
    let is_boundary =
        |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
    used.iter().any(|used| {
        code.match_indices(used.as_str())
            .any(|(at, _)| is_boundary(code[..at].chars().next_back()))
    })
}

#[test]
fn calls_go_one_way() {
    let rooms = BTreeMap::from(ROOMS);
    let mut broken = BTreeSet::new();
    for (module, named) in imports(&sources(&root().join("src"))) {
        let Some(room) = module.first().filter(|room| *room != "main") else {
            continue;
        };
        let allowed = rooms.get(room.as_str()).copied().unwrap_or_default();
        for other in named.iter().filter_map(|other| other.first()) {
            if other != room && !allowed.contains(&other.as_str()) {
                broken.insert(format!("{} names {other}", module.join("::")));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
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
    ("src/provisioning/work.rs", "it writes the record"),
    (
        "src/scim/users.rs",
        "each statement of `telling!` records what it changes",
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
    ("src/cli/token.rs", "tokens are the operator's, too"),
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
    let sources = sources(&root().join("src"));
    let routing = ["scim", "routing"].map(str::to_owned).to_vec();
    let users = ["scim", "users"].map(str::to_owned).to_vec();
    assert!(imports(&sources)[&routing].len() > 5 && sources.contains_key(&users));
}
