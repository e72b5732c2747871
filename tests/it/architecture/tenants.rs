//! Every statement of the request path stays within one organization. Read are the checked statements, which
//! `.sqlx` has whole, and the pieces in the sources of which the others are put together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::LazyLock;

use regex::Regex;

use super::imports::{files, sources};
use super::root;

/// Why a statement may look at the rows of several organizations.
const BY_DOMAIN: &str =
    "the choice of a provider by the domain of an address: the organization is not known yet";
const BY_INVITATION: &str = "somebody of one organization joins another, which an invitation or the domain of the address names";
const JOB: &str = "a job goes through all organizations";
const OPERATOR: &str =
    "a command of the operator, or the start of the process, is about all organizations";
/// Why the organization does not stand in a piece.
const ELSEWHERE: &str = "the condition is put together from other pieces, one of which has it";

/// The exceptions, each by words that no other statement has, or by the function that puts a piece together.
pub const EXCEPTIONS: [(&str, &str); 41] = [
    ("where c.email_domain_keys && $5::text[]", BY_DOMAIN),
    ("delete from scim_events where (organization_id,", JOB),
    ("delete from sessions where (organization_id,", JOB),
    ("delete from sso_attempts where (organization_id,", JOB),
    ("delete from sso_logins where (organization_id,", JOB),
    ("from users where ((name_key is null", JOB),
    ("from scim_users where folded_version is distinct", JOB),
    ("from scim_groups where is_unfolded(search::text)", JOB),
    ("from scim_former_users where is_unfolded", JOB),
    ("from invitations where digest = $1", BY_INVITATION),
    ("from invitations i where i.domains &&", BY_INVITATION),
    (
        "delete from personal_access_tokens where (organization_id,",
        JOB,
    ),
    ("delete from api_tokens where (organization_id,", JOB),
    ("delete from deliveries where (organization_id,", JOB),
    ("from events where time > statement_timestamp()", JOB),
    (
        "due_at <= statement_timestamp() or organization_id = any($1)",
        JOB,
    ),
    (
        "or r.due_at <= statement_timestamp() or r.organization_id =",
        JOB,
    ),
    (
        "select exists (select 1 from receivers where is_active)",
        JOB,
    ),
    (
        "from webhooks where (organization_id, id) > ($1, $2)",
        OPERATOR,
    ),
    (
        "update webhooks set secret = null, previous_secret = null where",
        OPERATOR,
    ),
    ("delete from grants where (organization_id,", JOB),
    ("delete from setup_links where (organization_id,", JOB),
    ("delete from pushed_requests where (organization_id,", JOB),
    ("delete from client_assertions where (organization_id,", JOB),
    ("delete from events where (organization_id,", JOB),
    ("from organizations where deleted_at < $1", JOB),
    ("from audit_entries where organization_id > $1", JOB),
    (
        "from organizations where deleted_at is null order by id",
        OPERATOR,
    ),
    ("from organizations where id > $1", OPERATOR),
    ("from organizations o where o.name = $1 and", OPERATOR),
    ("where t.id = $1 and t.is_bootstrap", OPERATOR),
    ("where t.organization_id <> $1 and t.id = $2", OPERATOR),
    (
        "from sso_configurations where (organization_id, id) >",
        OPERATOR,
    ),
    (
        "from sso_configurations where substr(client_secret,",
        OPERATOR,
    ),
    ("from sso_configurations where client_secret is", OPERATOR),
    ("from sso_client_keys where (organization_id,", OPERATOR),
    ("from sso_client_keys where substr(sealed_key,", OPERATOR),
    ("where s.settings->>'method' = 'push' and", JOB),
    ("from event_streams where (organization_id, id) >", OPERATOR),
    (
        "from event_streams where substr(authorization_header,",
        OPERATOR,
    ),
    ("store::scim_search::exists", ELSEWHERE),
];

/// What stands in a piece where the program puts a text of its own: a table, perhaps.
const DYNAMIC: &str = "dynamic";
/// Words that come after a table and are not its other name.
const WORDS: [&str; 16] = [
    "cross",
    "for",
    "group",
    "inner",
    "join",
    "left",
    "limit",
    "on",
    "order",
    "returning",
    "select",
    "set",
    "union",
    "using",
    "values",
    "where",
];

/// The columns of tables that say of which organization a row is.
type Tables = BTreeMap<String, &'static str>;

