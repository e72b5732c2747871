//! Which event may be sent now: of those with the same key, one after the other.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use crate::domain::event::Event;

/// An event to send.
#[derive(Clone, Debug)]
pub struct Item {
    /// The event.
    pub event: Arc<Event>,
    /// How often it was sent.
    pub tries: u32,
    /// Since when it is tried.
    pub since: Instant,
    /// The page of the log that it was read in; `None` for one that is noted as waiting.
    pub page: Option<u64>,
}

/// The events with one key, in their order.
#[derive(Debug, Default)]
struct Line {
    items: VecDeque<Item>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first may be sent.
    #[default]
    Ready,
    /// The first is under way.
    Busy,
    /// The first was refused, and may be sent again from this moment on. All that follow wait.
    Waiting(Instant),
}

impl State {
    fn is_waiting(self) -> bool {
        matches!(self, Self::Waiting(_))
    }
}

/// Every event that is to be sent.
#[derive(Debug, Default)]
pub struct Lines {
    lines: HashMap<Uuid, Line>,
    /// The keys of lines that may be ready.
    ready: VecDeque<Uuid>,
    count: usize,
    unnoted: usize,
}

impl Lines {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many of them are in no row.
    pub fn unnoted(&self) -> usize {
        self.unnoted
    }

    /// All that are in no row, in the order of the log.
    pub fn into_unnoted(self) -> Vec<Item> {
        let items = self.lines.into_values().flat_map(|line| line.items);
        let mut items: Vec<Item> = items.filter(|item| item.page.is_some()).collect();
        items.sort_by_key(|item| (item.page, item.event.seq));
        items
    }

    /// Adds an event behind those with its key. Tells whether it waits for one that was refused, which is to be noted.
    pub fn push(&mut self, mut item: Item) -> bool {
        let key = item.event.order_key;
        let line = self.lines.entry(key).or_default();
        if line.state.is_waiting() {
            item.page = None;
        }
        self.unnoted += usize::from(item.page.is_some());
        line.items.push_back(item);
        self.count += 1;
        if line.items.len() == 1 && line.state == State::Ready {
            self.ready.push_back(key);
        }
        line.state.is_waiting()
    }

    /// Has the first of a line wait until a moment, and all that follow it.
    pub fn delay(&mut self, key: Uuid, until: Instant) {
        if let Some(line) = self.lines.get_mut(&key) {
            line.state = State::Waiting(until);
        }
    }

    /// The next event that may be sent, which is under way then. `anyway`, it may also be one that waits: the one that was sent least, so
    /// that one that is never taken is not all that is tried.
    pub fn next(&mut self, now: Instant, anyway: bool) -> Option<Item> {
        if anyway {
            let lines = self.lines.values_mut();
            let lines = lines.filter(|line| line.state != State::Busy);
            let first = lines.min_by_key(|line| line.first(|item| (item.tries, item.event.seq)));
            return first.map(Line::start);
        }
        while let Some(key) = self.ready.pop_front() {
            if let Some(line) = self.lines.get_mut(&key)
                && line.state == State::Ready
            {
                return Some(line.start());
            }
        }
        let is_due = |line: &&mut Line| matches!(line.state, State::Waiting(until) if until <= now);
        let waiting = self.lines.values_mut().filter(is_due);
        let first = waiting.min_by_key(|line| line.first(|item| item.event.seq));
        first.map(Line::start)
    }

    /// When the next event may be sent that waits.
    pub fn next_due(&self) -> Option<Instant> {
        let waiting = self.lines.values().filter_map(|line| match line.state {
            State::Waiting(until) => Some(until),
            State::Ready | State::Busy => None,
        });
        waiting.min()
    }

    /// The event under way is done with: those behind it may be sent.
    pub fn done(&mut self, key: Uuid) {
        let Some(line) = self.lines.get_mut(&key) else {
            return;
        };
        if let Some(item) = line.items.pop_front() {
            self.count -= 1;
            self.unnoted -= usize::from(item.page.is_some());
        }
        if line.items.is_empty() {
            self.lines.remove(&key);
            return;
        }
        line.state = State::Ready;
        self.ready.push_back(key);
    }

    /// The event under way was refused, and is sent again at a moment. Returns it, and those behind it that wait now, but were not noted
    /// to do so. From now on, all of them are.
    pub fn refused(&mut self, key: Uuid, until: Instant) -> Vec<Item> {
        let Some(line) = self.lines.get_mut(&key) else {
            return vec![];
        };
        line.state = State::Waiting(until);
        if let Some(first) = line.items.front_mut() {
            first.tries += 1;
        }
        let mut unnoted = vec![];
        for (place, item) in line.items.iter_mut().enumerate() {
            if place == 0 || item.page.is_some() {
                unnoted.push(item.clone());
                self.unnoted -= usize::from(item.page.take().is_some());
            }
        }
        unnoted
    }
}

impl Line {
    fn first<T>(&self, of: impl Fn(&Item) -> T) -> Option<T> {
        self.items.front().map(of)
    }

    fn start(&mut self) -> Item {
        self.state = State::Busy;
        self.items[0].clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn item(seq: i64, key: u128) -> Item {
        let event = Event {
            organization_id: Uuid::nil().into(),
            seq,
            time: DateTime::UNIX_EPOCH,
            kind: "member.updated".to_owned(),
            subject_id: Uuid::nil(),
            order_key: Uuid::from_u128(key),
            data: json!({}),
            previous: json!({}),
            actor_kind: None,
            actor_id: None,
        };
        Item {
            event: Arc::new(event),
            tries: 0,
            since: Instant::now(),
            page: Some(0),
        }
    }

    fn sent(lines: &mut Lines, now: Instant) -> Vec<i64> {
        std::iter::from_fn(|| lines.next(now, false))
            .map(|item| item.event.seq)
            .collect()
    }

    #[test]
    fn events_with_one_key_go_one_after_the_other_and_others_beside_them() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        for (seq, key) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
            assert!(!lines.push(item(seq, key)));
        }
        assert_eq!(sent(&mut lines, now), [1, 3]);
        lines.done(Uuid::from_u128(1));
        assert_eq!(sent(&mut lines, now), [2]);
        lines.done(Uuid::from_u128(1));
        lines.done(Uuid::from_u128(2));
        assert_eq!(sent(&mut lines, now), [4]);
        lines.done(Uuid::from_u128(1));
        assert_eq!(lines.len(), 0);
    }

    #[test]
    fn what_is_behind_one_that_was_refused_waits_with_it() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        let (key, later) = (Uuid::from_u128(1), now + Duration::from_secs(5));
        lines.push(item(1, 1));
        lines.push(item(2, 1));
        assert_eq!(sent(&mut lines, now), [1]);
        let noted: Vec<_> = lines
            .refused(key, later)
            .iter()
            .map(|item| (item.event.seq, item.tries))
            .collect();
        assert_eq!(noted, [(1, 1), (2, 0)]);
        assert!(lines.push(item(3, 1)), "it waits, too");
        assert!(sent(&mut lines, now).is_empty());
        assert_eq!(lines.next_due(), Some(later));
        assert_eq!(sent(&mut lines, later), [1]);
        // Those behind it are noted.
        let noted: Vec<_> = lines
            .refused(key, later)
            .iter()
            .map(|item| item.event.seq)
            .collect();
        assert_eq!(noted, [1]);
        assert_eq!(lines.next(now, true).map(|item| item.event.seq), Some(1));
        lines.done(key);
        assert_eq!(sent(&mut lines, now), [2]);
    }
}
