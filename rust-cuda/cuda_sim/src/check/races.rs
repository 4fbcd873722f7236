//! Data races, as in FastTrack: an access races with an earlier one of the same bytes that is not ordered before it, if
//! one of the two is a write and they are not both atomic with respect to each other.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::clocks::{Epoch, Scope};
use super::shadow::PageHasher;

/// What an access does to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Read,
    Write,
    AtomicRead(Scope),
    AtomicWrite(Scope),
}

impl Act {
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::AtomicWrite(_))
    }

    fn scope(self) -> Option<Scope> {
        match self {
            Self::AtomicRead(scope) | Self::AtomicWrite(scope) => Some(scope),
            Self::Read | Self::Write => None,
        }
    }
}

/// An access: when, by whom, where in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub epoch: Epoch,
    /// The thread in its block: the agent itself, or the one that it copies for.
    pub thread: u32,
    pub site: u32,
    pub act: Act,
}

impl Stamp {
    /// Whether an asynchronous copy makes the access.
    pub fn is_copy(&self) -> bool {
        self.epoch.agent != self.thread
    }

    /// Whether the two must be ordered.
    fn conflicts(&self, other: &Self) -> bool {
        if !self.act.writes() && !other.act.writes() {
            return false;
        }
        match (self.act.scope(), other.act.scope()) {
            (Some(a), Some(b)) => !a.together(b, self.epoch.block == other.epoch.block),
            _ => true,
        }
    }
}

/// The last access of each agent: reads apart from writes.
type Stamps = HashMap<usize, Stamp, BuildHasherDefault<PageHasher>>;

fn key(stamp: &Stamp) -> usize {
    let Epoch { block, agent, .. } = stamp.epoch;
    // A block has few agents: far fewer than 2^20.
    (block as usize) << 21 | (agent as usize) << 1 | usize::from(stamp.act.writes())
}

/// Accesses that most bytes do not have.
#[derive(Clone, Debug, Default)]
struct More {
    /// Reads that are not ordered with each other.
    reads: Stamps,
    atomics: Stamps,
}

/// The accesses to some bytes that a later one may race with.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    write: Option<Stamp>,
    /// The only read since, unless there are more.
    read: Option<Stamp>,
    more: Option<Box<More>>,
}

impl Cell {
    /// Whether anything was written.
    pub fn is_written(&self) -> bool {
        let atomics = |more: &More| more.atomics.values().any(|stamp| stamp.act.writes());
        self.write.is_some() || self.more.as_deref().is_some_and(atomics)
    }

    /// Adds an access; gives one before that it races with. `is_past` tells which moments are known to be.
    pub fn access(&mut self, now: Stamp, is_past: impl Fn(Epoch) -> bool) -> Option<Stamp> {
        let races = |before: &&Stamp| before.conflicts(&now) && !is_past(before.epoch);
        let more = self.more.as_deref();
        let writes = self.write.iter().chain(more.into_iter().flat_map(|more| more.atomics.values()));
        let found = writes.chain(&self.read).find(races).copied();
        // Reads race with writes only: most accesses are reads.
        let found = found.or_else(|| {
            let reads = more.filter(|_| now.act.writes())?.reads.values();
            reads.into_iter().find(races).copied()
        });
        match now.act {
            Act::Write => *self = Self { write: Some(now), read: None, more: None },
            Act::Read => match &mut self.more {
                Some(more) if !more.reads.is_empty() => {
                    more.reads.insert(key(&now), now);
                }
                more => match self.read {
                    Some(before) if !is_past(before.epoch) => {
                        let reads = &mut more.get_or_insert_default().reads;
                        reads.insert(key(&before), before);
                        reads.insert(key(&now), now);
                    }
                    _ => self.read = Some(now),
                },
            },
            Act::AtomicRead(_) | Act::AtomicWrite(_) => {
                self.more.get_or_insert_default().atomics.insert(key(&now), now);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(block: u32, agent: u32, act: Act) -> Stamp {
        Stamp { epoch: Epoch { block, agent, time: 1 }, thread: agent, site: 10 * block + agent, act }
    }

    /// Whether the last of some accesses races, where nothing is ordered but each agent with itself.
    fn races(trace: &[Stamp]) -> bool {
        let mut cell = Cell::default();
        let found = trace.iter().map(|now| {
            let me = now.epoch;
            cell.access(*now, |past| (past.block, past.agent) == (me.block, me.agent)).is_some()
        });
        found.last().unwrap_or_default()
    }

    use Act::{AtomicRead, AtomicWrite, Read, Write};

    #[test]
    fn reads_do_not_race_with_reads_and_a_thread_not_with_itself() {
        assert!(!races(&[stamp(0, 0, Read), stamp(0, 1, Read)]));
        assert!(!races(&[stamp(0, 0, Write), stamp(0, 0, Read), stamp(0, 0, Write)]));
    }

    #[test]
    fn a_write_races_with_any_read_before_it() {
        assert!(races(&[stamp(0, 0, Write), stamp(0, 1, Read)]));
        assert!(races(&[stamp(0, 0, Write), stamp(0, 1, Write)]));
        for writer in 0..3 {
            let trace = [stamp(0, 0, Read), stamp(0, 1, Read), stamp(0, 2, Read), stamp(0, writer, Write)];
            assert!(races(&trace));
        }
        assert!(!races(&[stamp(0, 1, Read), stamp(0, 1, Write)]));
    }

    #[test]
    fn atomics_race_with_what_is_not_atomic_and_where_a_scope_is_too_small() {
        let (block, device) = (Scope::Block, Scope::Device);
        assert!(!races(&[stamp(0, 0, AtomicWrite(block)), stamp(0, 1, AtomicWrite(block))]));
        assert!(!races(&[stamp(0, 0, AtomicWrite(device)), stamp(1, 1, AtomicRead(device))]));
        assert!(races(&[stamp(0, 0, AtomicWrite(block)), stamp(1, 1, AtomicWrite(device))]));
        assert!(races(&[stamp(0, 0, AtomicWrite(device)), stamp(0, 1, Read)]));
        assert!(races(&[stamp(0, 0, AtomicRead(device)), stamp(0, 1, Write)]));
        assert!(!races(&[stamp(0, 0, AtomicRead(device)), stamp(0, 1, Read)]));
        // The one that is not the last atomic write is not forgotten.
        let trace = [AtomicWrite(device), AtomicWrite(device)];
        assert!(races(&[stamp(0, 0, trace[0]), stamp(0, 1, trace[1]), stamp(0, 1, Read)]));
    }

    #[test]
    fn what_is_known_to_be_past_does_not_race() {
        let mut cell = Cell::default();
        assert_eq!(cell.access(stamp(0, 0, Write), |_| false), None);
        assert_eq!(cell.access(stamp(0, 1, Read), |_| true), None);
        assert_eq!(cell.access(stamp(0, 2, Write), |_| false), Some(stamp(0, 0, Write)));
        assert!(cell.is_written());
    }
}
