//! What threads wait for besides each other's lanes: barriers of the block, asynchronous copies, `mbarrier`s.

use std::collections::{HashMap, VecDeque};
use std::ptr;

use crate::fault::FaultKind;
use crate::fiber::{BarrierWait, Thread, Wait};

/// Results of a barrier that counts its threads' predicates: the count, and whether all held.
fn reduce(waits: &[(usize, BarrierWait)]) -> u64 {
    waits.iter().filter(|(_, w)| w.predicate).count() as u64
}

/// The barriers of the block at which every thread has arrived let their threads go on. Whether any did.
///
/// A thread that ended without coming to a barrier of the whole block makes it a divergent one, as do threads that
/// came to it on different source lines.
pub(crate) fn release(threads: &[Box<Thread>], arrived: &mut [u32; 16]) -> Result<bool, (usize, FaultKind)> {
    let mut by_id: [Vec<(usize, BarrierWait)>; 16] = Default::default();
    for (index, thread) in threads.iter().enumerate() {
        if let Wait::Barrier(wait) = thread.wait.get() {
            by_id[wait.id as usize % 16].push((index, wait));
        }
    }
    let mut released = false;
    for (id, waits) in by_id.iter().enumerate() {
        let Some(&(first, one)) = waits.first() else { continue };
        if let Some((other, w)) = waits.iter().find(|(_, w)| w.expected != one.expected) {
            let detail = format!(
                "barrier {id} is waited for with {} threads at {} and with {} at {} (thread {other})",
                count(one.expected),
                one.at,
                count(w.expected),
                w.at
            );
            return Err((first, FaultKind::DivergentBarrier { detail }));
        }
        let expected = one.expected.unwrap_or(threads.len() as u32);
        if one.expected.is_none()
            && let Some((other, w)) = waits.iter().find(|(_, w)| w.at != one.at)
        {
            let detail = format!("thread {first} waits at {}, thread {other} at {}", one.at, w.at);
            return Err((first, FaultKind::DivergentBarrier { detail }));
        }
        let here = waits.len() as u32 + arrived[id];
        if here > expected {
            let detail = format!("barrier {id} is for {expected} threads, {here} have come to it");
            return Err((first, FaultKind::DivergentBarrier { detail }));
        }
        if here == expected {
            let result = reduce(waits);
            for (index, _) in waits {
                threads[*index].result.set(result);
                threads[*index].wait.set(Wait::Ready);
            }
            arrived[id] = 0;
            released = true;
        } else if one.expected.is_none()
            && let Some(ended) = threads.iter().position(|t| matches!(t.wait.get(), Wait::Ended))
        {
            let detail = format!(
                "{} of {expected} threads wait, thread {ended} has ended without coming to it",
                waits.len()
            );
            return Err((first, FaultKind::DivergentBarrier { detail }));
        }
    }
    Ok(released)
}

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

    /// Does everything, committed or not.
    pub fn wait_all(&mut self) {
        self.commit();
        self.wait(0);
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
    fn settle(&mut self) {
        if self.pending == 0 && self.bytes == 0 {
            self.phase ^= 1;
            self.pending = self.expected;
        }
    }
}

/// The `mbarrier`s of a block, by address.
#[derive(Default)]
pub(crate) struct MBarriers(HashMap<usize, MBarrier>);

impl MBarriers {
    fn get(&mut self, address: usize) -> Result<&mut MBarrier, FaultKind> {
        self.0
            .get_mut(&address)
            .ok_or_else(|| FaultKind::AsyncCopy(format!("the mbarrier at {address:#x} was not initialised")))
    }

    pub fn init(&mut self, address: usize, expected: u32) {
        let fresh = MBarrier { expected, pending: expected, bytes: 0, phase: 0, copies: Vec::new() };
        self.0.insert(address, fresh);
    }

    pub fn arrive(&mut self, address: usize, bytes: u32) -> Result<(), FaultKind> {
        let barrier = self.get(address)?;
        if barrier.pending == 0 {
            let text = format!("more arrivals at the mbarrier at {address:#x} than its {}", barrier.expected);
            return Err(FaultKind::AsyncCopy(text));
        }
        barrier.pending -= 1;
        barrier.bytes += i64::from(bytes);
        barrier.settle();
        Ok(())
    }

    pub fn copy(&mut self, address: usize, copy: Copy) -> Result<(), FaultKind> {
        self.get(address)?.copies.push(copy);
        Ok(())
    }

    /// Whether the phase of this parity is complete. Copies are done here, the latest moment a GPU may do them.
    pub fn test(&mut self, address: usize, parity: u32) -> Result<bool, FaultKind> {
        let barrier = self.get(address)?;
        for copy in std::mem::take(&mut barrier.copies) {
            copy.run();
            barrier.bytes -= (copy.bytes + copy.zeros) as i64;
        }
        barrier.settle();
        Ok(barrier.phase != parity & 1)
    }
}
