//! Every block of the model's weights is multiplied once, by whom the host packs it for.

use std::vec;
use std::vec::Vec;

use super::{Begin, HEAD, Job, MAX_BLOCKS, Phase, Plan, ROW_BYTES, SUMS, Source, WARPS, Work};
use crate::persistent::tile::{BLOCK, ROWS};

/// A model as far as the division of its work goes.
#[derive(Clone, Copy)]
struct Shape {
    kv_heads: u32,
    hidden: u32,
    /// Of a KV head.
    heads: u32,
    ffn: u32,
    vocab: u32,
}

impl Shape {
    fn plan(self, blocks: u32, key_blocks: u32) -> Plan {
        let Self { kv_heads, hidden, heads, ffn, vocab } = self;
        Plan {
            groups: kv_heads,
            blocks,
            key_blocks,
            layers: 1,
            hidden,
            heads,
            ffn,
            largest_slice: (ffn / BLOCK as u32).div_ceil(kv_heads),
            vocab,
            context: 256,
            eps: 1e-6,
            slots: 4,
            slot_bytes: 4096,
            in_flight: 2,
            alone: 256,
        }
    }

    /// Rows of a matrix, and blocks of a row.
    fn size(self, source: Source) -> (usize, usize) {
        let heads = self.kv_heads * self.heads * HEAD;
        let (rows, cols) = match source {
            Source::Q => (heads, self.hidden),
            Source::K | Source::V => (self.kv_heads * HEAD, self.hidden),
            Source::O => (self.hidden, heads),
            Source::Gate | Source::Up => (self.ffn, self.hidden),
            Source::Down => (self.hidden, self.ffn),
            Source::Head => (self.vocab, self.hidden),
        };
        (rows as usize, cols as usize / BLOCK)
    }
}

const SOURCES: [Source; 8] =
    [Source::Q, Source::K, Source::V, Source::O, Source::Gate, Source::Up, Source::Down, Source::Head];

fn plans() -> Vec<(Shape, Plan)> {
    let qwen3 = |hidden, heads, ffn| Shape { kv_heads: 8, hidden, heads, ffn, vocab: 151_936 };
    let mut plans = Vec::new();
    // 0.6B, 1.7B, 4B, whose groups' slices are of different length, and 8B.
    for shape in [qwen3(1024, 2, 3072), qwen3(2048, 2, 6144), qwen3(2560, 4, 9728), qwen3(4096, 4, 12_288)] {
        for key_blocks in [11, 13] {
            plans.push((shape, shape.plan(16, key_blocks)));
        }
    }
    for shape in [
        // Rows that are no whole number of tiles, with one more than all have as many of; slices of two and three blocks.
        Shape { kv_heads: 2, hidden: 768, heads: 2, ffn: 1280, vocab: 16 * 6 * 8 * 17 + 5 },
        Shape { kv_heads: 2, hidden: 256, heads: 4, ffn: 768, vocab: 17 },
        Shape { kv_heads: 3, hidden: 512, heads: 2, ffn: 1024, vocab: 512 },
        Shape { kv_heads: 1, hidden: 256, heads: 6, ffn: 256 * MAX_BLOCKS, vocab: 320 },
    ] {
        for multiprocessors in [6, 9, 34] {
            let blocks = multiprocessors / shape.kv_heads;
            plans.extend((1..blocks).map(|key_blocks| (shape, shape.plan(blocks, key_blocks))));
        }
    }
    plans
}

/// The thread blocks of a plan: group and rank.
fn thread_blocks(plan: &Plan) -> impl Iterator<Item = (u32, u32)> {
    let blocks = plan.blocks;
    (0..plan.groups).flat_map(move |group| (0..blocks).map(move |rank| (group, rank)))
}

#[test]
fn every_block_of_weights_is_in_one_tile() {
    for (shape, plan) in plans() {
        let mut seen = SOURCES.map(|source| {
            let (rows, blocks) = shape.size(source);
            vec![false; rows * blocks]
        });
        for at in thread_blocks(&plan) {
            for phase in Phase::ALL {
                for (set, block) in plan.job(phase, at.0, at.1).order() {
                    for row in set * ROWS..(set + 1) * ROWS {
                        let Some((source, i, column)) = plan.source(phase, at, (row, block)) else {
                            continue;
                        };
                        let (rows, blocks) = shape.size(source);
                        let (i, column) = (i as usize, column as usize);
                        assert!(i < rows && column < blocks, "{plan:?}: {source:?} has no {i}, {column}");
                        let seen = &mut seen[source as usize][i * blocks + column];
                        assert!(!*seen, "{plan:?}: {source:?} {i}, {column} again, for {phase:?} of {at:?}");
                        *seen = true;
                    }
                }
            }
        }
        for source in SOURCES {
            let missing = seen[source as usize].iter().position(|seen| !seen);
            assert_eq!(missing, None, "{plan:?}: nobody has that of {source:?}");
        }
    }
}

/// The places of a warp's tiles as `Block::multiply` goes through them: the set among the thread block's, and the block.
fn walk(work: Work) -> Vec<(u32, u32)> {
    let job = work.job;
    let (mut left, mut first, mut places) = (job.sets, 0, Vec::new());
    while left > 0 {
        let (sets, Begin { mut block, mut set }) =
            if left > work.round { (work.round, work.full) } else { (left, work.last) };
        for _ in 0..job.tiles_of(sets) {
            assert!(block >= job.blocks || block * sets + set < SUMS, "{job:?}: no room for a sum");
            places.push((first + set, block));
            set += 1;
            if set == sets {
                (block, set) = (block + 1, 0);
            }
        }
        left -= sets;
        first += sets;
    }
    places
}

/// That each tile is somebody's, each warp has as many as the others, and finds them where they were put.
fn check(job: Job) {
    let order: Vec<_> = job.order().collect();
    let mut tiles: Vec<_> = order.iter().copied().filter(|(_, block)| *block < job.blocks).collect();
    tiles.sort_unstable();
    let all = (0..job.sets).flat_map(|set| (0..job.blocks).map(move |block| (set, block)));
    assert!(tiles.into_iter().eq(all), "{job:?}: not each tile once");
    assert_eq!(order.len() as u32, WARPS * job.tiles(), "{job:?}");
    for warp in 0..WARPS {
        let work = job.work(warp);
        assert_eq!(Work::unpack(work.pack()), work);
        let expected = order.iter().skip(warp as usize).step_by(WARPS as usize);
        assert!(walk(work).iter().eq(expected), "{job:?}: warp {warp} goes another way");
    }
}

#[test]
fn warps_go_the_way_of_the_tiles() {
    for (_, plan) in plans() {
        let shared = plan.shared();
        assert!(shared.partials + SUMS * ROWS * 4 <= shared.ring, "{plan:?}: no room for a round's sums");
        let rows = [shared.heads, shared.ring, plan.slot_bytes];
        assert!(
            rows.iter().all(|at| at.is_multiple_of(ROW_BYTES)),
            "{plan:?}: rows are not aligned to their size"
        );
        for (group, rank) in thread_blocks(&plan) {
            for phase in Phase::ALL {
                check(plan.job(phase, group, rank));
            }
        }
    }
    for blocks in 1..=MAX_BLOCKS {
        for sets in [1, 2, 3, 5, 7, 8, 17, 64, SUMS - 1, SUMS, SUMS + 1, 500] {
            check(Job { sets, blocks, first: 16 * sets, rows: 16 * sets - 5 });
        }
    }
}
