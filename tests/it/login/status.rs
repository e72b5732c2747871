//! Whether a member may act, after any sequence of what provisioning and sign-in do.

use std::sync::Arc;

use rollcall::domain::member::MemberStatus;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Browser, Place};
use crate::support::run;
use crate::support::scim::Client;

/// How many things happen to a person, one after the other.
const STEPS: usize = 4;

/// Something that happens to a person. Numbers are those of two SCIM configurations.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize),
    Activate(usize, bool),
    Delete(usize),
    SignIn,
}

/// The person's user in each of the two configurations, if there is one, and whether it is active.
type Users = [Option<bool>; 2];

/// All sequences of steps that can be taken one after the other.
fn sequences(length: usize, users: Users) -> Vec<Vec<Step>> {
    if length == 0 {
        return vec![vec![]];
    }
    let mut next = vec![(Step::SignIn, users)];
    for (at, user) in users.into_iter().enumerate() {
        let mut to = |step, user| {
            let mut users = users;
            users[at] = user;
            next.push((step, users));
        };
        match user {
            None => to(Step::Push(at), Some(true)),
            Some(active) => {
                to(Step::Activate(at, !active), Some(!active));
                to(Step::Delete(at), None);
            }
        }
    }
    let with = |(step, users): (Step, Users)| {
        let rest = sequences(length - 1, users);
        rest.into_iter()
            .map(move |rest| [vec![step], rest].concat())
    };
    next.into_iter().flat_map(with).collect()
}

struct Case<'a> {
    place: &'a Place,
    provisionings: &'a [Client; 2],
    name: String,
    users: [String; 2],
    browser: Browser<'a>,
    /// The member of the session, until it has to end.
    session: Option<String>,
}

impl Case<'_> {
    async fn take(&mut self, step: Step) {
        let email = self.place.email(&self.name);
        match step {
            Step::Push(at) => {
                self.users[at] = self.provisionings[at]
                    .push_as(&self.name, &email, Value::Null)
                    .await;
            }
            Step::Activate(at, active) => {
                self.provisionings[at]
                    .set_active(&self.users[at], active)
                    .await;
            }
            Step::Delete(at) => {
                self.provisionings[at].delete(&self.users[at]).await.is(204);
            }
            Step::SignIn => {
                self.place.comes(&self.name, json!({}));
                let reply = self.place.try_sign_in(&mut self.browser).await;
                if reply.status == 303 {
                    self.session = self.browser.member().await;
                }
            }
        }
    }

    /// Compares every member that this person was with what the database has of its users and sessions.
    async fn check(&mut self, steps: &[Step]) {
        let mut db = self.place.server.app.store.acquire().await.unwrap();
        let members: Vec<(Uuid, String, Vec<bool>, bool, i64)> = sqlx::query_as(
            "select u.id, u.status,
                 array(select s.active from scim_users s where s.organization_id = u.organization_id and s.user_id = u.id),
                 exists (select 1 from scim_former_users f where f.organization_id = u.organization_id and f.user_id = u.id),
                 (select count(*) from sessions s where s.organization_id = u.organization_id and s.user_id = u.id)
             from users u where u.organization_id = $1 and u.email = $2",
        )
        .bind(self.place.server.organization_id().as_uuid())
        .bind(self.place.email(&self.name))
        .fetch_all(&mut *db)
        .await
        .unwrap();
        drop(db);
        for (id, status, users, was_provisioned, sessions) in members {
            let expected = if users.is_empty() && !was_provisioned {
                MemberStatus::Active
            } else {
                MemberStatus::of_users(false, users)
            };
            assert_eq!(status, expected.as_str(), "{id} after {steps:?}");
            if expected != MemberStatus::Active {
                assert_eq!(sessions, 0, "of {id} after {steps:?}");
                self.session.take_if(|member| *member == id.to_string());
            }
        }
        assert_eq!(self.browser.member().await, self.session, "after {steps:?}");
    }
}

/// The provisioning of a configuration that takes a user with a member's address for that member.
async fn provisioning(place: &Place) -> Client {
    let more = json!({
        "ssoConfigurationId": place.sso,
        "allowUnverifiedEmailAccountLinking": true,
    });
    Client::of(Arc::new(place.server.clone()), more).await
}

#[test]
fn every_sequence_of_provisioning_and_sign_in_ends_in_the_status_that_the_users_say() {
    run(async {
        let place = Place::start().await;
        let provisionings = [provisioning(&place).await, provisioning(&place).await];
        for (number, steps) in sequences(STEPS, [None, None]).into_iter().enumerate() {
            let mut case = Case {
                place: &place,
                provisionings: &provisionings,
                name: format!("p{number}"),
                users: Default::default(),
                browser: place.browser(),
                session: None,
            };
            for (taken, step) in steps.iter().enumerate() {
                case.take(*step).await;
                case.check(&steps[..=taken]).await;
            }
        }
    });
}

/// The audit log's entries of sign-in: action, actor and subject.
async fn entries(place: &Place) -> Vec<(String, String, String)> {
    let mut db = place.server.app.store.acquire().await.unwrap();
    sqlx::query_as(
        "select action, actor_id::text, subject_id::text from audit_entries
         where organization_id = $1 and actor_principal = 'user' order by created_at, id",
    )
    .bind(place.server.organization_id().as_uuid())
    .fetch_all(&mut *db)
    .await
    .unwrap()
}

#[test]
fn what_a_sign_in_changes_is_in_the_audit_log() {
    run(async {
        let place = Place::start().await;
        // Somebody waits under an address that is not theirs, until its owner comes.
        place.comes("ada", json!({ "sub": "attacker", "email_verified": false }));
        let waiting = place.sign_in(&mut place.browser()).await;
        let (_, ada) = place.signed_in("ada").await;
        place.comes("ada", json!({ "name": "Ada L." }));
        place.sign_in(&mut place.browser()).await;
        let by = |action: &str, actor: &String, subject: &String| {
            (action.to_owned(), actor.clone(), subject.clone())
        };
        assert_eq!(
            entries(&place).await,
            [
                by("CreateUser", &waiting, &waiting),
                by("SignIn", &waiting, &waiting),
                by("UpdateUser", &ada, &waiting),
                by("CreateUser", &ada, &ada),
                by("SignIn", &ada, &ada),
                by("UpdateUser", &ada, &ada),
                by("SignIn", &ada, &ada),
            ]
        );
        // Whoever is kept out changes nothing.
        place.comes("ada", json!({ "sub": "another", "email_verified": false }));
        let refused = place.try_sign_in(&mut place.browser()).await;
        assert_eq!(refused.status, 403);
        assert_eq!(entries(&place).await.len(), 7);
        let (mut browser, _) = place.signed_in("ada").await;
        browser.post("/logout", &[]).await;
        assert_eq!(
            entries(&place).await[8..],
            [by("SignIn", &ada, &ada), by("EndSession", &ada, &ada)]
        );
    });
}
