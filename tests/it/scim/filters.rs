//! The evaluator of filters and their translation to SQL say the same.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use scim::eval::matches;
use scim::filter::compile;
use scim::schema::ResourceType;
use serde_json::{Value, json};

use crate::support::run;
use crate::support::scim::{Client, E, G, text, user};

/// How many users there are, and how many filters are tried on them.
const USERS: usize = 24;
const FILTERS: usize = 400;

fn words() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "A", "ab", "Ab", "b", "ä", "Ä", "ß", "%", "_", "a_b", "a%b", "a\\b", "\"", "'", "1",
        "10", "true", "work", "home", "ﬁ", "İ", "e\u{301}", "é", "𝒳", " a ", "ss", "ẞ", "ς", "Σ",
        "ꭰ",
    ])
}

fn values() -> impl Strategy<Value = Value> {
    let one = (
        prop::option::of(words()),
        prop::option::of(words()),
        prop::option::of(any::<bool>()),
        prop::option::of(words()),
    );
    let one = one.prop_map(|(value, kind, primary, display)| {
        json!({ "value": value, "type": kind, "primary": primary, "display": display })
    });
    prop::collection::vec(one, 0..3).prop_map(Value::from)
}

fn users() -> impl Strategy<Value = Value> {
    let enterprise = (prop::option::of(words()), prop::option::of(words()))
        .prop_map(|(department, manager)| json!({ "department": department, "manager": { "value": manager } }));
    let texts = (
        prop::option::of(words()),
        prop::option::of(words()),
        prop::option::of(words()),
        prop::option::of(words()),
    );
    (texts, any::<bool>(), values(), values(), values(), enterprise).prop_map(
        |((title, display, given, locale), active, roles, phones, ims, enterprise)| {
            json!({
                "title": title, "displayName": display, "name": { "givenName": given }, "locale": locale, "active": active,
                "roles": roles, "phoneNumbers": phones, "ims": ims, E: enterprise,
            })
        },
    )
}

fn quoted(word: &str) -> String {
    json!(word).to_string()
}

fn operators() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ",
    ])
}

fn comparison(names: Vec<&'static str>) -> impl Strategy<Value = String> {
    let text = (prop::sample::select(names.clone()), operators(), words())
        .prop_map(|(name, operator, word)| format!("{name} {operator} {}", quoted(word)));
    let presence = (
        prop::sample::select(names),
        prop::sample::select(vec!["pr", "eq null", "ne null", "PR"]),
    )
        .prop_map(|(name, operator)| format!("{name} {operator}"));
    prop_oneof![4 => text, 1 => presence]
}

fn addresses() -> impl Strategy<Value = String> {
    let addresses = prop::sample::select(vec![
        "a0@B.COM",
        "straße9@xn--bcher-kva.example",
        "@BÜCHER.example",
        "strasse9@bücher.example",
        "σ6@bücher.example.",
        "exa_mple.Σ",
    ]);
    (
        prop::sample::select(vec!["emails", "emails.value"]),
        operators(),
        addresses,
    )
        .prop_map(|(name, operator, word)| format!("{name} {operator} {}", quoted(word)))
}

fn combined(leaf: BoxedStrategy<String>) -> BoxedStrategy<String> {
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} or {b}")),
            inner.prop_map(|a| format!("not({a})")),
        ]
    })
    .boxed()
}

fn filters() -> impl Strategy<Value = String> {
    let sub = comparison(vec!["value", "type", "display", "Value"]);
    let flag = (
        prop::sample::select(vec!["eq", "ne"]),
        prop::sample::select(vec!["true", "false", "\"True\""]),
    )
        .prop_map(|(operator, value)| format!("primary {operator} {value}"));
    let inner = combined(prop_oneof![4 => sub, 1 => flag].boxed());
    let path = (
        prop::sample::select(vec!["roles", "phoneNumbers", "ims", "emails"]),
        inner,
    )
        .prop_map(|(name, filter)| format!("{name}[{filter}]"));
    let flags = (
        prop::sample::select(vec!["active", "roles.primary", "ims.primary"]),
        prop::sample::select(vec!["eq", "ne"]),
        prop::sample::select(vec!["true", "false", "\"False\""]),
    )
        .prop_map(|(name, operator, value)| format!("{name} {operator} {value}"));
    let times = (
        prop::sample::select(vec!["meta.created", "meta.lastModified"]),
        prop::sample::select(vec!["eq", "ne", "gt", "ge", "lt", "le"]),
        prop::sample::select(vec![
            "2026-03-01T12:00:05Z",
            "2026-03-01T14:00:05.0000001+02:00",
            "0001-01-01T00:00:00Z",
        ]),
    )
        .prop_map(|(name, operator, time)| format!("{name} {operator} \"{time}\""));
    let names = vec![
        "userName",
        "title",
        "displayName",
        "name.givenName",
        "locale",
        "name.familyName",
        "roles",
        "roles.value",
        "roles.type",
        "phoneNumbers.value",
        "ims.display",
        "emails",
        "emails.type",
        "externalId",
        "manager",
        "id",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
        "schemas",
        "meta.resourceType",
        "urn:ietf:params:scim:schemas:core:2.0:User:title",
        "groups.value",
        "groups.display",
        "groups.type",
        "groups.$ref",
        "photos.value",
    ];
    let group = (
        prop::sample::select(vec!["groups.$ref", "groups", "groups.value"]),
        prop::sample::select(vec!["eq", "ne", "co", "ew"]),
        prop::sample::select(vec![
            GROUP,
            OTHER_GROUP,
            "GROUP",
            "https://elsewhere.test/Groups/x",
        ]),
    )
        .prop_map(|(name, operator, place)| format!("{name} {operator} \"{place}\""));
    let inner = combined(comparison(vec!["value", "type", "display", "$ref"]).boxed());
    let within = inner.prop_map(|filter| format!("groups[{filter}]"));
    combined(
        prop_oneof![6 => comparison(names), 2 => path, 1 => flags, 1 => times, 1 => addresses(), 1 => group, 1 => within]
            .boxed(),
    )
}

