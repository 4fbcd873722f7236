//! A launch: which blocks run, and in which order.

use std::rc::Rc;

use crate::SimConfig;
use crate::block::Block;
use crate::fault::{Fault, FaultKind};
use crate::fiber::StackPool;
use crate::memory::Memory;

/// How often every thread may look in vain before the launch counts as a deadlock. A spinning thread sees every
/// other thread run between two looks, so a few rounds without a write already mean that none will come.
const IDLE_ROUNDS: u32 = 64;

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
}

/// What all blocks of a launch share.
pub(crate) struct Grid {
    pub kernel: String,
    pub grid_dim: [u32; 3],
    pub block_dim: [u32; 3],
    pub shared_bytes: usize,
    pub memory: Rc<Memory>,
}

/// The order in which what is ready runs.
pub(crate) struct Order(u64);

impl Order {
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

fn check(config: &SimConfig, launch: &Launch<'_>) -> Result<(), FaultKind> {
    let product = |d: [u32; 3]| d.iter().map(|n| u64::from(*n)).product::<u64>();
    let at_most = |what, asked, limit| {
        if asked > limit { Err(FaultKind::LaunchTooLarge { what, asked, limit }) } else { Ok(()) }
    };
    let (blocks, threads) = (product(launch.grid), product(launch.block));
    at_most("threads in a block:", threads, 1024)?;
    at_most("bytes of shared memory:", launch.shared_bytes as u64, config.shared_bytes as u64)?;
    at_most("blocks:", blocks, (1 << 31) - 1)?;
    if launch.cooperative {
        let together = u64::from(config.multiprocessors) * u64::from(config.blocks_per_multiprocessor);
        at_most("blocks at the same time:", blocks, together)?;
    }
    Ok(())
}

pub(crate) fn run(
    config: &SimConfig,
    memory: &Rc<Memory>,
    stacks: &mut StackPool,
    launch: &Launch<'_>,
    kernel: &dyn Fn(),
) -> Result<(), Fault> {
    let whole = |kind| Fault {
        kernel: launch.kernel.to_owned(),
        block: [0; 3],
        thread: [0; 3],
        location: None,
        kind,
    };
    check(config, launch).map_err(whole)?;
    let grid = Grid {
        kernel: launch.kernel.to_owned(),
        grid_dim: launch.grid,
        block_dim: launch.block,
        shared_bytes: launch.shared_bytes,
        memory: Rc::clone(memory),
    };
    let [nx, ny, nz] = launch.grid;
    let count = (nx * ny * nz) as usize;
    let mut order = Order(config.seed);
    let mut indices: Vec<_> = (0..count as u32).map(|i| [i % nx, i / nx % ny, i / (nx * ny)]).collect();
    order.shuffle(&mut indices);
    // SAFETY: the blocks are dropped before this function returns, and it borrows the kernel for longer.
    let kernel: *const dyn Fn() = unsafe { std::mem::transmute::<&dyn Fn(), &'static dyn Fn()>(kernel) };
    let together = if launch.cooperative { count } else { 1 };
    for resident in indices.chunks(together.max(1)) {
        let mut blocks = Vec::with_capacity(resident.len());
        for &index in resident {
            // SAFETY: the grid and the kernel outlive the blocks of this loop's body.
            let block = unsafe { Block::new(stacks, &grid, index, kernel) };
            blocks.push(
                block.map_err(|e| {
                    whole(FaultKind::Panic(format!("no memory for the threads' stacks: {e}")))
                })?,
            );
        }
        run_together(blocks, stacks, &mut order)?;
    }
    Ok(())
}

/// Runs blocks that are on the GPU at the same time to their end.
fn run_together(mut blocks: Vec<Box<Block>>, stacks: &mut StackPool, order: &mut Order) -> Result<(), Fault> {
    let mut idle = 0;
    while !blocks.is_empty() {
        order.shuffle(&mut blocks);
        let mut progress = false;
        for block in &mut blocks {
            progress |= block.run(stacks, order)?;
        }
        blocks.retain(|b| !b.ended());
        idle = if progress { 0 } else { idle + 1 };
        if idle > IDLE_ROUNDS
            && let Some((thread, detail)) = blocks[0].stuck()
        {
            return Err(blocks[0].fault(thread, FaultKind::Deadlock { detail }));
        }
    }
    Ok(())
}
