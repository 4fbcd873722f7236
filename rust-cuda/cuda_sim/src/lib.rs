//! Runs Rust GPU kernels on the CPU, as a GPU would: grids of blocks of warps of threads.
//!
//! A [`Simulator`] owns device memory and launches kernels. Every GPU thread is a fiber with its own stack, so a
//! kernel is ordinary Rust compiled for the host; what a GPU does across threads (barriers, shuffles, asynchronous
//! copies) is carried out here when the fibers synchronise. Everything happens on the caller's thread, in an order that
//! depends on the seed alone: a run can be repeated exactly.
//!
//! A mistake that makes a GPU hang or return garbage ends the launch with a [`Fault`] naming the kernel, the
//! block, the thread and the source line: a divergent barrier, a deadlock, an access outside every allocation, a
//! shuffle from a lane that does not take part.
//!
//! Kernels do not call this crate. `cuda_std` does, through [`device`].

mod barrier;
mod block;
mod check;
pub mod device;
mod fault;
mod fiber;
mod grid;
mod memory;
mod stack;
mod warp;

pub use check::{
    Act, AtomicAccess, AtomicKind, Checks, Deed, Finding, FindingKind, GlobalLine, Line, Place, Plain,
    Report, SharedLine,
};
pub use fault::{Access, Fault, FaultKind, Piece, PieceOf};
pub use grid::Launch;
pub use memory::{Allocation, OutOfMemory};
pub use warp::{Combine, Gathered, Meeting, Offer, WARP};

use std::cell::RefCell;
use std::rc::Rc;

/// What the simulated GPU is like.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Decides the order in which ready threads, warps and blocks run; 0 is the natural order.
    pub seed: u64,
    /// Multiprocessors: a cooperative grid may have as many blocks as all of them hold together.
    pub multiprocessors: u32,
    /// Blocks that a multiprocessor holds together, if its shared memory is enough for them.
    pub blocks_per_multiprocessor: u32,
    /// The shared memory of a multiprocessor, all of which a block may have, in bytes.
    pub shared_bytes: usize,
    /// Device memory, in bytes.
    pub memory_bytes: usize,
    /// Looks for data races, for reads of what nothing wrote and for copies that nobody waits for, and counts bank
    /// conflicts and sectors: [`Simulator::checks`] tells. Takes several times as long.
    pub checks: bool,
    /// Accesses that a thread may make without waiting for another: a thread with more is taken to be in an endless loop.
    pub accesses: u32,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            multiprocessors: 4,
            blocks_per_multiprocessor: 2,
            shared_bytes: 227 << 10,
            memory_bytes: 8 << 30,
            checks: false,
            // Several seconds: more than a thread of any launch that is practical here.
            accesses: 1 << 30,
        }
    }
}

/// A simulated GPU: its memory, and the launching of kernels.
pub struct Simulator {
    config: SimConfig,
    memory: Rc<memory::Memory>,
    checker: Option<Rc<check::Checker>>,
    fibers: RefCell<fiber::FiberPool>,
}

impl Simulator {
    /// A GPU with nothing in its memory.
    pub fn new(config: SimConfig) -> Self {
        fault::install_panic_hook();
        let checker = config.checks.then(Rc::<check::Checker>::default);
        let memory = Rc::new(memory::Memory::new(config.memory_bytes, checker.clone()));
        Self { config, memory, checker, fibers: RefCell::default() }
    }

    /// What this GPU is like.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// How many blocks of `threads` threads and `shared_bytes` of dynamic shared memory a multiprocessor holds at once.
    pub fn max_active_blocks(&self, threads: u32, shared_bytes: u32) -> u32 {
        grid::max_active_blocks(&self.config, threads, shared_bytes as usize)
    }

    /// Takes `bytes` of device memory, 256-byte aligned and filled with a pattern that no kernel wrote.
    ///
    /// # Errors
    /// When the simulated memory has less left.
    pub fn allocate(&self, bytes: usize) -> Result<Allocation, OutOfMemory> {
        Allocation::new(&self.memory, bytes)
    }

    /// Bytes of device memory not in use.
    pub fn free_bytes(&self) -> usize {
        self.memory.free_bytes()
    }

    /// Runs `kernel` once for every thread of the grid.
    ///
    /// # Errors
    /// A [`Fault`] when the launch asks for what the GPU does not have, or when a thread does what a GPU program
    /// must not do.
    ///
    /// # Safety
    /// The pointers and lengths that `kernel` captured must be as it expects. Accesses made through `cuda_std` are
    /// checked against the allocations, others are not.
    pub unsafe fn launch(&self, launch: &Launch<'_>, kernel: &dyn Fn()) -> Result<(), Fault> {
        let checker = self.checker.as_ref();
        let mut fibers = self.fibers.borrow_mut();
        let outcome = grid::run(&self.config, &self.memory, checker, &mut fibers, launch, kernel);
        // Looked for after a fault too, so that the next launch does not answer for this one.
        let overrun = self.memory.overrun().map(|piece| FaultKind::Overrun(Box::new(piece)));
        let overrun = overrun.map_or(Ok(()), |kind| Err(Fault::of_launch(launch.kernel, kind)));
        outcome.and(overrun).map_err(|fault| fault.name_buffer(launch.parameters))
    }

    /// The checks, if [`SimConfig::checks`] asks for them.
    pub fn checks(&self) -> Option<Checks> {
        self.checker.clone().map(Checks)
    }
}