fn regex(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

fn tables() -> Tables {
    let made = regex(r"create table (\w+) \(\s*(?:--.*\s*)*organization_id\b");
    let mut tables = Tables::from([
        ("organizations".to_owned(), "id"),
        (DYNAMIC.to_owned(), "organization_id"),
    ]);
    for file in files(&root().join("migrations")) {
        let text = fs::read_to_string(file).unwrap();
        let made = made.captures_iter(&text);
        tables.extend(made.map(|table| (table[1].to_owned(), "organization_id")));
    }
    tables
}

/// The selects and changes that a statement is made of, each without those within it.
fn parts(statement: &str) -> Vec<String> {
    static QUOTED: LazyLock<Regex> = LazyLock::new(|| regex("'[^']*'"));
    static UNION: LazyLock<Regex> = LazyLock::new(|| regex(r"\bunion\b( all)?"));
    static START: LazyLock<Regex> =
        LazyLock::new(|| regex(r"^\s*(with|select|insert|update|delete)\b"));
    let mut open = vec![String::new()];
    let mut parts = vec![];
    for c in QUOTED.replace_all(statement, "''").chars() {
        match c {
            '(' => open.push(String::new()),
            ')' if open.len() > 1 => {
                let inner = open.pop().unwrap();
                let outer = open.last_mut().unwrap();
                if START.is_match(&inner) {
                    outer.push_str("()");
                    parts.push(inner);
                } else {
                    outer.push_str(&format!("({inner})"));
                }
            }
            c => open.last_mut().unwrap().push(c),
        }
    }
    // A piece may leave parentheses open.
    parts.extend(open);
    let parts = parts.iter().flat_map(|part| UNION.split(part));
    parts.map(str::to_owned).collect()
}

/// The rows that a part reads or writes: the table, and what the part calls a row of it.
fn rows(part: &str, tables: &Tables) -> Vec<(String, String)> {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| regex(r"\w+|[^\s\w]"));
    let tokens: Vec<&str> = TOKEN.find_iter(part).map(|token| token.as_str()).collect();
    let mut rows = vec![];
    for (at, token) in tokens.iter().enumerate() {
        let is_named = ["from", "join", "update", "into", "using", ","].contains(token);
        let is_column = |table: &&str| *token == "," && *table == DYNAMIC;
        let Some(table) = tokens
            .get(at + 1)
            .filter(|table| is_named && !is_column(table))
        else {
            continue;
        };
        if tables.contains_key(*table) {
            let mut after = tokens[at + 2..].iter().filter(|word| **word != "as");
            let is_name =
                |name: &&&str| name.starts_with(char::is_alphabetic) && !WORDS.contains(name);
            let name = after.next().filter(is_name).unwrap_or(table);
            rows.push(((*table).to_owned(), (*name).to_owned()));
        }
    }
    rows
}

/// The rows of which a statement does not say of which organization they are. In a piece, that rows belong to the
/// organization of rows of other pieces is enough.
fn without_tenant(statement: &str, is_piece: bool, tables: &Tables) -> BTreeSet<String> {
    static INTO: LazyLock<Regex> =
        LazyLock::new(|| regex(r"insert into (\w+)(?: as \w+)?\s*\(\s*(\w+)"));
    static EQUAL: LazyLock<Regex> = LazyLock::new(|| {
        regex(r"(?:(\w+)\.)?\b(organization_id|id)\s*=\s*(?:(\$\d+)|(\w+)\.(organization_id|id)\b)")
    });
    // A row by its part, its name and the column.
    type Row = (usize, String, &'static str);
    let mut told: BTreeMap<Row, bool> = BTreeMap::new();
    let parts = parts(statement);
    for (at, part) in parts.iter().enumerate() {
        let into: Vec<(&str, &str)> = INTO
            .captures_iter(part)
            .map(|into| into.extract())
            .map(|(_, [table, column])| (table, column))
            .collect();
        for (table, name) in rows(part, tables) {
            let column = tables[&table];
            let is_told = into.contains(&(&table, column));
            *told.entry((at, name, column)).or_default() |= is_told;
        }
    }
    let named = |at: usize, name: Option<&str>, column: &str| -> Vec<Row> {
        let is_it = |row: &&Row| row.2 == column && name.is_none_or(|name| row.1 == name);
        let here = told.keys().filter(|row| row.0 == at).filter(is_it);
        let here: Vec<Row> = here.cloned().collect();
        if name.is_none() || !here.is_empty() {
            return here;
        }
        told.keys().filter(is_it).cloned().collect()
    };
    let mut equal: Vec<(Vec<Row>, Option<Vec<Row>>)> = vec![];
    for (at, part) in parts.iter().enumerate() {
        for found in EQUAL.captures_iter(part) {
            let left = named(at, found.get(1).map(|name| name.as_str()), &found[2]);
            let right = found
                .get(4)
                .map(|name| named(at, Some(name.as_str()), &found[5]));
            equal.push((left, right));
        }
    }
    loop {
        let is_told = |rows: &Vec<Row>| match rows.is_empty() {
            true => is_piece,
            false => rows.iter().any(|row| told[row]),
        };
        let new = equal.iter().flat_map(|(left, right)| match right {
            None => left.clone(),
            Some(right) if is_told(right) => left.clone(),
            Some(right) if is_told(left) => right.clone(),
            Some(_) => vec![],
        });
        let new: Vec<Row> = new.filter(|row| !told[row]).collect();
        if new.is_empty() {
            break;
        }
        told.extend(new.into_iter().map(|row| (row, true)));
    }
    let untold = told.into_iter().filter(|(_, is_told)| !is_told);
    untold.map(|((_, name, _), _)| name).collect()
}

/// The pieces of SQL of a file, by function: its literals one after the other, with what the functions of the file
/// that it calls push. Checked statements are left out.
fn pieces(code: &str) -> BTreeMap<String, String> {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
        regex(r##"r#"(?s:.*?)"#|"(?:\\(?s:.)|[^"\\])*"|'(?:\\.|[^'\\])'|\w+!?|\S"##)
    });
    let tokens: Vec<&str> = TOKEN.find_iter(code).map(|token| token.as_str()).collect();
    let mut functions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut function = "";
    let mut skipped = 0;
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |before| tokens[before]);
        match *token {
            "(" | "{" if skipped > 0 => skipped += 1,
            ")" | "}" if skipped > 0 => skipped -= 1,
            "(" if ["query!", "query_as!", "query_scalar!"].contains(&before) => skipped = 1,
            // What a macro of ours completes is checked, too.
            "{" if before.ends_with('!') => skipped = 1,
            _ if skipped > 0 => {}
            name if ["fn", "macro_rules!"].contains(&before) => function = name,
            token => functions.entry(function).or_default().push(token),
        }
    }
    let names = functions.keys();
    let piece = |name: &&str| ((*name).to_owned(), piece(name, &functions, 0));
    names.map(piece).collect()
}

