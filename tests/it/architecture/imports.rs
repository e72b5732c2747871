//! Which file of a crate names which: read from the `use` statements and paths, and searched for circles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// A file, by the path of its module.
pub type Module = Vec<String>;
/// The files that each file names.
pub type Imports = BTreeMap<Module, BTreeSet<Module>>;

static STATEMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\buse\s+([^;]+);").unwrap());
static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)\s//.*$").unwrap());
static INLINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(\w+)((?:::\w+)+)").unwrap());

/// The files below a folder, and a file itself.
pub fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    fs::read_dir(path)
        .unwrap()
        .flat_map(|entry| files(&entry.unwrap().path()))
        .collect()
}

/// What a file says, without comments.
pub fn code(file: &Path) -> String {
    without_comments(&fs::read_to_string(file).unwrap())
}

/// What a text says, without lines of comments and comments at the ends of lines.
pub fn without_comments(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: Vec<_> = text.lines().filter(is_code).collect();
    COMMENT.replace_all(&code.join("\n"), "").into_owned()
}

/// The code of the files of a crate with its sources at `root`. Tests are left out: they may name anything.
pub fn sources(root: &Path) -> BTreeMap<Module, String> {
    let is_source =
        |file: &PathBuf| file.extension().is_some_and(|e| e == "rs") && !file.ends_with("tests.rs");
    let source = |file: PathBuf| {
        let code = code(&file);
        let code = without_tests(&code);
        let place = file.strip_prefix(root).unwrap().with_extension("");
        let mut module: Module = place
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if let Some("mod" | "lib") = module.last().map(String::as_str) {
            module.pop();
        }
        (module, code)
    };
    files(root)
        .into_iter()
        .filter(is_source)
        .map(source)
        .collect()
}

/// The code without the module of tests in it.
fn without_tests(code: &str) -> String {
    match code.split_once("#[cfg(test)]\nmod tests {") {
        Some((before, tests)) => {
            let after = tests.split_once("\n}").map_or("", |(_, after)| after);
            format!("{before}{after}")
        }
        None => code.to_owned(),
    }
}

/// Reads which files name which. Between a parent and its children, nothing is noted.
pub fn imports(sources: &BTreeMap<Module, String>) -> Imports {
    let used = |(module, code): (&Module, &String)| {
        let is_apart = |other: &Module| !other.starts_with(module) && !module.starts_with(other);
        let named = paths(module, code, sources).into_iter();
        let files = named.filter_map(|path| file_of(&path, sources));
        (module.clone(), files.filter(is_apart).collect())
    };
    sources.iter().map(used).collect()
}

/// The file that has what a path names: the longest beginning that is a file's.
fn file_of(path: &[String], sources: &BTreeMap<Module, String>) -> Option<Module> {
    let beginnings = (0..=path.len()).rev().map(|length| path[..length].to_vec());
    beginnings
        .into_iter()
        .find(|beginning| sources.contains_key(beginning))
}

/// The paths within the crate that a file names, from the crate's root.
fn paths(module: &Module, code: &str, sources: &BTreeMap<Module, String>) -> Vec<Module> {
    let used: Vec<(Module, String)> = statements(code)
        .into_iter()
        .filter_map(|(path, name)| Some((absolute(module, &path)?, name)))
        .collect();
    let modules: BTreeMap<&str, &Module> = used
        .iter()
        .filter(|(path, _)| sources.contains_key(path))
        .map(|(path, name)| (name.as_str(), path))
        .collect();
    let named = INLINE.captures_iter(code).filter_map(|found| {
        // A path that goes on from one that was looked at.
        if code[..found.get(0)?.start()].ends_with("::") {
            return None;
        }
        match modules.get(&found[1]) {
            Some(module) => {
                let rest = found[2].split("::").skip(1).map(str::to_owned);
                Some(module.iter().cloned().chain(rest).collect())
            }
            None => absolute(module, &found[0]),
        }
    });
    let named: Vec<Module> = named.collect();
    used.into_iter()
        .map(|(path, _)| path)
        .chain(named)
        .collect()
}

/// The paths of all `use` statements, each with the name under which it is known.
fn statements(code: &str) -> Vec<(String, String)> {
    let trees = STATEMENT.captures_iter(code);
    trees.flat_map(|found| expand(&found[1])).collect()
}

