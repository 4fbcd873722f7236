//! A block: its threads, its shared memory, its barriers.

use std::alloc::{self, Layout};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr::NonNull;

use crate::barrier::{self, MBarriers};
use crate::fault::{Fault, FaultKind, SourceLine, source_line};
use crate::fiber::{Fiber, StackPool, Thread, Wait};
use crate::grid::{Grid, Order};
use crate::memory::POISON;
use crate::warp::{self, WARP};

const SHARED_ALIGN: usize = 1024;

/// Shared memory, filled with a pattern that no kernel wrote.
pub(crate) struct Shared {
    pointer: NonNull<u8>,
    layout: Layout,
    bytes: usize,
}

impl Shared {
    pub fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes.max(1), SHARED_ALIGN).expect("shared memory is small");
        // SAFETY: the layout's size is not zero.
        let pointer = unsafe { alloc::alloc(layout) };
        let Some(pointer) = NonNull::new(pointer) else { alloc::handle_alloc_error(layout) };
        // SAFETY: the allocation has `layout.size()` bytes.
        unsafe { pointer.as_ptr().write_bytes(POISON, layout.size()) };
        Self { pointer, layout, bytes }
    }

    pub fn as_ptr(&self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    pub fn len(&self) -> usize {
        self.bytes
    }

    fn covers(&self, address: usize, bytes: usize) -> bool {
        let start = self.pointer.as_ptr() as usize;
        address >= start && bytes <= self.bytes && address - start <= self.bytes - bytes
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { alloc::dealloc(self.pointer.as_ptr(), self.layout) };
    }
}

/// A block that is running.
pub(crate) struct Block {
    pub grid: *const Grid,
    pub index: [u32; 3],
    pub dynamic: Shared,
    /// The static arrays, by the place that declares them.
    pub arrays: RefCell<HashMap<usize, Shared>>,
    pub mbarriers: RefCell<MBarriers>,
    /// Threads that came to a named barrier without waiting at it.
    pub arrived: Cell<[u32; 16]>,
    threads: Vec<Box<Thread>>,
    fibers: Vec<Fiber>,
    warps: Vec<usize>,
}

impl Block {
    /// # Safety
    /// `grid` and `kernel` must outlive the block.
    pub unsafe fn new(
        stacks: &mut StackPool,
        grid: &Grid,
        index: [u32; 3],
        kernel: *const dyn Fn(),
    ) -> std::io::Result<Box<Self>> {
        let [nx, ny, nz] = grid.block_dim;
        let count = nx * ny * nz;
        let threads: Vec<_> =
            (0..count).map(|i| Box::new(Thread::new([i % nx, i / nx % ny, i / (nx * ny)], i))).collect();
        let mut block = Box::new(Self {
            grid,
            index,
            dynamic: Shared::new(grid.shared_bytes),
            arrays: RefCell::default(),
            mbarriers: RefCell::default(),
            arrived: Cell::new([0; 16]),
            threads,
            fibers: Vec::with_capacity(count as usize),
            warps: (0..count.div_ceil(WARP) as usize).collect(),
        });
        let this: *const Block = &*block;
        for thread in &mut block.threads {
            thread.block = this;
            // SAFETY: the thread is boxed and the block owns both it and the fiber, which is declared after it but
            // resumed only by the block; the kernel outlives the block.
            block.fibers.push(unsafe { Fiber::new(stacks, &**thread, kernel)? });
        }
        Ok(block)
    }

    /// Whether shared memory holds the whole range.
    pub fn covers(&self, address: usize, bytes: usize) -> bool {
        self.dynamic.covers(address, bytes) || self.arrays.borrow().values().any(|a| a.covers(address, bytes))
    }

    pub fn ended(&self) -> bool {
        self.threads.iter().all(|t| matches!(t.wait.get(), Wait::Ended))
    }

