//! What the module says of itself, tried out.

use proptest::prelude::*;

use super::super::schema::ENTERPRISE_USER_URN;
use super::*;

fn user(text: &str) -> Result<Resolved, ScimError> {
    compile(text, ResourceType::User)
}

fn printed(text: &str) -> String {
    parse(text).unwrap().to_string()
}

#[test]
fn the_grammar_in_all_its_forms() {
    for (text, canonical) in [
        (r#"userName Eq "john""#, r#"userName eq "john""#),
        ("title PR", "title pr"),
        // RFC 7644, figure 2, and precedence: not, then and, then or.
        ("a pr or b pr and c pr", "a pr or (b pr and c pr)"),
        ("a pr AND b pr And c pr", "a pr and b pr and c pr"),
        ("(a pr or b pr) and c pr", "(a pr or b pr) and c pr"),
        ("not(a pr) and b pr", "not (a pr) and b pr"),
        ("NOT (a pr and b pr)", "not (a pr and b pr)"),
        ("((a pr))", "a pr"),
        ("(a pr)and(b pr)", "a pr and b pr"),
        ("  a   pr  ", "a pr"),
        (r#"members[value eq"x"]"#, r#"members[value eq "x"]"#),
        (
            r#"emails[type eq "work" and not (value co "@example.com")]"#,
            r#"emails[type eq "work" and not (value co "@example.com")]"#,
        ),
        // Row 4: off the grammar.
        (
            r#"emails[type eq "work"].value eq "a@b.com""#,
            r#"emails[type eq "work" and value eq "a@b.com"]"#,
        ),
        (r#"a eq "\"\\\u00e9""#, r#"a eq "\"\\é""#),
        ("a eq -1.5e3", "a eq -1500.0"),
        ("a le 8e-287", "a le 8e-287"),
        ("a eq TRUE or a ne null", "a eq true or a ne null"),
        ("urn:x:2.0:User:a.b pr", "urn:x:2.0:User:a.b pr"),
        ("members.$ref pr", "members.$ref pr"),
        // An attribute may be called like a keyword.
        ("and pr and or pr", "and pr and or pr"),
    ] {
        assert_eq!(printed(text), canonical, "{text}");
    }
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    for (text, position, part) in [
        ("", 1, "name of an attribute"),
        ("JOHN@X.COM", 5, "operator"),          // row 61
        ("userName sw O", 13, "double quotes"), // row 28
        (
            "meta.Created gt 2015-10-10T14:38:21.8617979-07:00",
            17,
            "double quotes",
        ), // row 28
        ("userName regex \"x\"", 10, "expected an operator"),
        ("userName eq", 12, "value"),
        ("userName eq \"x", 13, "closing quote"),
        ("userName eq \"\\x\"", 13, "JSON string"),
        ("userName eq \"\\u0000\"", 13, "NUL"),
        ("not userName pr", 5, "parentheses"),
        ("(userName pr", 13, "\")\""),
        ("emails[type pr", 15, "\"]\""),
        ("userName pr)", 12, "end of the filter"),
        ("userName pr and", 16, "name of an attribute"),
        ("ü pr", 1, "name of an attribute"),
        ("title eq \"ü\" x", 14, "end of the filter"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.position, position, "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
        let error = user(text).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidFilter));
    }
}

#[test]
fn limits_are_errors() {
    let nested = |depth: usize| format!("{}a pr{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert!(parse(&nested(MAX_DEPTH + 1)).is_err());
    assert!(parse(&"not(".repeat(2000)).is_err());
    assert!(parse(&"a[".repeat(4000)).is_err());
    let chain = |length: usize| vec!["a pr"; length].join(" or ");
    assert!(parse(&chain(MAX_NODES / 2)).is_ok());
    assert!(parse(&chain(MAX_NODES / 2 + 1)).is_err());
    assert!(parse(&format!("a eq \"{}\"", "x".repeat(MAX_LENGTH))).is_err());
}

#[test]
fn names_operators_and_values_are_checked_against_the_schema() {
    for (text, part) in [
        (
            "nope pr",
            "at character 1: this is not an attribute of User",
        ),
        ("members pr", "not an attribute of User"),
        ("emails.nope pr", "not an attribute"),
        ("emails[nope pr]", "not a sub-attribute of emails"),
        ("emails[emails[type pr]]", "not a sub-attribute"),
        ("emails[type[value pr]]", "no sub-attributes"),
        ("userName[value pr]", "leave out the brackets"),
        ("active gt true", "\"gt\""),
        ("active co \"t\"", "\"co\""),
        ("emails.primary le false", "\"le\""),
        ("x509Certificates.value gt \"AA==\"", "binary"),
        ("meta.created sw \"2020\"", "\"sw\""),
        ("meta.created gt \"2020\"", "date and time"),
        ("userName eq 5", "text in double quotes"),
        (
            "userName gt null",
            "with null: expected text in double quotes",
        ),
        (
            "active eq \"yes\"",
            "with this text: expected true or false",
        ),
        ("name eq \"x\"", "name.formatted"),
        ("addresses eq \"x\"", "addresses.formatted"),
        ("password eq \"x\"", "cannot be filtered by"),
    ] {
        let error = user(text).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidFilter), "{text}");
        assert!(error.detail.contains(part), "{text}: {error}");
    }
}

#[test]
fn complex_attributes_compare_their_value() {
    let same = |one: &str, other: &str| assert_eq!(user(one), user(other), "{one}");
    same("emails eq \"x\"", "emails.value eq \"x\""); // row 80
    same("manager eq \"m\"", "manager.value eq \"m\""); // row 22
    same(
        "DEPARTMENT eq \"x\"",
        &format!("{ENTERPRISE_USER_URN}:department eq \"x\""),
    );
    same("title eq null", "not (title pr)");
    same("name ne null", "name pr");
    same("active eq \"True\"", "active eq true"); // row 19
    same(
        "emails[type eq \"work\"].value eq \"x\"",
        "emails[type eq \"work\" and value eq \"x\"]",
    );
    let group = |text: &str| compile(text, ResourceType::Group);
    // Row 46.
    assert_eq!(
        group("id eq \"g\" and members eq \"u\""),
        group("id eq \"g\" and members.value eq \"u\"")
    );
}

// Rows 1-3, 30, 39 and 89.
#[test]
fn filters_of_identity_providers_compile() {
    for text in [
        r#"userName eq "7f1c""#,
        r#"externalId eq "x""#,
        r#"DisplayName eq "Bob""#,
        r#"active eq true and (meta.lastModified ge "0001-01-03T00:00:00.0000000Z" and meta.lastModified le "2026-01-01T00:00:00Z")"#,
        r#"(ActiVe eq true) and meta.lastmodified ge "2026-01-01T00:00:00.8420572Z""#,
        "emails[primary eq true].value eq \"a@b.com\"",
        r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
    ] {
        assert!(user(text).is_ok(), "{text}: {:?}", user(text));
    }
}

#[test]
fn moments_have_a_date_and_a_time() {
    for text in [
        "2008-01-23T04:56:22Z",
        "2015-10-10T14:38:21.8617979-07:00",
        "2008-01-23T04:56:22",
    ] {
        assert!(date_time(text).is_some(), "{text}");
    }
    for text in [
        "2008-01-23",
        "04:56:22Z",
        "2008-01-23 04:56:22Z",
        "2008-13-23T04:56:22Z",
        "",
    ] {
        assert!(date_time(text).is_none(), "{text}");
    }
}

fn literals() -> impl Strategy<Value = Literal> {
    prop_oneof![
        "[^\\x00]{0,8}".prop_map(Literal::String),
        any::<i64>().prop_map(|n| Literal::Number(n.into())),
        any::<f64>().prop_filter_map("finite", |n| Number::from_f64(n).map(Literal::Number)),
        any::<bool>().prop_map(Literal::Boolean),
        Just(Literal::Null),
    ]
}

fn names() -> impl Strategy<Value = Name> {
    let names = "(urn:x:2\\.0:[A-Z]{1,3}:)?[A-Za-z$][A-Za-z0-9_-]{0,6}(\\.[a-z$]{1,4})?";
    names.prop_map(|text| Name { text, position: 0 })
}

fn filters() -> impl Strategy<Value = Filter> {
    let operators = prop::sample::select(Operator::ALL);
    let leaf = prop_oneof![
        names()
            .prop_filter("no operator", |n| !n.text.eq_ignore_ascii_case("not"))
            .prop_map(Filter::Present),
        (names(), operators, literals())
            .prop_filter("no operator", |(n, ..)| !n.text.eq_ignore_ascii_case("not"))
            .prop_map(|(name, operator, literal)| Filter::Compare(name, operator, literal)),
    ];
    leaf.prop_recursive(6, 60, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.clone().prop_map(|f| Filter::Not(Box::new(f))),
            (names(), inner)
                .prop_filter("no operator", |(n, _)| !n.text.eq_ignore_ascii_case("not"))
                .prop_map(|(name, f)| Filter::ValuePath(name, Box::new(f))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same(filter in filters()) {
        prop_assert_eq!(parse(&filter.to_string()), Ok(filter));
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = user(&text);
    }

    #[test]
    fn no_text_of_tokens_panics(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "emails", "type", "active", "(", ")", "[", "]", ".", "not", "and", "or", "eq", "pr",
            "\"x\"", "\"", "\\", "true", "1", "é", " ",
        ]), 0..40),
    ) {
        let _ = user(&tokens.concat());
        let _ = user(&tokens.join(" "));
    }
}