/// What stands in a filter for the URI of a group, and for what follows it in another.
const GROUP: &str = "{group}";
const OTHER_GROUP: &str = "{other}";

fn member_filters() -> impl Strategy<Value = String> {
    let subs = ["value", "type", "display", "$ref"];
    let text = comparison(subs.to_vec());
    let exact = (
        prop::sample::select(subs.to_vec()),
        prop::sample::select(vec!["eq", "ne", "sw", "co", "gt"]),
        prop::sample::select(vec![
            "{user}",
            "{user-ref}",
            "{group}",
            "{group-ref}",
            "User",
            "group",
            "Ab",
            "ada",
            "later",
            "https://",
        ]),
    )
        .prop_map(|(name, operator, place)| format!("{name} {operator} \"{place}\""));
    let one = prop_oneof![2 => text, 3 => exact].boxed();
    let within = combined(one.clone()).prop_map(|filter| format!("members[{filter}]"));
    let beside = one.prop_map(|filter| format!("members.{filter}"));
    combined(prop_oneof![1 => within, 1 => beside].boxed())
}

fn sample<T>(runner: &mut TestRunner, strategy: &impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

#[test]
fn evaluator_and_sql_agree() {
    run(async {
        let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), seed);
        let c = Client::start().await;
        for n in 0..USERS {
            let mut more = sample(&mut runner, &users());
            if n % 3 == 0 {
                more["externalId"] = json!(format!("{}{n}", sample(&mut runner, &words())));
                let address = match n % 4 {
                    0 => format!("A{n}@b.com"),
                    1 => format!("Straße{n}@Bücher.example."),
                    2 => format!("ς{n}@XN--BCHER-KVA.example"),
                    _ => format!("{n}@exa_mple.ς"),
                };
                more["emails"] =
                    json!([{ "value": address, "type": sample(&mut runner, &words()) }]);
            }
            let name = format!("{}{n}", sample(&mut runner, &words()).trim());
            let reply = c.post("/Users", user(&name, more)).await;
            reply.is(201);
            c.server.pass(chrono::TimeDelta::seconds(1));
        }
        let all = c.get("/Users?count=1000").await.is(200)["Resources"]
            .as_array()
            .unwrap()
            .clone();
        assert_eq!(all.len(), USERS);
        let group = c.group("ab", &[&all[0], &all[1]]).await;
        let other = c.group("a b", &[&group, &all[1], &all[2]]).await;
        let all = c.get("/Users?count=1000").await.is(200)["Resources"]
            .as_array()
            .unwrap()
            .clone();

        let mut faults = vec![];
        let mut hits = 0;
        for _ in 0..FILTERS {
            let filter = sample(&mut runner, &filters())
                .replace(GROUP, &text(&group["meta"]["location"]))
                .replace(OTHER_GROUP, &text(&other["meta"]["location"]));
            let reply = c
                .query("/Users", &[("filter", &filter), ("count", "1000")])
                .await;
            let compiled = match compile(&filter, ResourceType::User) {
                Ok(compiled) => compiled,
                Err(_) => {
                    assert_eq!(reply.status, 400, "{filter}");
                    continue;
                }
            };
            if reply.status != 200 {
                faults.push(format!("{filter}: {} {:?}", reply.status, reply.bytes));
                continue;
            }
            let found = reply.json()["Resources"].as_array().unwrap().clone();
            for one in &all {
                let expected = matches(&compiled, one.as_object().unwrap());
                let is_found = found.iter().any(|f| f["id"] == one["id"]);
                hits += usize::from(is_found);
                if expected != is_found {
                    faults.push(format!(
                        "{filter}: evaluator {expected}, SQL {is_found} for {}",
                        text(&one["userName"])
                    ));
                    faults.push(format!("    {one}"));
                    break;
                }
            }
        }
        assert!(hits > FILTERS, "the filters find something: {hits}");
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    });
}