/// The paths of all `use` statements.
pub fn used(code: &str) -> Vec<String> {
    let paths = statements(code).into_iter();
    paths.map(|(path, _)| path).collect()
}

/// A path from the crate's root; `None` for one that begins outside of the crate.
fn absolute(module: &Module, path: &str) -> Option<Module> {
    let mut parts = path.split("::").peekable();
    let mut whole = match *parts.peek()? {
        "crate" => vec![],
        "self" | "super" => module.clone(),
        _ => return None,
    };
    for part in parts {
        match part {
            "crate" | "self" | "*" => {}
            "super" => drop(whole.pop()),
            name => whole.push(name.to_owned()),
        }
    }
    Some(whole)
}

/// The paths of a `use` statement, each with the name under which it is known.
fn expand(tree: &str) -> Vec<(String, String)> {
    let tree = tree.trim();
    if let Some((start, list)) = tree.split_once('{') {
        // Otherwise a text, and no statement.
        let Some(list) = list.strip_suffix('}') else {
            return vec![];
        };
        let mut depth = 0;
        let items = list.split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        let items = items.filter(|item| !item.trim().is_empty());
        return items
            .flat_map(|item| expand(&format!("{start}{}", item.trim())))
            .collect();
    }
    let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
    let path = path.strip_suffix("::self").unwrap_or(path);
    let last = path.rsplit("::").next().unwrap_or(path);
    let name = if name.is_empty() { last } else { name };
    vec![(path.to_owned(), name.to_owned())]
}

/// Files that name each other in a circle: each set has every file that is in one with the others.
pub fn circles(imports: &Imports) -> BTreeSet<BTreeSet<Module>> {
    let reach = |start: &Module| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&Module> = imports[start].iter().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module) {
                next.extend(imports[module].iter());
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|start| (start, reach(start))).collect();
    let circle = |start: &Module| -> BTreeSet<Module> {
        let others = reached[start].iter();
        others
            .filter(|other| reached[**other].contains(start))
            .map(|other| (*other).clone())
            .collect()
    };
    let circles = imports.keys().map(circle);
    circles.filter(|circle| !circle.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(files: &[(&str, &str)]) -> BTreeSet<String> {
        let module = |text: &str| -> Module { text.split("::").map(str::to_owned).collect() };
        let sources = files
            .iter()
            .map(|(name, code)| (module(name), (*code).to_owned()))
            .collect();
        let found = circles(&imports(&sources));
        let in_words = |circle: &BTreeSet<Module>| {
            let files: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            files.join(" ")
        };
        found.iter().map(in_words).collect()
    }

    #[test]
    fn circles_are_found_however_they_are_written() {
        let leaf = ("c", "pub struct C;");
        for (a, b) in [
            ("use crate::b::B;", "use crate::a::A;"),
            ("use super::b::{self, B};", "use crate::{a::A, c::C};"),
            ("use crate::{b as x, c};", "fn f() { crate::a::f(); }"),
            (
                "fn f(b: super::b::B) {}",
                "use crate::c;\nuse super::a::{A,\n B};",
            ),
        ] {
            let found = made_up(&[("a", a), ("b", b), leaf]);
            assert_eq!(found, BTreeSet::from(["a b".to_owned()]), "{a} {b}");
        }
        let round = made_up(&[
            ("a", "use crate::b;\nfn f() { b::deep::f() }"),
            ("b", ""),
            ("b::deep", "use crate::c;"),
            ("c", "pub use crate::a::A;"),
        ]);
        assert_eq!(round, BTreeSet::from(["a b::deep c".to_owned()]));
    }

    #[test]
    fn tests_alone_are_left_out() {
        let code = "a\n#[cfg(test)]\nmod tests {\n    use b;\n    fn f() {\n    }\n}\nc";
        assert_eq!(without_tests(code), "a\n\nc");
        assert_eq!(without_tests("a"), "a");
    }

    #[test]
    fn what_is_no_circle_is_not_found() {
        for files in [
            [
                ("a", "use crate::b::B;"),
                ("b", "use crate::c::C;"),
                ("c", "use b::B;"),
            ],
            // A parent and its child.
            [
                ("a", "use self::b::B;"),
                ("a::b", "use super::A;"),
                ("c", "use crate::a;"),
            ],
        ] {
            assert_eq!(made_up(&files), BTreeSet::new());
        }
    }
}
