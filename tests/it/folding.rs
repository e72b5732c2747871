//! Letters: the database folds what has no key yet as the program does, and keys of an older release are made anew.

use rollcall::domain::letters::{fold, user_name_key};
use rollcall::jobs::folding::fold_all;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use unicode_normalization::UnicodeNormalization;

use crate::support::log::Log;
use crate::support::run;
use crate::support::scim::{Client, path, text};

/// The job passes over rows that another run of it has locked, so one test runs it at a time.
static JOB: Mutex<()> = Mutex::const_new(());

async fn job(c: &Client) {
    let _turn = JOB.lock().await;
    fold_all(&c.server.app).await.unwrap();
}

/// What 0.1.0 did with letters.
fn in_lower_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

#[test]
fn the_database_folds_every_letter_as_the_program_does() {
    run(async {
        let c = Client::start().await;
        let letters: Vec<String> = ('\u{1}'..='\u{1ffff}').map(String::from).collect();
        for letters in letters.chunks(0x2000) {
            let folded: Vec<String> = letters.iter().map(|l| fold(l).into_owned()).collect();
            let mut db = c.server.app.store.acquire().await.unwrap();
            let other: Vec<String> = sqlx::query_scalar(
                "select l from unnest($1::text[], $2::text[]) as t(l, f) where folded(l) collate \"C\" <> f",
            )
            .bind(letters)
            .bind(folded)
            .fetch_all(&mut *db)
            .await
            .unwrap();
            assert_eq!(other, [""; 0]);
            let lower: Vec<String> = letters.iter().map(|l| in_lower_case(l)).collect();
            let found: Vec<String> =
                sqlx::query_scalar("select l from unnest($1::text[]) l where is_unfolded(l)")
                    .bind(&lower)
                    .fetch_all(&mut *db)
                    .await
                    .unwrap();
            let stale = letters.iter().map(|l| old_user_name_key(l));
            let stale: Vec<String> = stale.filter(|n| user_name_key(n) != *n).collect();
            let missed: Vec<String> =
                sqlx::query_scalar("select l from unnest($1::text[]) l where not is_unfolded(l)")
                    .bind(stale)
                    .fetch_all(&mut *db)
                    .await
                    .unwrap();
            drop(db);
            assert_eq!(missed, [""; 0], "user names");
            let keys = lower.iter().filter(|l| fold(l) != **l);
            assert!(keys.eq(&found), "{found:?}");
        }
    });
}

/// The key that 0.1.0 made of a user name.
fn old_user_name_key(name: &str) -> String {
    let name: String = name.nfkc().flat_map(char::to_lowercase).collect();
    name.nfkc().collect()
}

/// The names of the organization's members that a search finds.
async fn searched(c: &Client, search: &str) -> Vec<String> {
    let request =
        json!({ "organizationId": c.server.organization, "filter": { "search": search } });
    let found = c.server.call("ListMembers", request).await.ok();
    let members = found["members"].as_array().cloned().unwrap_or_default();
    members.iter().map(|m| text(&m["fullName"])).collect()
}

