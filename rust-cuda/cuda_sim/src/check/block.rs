//! What the checks record about a running block.

use std::collections::HashMap;

use super::atomics::Atomics;
use super::clocks::{self, Clock, Epoch, ThreadClock};
use super::lanes::WarpLines;
use super::shadow::{Bytes, Shadow};
use crate::barrier::BARRIERS;
use crate::warp::{WARP, lanes};

/// An `mbarrier`: the agent that its bulk copies are, and what its phases pass on.
struct Phases {
    agent: u32,
    /// Phases that are complete: the time of the copies that these waited for.
    complete: u32,
    /// What the arrivals of the phase under way release.
    arriving: Clock,
    /// What who has seen the last phase complete knows.
    passed: Clock,
}

/// The clocks of a block's threads, and the history of its shared memory.
///
/// Agent `t` is thread `t`; agent `threads + t` its `cp.async` copies, whose time is the number of their group; further
/// ones are the bulk copies of each `mbarrier`, whose time is the phase.
#[derive(Default)]
pub(crate) struct BlockCheck {
    pub(super) number: u32,
    pub(super) threads: Vec<ThreadClock>,
    /// The groups that each thread has committed.
    groups: Vec<u32>,
    pub(super) shadow: Shadow,
    pub(super) written: Bytes,
    pub(super) atomics: Atomics,
    /// What threads that came to a barrier without waiting release there.
    arrived: [Clock; BARRIERS as usize],
    mbarriers: HashMap<usize, Phases>,
    pub(super) warps: Vec<WarpLines>,
}

impl BlockCheck {
    /// Makes this the block of that number in its grid, about to run.
    pub fn start(&mut self, number: u32, threads: u32) {
        *self = Self {
            number,
            threads: (0..threads).map(|agent| ThreadClock::new(number, agent)).collect(),
            groups: vec![0; threads as usize],
            warps: (0..threads.div_ceil(WARP)).map(|_| WarpLines::default()).collect(),
            ..Self::default()
        };
    }

    /// Threads come to a barrier without waiting.
    pub(super) fn arrive(&mut self, thread: usize, barrier: u32) {
        let clock = self.threads[thread].release();
        self.arrived[barrier as usize].join(&clock);
    }

    /// The threads that have waited at a barrier go on.
    pub fn barrier(&mut self, barrier: u32, threads: &[usize]) {
        let arrived = std::mem::take(&mut self.arrived[barrier as usize]);
        clocks::meet(&mut self.threads, threads, &arrived);
    }

    /// Lanes of a warp synchronise.
    pub fn sync_warp(&mut self, warp: usize, mask: u32) {
        let threads: Vec<usize> = lanes(mask).map(|lane| warp * WARP as usize + lane).collect();
        clocks::meet(&mut self.threads, &threads, &Clock::default());
    }

    fn copier(&self, thread: usize) -> u32 {
        (self.threads.len() + thread) as u32
    }

    /// The moment of a copy in the open group of a thread.
    pub(super) fn copy_epoch(&self, thread: usize) -> Epoch {
        Epoch { block: self.number, agent: self.copier(thread), time: self.groups[thread] + 1 }
    }

    /// A thread ends its open group.
    pub(super) fn commit(&mut self, thread: usize) {
        self.groups[thread] += 1;
    }

    /// A thread has waited for all but its newest groups.
    pub(super) fn wait(&mut self, thread: usize, left: usize) {
        let time = (self.groups[thread] as usize).saturating_sub(left) as u32;
        if time > 0 {
            let epoch = Epoch { time, ..self.copy_epoch(thread) };
            self.threads[thread].acquire_moment(epoch);
        }
    }

    /// An `mbarrier` is initialised.
    pub(super) fn mbarrier(&mut self, address: usize) {
        let agent = (2 * self.threads.len() + self.mbarriers.len()) as u32;
        let phases = self.mbarriers.entry(address).or_insert_with(|| Phases {
            agent,
            complete: 0,
            arriving: Clock::default(),
            passed: Clock::default(),
        });
        (phases.arriving, phases.passed) = (Clock::default(), Clock::default());
    }

