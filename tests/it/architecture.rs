//! Which way calls go (docs/ARCHITECTURE.md), held over the `use` statements and paths.

use std::fs;
use std::path::{Path, PathBuf};

/// A room and the words that its files must not have.
const RULES: [(&str, &[&str]); 15] = [
    (
        "domain",
        &[
            "sqlx",
            "axum",
            "connectrpc",
            "crate::store",
            "crate::api",
            "crate::server",
            "crate::provisioning",
            "crate::cli",
            "crate::app",
        ],
    ),
    (
        "store",
        &[
            "axum",
            "connectrpc",
            "crate::api",
            "crate::server",
            "crate::provisioning",
            "crate::cli",
        ],
    ),
    (
        "secrets",
        &[
            "sqlx",
            "axum",
            "connectrpc",
            "crate::store",
            "crate::api",
            "crate::server",
            "crate::provisioning",
            "crate::cli",
        ],
    ),
    (
        "provisioning",
        &[
            "sqlx",
            "axum",
            "connectrpc",
            "crate::api",
            "crate::server",
            "crate::cli",
        ],
    ),
    (
        "api",
        &["sqlx", "crate::cli", "crate::login", "crate::scim"],
    ),
    (
        "scim",
        &[
            "sqlx",
            "connectrpc",
            "crate::api",
            "crate::login",
            "crate::cli",
            "crate::jobs",
        ],
    ),
    (
        "jobs",
        &["sqlx", "axum", "connectrpc", "crate::cli", "crate::api"],
    ),
    (
        "login",
        &[
            "sqlx",
            "connectrpc",
            "crate::api",
            "crate::scim",
            "crate::cli",
            "crate::jobs",
        ],
    ),
    (
        "oidc",
        &[
            "sqlx",
            "axum",
            "connectrpc",
            "crate::store",
            "crate::provisioning",
            "crate::api",
            "crate::login",
            "crate::server",
            "crate::cli",
        ],
    ),
    (
        "session.rs",
        &[
            "sqlx",
            "axum",
            "connectrpc",
            "crate::api",
            "crate::login",
            "crate::server",
            "crate::cli",
        ],
    ),
    ("cli", &["sqlx", "connectrpc", "axum"]),
    ("server.rs", &["sqlx", "connectrpc", "crate::cli"]),
    (
        "server",
        &["sqlx", "connectrpc", "crate::cli", "crate::store"],
    ),
    (
        "metrics.rs",
        &[
            "sqlx",
            "axum",
            "connectrpc",
            "crate::store",
            "crate::api",
            "crate::scim",
            "crate::login",
            "crate::server",
            "crate::cli",
        ],
    ),
    (
        "observe.rs",
        &["sqlx", "connectrpc", "crate::store", "crate::cli"],
    ),
];

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    fs::read_dir(path)
        .unwrap()
        .flat_map(|entry| files(&entry.unwrap().path()))
        .collect()
}

fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
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
fn every_room_keeps_to_its_place() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = vec![];
    for (room, banned) in RULES {
        for file in files(&source.join(room)) {
            let code = code(&file);
            let found = banned.iter().filter(|path| names(&code, path));
            broken.extend(found.map(|path| format!("{} names {path}", file.display())));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Files that may change the case of letters, and by which words.
const LETTERS: [(&str, &str); 1] = [
    // Names of the domain name system.
    ("outgoing/dns.rs", "name.to_lowercase()"),
];

#[test]
fn letters_are_folded_in_one_place() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = vec![];
    for file in files(&source) {
        let place = file.strip_prefix(&source).unwrap().to_str().unwrap();
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
        "letters are folded by domain::letters, and in SQL by the function folded: {broken:#?}"
    );
}

#[test]
fn the_check_itself_finds_what_it_looks_for() {
    assert!(names("use sqlx::query;", "sqlx"));
    assert!(names("let x = crate::store::sso::get();", "crate::store"));
    assert!(!names("use crate::storehouse::x;", "crate::store"));
    assert!(!names("use my_sqlx::query;", "sqlx"));
}