#[test]
fn what_an_older_release_wrote_is_found() {
    run(async {
        let c = Client::start().await;
        let more = json!({
            "displayName": "Groß Σίσυφος", "title": "Straße",
            "emails": [{ "value": "Ada@bücher.example" }],
        });
        let user = c.user("νίκος", more).await;
        let group = c.group("Großkunden", &[&user]).await;
        let asked = [
            r#"userName eq "ΝΊΚΟΣ""#,
            r#"displayName eq "GROSS ΣΊΣΥΦΟΣ""#,
            r#"title sw "STRASSE""#,
            r#"emails.value eq "ada@xn--bcher-kva.example""#,
            r#"emails[value eq "ada@BÜCHER.example."]"#,
        ];
        for filter in asked {
            assert_eq!(c.names(filter).await, ["νίκος"], "{filter}");
        }
        // As the release 0.1.0 writes, which leaves alone what it does not know.
        c.execute(
            r#"update scim_users set user_name_key = 'νίκος', display_name_key = 'groß σίσυφος', version = version + 1,
                 search = search || '{"displayName": "groß σίσυφος", "title": "straße", "emails": [{"value": "ada@bücher.example"}]}'
               where organization_id = $1 and scim_configuration_id = $2"#,
        )
        .await;
        c.execute(
            "update scim_user_emails set value_key = 'ada@bücher.example' where organization_id = $1 and scim_configuration_id = $2",
        )
        .await;
        c.execute(
            "update users set email_key = 'ada@bücher.example', name = 'GROß Σίσυφος' where organization_id = $1 and $2 is not null",
        )
        .await;
        c.execute(
            r#"update scim_groups set display_name_key = 'großkunden', search = search || '{"displayName": "großkunden"}'
               where organization_id = $1 and scim_configuration_id = $2"#,
        )
        .await;
        c.execute(
            "update scim_group_members set display = 'Straße', display_key = null where organization_id = $1 and scim_configuration_id = $2",
        )
        .await;
        for filter in asked {
            assert_eq!(c.names(filter).await, [""; 0], "{filter}");
        }
        assert_eq!(searched(&c, "GROSS σίσυφοσ").await, ["GROß Σίσυφος"]);

        for _ in 0..2 {
            job(&c).await;
            for filter in asked {
                assert_eq!(c.names(filter).await, ["νίκος"], "{filter}");
            }
            for filter in [
                r#"displayName eq "GROSSKUNDEN""#,
                r#"members.display eq "STRASSE""#,
                r#"members.display co "ß""#,
            ] {
                assert_eq!(c.found("/Groups", filter).await.len(), 1, "{filter}");
            }
            assert_eq!(searched(&c, "@xn--bcher-kva").await.len(), 1);
            assert_eq!(searched(&c, "GROSS").await, ["GROß Σίσυφος"]);
            let left: Vec<(i64,)> = c
                .rows(
                    "select count(*) from scim_users where organization_id = $1 and scim_configuration_id = $2
                         and folded_version is distinct from version
                     union all
                     select count(*) from users where organization_id = $1 and (name_key is null or email_key ~ 'ü') and name <> ''
                         and email <> ''",
                )
                .await;
            assert_eq!(left, [(0,), (0,)]);
        }
        let after = c.read(&user).await;
        assert_eq!(after["meta"]["version"], json!("W/\"2\""), "{after}");
        assert_eq!(after["displayName"], "Groß Σίσυφος");
        let after = c.read(&group).await;
        assert_eq!(after["displayName"], "Großkunden");

        // Who was deleted by the older release comes back as the same member.
        let member = async || {
            let rows: Vec<(uuid::Uuid,)> = c
                .rows("select id from users where organization_id = $1 and $2 is not null and name like 'G%'")
                .await;
            rows
        };
        let before = member().await;
        c.delete(&path(&user)).await.is(204);
        c.execute(
            "update scim_former_users set user_name_key = 'νίκος' where organization_id = $1 and scim_configuration_id = $2",
        )
        .await;
        job(&c).await;
        let more = json!({ "displayName": "G" });
        c.user("ΝΊΚΟΣ", more).await;
        assert_eq!(member().await, before);
    });
}

#[test]
fn a_user_name_that_is_anothers_in_the_new_folding_keeps_its_key() {
    run(async {
        let c = Client::start().await;
        let first = c.user("νίκος", json!({})).await;
        let second = c.user("other", json!({})).await;
        c.execute(
            r#"update scim_users set user_name = 'ΝΊΚΟς', user_name_key = 'νίκος', folded_version = null,
                 resource = resource || '{"userName": "ΝΊΚΟς"}', search = search || '{"userName": "νίκος"}'
               where organization_id = $1 and scim_configuration_id = $2 and user_name = 'other'"#,
        )
        .await;
        let (log, _guard) = Log::capture();
        job(&c).await;
        let log = log.take();
        assert!(
            log.contains(&text(&second["id"])) && log.contains("delete one of the two"),
            "{log}"
        );
        assert!(!log.contains('ς') && !log.contains('Σ'), "{log}");
        // Both can still be changed: above all, suspended.
        for user in [&first, &second] {
            let change = json!([{ "op": "replace", "path": "active", "value": false }]);
            let changed = c.patch(&path(user), change).await.is(200);
            assert_eq!(changed["active"], Value::Bool(false));
        }
        c.delete(&path(&first)).await.is(204);
        job(&c).await;
        assert_eq!(c.names(r#"userName eq "νίκοσ""#).await, ["ΝΊΚΟς"]);
    });
}
