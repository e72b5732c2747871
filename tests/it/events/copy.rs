//! A copy that is made of events alone is what the database has, whatever happens in between.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{ask, page};
use crate::support::scim::{Client, path};
use crate::support::{Server, database_url, needs_parallel_connections, run};

/// How many writers there are at a time.
const WRITERS: usize = 8;

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

/// How many requests change something. ROLLCALL_TEST_CHANGES asks for more.
fn changes() -> usize {
    let asked = std::env::var("ROLLCALL_TEST_CHANGES").ok();
    let usual = if database_url().is_some() { 2_000 } else { 200 };
    asked.map_or(usual, |text| text.parse().unwrap())
}

/// What a reader keeps, together with where it is.
#[derive(Clone, Default)]
struct Copy {
    cursor: String,
    seen: HashSet<String>,
    things: BTreeMap<(String, String), Value>,
}

impl Copy {
    /// Reads a page, and tells whether there was an event on it, or there are more.
    async fn read(&mut self, server: &Server, size: usize) -> bool {
        let page = page(server, &self.cursor, json!({ "pageSize": size })).await;
        let events = page["events"].as_array().cloned().unwrap_or_default();
        for event in &events {
            self.take(event);
        }
        page["cursor"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.cursor);
        !events.is_empty() || page["hasMore"] == true
    }

    fn take(&mut self, event: &Value) {
        let text = |field: &str| event[field].as_str().unwrap().to_owned();
        assert!(self.seen.insert(text("id")), "twice: {event}");
        let key = (text("subjectType"), text("subjectId"));
        let (_, verb) = event["type"].as_str().unwrap().split_once('.').unwrap();
        match verb {
            "deleted" | "ended" => {
                self.things.remove(&key);
                if key.0 == "group" {
                    let is_of = |kind: &str, thing: &Value| {
                        kind == "membership" && thing["group_id"] == *key.1
                    };
                    self.things.retain(|(kind, _), thing| !is_of(kind, thing));
                }
            }
            _ => {
                self.things.insert(key, event["data"].clone());
            }
        }
    }
}

/// An identity provider that changes things at random.
struct Writer {
    c: Client,
    dice: Dice,
    users: Vec<Value>,
    groups: Vec<Value>,
    made: usize,
}

impl Writer {
    async fn change(&mut self) {
        let number = self.made;
        self.made += 1;
        let (users, groups) = (self.users.len(), self.groups.len());
        match self.dice.throw(10) {
            0..=2 => {
                let name = format!("{number}@{}", self.c.configuration.as_str().unwrap());
                self.users.push(self.c.user(&name, json!({})).await);
            }
            3 | 4 if users > 0 => {
                let user = path(&self.users[self.dice.throw(users)]);
                let op = json!([{ "op": "replace", "path": "displayName", "value": format!("Name {number}") }]);
                self.c.patch(&user, op).await.is(200);
            }
            5 if users > 0 => {
                let user = path(&self.users[self.dice.throw(users)]);
                let active = self.dice.throw(2) == 0;
                self.c.set_active(&user, active).await;
            }
            6 if users > 10 => {
                let user = self.users.swap_remove(self.dice.throw(users));
                self.c.delete(&path(&user)).await.is(204);
            }
            7 => {
                let some: Vec<_> = self.users.iter().take(3).collect();
                let group = self.c.group(&format!("Group {number}"), &some).await;
                self.groups.push(group);
            }
            8 if groups > 0 => {
                let group = path(&self.groups[self.dice.throw(groups)]);
                let skipped = self.dice.throw(users + 1);
                let some = self.users.iter().skip(skipped).take(20);
                let some: Vec<_> = some.map(|user| json!({ "value": user["id"] })).collect();
                let op = ["add", "replace"][self.dice.throw(2)];
                let op = json!([{ "op": op, "path": "members", "value": some }]);
                let reply = self.c.patch(&group, op).await;
                assert!(reply.status.is_success(), "{:?}", reply.bytes);
            }
            9 if groups > 3 => {
                let group = self.groups.swap_remove(self.dice.throw(groups));
                self.c.delete(&path(&group)).await.is(204);
            }
            _ => {
                let group = format!("Group {number}");
                self.groups.push(self.c.group(&group, &[]).await);
            }
        }
    }
}

#[test]
fn a_reader_that_is_killed_at_random_has_a_copy_of_what_eight_writers_write() {
    needs_parallel_connections();
    run(async {
        let c = Client::start().await;
        let replica = Arc::new(c.server.replica());
        let left = Arc::new(AtomicUsize::new(WRITERS));
        let writers = (0..WRITERS).map(|number| {
            let (c, replica, left) = (c.clone(), replica.clone(), left.clone());
            async move {
                let mut c = c.beside(json!({})).await;
                if number % 2 == 1 {
                    c.server = replica;
                }
                let mut writer = Writer {
                    c,
                    dice: Dice(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1)),
                    users: vec![],
                    groups: vec![],
                    made: 0,
                };
                for _ in 0..changes() / WRITERS {
                    writer.change().await;
                }
                left.fetch_sub(1, Ordering::Relaxed);
            }
        });
        let writers: Vec<_> = writers.map(tokio::spawn).collect();

        let mut dice = Dice(7);
        let mut saved = Copy::default();
        let mut copy = saved.clone();
        loop {
            let is_over = left.load(Ordering::Relaxed) == 0;
            let server = if dice.throw(2) == 0 {
                &c.server
            } else {
                &replica
            };
            let size = 1 + dice.throw(300);
            let found = copy.read(server, size).await;
            match dice.throw(10) {
                // It is killed, and begins with what it kept last.
                0 => copy = saved.clone(),
                1..=3 => saved = copy.clone(),
                _ if is_over && !found => break,
                _ => tokio::task::yield_now().await,
            }
        }
        for writer in writers {
            writer.await.unwrap();
        }

        let mut there = BTreeMap::new();
        let mut request = json!({ "pageSize": 1000 });
        loop {
            let page = ask(&c.server, "ListSubjects", request.clone()).await.ok();
            for subject in page["subjects"].as_array().into_iter().flatten() {
                let text = |field: &str| subject[field].as_str().unwrap().to_owned();
                there.insert((text("type"), text("id")), subject["data"].clone());
            }
            match page.get("nextPageToken") {
                Some(token) => request["pageToken"] = token.clone(),
                None => break,
            }
        }
        let listed = [
            "member",
            "group",
            "membership",
            "role_assignment",
            "session",
        ];
        copy.things.retain(|(kind, _), _| listed.contains(&&**kind));
        for (key, thing) in &there {
            assert_eq!(copy.things.get(key), Some(thing), "{key:?}");
        }
        assert_eq!(copy.things.len(), there.len());
        println!("{} events", copy.seen.len());
    });
}
