//! In which order the operations of a bulk request are carried out: as they stand, but each after
//! those that create what it refers to.

use std::collections::{BTreeSet, HashSet};

/// The operations that are left, by their places in the request.
pub(super) struct Order {
    /// For each, the operations that it still waits for.
    needs: Vec<HashSet<usize>>,
    /// For each, the operations that wait for it.
    needed_by: Vec<Vec<usize>>,
    /// Those that wait for none.
    ready: BTreeSet<usize>,
}

impl Order {
    /// The order of operations, of which each needs the ones in its set.
    pub(super) fn new(needs: Vec<HashSet<usize>>) -> Self {
        let mut needed_by = vec![vec![]; needs.len()];
        for (place, needed) in needs.iter().enumerate() {
            for &other in needed {
                needed_by[other].push(place);
            }
        }
        let is_free = |place: &usize| needs[*place].is_empty();
        Self {
            ready: (0..needs.len()).filter(is_free).collect(),
            needs,
            needed_by,
        }
    }

    /// What comes next: one operation, or several that need each other. None when all are done.
    pub(super) fn next(&self) -> Vec<usize> {
        match self.ready.first() {
            Some(&place) => vec![place],
            None => self.circle(),
        }
    }

    /// Whether an operation waits for none but these, which are in ascending order.
    pub(super) fn waits_for_none_but(&self, place: usize, others: &[usize]) -> bool {
        let mut needs = self.needs.get(place).into_iter().flatten();
        needs.all(|need| others.binary_search(need).is_ok())
    }

    /// Takes note that an operation was carried out, with success or without.
    pub(super) fn done(&mut self, place: usize) {
        self.ready.remove(&place);
        self.needs[place].clear();
        for other in std::mem::take(&mut self.needed_by[place]) {
            let was_waiting = self.needs[other].remove(&place);
            if was_waiting && self.needs[other].is_empty() {
                self.ready.insert(other);
            }
        }
    }

    /// Operations that need each other and nothing else.
    fn circle(&self) -> Vec<usize> {
        let mut search = Search {
            needs: &self.needs,
            seen: vec![None; self.needs.len()],
            stack: vec![],
        };
        let first = self.needs.iter().position(|needs| !needs.is_empty());
        let mut circle = first
            .and_then(|first| search.visit(first).err())
            .unwrap_or_default();
        circle.sort_unstable();
        circle
    }
}

/// Tarjan's search for strongly connected components, up to the first, which needs no other.
struct Search<'a> {
    needs: &'a [HashSet<usize>],
    /// When each operation was come to.
    seen: Vec<Option<usize>>,
    stack: Vec<usize>,
}

impl Search<'_> {
    /// The earliest operation that can be come to from here; or the component, as an error, since it
    /// ends the search.
    fn visit(&mut self, place: usize) -> Result<usize, Vec<usize>> {
        let number = self.stack.len();
        self.seen[place] = Some(number);
        self.stack.push(place);
        let mut earliest = number;
        for &need in &self.needs[place] {
            earliest = earliest.min(match self.seen[need] {
                // Until the first component is found, whatever was seen is on the stack.
                Some(number) => number,
                None => self.visit(need)?,
            });
        }
        if earliest < number {
            return Ok(earliest);
        }
        Err(self.stack.split_off(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps in which operations with these needs are carried out.
    fn steps(needs: &[&[usize]]) -> Vec<Vec<usize>> {
        let needs = needs.iter().map(|needs| needs.iter().copied().collect());
        let mut order = Order::new(needs.collect());
        let mut steps = vec![];
        loop {
            let step = order.next();
            if step.is_empty() {
                return steps;
            }
            step.iter().for_each(|&place| order.done(place));
            steps.push(step);
        }
    }

    #[test]
    fn each_comes_after_what_it_needs_and_else_as_it_stands() {
        for (needs, expected) in [
            (&[][..], vec![]),
            (&[&[][..], &[], &[]], vec![vec![0], vec![1], vec![2]]),
            (&[&[][..], &[0], &[1]], vec![vec![0], vec![1], vec![2]]),
            (&[&[2][..], &[], &[]], vec![vec![1], vec![2], vec![0]]),
            (&[&[1][..], &[2], &[]], vec![vec![2], vec![1], vec![0]]),
            // Circles come last, the ones that others need before these.
            (&[&[1][..], &[0], &[]], vec![vec![2], vec![0, 1]]),
            (
                &[&[1][..], &[0, 2], &[3], &[2], &[0]],
                vec![vec![2, 3], vec![0, 1], vec![4]],
            ),
            (
                &[&[1][..], &[2], &[0], &[0, 1]],
                vec![vec![0, 1, 2], vec![3]],
            ),
        ] {
            assert_eq!(steps(needs), expected, "{needs:?}");
        }
    }

    #[test]
    fn a_thousand_in_a_circle_are_found() {
        let needs: Vec<HashSet<usize>> =
            (0..1000).map(|n| HashSet::from([(n + 1) % 1000])).collect();
        assert_eq!(Order::new(needs).next().len(), 1000);
    }
}