#[test]
fn evaluator_and_sql_agree_on_members() {
    run(async {
        let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), seed);
        let c = Client::start().await;
        let mut members: Vec<Value> = vec![];
        for (name, display) in [
            ("ada", Some("Ab")),
            ("Bob", None),
            ("eve", Some("Äß İ")),
            ("a", Some("%")),
        ] {
            members.push(c.user(name, json!({ "displayName": display })).await);
        }
        for (n, chosen) in [&[0][..], &[0, 1], &[2], &[], &[4, 3], &[5, 1, 2]]
            .into_iter()
            .enumerate()
        {
            let values: Vec<Value> = chosen
                .iter()
                .enumerate()
                .map(|(k, &m)| match (n + k) % 3 {
                    0 => json!({ "value": members[m]["id"] }),
                    1 => json!({ "value": members[m]["id"], "type": "User" }),
                    _ => json!({ "value": members[m]["id"], "display": "a_B" }),
                })
                .chain([
                    json!({ "value": "later", "display": "ab" }),
                    json!({ "value": format!("x{n}"), "type": "Group" }),
                ])
                .take(chosen.len() + n % 3)
                .collect();
            let body =
                json!({ "schemas": [G], "displayName": format!("Group {n}"), "members": values });
            members.push(c.post("/Groups", body).await.is(201));
        }
        let all = c.get("/Groups").await.is(200)["Resources"]
            .as_array()
            .unwrap()
            .clone();
        assert_eq!(all.len(), 6);
        let (user, group) = (&members[1], &members[4]);
        let mut hits = 0;
        for _ in 0..FILTERS {
            let filter = sample(&mut runner, &member_filters())
                .replace("{user}", &text(&user["id"]))
                .replace("{user-ref}", &text(&user["meta"]["location"]))
                .replace("{group}", &text(&group["id"]))
                .replace("{group-ref}", &text(&group["meta"]["location"]));
            let compiled = compile(&filter, ResourceType::Group).unwrap();
            let found = c.found("/Groups", &filter).await;
            for one in &all {
                let is_found = found.iter().any(|f| f["id"] == one["id"]);
                hits += usize::from(is_found);
                assert_eq!(
                    is_found,
                    matches(&compiled, one.as_object().unwrap()),
                    "{filter}: {one}"
                );
            }
        }
        assert!(hits > FILTERS, "the filters find something: {hits}");
    });
}

#[test]
fn letters_compare_in_any_case() {
    run(async {
        let c = Client::start().await;
        for (name, display) in [
            ("a", "Ärger"),
            ("b", "ΣΊΣΥΦΟΣ"),
            ("c", "Straße"),
            ("d", "Zoe"),
            ("e", "ÄRGER 2"),
            ("f", "ärger 1"),
        ] {
            let more = json!({ "displayName": display, "title": display, "name": { "givenName": display } });
            c.user(name, more).await;
        }
        for (word, expected) in [
            ("ärger", vec!["a"]),
            ("ÄRGER", vec!["a"]),
            ("σίσυφος", vec!["b"]),
            ("σίσυφοσ", vec!["b"]),
            ("STRASSE", vec!["c"]),
            ("strasse", vec!["c"]),
        ] {
            for name in ["displayName", "title", "name.givenName"] {
                let filter = format!("{name} eq {}", quoted(word));
                assert_eq!(c.names(&filter).await, expected, "{filter}");
            }
        }
        assert_eq!(c.names(r#"title ew "ΑΣΣ" or title co "SS""#).await, ["c"]);
        for by in ["displayName", "title"] {
            let list = c.query("/Users", &[("sortBy", by)]).await.is(200);
            let order: Vec<String> = list["Resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|user| text(&user["userName"]))
                .collect();
            assert_eq!(order, ["c", "d", "a", "f", "e", "b"], "{by}");
        }
        // Two people, for all that search says.
        c.user("straße", json!({})).await;
        c.user("strasse", json!({})).await;
        assert_eq!(c.names(r#"userName eq "STRASSE""#).await, ["strasse"]);
        assert_eq!(c.names(r#"userName eq "STRAẞE""#).await, ["straße"]);
        let taken = user("STRASSE", json!({}));
        c.post("/Users", taken).await.refused(409, "uniqueness");
    });
}
