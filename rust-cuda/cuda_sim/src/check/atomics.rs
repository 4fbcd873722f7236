//! Synchronisation through atomics: for each place in memory, what was released to those who read it.

use std::collections::HashMap;
use std::rc::Rc;

use super::clocks::{Clock, Scope, ThreadClock};

/// What an atomic access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomicKind {
    /// Reads.
    Load,
    /// Writes.
    Store,
    /// Reads and writes in one.
    Change,
}

/// An atomic access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtomicAccess {
    /// What it does.
    pub kind: AtomicKind,
    /// Whether it orders with the other blocks' threads, not with its own block's alone.
    pub device: bool,
    /// Whether what the writer did before is seen afterwards.
    pub acquire: bool,
    /// Whether what was done before is seen by who reads the value.
    pub release: bool,
}

impl AtomicAccess {
    pub(super) fn scope(self) -> Scope {
        if self.device { Scope::Device } else { Scope::Block }
    }
}

/// What a block's threads have released at a place, to the threads of a scope.
#[derive(Debug)]
struct Released {
    block: u32,
    scope: Scope,
    clock: Rc<Clock>,
}

/// One place: everything that the writes since the last plain store have released.
#[derive(Debug, Default)]
struct Place {
    /// The thread that stored last: its further stores continue what it released.
    storer: Option<(u32, u32)>,
    released: Vec<Released>,
}

impl Place {
    fn add(&mut self, block: u32, scope: Scope, clock: Rc<Clock>) {
        match self.released.iter_mut().find(|r| (r.block, r.scope) == (block, scope)) {
            Some(released) => Rc::make_mut(&mut released.clock).join(&clock),
            None => self.released.push(Released { block, scope, clock }),
        }
    }
}

/// The places that were accessed atomically, by address.
#[derive(Debug, Default)]
pub(super) struct Atomics(HashMap<usize, Place>);

impl Atomics {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// A thread's access to the place at `address`.
    pub fn access(&mut self, thread: &mut ThreadClock, address: usize, access: AtomicAccess) {
        let place = self.0.entry(address).or_default();
        let (scope, now) = (access.scope(), thread.now());
        if access.kind != AtomicKind::Store {
            for released in &place.released {
                let same_block = released.block == now.block;
                if !scope.together(released.scope, same_block) {
                } else if access.acquire {
                    thread.acquire(&released.clock);
                } else {
                    thread.saw(if same_block { Scope::Block } else { Scope::Device }, &released.clock);
                }
            }
        }
        if access.kind == AtomicKind::Load {
            return;
        }
        if access.kind == AtomicKind::Store {
            let storer = Some((now.block, now.agent));
            if place.storer != storer {
                place.released.clear();
            }
            place.storer = storer;
        }
        for (scope, clock) in thread.fenced(scope) {
            place.add(now.block, scope, clock);
        }
        if access.release {
            place.add(now.block, scope, thread.release());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: usize = 64;

    fn access(kind: AtomicKind, device: bool) -> AtomicAccess {
        AtomicAccess { kind, device, acquire: false, release: false }
    }

    fn store(device: bool, release: bool) -> AtomicAccess {
        AtomicAccess { release, ..access(AtomicKind::Store, device) }
    }

    fn load(device: bool, acquire: bool) -> AtomicAccess {
        AtomicAccess { acquire, ..access(AtomicKind::Load, device) }
    }

    /// Whether a load learns of what was before a store, by a thread of another block or the same one.
    fn learns(other_block: bool, store: AtomicAccess, load: AtomicAccess) -> bool {
        let mut places = Atomics::default();
        let (mut from, mut to) = (ThreadClock::new(0, 0), ThreadClock::new(other_block.into(), 1));
        let before = from.now();
        places.access(&mut from, HERE, store);
        places.access(&mut to, HERE, load);
        to.covers(before)
    }

    #[test]
    fn release_and_acquire_order_where_both_scopes_reach() {
        assert!(learns(false, store(false, true), load(false, true)));
        assert!(learns(true, store(true, true), load(true, true)));
        assert!(!learns(true, store(false, true), load(true, true)));
        assert!(!learns(true, store(true, true), load(false, true)));
    }

    #[test]
    fn relaxed_accesses_order_nothing() {
        assert!(!learns(false, store(true, false), load(true, true)));
        assert!(!learns(false, store(true, true), load(true, false)));
    }

    #[test]
    fn fences_around_relaxed_accesses_order() {
        let mut places = Atomics::default();
        let (mut from, mut to) = (ThreadClock::new(0, 0), ThreadClock::new(1, 0));
        let before = from.now();
        from.fence(Scope::Device);
        let between = from.now();
        places.access(&mut from, HERE, store(true, false));
        places.access(&mut to, HERE, load(true, false));
        assert!(!to.covers(before));
        to.fence(Scope::Device);
        assert!(to.covers(before) && !to.covers(between));
    }

    #[test]
    fn a_change_by_another_continues_a_release_and_a_store_ends_it() {
        for (kind, continues) in [(AtomicKind::Change, true), (AtomicKind::Store, false)] {
            let mut places = Atomics::default();
            let mut threads: Vec<_> = (0..3).map(|agent| ThreadClock::new(0, agent)).collect();
            let before = threads[0].now();
            places.access(&mut threads[0], HERE, store(true, true));
            places.access(&mut threads[1], HERE, access(kind, true));
            places.access(&mut threads[2], HERE, load(true, true));
            assert_eq!(threads[2].covers(before), continues, "{kind:?}");
        }
    }
}
