//! `SessionService`.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ask, pages};
use crate::login::{Browser, Place};
use crate::support::run;

const LIST: &str = "SessionService/ListSessions";
const END: &str = "SessionService/EndSessions";

/// A member who is signed in in three browsers, one after the other.
async fn signed_in_thrice(place: &Place) -> (String, Vec<Browser<'_>>) {
    let mut browsers = vec![];
    let mut id = String::new();
    for _ in 0..3 {
        let mut browser = place.browser();
        id = place.sign_in(&mut browser).await;
        browsers.push(browser);
        place.pass(TimeDelta::minutes(5));
    }
    (id, browsers)
}

async fn sessions(place: &Place, user: &str) -> Vec<Value> {
    let list = ask(&place.server, LIST, json!({ "userId": user }))
        .await
        .ok();
    list["sessions"].as_array().cloned().unwrap_or_default()
}

#[test]
fn the_sessions_of_a_member_are_listed_the_newest_first() {
    run(async {
        let place = Place::start().await;
        let (ada, _browsers) = signed_in_thrice(&place).await;
        let whole = sessions(&place, &ada).await;
        let began: Vec<&str> = whole
            .iter()
            .filter_map(|s| s["createdAt"].as_str())
            .collect();
        assert_eq!(
            began,
            [
                "2026-03-01T12:10:00Z",
                "2026-03-01T12:05:00Z",
                "2026-03-01T12:00:00Z"
            ]
        );
        assert_eq!(whole[2]["userId"], ada);
        assert_eq!(whole[2]["ssoConfigurationId"], place.sso);
        assert_eq!(whole[2]["expiresAt"], "2026-03-08T12:00:00Z");
        let request = json!({ "userId": ada });
        let pages = pages(&place.server, LIST, request, "sessions", 2).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(pages.concat(), whole);

        // Those that nobody used for long enough have ended.
        place.pass(TimeDelta::hours(12) - TimeDelta::minutes(12));
        assert_eq!(sessions(&place, &ada).await, whole[..2]);
    });
}

#[test]
fn one_session_ends_or_all_of_a_member_and_the_audit_log_has_it() {
    run(async {
        let place = Place::start().await;
        let (ada, mut browsers) = signed_in_thrice(&place).await;
        place.comes("grace", json!({}));
        let (mut hers, grace) = place.signed_in("grace").await;
        let whole = sessions(&place, &ada).await;

        let one = json!({ "userId": ada, "sessionId": whole[2]["id"] });
        let ended = ask(&place.server, END, one.clone()).await.ok();
        assert_eq!(ended, json!({ "endedCount": 1 }));
        assert_eq!(browsers[0].member().await, None, "at once");
        assert_eq!(browsers[1].member().await.as_ref(), Some(&ada));
        assert_eq!(
            ask(&place.server, END, one).await.ok(),
            json!({}),
            "none is left"
        );
        // The session of another member is none of this one's.
        let other = json!({ "userId": grace, "sessionId": whole[1]["id"] });
        assert_eq!(ask(&place.server, END, other).await.ok(), json!({}));

        let all = ask(&place.server, END, json!({ "userId": ada })).await.ok();
        assert_eq!(all, json!({ "endedCount": 2 }));
        for browser in &mut browsers {
            assert_eq!(browser.member().await, None);
        }
        assert_eq!(hers.member().await, Some(grace));
        let mut recorded = place.server.audit("user").await;
        recorded.retain(|(action, ..)| action == "EndSessions");
        assert_eq!(
            recorded,
            [(whole[2]["id"].clone(), 1), (Value::Null, 2)].map(|(id, count)| (
                "EndSessions".to_owned(),
                Value::Null,
                json!({ "session_id": id, "ended_sessions": count })
            ))
        );
    });
}

#[test]
fn attack_sessions_of_another_organization() {
    run(async {
        let place = Place::start().await;
        let (mut browser, ada) = place.signed_in("ada").await;
        let session = sessions(&place, &ada).await[0]["id"].clone();
        let attacker = place.neighbour().await;
        for method in [LIST, END] {
            let theirs = json!({ "userId": ada, "sessionId": session });
            let theirs = ask(&attacker.server, method, theirs).await;
            let nobodys = ask(&attacker.server, method, json!({ "userId": Uuid::max() })).await;
            assert_eq!(
                theirs.error("not_found"),
                nobodys.error("not_found"),
                "{method}: no oracle"
            );
        }
        assert_eq!(browser.member().await, Some(ada));
    });
}