/// How deep calls are followed.
const DEPTH: usize = 3;

fn piece(function: &str, functions: &BTreeMap<&str, Vec<&str>>, depth: usize) -> String {
    static HOLE: LazyLock<Regex> = LazyLock::new(|| regex(r"\{\w*\}"));
    let tokens = &functions[function];
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        let next = *tokens.get(at + 1).unwrap_or(&"");
        if let Some(literal) = literal(token) {
            text.push_str(&HOLE.replace_all(&literal, DYNAMIC));
        } else if next != "(" {
        } else if ["push_bind", "bind"].contains(token) {
            text.push_str(" $0 ");
        } else if *token == "push" && tokens.get(at + 2).is_some_and(|t| literal(t).is_none()) {
            text.push_str(&format!(" {DYNAMIC} "));
        } else if token.starts_with("push_") && functions.contains_key(token) && depth < DEPTH {
            text.push_str(&piece(token, functions, depth + 1));
        }
    }
    static TWICE: LazyLock<Regex> = LazyLock::new(|| regex(r"dynamic(\s+dynamic)+"));
    TWICE.replace_all(&text, DYNAMIC).into_owned()
}

/// The text of a literal.
fn literal(token: &str) -> Option<String> {
    static CONTINUED: LazyLock<Regex> = LazyLock::new(|| regex(r"\\\n\s*"));
    let raw = token
        .strip_prefix("r#\"")
        .and_then(|text| text.strip_suffix("\"#"));
    if let Some(raw) = raw {
        return Some(raw.to_owned());
    }
    let text = token.strip_prefix('"')?.strip_suffix('"')?;
    Some(CONTINUED.replace_all(text, "").replace("\\\"", "\""))
}

/// The checked statements, whole.
fn statements() -> Vec<String> {
    let read = |file| {
        let text = fs::read_to_string(file).unwrap();
        let checked: serde_json::Value = serde_json::from_str(&text).unwrap();
        checked["query"].as_str().unwrap().to_owned()
    };
    let files = files(&root().join(".sqlx"));
    files.into_iter().map(read).collect()
}

