//! What the checks keep of a block that runs.

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
