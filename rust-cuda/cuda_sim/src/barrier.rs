//! What threads wait for besides each other's lanes: barriers of the block, asynchronous copies, `mbarrier`s.

use std::collections::{HashMap, VecDeque};
use std::ptr;

use crate::fault::FaultKind;
use crate::fiber::{Fiber, State};

/// The barriers of a block. When all its threads have ended nobody waits, so the next block finds them fresh.
#[derive(Default)]
pub(crate) struct Barriers {
    slots: [Slot; BARRIERS as usize],
}

/// Barriers of a block.
pub(crate) const BARRIERS: u32 = 16;

/// One barrier: who waits at it, and for how many.
#[derive(Default)]
struct Slot {
    waiting: Vec<usize>,
    true_predicates: u64,
}

impl Barriers {
    /// Thread `index` has come to a barrier.
    pub fn join(&mut self, fibers: &[Fiber], index: usize) -> Result<(), (usize, FaultKind)> {
        let (wait, at) = (fibers[index].thread().barrier.get(), fibers[index].thread().at.get());
        let slot = &mut self.slots[wait.id as usize];
        if let Some(&first) = slot.waiting.first() {
            let (one, one_at) = (fibers[first].thread().barrier.get(), fibers[first].thread().at.get());
            let detail = if one.expected != wait.expected {
                format!(
                    "barrier {} is waited for with {} threads at {one_at} and with {} at {at} (thread {index})",
                    wait.id,
                    count(one.expected),
                    count(wait.expected)
                )
            } else if wait.expected.is_none() && !ptr::eq(one_at, at) && one_at != at {
                format!("thread {first} waits at {one_at}, thread {index} at {at}")
            } else {
                String::new()
            };
            if !detail.is_empty() {
                return Err((first, FaultKind::DivergentBarrier { detail }));
            }
        }
        slot.waiting.push(index);
        slot.true_predicates += u64::from(wait.predicate);
        Ok(())
    }

    /// The threads at barriers that all have come to go on: each barrier is given to `released` with those that have
    /// waited at it.
    ///
    /// `arrived` counts the threads that came without waiting, and for how many. A thread that ended without coming
    /// to a barrier of the whole block makes it a divergent one.
    pub fn release(
        &mut self,
        fibers: &[Fiber],
        arrived: &mut Arrivals,
        mut released: impl FnMut(u32, &[usize]),
    ) -> Result<(), (usize, FaultKind)> {
        for (id, slot) in self.slots.iter_mut().enumerate() {
            let (arrivals, arrivals_expected) = arrived[id];
            let Some(&first) = slot.waiting.first() else {
                if arrivals > 0 && arrivals >= arrivals_expected {
                    arrived[id] = (0, 0);
                    released(id as u32, &[]);
                }
                continue;
            };
            let expected = fibers[first].thread().barrier.get().expected;
            let all = expected.unwrap_or(fibers.len() as u32);
            let here = slot.waiting.len() as u32 + arrivals;
            if arrivals > 0 && arrivals_expected != all {
                let detail = format!(
                    "barrier {id} is waited for with {all} threads and arrived at with {arrivals_expected}"
                );
                return Err((first, FaultKind::DivergentBarrier { detail }));
            }
            if here > all {
                let detail = format!("barrier {id} is for {all} threads, {here} have come to it");
                return Err((first, FaultKind::DivergentBarrier { detail }));
            }
            if here == all {
                released(id as u32, &slot.waiting);
                for index in slot.waiting.drain(..) {
                    let thread = fibers[index].thread();
                    thread.result.set(slot.true_predicates);
                    thread.state.set(State::Ready);
                }
                slot.true_predicates = 0;
                arrived[id] = (0, 0);
            } else if expected.is_none()
                && let Some(ended) = fibers.iter().position(|f| f.thread().state.get() == State::Ended)
            {
                let detail =
                    format!("{here} of {all} threads wait, thread {ended} has ended without coming to it");
                return Err((first, FaultKind::DivergentBarrier { detail }));
            }
        }
        Ok(())
    }
}