#[test]
fn every_statement_has_its_tenant() {
    let tables = tables();
    let mut texts: Vec<(String, String, bool)> = statements()
        .into_iter()
        .map(|text| ("a checked statement".to_owned(), text, false))
        .collect();
    assert!(texts.len() > 90, "they are found: {}", texts.len());
    let sources = sources(&root().join("src"));
    let is_sql =
        |module: &[String]| matches!(module.first().map(String::as_str), Some("store" | "scim"));
    for (module, code) in sources.iter().filter(|(module, _)| is_sql(module)) {
        for (function, text) in pieces(code) {
            texts.push((format!("{}::{function}", module.join("::")), text, true));
        }
    }
    let is_piece = |(_, text, is_piece): &&(String, String, bool)| {
        *is_piece && !rows(text, &tables).is_empty()
    };
    assert!(texts.iter().filter(is_piece).count() > 15, "they are found");

    let mut exceptions: BTreeMap<&str, usize> =
        EXCEPTIONS.iter().map(|(words, _)| (*words, 0)).collect();
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut broken = vec![];
    for (place, text, is_piece) in &texts {
        let untold = without_tenant(text, *is_piece, &tables);
        let text = one_line(text);
        if untold.is_empty() {
            continue;
        }
        let is_it = |(words, _): &(&&str, &mut usize)| place == **words || text.contains(**words);
        match exceptions.iter_mut().find(is_it) {
            Some((_, count)) => *count += 1,
            None => broken.push(format!("{place}: {untold:?} in {text}")),
        }
    }
    assert!(
        broken.is_empty(),
        "of which organization are these rows? {broken:#?}"
    );
    exceptions.retain(|_, count| *count != 1);
    assert!(
        exceptions.is_empty(),
        "each is one statement's: {exceptions:#?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untold(statement: &str) -> Vec<String> {
        without_tenant(statement, false, &tables())
            .into_iter()
            .collect()
    }

    #[test]
    fn what_has_its_tenant_is_not_found() {
        for statement in [
            "select id from sessions where organization_id = $1 and id = $2",
            "select 1 from organizations where id = $1",
            "insert into sessions (organization_id, id) values ($1, $2) on conflict do nothing",
            "update users u set name = $3 where u.id = $2 and u.organization_id = $1",
            "delete from sessions s using users u where s.organization_id = $1 and u.organization_id = s.organization_id",
            "select o.name from users u join organizations o on o.id = u.organization_id where u.organization_id = $1",
            "with a as (select id from users where organization_id = $1), b as (
                 insert into scim_users as s (organization_id, id) select $1, id from a)
             select count(*) from a",
            "select (select count(*) from scim_users s where s.organization_id = u.organization_id)
             from users u where u.organization_id = $1 and u.name <> ') from sessions ('",
            "select now() from pg_stat_activity",
        ] {
            assert_eq!(untold(statement), [""; 0], "{statement}");
        }
    }

    #[test]
    fn what_has_none_is_found() {
        for (statement, rows) in [
            ("select organization_id from sessions where id = $1", &["sessions"][..]),
            ("select 1 from organizations where name = $1", &["organizations"]),
            ("insert into sessions (id) values ($1)", &["sessions"]),
            ("update users set organization_id = excluded.organization_id", &["users"]),
            ("delete from sessions where id = $1 and token_hash = $2", &["sessions"]),
            (
                "select 1 from api_tokens t join service_accounts a on a.organization_id = t.organization_id where t.id = $1",
                &["a", "t"],
            ),
            (
                "select 1 from users u where u.organization_id = $1 and exists (select 1 from scim_users s where s.user_id = u.id)",
                &["s"],
            ),
            (
                "select id from users where organization_id = $1 union all select id from scim_users where user_id = $2",
                &["scim_users"],
            ),
            // The same name within and without.
            (
                "select 1 from users u where u.organization_id = $1 and exists (select 1 from scim_users u where u.id = $2)",
                &["u"],
            ),
            (
                "update users u set name = r.name from unnest($1::uuid[], $2::text[]) r(organization_id, name)
                 where u.organization_id = r.organization_id",
                &["u"],
            ),
            ("select 1 from users where organization_id <> $1", &["users"]),
            ("select 1 from unnest($1::uuid[]) r(id), sessions s where s.id = r.id", &["s"]),
        ] {
            assert_eq!(untold(statement), rows, "{statement}");
        }
    }

    #[test]
    fn pieces_are_put_together() {
        let code = r##"
            fn list(tenant: Tenant) {
                let checked = query!("select id from users where (id = $1)", id);
                let mut query = QueryBuilder::new("select t.id from ");
                push_tenant(&mut query, tenant);
                query.push(" and exists (select 1 from users u where u.organization_id = t.organization_id)");
            }
            fn push_tenant(query: &mut QueryBuilder, tenant: Tenant) {
                query.push(table.name()).push(" t where t.organization_id = ").push_bind(tenant.id);
            }
            fn forgets(tenant: Tenant) {
                QueryBuilder::new("select id from sessions where id = ").push_bind(id);
                query.push(format!(" and exists (select 1 from {table} u where u.id = sessions.id)"));
            }
            fn forgets_too() {
                QueryBuilder::new(r#"select "id" from "#).push(TABLE).push(" where id = ").push_bind(id);
            }
        "##;
        let found: Vec<(String, BTreeSet<String>)> = pieces(code)
            .into_iter()
            .map(|(name, text)| (name, without_tenant(&text, true, &tables())))
            .filter(|(_, untold)| !untold.is_empty())
            .collect();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expected = [
            ("forgets".to_owned(), names(&["sessions", "u"])),
            ("forgets_too".to_owned(), names(&[DYNAMIC])),
        ];
        assert_eq!(found, expected);
    }
}
