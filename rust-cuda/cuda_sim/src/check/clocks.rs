//! Vector clocks: which times of other agents happened before a thread's present.
//!
//! An agent is a thread, or a thread's asynchronous copies. A clock of every agent for every agent would be blocks × threads
//! squared; but a block's threads meet at barriers and then have the same knowledge. So a [`Clock`] is a row of times
//! for each block it has synchronised with, rows are shared until one changes, and a thread that has acquired nothing
//! since a barrier shares its clock with the others. Only its own time is private.

use std::collections::BTreeMap;
use std::rc::Rc;

/// A moment of an agent. Times begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    pub block: u32,
    pub agent: u32,
    pub time: u32,
}

/// For each agent, the latest moment that is known to be past.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    rows: BTreeMap<u32, Rc<Vec<u32>>>,
}

impl Clock {
    /// Whether the moment is known to be past.
    pub fn covers(&self, epoch: Epoch) -> bool {
        let row = self.rows.get(&epoch.block);
        row.and_then(|row| row.get(epoch.agent as usize)).is_some_and(|time| *time >= epoch.time)
    }

    /// Learns of one moment.
    pub fn raise(&mut self, Epoch { block, agent, time }: Epoch) {
        let row = Rc::make_mut(self.rows.entry(block).or_default());
        let agent = agent as usize;
        if row.len() <= agent {
            row.resize(agent + 1, 0);
        }
        row[agent] = row[agent].max(time);
    }

