//! A launch: which blocks run, and in which order.

use std::rc::Rc;

use crate::SimConfig;
use crate::block::Block;
use crate::check::Checker;
use crate::fault::{Fault, FaultKind};
use crate::fiber::FiberPool;
use crate::memory::Memory;

/// How often every thread may look in vain before the launch counts as a deadlock. A spinning thread sees every
/// other thread run between two looks, so a few rounds without a write already mean that none will come.
const IDLE_ROUNDS: u32 = 64;

/// How often a block's threads may look in vain, while nobody does anything but look and write, before the launch counts
/// as one that never ends.
const LOOKS: u64 = 1 << 24;

/// The shape of a launch.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// The kernel's name, for reports.
    pub kernel: &'a str,
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y, z.
    pub block: [u32; 3],
    /// Dynamic shared memory of a block, in bytes.
    pub shared_bytes: usize,
    /// All blocks run at the same time, as a grid barrier needs.
    pub cooperative: bool,
    /// The kernel's parameters that are addresses: faults and checks name the buffers after them.
    pub parameters: &'a [(&'a str, usize)],
}

/// What all blocks of a launch share.
pub(crate) struct Grid {
    pub kernel: String,
    pub grid_dim: [u32; 3],
    pub block_dim: [u32; 3],
    pub shared_bytes: usize,
    pub memory: Rc<Memory>,
    pub checker: Option<Rc<Checker>>,
    pub accesses: u32,
}

impl Grid {
    /// The number of a block, x fastest.
    pub fn number(&self, [x, y, z]: [u32; 3]) -> u32 {
        let [nx, ny, _] = self.grid_dim;
        (z * ny + y) * nx + x
    }

    /// Threads of a block.
    pub fn threads(&self) -> usize {
        self.block_dim.iter().map(|n| *n as usize).product()
    }
}

/// The order in which what is ready runs.
pub(crate) struct Order(u64);

impl Order {
    fn new(seed: u64) -> Self {
        // Spreads small seeds over all bits; 0, the natural order, stays 0.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `n`, 0 for the seed 0.
    pub fn below(&mut self, n: usize) -> usize {
        if self.0 == 0 || n == 0 {
            return 0;
        }
        // xorshift64: any sequence does that a seed repeats.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        if self.0 != 0 {
            for i in (1..items.len()).rev() {
                items.swap(i, self.below(i + 1));
            }
        }
    }
}

/// The most threads of a block.
const MOST_THREADS: u32 = 1024;

/// How many blocks of a shape a multiprocessor holds at once.
pub(crate) fn max_active_blocks(config: &SimConfig, threads: u32, shared_bytes: usize) -> u32 {
    if threads == 0 || threads > MOST_THREADS {
        return 0;
    }
    let by_memory = config.shared_bytes.checked_div(shared_bytes).unwrap_or(usize::MAX);
    config.blocks_per_multiprocessor.min(u32::try_from(by_memory).unwrap_or(u32::MAX))
}

fn check(config: &SimConfig, launch: &Launch<'_>) -> Result<(), FaultKind> {
    let product = |d: [u32; 3]| d.iter().map(|n| u128::from(*n)).product::<u128>();
    let at_most = |what, asked: u128, limit: u64| {
        let asked = u64::try_from(asked).unwrap_or(u64::MAX);
        if asked > limit { Err(FaultKind::LaunchTooLarge { what, asked, limit }) } else { Ok(()) }
    };
    let (blocks, threads) = (product(launch.grid), product(launch.block));
    if blocks == 0 || threads == 0 {
        return Err(FaultKind::EmptyLaunch { grid: launch.grid, block: launch.block });
    }
    at_most("threads in a block:", threads, MOST_THREADS.into())?;
    at_most("threads in a block, in z:", launch.block[2].into(), 64)?;
    at_most("bytes of shared memory:", launch.shared_bytes as u128, config.shared_bytes as u64)?;
    at_most("blocks:", blocks, (1 << 31) - 1)?;
    at_most("blocks in y:", launch.grid[1].into(), (1 << 16) - 1)?;
    at_most("blocks in z:", launch.grid[2].into(), (1 << 16) - 1)?;
    if launch.cooperative {
        let each = max_active_blocks(config, threads as u32, launch.shared_bytes);
        let together = u64::from(config.multiprocessors) * u64::from(each);
        at_most("blocks at the same time:", blocks, together)?;
    }
    Ok(())
}

pub(crate) fn run(
    config: &SimConfig,
    memory: &Rc<Memory>,
    checker: Option<&Rc<Checker>>,
    fibers: &mut FiberPool,
    launch: &Launch<'_>,
    kernel: &dyn Fn(),
) -> Result<(), Fault> {
    let whole = |kind| Fault::of_launch(launch.kernel, kind);
    check(config, launch).map_err(whole)?;
    let grid = Grid {
        kernel: launch.kernel.to_owned(),
        grid_dim: launch.grid,
        block_dim: launch.block,
        shared_bytes: launch.shared_bytes,
        memory: Rc::clone(memory),
        checker: checker.cloned(),
        accesses: config.accesses,
    };
    if let Some(checker) = checker {
        checker.begin(launch);
    }
    let [nx, ny, nz] = launch.grid;
    let mut indices: Vec<u32> = (0..nx * ny * nz).collect();
    let mut order = Order::new(config.seed);
    order.shuffle(&mut indices);
    // SAFETY: the blocks are dropped before this function returns, and it borrows the kernel for longer.
    let kernel: *const dyn Fn() = unsafe { std::mem::transmute::<&dyn Fn(), &'static dyn Fn()>(kernel) };
    let together = if launch.cooperative { indices.len() } else { 1 };
    let mut blocks = Vec::with_capacity(together);
    for _ in 0..together {
        let block = Block::new(fibers, &grid);
        blocks.push(
            block.map_err(|e| whole(FaultKind::Panic(format!("no memory for the threads' stacks: {e}"))))?,
        );
    }
    for resident in indices.chunks(together) {
        for (block, &i) in blocks.iter_mut().zip(resident) {
            // SAFETY: the grid and the kernel outlive the blocks.
            unsafe { block.start([i % nx, i / nx % ny, i / (nx * ny)], kernel) };
        }
        run_together(&mut blocks, &mut order)?;
    }
    blocks.into_iter().for_each(|block| block.give_back(fibers));
    Ok(())
}

/// Runs blocks that are on the GPU at the same time to their end.
fn run_together(blocks: &mut [Block], order: &mut Order) -> Result<(), Fault> {
    let mut idle = 0;
    loop {
        order.shuffle(blocks);
        let mut progress = false;
        for block in blocks.iter_mut().filter(|b| !b.ended()) {
            progress |= block.run(order)?;
        }
        let Some(left) = blocks.iter().find(|b| !b.ended()) else { return Ok(()) };
        idle = if progress { 0 } else { idle + 1 };
        let never_ends = blocks.iter().filter(|b| !b.ended()).all(|b| b.looks() > LOOKS);
        if (idle > IDLE_ROUNDS || never_ends)
            && let Some((thread, detail)) = left.stuck()
        {
            return Err(left.fault(thread, FaultKind::Deadlock { detail }));
        }
    }
}