    /// Runs every thread as far as it goes without the other blocks. Whether anything happened but spinning.
    pub fn run(&mut self, stacks: &mut StackPool, order: &mut Order) -> Result<bool, Fault> {
        let mut progress = false;
        loop {
            let mut again = false;
            order.shuffle(&mut self.warps);
            for w in 0..self.warps.len() {
                again |= self.run_warp(self.warps[w], stacks, order)?;
            }
            let mut arrived = self.arrived.get();
            let released =
                barrier::release(&self.threads, &mut arrived).map_err(|(i, kind)| self.fault(i, kind))?;
            self.arrived.set(arrived);
            progress |= again | released;
            if !released {
                return Ok(progress);
            }
        }
    }

    fn run_warp(&mut self, warp: usize, stacks: &mut StackPool, order: &mut Order) -> Result<bool, Fault> {
        let first = warp * WARP as usize;
        let end = (first + WARP as usize).min(self.threads.len());
        let mut progress = false;
        let mut spinning = false;
        loop {
            let mut ran = false;
            let count = end - first;
            let start = order.below(count);
            for k in 0..count {
                let i = first + (start + k) % count;
                let spins = match self.threads[i].wait.get() {
                    Wait::Ready => false,
                    // One look a round: what it waits for comes from elsewhere.
                    Wait::Spin(_) if !spinning => true,
                    _ => continue,
                };
                let thread: *const Thread = &*self.threads[i];
                let writes = crate::device::writes();
                self.threads[i].wait.set(Wait::Ready);
                let ended = crate::device::enter(thread, || self.fibers[i].resume(stacks));
                if let Some((kind, line)) = self.threads[i].take_fault() {
                    return Err(self.fault_at(i, kind, line));
                }
                if ended {
                    self.threads[i].wait.set(Wait::Ended);
                }
                let still_spins = spins && matches!(self.threads[i].wait.get(), Wait::Spin(_));
                if !still_spins || crate::device::writes() != writes {
                    progress = true;
                }
                ran |= !matches!(self.threads[i].wait.get(), Wait::Spin(_));
            }
            spinning = true;
            let released = warp::release(&self.threads[first..end])
                .map_err(|(lane, kind)| self.fault(first + lane, kind))?;
            progress |= released;
            if !ran && !released {
                return Ok(progress);
            }
            if !released && !self.threads[first..end].iter().any(|t| matches!(t.wait.get(), Wait::Ready)) {
                return Ok(progress);
            }
        }
    }

    /// What a block waits for that does not go on: the first waiting thread and a description.
    pub fn stuck(&self) -> Option<(usize, String)> {
        let (index, text) = self.threads.iter().enumerate().find_map(|(i, t)| match t.wait.get() {
            Wait::Spin(at) => Some((i, format!("polls a value that nobody changes, at {at}"))),
            Wait::Barrier(w) => Some((
                i,
                format!(
                    "waits at barrier {} ({} threads), at {}",
                    w.id,
                    w.expected.map_or("all".into(), |n| n.to_string()),
                    w.at
                ),
            )),
            Wait::Warp(w) => {
                Some((i, format!("waits in {} for the lanes {:#010x}, at {}", w.operation, w.mask, w.at)))
            }
            Wait::Ready | Wait::Ended => None,
        })?;
        let waiting = self.threads.iter().filter(|t| !matches!(t.wait.get(), Wait::Ended)).count();
        Some((index, format!("thread {index} {text}; {waiting} threads of the block have not ended")))
    }

    pub fn fault(&self, thread: usize, kind: FaultKind) -> Fault {
        let line = match self.threads[thread].wait.get() {
            Wait::Spin(at) => Some(source_line(at)),
            Wait::Barrier(w) => Some(source_line(w.at)),
            Wait::Warp(w) => Some(source_line(w.at)),
            Wait::Ready | Wait::Ended => None,
        };
        self.fault_at(thread, kind, line)
    }

    fn fault_at(&self, thread: usize, kind: FaultKind, location: Option<SourceLine>) -> Fault {
        // SAFETY: the grid outlives its blocks.
        let kernel = unsafe { (*self.grid).kernel.clone() };
        Fault { kernel, block: self.index, thread: self.threads[thread].index, location, kind }
    }
}