    /// Learns all that the other knows.
    pub fn join(&mut self, other: &Self) {
        for (block, theirs) in &other.rows {
            let Some(mine) = self.rows.get_mut(block) else {
                self.rows.insert(*block, Rc::clone(theirs));
                continue;
            };
            if Rc::ptr_eq(mine, theirs) {
                continue;
            }
            let mine = Rc::make_mut(mine);
            if mine.len() < theirs.len() {
                mine.resize(theirs.len(), 0);
            }
            mine.iter_mut().zip(theirs.iter()).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Who sees an atomic access or a fence in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The threads of one block.
    Block,
    /// All threads: a launch is on one GPU.
    Device,
}

impl Scope {
    /// Whether both of two accesses name the other's thread.
    pub fn together(self, other: Self, same_block: bool) -> bool {
        same_block || (self == Self::Device && other == Self::Device)
    }

    /// The smaller of two.
    pub fn least(self, other: Self) -> Self {
        if self == Self::Block { self } else { other }
    }
}

/// A thread's time and what it knows.
#[derive(Clone, Debug)]
pub(super) struct ThreadClock {
    now: Epoch,
    known: Rc<Clock>,
    /// What was known at the last fence of the block's scope, and of the device's: a relaxed write passes it on.
    fenced: [Option<Rc<Clock>>; 2],
    /// What relaxed reads saw that was meant for the block, and for the device: a fence makes it known.
    seen: [Clock; 2],
}

impl ThreadClock {
    /// A thread that begins.
    pub fn new(block: u32, agent: u32) -> Self {
        Self {
            now: Epoch { block, agent, time: 1 },
            known: Rc::default(),
            fenced: [None, None],
            seen: Default::default(),
        }
    }

    /// This moment.
    pub fn now(&self) -> Epoch {
        self.now
    }

    /// Whether a moment is before this one: the thread's own, or known to be past.
    pub fn covers(&self, epoch: Epoch) -> bool {
        (epoch.block, epoch.agent) == (self.now.block, self.now.agent) || self.known.covers(epoch)
    }

    /// Everything up to this moment, for others to learn. What the thread does next is not in it.
    pub fn release(&mut self) -> Rc<Clock> {
        Rc::make_mut(&mut self.known).raise(self.now);
        self.now.time += 1;
        Rc::clone(&self.known)
    }

    /// Learns.
    pub fn acquire(&mut self, clock: &Clock) {
        if !clock.is_empty() {
            Rc::make_mut(&mut self.known).join(clock);
        }
    }

    /// Learns of one moment.
    pub fn acquire_moment(&mut self, epoch: Epoch) {
        Rc::make_mut(&mut self.known).raise(epoch);
    }

    /// A fence: what relaxed reads saw is known, and relaxed writes from here on pass on what is known.
    pub fn fence(&mut self, scope: Scope) {
        for of in 0..=scope as usize {
            let seen = std::mem::take(&mut self.seen[of]);
            self.acquire(&seen);
        }
        self.fenced[scope as usize] = Some(self.release());
    }

    /// What fences let a relaxed write of this scope pass on, and to whom.
    pub fn fenced(&self, scope: Scope) -> impl Iterator<Item = (Scope, Rc<Clock>)> {
        let pairs = [Scope::Block, Scope::Device].into_iter().zip(&self.fenced);
        pairs.filter_map(move |(of, clock)| Some((of.least(scope), Rc::clone(clock.as_ref()?))))
    }

    /// A relaxed read saw what was passed on for `scope`.
    pub fn saw(&mut self, scope: Scope, clock: &Clock) {
        self.seen[scope as usize].join(clock);
    }
}

/// Threads meet: each learns what all know, and all go on with one clock.
pub(super) fn meet(threads: &mut [ThreadClock], who: &[usize], also: &Clock) {
    let Some((first, rest)) = who.split_first() else { return };
    let mut all = Rc::clone(&threads[*first].known);
    let mut last = Rc::clone(&all);
    for i in rest {
        let known = &threads[*i].known;
        if !Rc::ptr_eq(known, &last) {
            last = Rc::clone(known);
            Rc::make_mut(&mut all).join(known);
        }
    }
    drop(last);
    let clock = Rc::make_mut(&mut all);
    clock.join(also);
    for i in who {
        clock.raise(threads[*i].now);
        threads[*i].now.time += 1;
    }
    for i in who {
        threads[*i].known = Rc::clone(&all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(block: u32, count: u32) -> Vec<ThreadClock> {
        (0..count).map(|agent| ThreadClock::new(block, agent)).collect()
    }

    #[test]
    fn a_thread_knows_itself_and_nobody_else() {
        let all = threads(0, 2);
        assert!(all[0].covers(all[0].now()));
        assert!(!all[0].covers(all[1].now()));
    }

    #[test]
    fn what_was_before_a_meeting_is_known_and_what_is_after_is_not() {
        let mut all = threads(0, 3);
        let before = all[1].now();
        meet(&mut all, &[0, 1], &Clock::default());
        assert!(all[0].covers(before) && !all[2].covers(before));
        assert!(!all[0].covers(all[1].now()));
        assert!(Rc::ptr_eq(&all[0].known, &all[1].known), "one clock for all who met");
    }

    #[test]
    fn knowledge_is_passed_on() {
        let mut all = threads(0, 3);
        let before = all[0].now();
        meet(&mut all, &[0, 1], &Clock::default());
        meet(&mut all, &[1, 2], &Clock::default());
        assert!(all[2].covers(before));
    }

    #[test]
    fn clocks_of_two_blocks_keep_apart() {
        let (mut a, mut b) = (ThreadClock::new(0, 0), ThreadClock::new(7, 0));
        let before = a.now();
        b.acquire(&a.release());
        assert!(b.covers(before) && !b.covers(a.now()));
        assert!(!a.covers(b.now()));
    }

    #[test]
    fn a_fence_passes_on_what_was_before_it() {
        let mut thread = ThreadClock::new(0, 0);
        assert_eq!(thread.fenced(Scope::Device).count(), 0);
        let before = thread.now();
        thread.fence(Scope::Device);
        let [(scope, clock)] = thread.fenced(Scope::Block).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(scope, Scope::Block, "no further than the write");
        assert!(clock.covers(before) && !clock.covers(thread.now()));
    }

    #[test]
    fn what_a_relaxed_read_saw_is_known_after_a_fence_that_is_wide_enough() {
        let (mut from, mut to) = (ThreadClock::new(0, 0), ThreadClock::new(1, 0));
        let before = from.now();
        to.saw(Scope::Device, &from.release());
        assert!(!to.covers(before));
        to.fence(Scope::Block);
        assert!(!to.covers(before));
        to.fence(Scope::Device);
        assert!(to.covers(before));
    }
}
