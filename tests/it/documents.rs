//! What documents say of the code is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::architecture::imports::files;

/// Where the tests are that docs/security.md names without a place.
const ROOTS: [&str; 5] = [
    "tests/it",
    "tests/it/login",
    "src",
    "crates/scim/src",
    "crates/letters/src",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a test, or a module with tests, has this path below `root`.
fn is_there(root: &Path, path: &str) -> bool {
    let parts: Vec<&str> = path.split("::").collect();
    (0..=parts.len()).rev().any(|length| {
        let place: PathBuf = root.join(parts[..length].join("/"));
        let files = match length {
            0 => vec![place.join("lib.rs")],
            _ => vec![place.with_extension("rs"), place.join("mod.rs")],
        };
        let code = files.iter().find_map(|file| fs::read_to_string(file).ok());
        code.is_some_and(|code| has_tests(&code, &parts[length..]))
    })
}

/// Whether code has the test, or the module with tests, that is named within it.
fn has_tests(code: &str, names: &[&str]) -> bool {
    match names {
        [] => code.contains("#[test]") || code.contains("mod tests"),
        ["tests"] => code.contains("mod tests {") && code.contains("#[test]"),
        ["tests", name] | [name] => {
            let test = format!(r"#\[(tokio::)?test\]\s+(async )?fn {name}\(");
            Regex::new(&test).unwrap().is_match(code)
        }
        _ => false,
    }
}

/// The tests that a cell of the table names, each with its whole path.
fn tests_of(cell: &str) -> Vec<String> {
    let code = Regex::new(r"(\(in )?`([^`]+)`").unwrap();
    let mut found: Vec<String> = vec![];
    for name in code.captures_iter(cell) {
        // The place of the one before.
        if name.get(1).is_some() {
            continue;
        }
        let whole = match name[2].strip_prefix("…::") {
            Some(rest) => {
                let before = found.last().expect("a test before this one");
                let (module, _) = before.rsplit_once("::").unwrap();
                format!("{module}::{rest}")
            }
            None => name[2].to_owned(),
        };
        found.push(whole);
    }
    found
}

#[test]
fn every_test_that_the_security_page_names_exists() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let browser = fs::read_to_string(root().join("tests/login/login.test.mjs")).unwrap();
    let quoted = Regex::new("\"([^\"]+)\"").unwrap();
    let (mut rows, mut named, mut missing) = (0, 0, vec![]);
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [_, _, tests] = cells[..] else {
            panic!("three cells: {row}");
        };
        if tests.trim() == "test" {
            continue;
        }
        rows += 1;
        for test in tests_of(tests) {
            named += 1;
            let exists = match test.starts_with("tests/") {
                true => root().join(&test).exists(),
                false => ROOTS
                    .iter()
                    .any(|place| is_there(&root().join(place), &test)),
            };
            if !exists {
                missing.push(test);
            }
        }
        for title in quoted.captures_iter(tests) {
            if !browser.contains(&title[1]) {
                missing.push(title[1].to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(rows > 90 && named > 150, "{rows} rows name {named} tests");
}

#[test]
fn every_row_of_the_dialects_names_its_test_and_every_row_that_code_names_exists() {
    let page = fs::read_to_string(root().join("docs/dialects.md")).unwrap();
    let row = Regex::new(r"(?m)^\| (\d+) \|.*\| `([a-z0-9_:]+)` \|$").unwrap();
    let place = root().join("tests/it/scim/idp_traffic");
    let mut rows = BTreeSet::new();
    for found in row.captures_iter(&page) {
        assert!(is_there(&place, &found[2]), "{}", &found[0]);
        assert!(rows.insert(found[1].to_owned()), "row {} twice", &found[1]);
    }
    assert!(rows.len() > 90, "{rows:?}");

    let named = Regex::new(r"\b[Rr]ows? (\d+(?:(?:, | and )\d+)*)").unwrap();
    let number = Regex::new(r"\d+").unwrap();
    let mut tried = BTreeSet::new();
    for file in files(&place)
        .into_iter()
        .chain(files(&root().join("crates/scim/src")))
    {
        let code = fs::read_to_string(&file).unwrap();
        for numbers in named.captures_iter(&code) {
            for row in number.find_iter(&numbers[1]) {
                assert!(
                    rows.contains(row.as_str()),
                    "{}: {}",
                    file.display(),
                    &numbers[0]
                );
                tried.insert(row.as_str().to_owned());
            }
        }
    }
    let missing: Vec<_> = rows.difference(&tried).collect();
    assert!(missing.is_empty(), "rows that no test tries: {missing:?}");
}

#[test]
fn the_check_itself_finds_what_it_looks_for() {
    let cell = "`store::one_connection_serves_all_whatever_became_of_the_one_before`, `…::nothing_of_this_name`; `http::path::tests` (in `src/`)";
    let tests = tests_of(cell);
    let found = |test: &String| ROOTS.map(|place| is_there(&root().join(place), test));
    let found: Vec<bool> = tests
        .iter()
        .map(|test| found(test).contains(&true))
        .collect();
    assert_eq!(found, [true, false, true], "{tests:?}");
}