    /// The moment of a bulk copy that completes on an `mbarrier`.
    pub(super) fn bulk_epoch(&self, address: usize) -> Option<Epoch> {
        let phases = self.mbarriers.get(&address)?;
        Some(Epoch { block: self.number, agent: phases.agent, time: phases.complete + 1 })
    }

    /// A thread arrives at an `mbarrier`.
    pub(super) fn mbarrier_arrive(&mut self, thread: usize, address: usize) {
        if let Some(phases) = self.mbarriers.get_mut(&address) {
            phases.arriving.join(&self.threads[thread].release());
        }
    }

    /// A phase of an `mbarrier` is complete.
    pub(super) fn mbarrier_complete(&mut self, address: usize) {
        if let Some(phases) = self.mbarriers.get_mut(&address) {
            let arrived = std::mem::take(&mut phases.arriving);
            phases.complete += 1;
            phases.passed.join(&arrived);
            let Phases { agent, complete: time, .. } = *phases;
            phases.passed.raise(Epoch { block: self.number, agent, time });
        }
    }

    /// A thread has seen that a phase is complete.
    pub(super) fn mbarrier_pass(&mut self, thread: usize, address: usize) {
        if let Some(phases) = self.mbarriers.get(&address) {
            self.threads[thread].acquire(&phases.passed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: usize = 8;

    fn block() -> BlockCheck {
        let mut block = BlockCheck::default();
        block.start(3, 64);
        block
    }

    #[test]
    fn a_barrier_orders_who_waits_after_who_only_arrives_and_not_the_other_way() {
        let mut block = block();
        let (arrives, waits) = (block.threads[0].now(), block.threads[40].now());
        block.arrive(0, 1);
        block.barrier(1, &[40, 41]);
        assert!(block.threads[40].covers(arrives) && block.threads[41].covers(waits));
        assert!(!block.threads[0].covers(waits) && !block.threads[42].covers(arrives));
        // The next round is another.
        let later = block.threads[0].now();
        block.barrier(1, &[40, 41]);
        assert!(!block.threads[40].covers(later));
    }

    #[test]
    fn groups_of_copies_are_past_when_they_were_waited_for() {
        let mut block = block();
        let first = block.copy_epoch(7);
        block.commit(7);
        let second = block.copy_epoch(7);
        block.commit(7);
        let open = block.copy_epoch(7);
        assert!(!block.threads[7].covers(first), "asked for is not done");
        block.wait(7, 1);
        assert!(block.threads[7].covers(first) && !block.threads[7].covers(second));
        block.wait(7, 0);
        assert!(block.threads[7].covers(second) && !block.threads[7].covers(open));
        assert!(!block.threads[8].covers(first), "nobody else knows");
    }

    #[test]
    fn a_phase_passes_on_its_own_arrivals_and_copies() {
        let mut block = block();
        block.mbarrier(WORD);
        block.mbarrier(2 * WORD);
        let (before, copy) = (block.threads[0].now(), block.bulk_epoch(WORD).unwrap());
        let other = block.bulk_epoch(2 * WORD).unwrap();
        block.mbarrier_arrive(0, WORD);
        block.mbarrier_pass(1, WORD);
        assert!(!block.threads[1].covers(before), "the phase is not complete");
        block.mbarrier_complete(WORD);
        let next = block.threads[5].now();
        block.mbarrier_arrive(5, WORD);
        block.mbarrier_pass(1, WORD);
        let thread = &block.threads[1];
        assert!(thread.covers(before) && thread.covers(copy));
        assert!(!thread.covers(next) && !thread.covers(other));
        assert!(!thread.covers(block.bulk_epoch(WORD).unwrap()), "the next phase's copies are under way");
    }
}