/// For each barrier, how many threads came without waiting, and for how many it then is.
pub(crate) type Arrivals = [(u32, u32); BARRIERS as usize];

fn count(expected: Option<u32>) -> String {
    expected.map_or_else(|| "all".to_owned(), |n| n.to_string())
}

/// A copy that has been asked for and not done.
#[derive(Clone, Copy)]
pub(crate) struct Copy {
    pub to: *mut u8,
    pub from: *const u8,
    pub bytes: usize,
    /// Bytes of zeros after the copied ones.
    pub zeros: usize,
}

impl Copy {
    fn run(self) {
        // SAFETY: both ranges were checked against the allocations when the copy was asked for, and shared and
        // global memory do not overlap.
        unsafe {
            ptr::copy_nonoverlapping(self.from, self.to, self.bytes);
            self.to.add(self.bytes).write_bytes(0, self.zeros);
        }
    }
}

/// A thread's `cp.async` copies. They happen when they are waited for, so that a missing wait shows.
#[derive(Default)]
pub(crate) struct AsyncCopies {
    open: Vec<Copy>,
    groups: VecDeque<Vec<Copy>>,
}

impl AsyncCopies {
    /// Forgets everything, for the next thread.
    pub fn clear(&mut self) {
        self.open.clear();
        self.groups.clear();
    }

    pub fn start(&mut self, copy: Copy) {
        self.open.push(copy);
    }

    pub fn commit(&mut self) {
        self.groups.push_back(std::mem::take(&mut self.open));
    }

    /// Does all but the newest `left` groups.
    pub fn wait(&mut self, left: usize) {
        while self.groups.len() > left {
            self.groups.pop_front().into_iter().flatten().for_each(Copy::run);
        }
    }
}

/// An `mbarrier` in shared memory: arrivals and bytes that its phase still waits for.
struct MBarrier {
    expected: u32,
    pending: u32,
    bytes: i64,
    phase: u32,
    copies: Vec<Copy>,
}

impl MBarrier {
    /// Whether nothing was left to wait for: then the next phase has begun.
    fn settle(&mut self) -> bool {
        let complete = self.pending == 0 && self.bytes == 0;
        if complete {
            self.phase ^= 1;
            self.pending = self.expected;
        }
        complete
    }
}

/// The `mbarrier`s of a block, by address.
#[derive(Default)]
pub(crate) struct MBarriers(HashMap<usize, MBarrier>);

impl MBarriers {
    /// Forgets everything, for the next block.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn get(&mut self, address: usize) -> Result<&mut MBarrier, FaultKind> {
        self.0
            .get_mut(&address)
            .ok_or_else(|| FaultKind::AsyncCopy(format!("the mbarrier at {address:#x} was not initialised")))
    }

    pub fn init(&mut self, address: usize, expected: u32) {
        let fresh = MBarrier { expected, pending: expected, bytes: 0, phase: 0, copies: Vec::new() };
        self.0.insert(address, fresh);
    }

    /// Whether that completes the phase.
    pub fn arrive(&mut self, address: usize, bytes: u32) -> Result<bool, FaultKind> {
        let barrier = self.get(address)?;
        if barrier.pending == 0 {
            let text = format!("more arrivals at the mbarrier at {address:#x} than its {}", barrier.expected);
            return Err(FaultKind::AsyncCopy(text));
        }
        barrier.pending -= 1;
        barrier.bytes += i64::from(bytes);
        Ok(barrier.settle())
    }

    pub fn copy(&mut self, address: usize, copy: Copy) -> Result<(), FaultKind> {
        self.get(address)?.copies.push(copy);
        Ok(())
    }

    /// Whether a phase has completed just now, and whether that of this parity is complete. Copies are done here, the
    /// latest moment a GPU may do them.
    pub fn test(&mut self, address: usize, parity: u32) -> Result<(bool, bool), FaultKind> {
        let barrier = self.get(address)?;
        for copy in std::mem::take(&mut barrier.copies) {
            copy.run();
            barrier.bytes -= (copy.bytes + copy.zeros) as i64;
        }
        let completes = barrier.settle();
        Ok((completes, barrier.phase != parity & 1))
    }
}
