//! How many blocks of a kernel a multiprocessor holds at once.
use serde::Serialize;

use crate::gpu::{BLOCK_THREADS, Capability, PARTS, REGISTER_UNIT, REGISTERS, THREAD_REGISTERS, WARP};

/// What a block takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockNeeds {
    /// Its threads.
    pub threads: u32,
    /// Registers of a thread.
    pub registers: u32,
    /// Shared memory, static and dynamic, in bytes.
    pub shared_bytes: u32,
}

/// What a multiprocessor holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Occupancy {
    /// The threads of a block.
    pub threads: u32,
    /// The shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// Blocks of a multiprocessor.
    pub blocks: u32,
    /// Warps of a multiprocessor.
    pub warps: u32,
    /// The most warps that it could hold.
    pub max_warps: u32,
    /// The share of them.
    pub fraction: f64,
    /// What keeps it from holding more.
    pub limit: Limit,
}

/// What keeps a multiprocessor from holding more blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// The number of warps.
    Warps,
    /// The number of blocks.
    Blocks,
    /// Registers.
    Registers,
    /// Shared memory.
    Shared,
}

impl Limit {
    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warps => "warps",
            Self::Blocks => "blocks",
            Self::Registers => "registers",
            Self::Shared => "shared memory",
        }
    }
}

/// What a multiprocessor holds of such blocks; `None` where not even a launch is possible: no threads or too many, more
/// registers than a thread can have.
///
/// The arithmetic is that of `cuda_occupancy.h`: a warp lies in one of four parts of the registers.
pub fn occupancy(capability: &Capability, needs: BlockNeeds) -> Option<Occupancy> {
    let BlockNeeds { threads, registers, shared_bytes } = needs;
    if threads == 0 || threads > BLOCK_THREADS || registers > THREAD_REGISTERS {
        return None;
    }
    let block_warps = threads.div_ceil(WARP);
    let by_warps = capability.warps / block_warps;
    let by_registers = match (registers * WARP).next_multiple_of(REGISTER_UNIT) {
        0 => u32::MAX,
        each => REGISTERS / PARTS / each * PARTS / block_warps,
    };
    let by_shared = if shared_bytes > capability.block_shared_bytes {
        0
    } else {
        let taken =
            (shared_bytes + capability.reserved_shared_bytes).next_multiple_of(capability.shared_unit);
        capability.shared_bytes.checked_div(taken).unwrap_or(u32::MAX)
    };
    let limits = [
        (by_warps, Limit::Warps),
        (capability.blocks, Limit::Blocks),
        (by_registers, Limit::Registers),
        (by_shared, Limit::Shared),
    ];
    let (blocks, limit) = limits.into_iter().min_by_key(|(blocks, _)| *blocks)?;
    let warps = blocks * block_warps;
    Some(Occupancy {
        threads,
        shared_bytes,
        blocks,
        warps,
        max_warps: capability.warps,
        fraction: f64::from(warps) / f64::from(capability.warps),
        limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(capability: u32, threads: u32, registers: u32, shared_bytes: u32) -> (u32, u32, Limit) {
        let limits = Capability::of(capability).unwrap();
        let found = occupancy(&limits, BlockNeeds { threads, registers, shared_bytes }).unwrap();
        (found.blocks, found.warps, found.limit)
    }

    /// Numbers of NVIDIA's occupancy calculator.
    #[test]
    fn it_agrees_with_nvidias_calculator() {
        assert_eq!(on(90, 256, 32, 0), (8, 64, Limit::Warps));
        assert_eq!(on(90, 256, 64, 0), (4, 32, Limit::Registers));
        assert_eq!(on(90, 256, 255, 0), (1, 8, Limit::Registers));
        assert_eq!(on(90, 1024, 40, 0), (1, 32, Limit::Registers));
        assert_eq!(on(86, 256, 40, 0), (6, 48, Limit::Warps));
        assert_eq!(on(80, 32, 16, 0), (32, 32, Limit::Blocks));
        assert_eq!(on(80, 128, 32, 48 << 10), (3, 12, Limit::Shared));
        assert_eq!(on(90, 256, 32, 227 << 10), (1, 8, Limit::Shared));
        assert_eq!(on(75, 256, 64, 32 << 10), (2, 16, Limit::Shared));
    }

    #[test]
    fn what_does_not_fit_is_none_and_what_cannot_be_launched_nothing() {
        assert_eq!(on(86, 256, 32, 100 << 10), (0, 0, Limit::Shared));
        let limits = Capability::of(90).unwrap();
        for (threads, registers) in [(0, 32), (1025, 32), (32, 256)] {
            assert_eq!(occupancy(&limits, BlockNeeds { threads, registers, shared_bytes: 0 }), None);
        }
    }
}
