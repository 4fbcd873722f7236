//! The matrices of a layer as the blocks' streams of tiles: see [`psionic_kernels::persistent::tile`].

use psionic_kernels::layout::Kind;
use psionic_kernels::persistent::plan::{Phase, Plan, Source, Stream, WARPS};
use psionic_kernels::persistent::tile::{BLOCK, BLOCKS, Code, KIND_BITS, planes};
use rayon::prelude::*;

use crate::decode::graph::pack::{kind, q6_codes};
use crate::model::{Layer, Matrix};

const PIECE: usize = 16;

/// The matrices that a stream is made of: a layer's, or the head.
pub enum Matrices<'m, 'a> {
    /// A layer.
    Layer(&'m Layer<'a>),
    /// The matrix of the logits.
    Head(&'m Matrix<'a>),
}

impl<'a> Matrices<'_, 'a> {
    fn phases(&self) -> &'static [Phase] {
        match self {
            Self::Layer(_) => &Phase::ALL[..4],
            Self::Head(_) => &Phase::ALL[4..],
        }
    }

    fn get(&self, source: Source) -> &Matrix<'a> {
        match (self, source) {
            (Self::Head(head), _) => head,
            (Self::Layer(layer), Source::Q) => &layer.q,
            (Self::Layer(layer), Source::K) => &layer.k,
            (Self::Layer(layer), Source::V) => &layer.v,
            (Self::Layer(layer), Source::O) => &layer.o,
            (Self::Layer(layer), Source::Gate) => &layer.gate,
            (Self::Layer(layer), Source::Up) => &layer.up,
            (Self::Layer(layer), Source::Down | Source::Head) => &layer.down,
        }
    }

    /// The kind of the tiles of a phase; `values` as for [`Stream::field`].
    fn kind(&self, phase: Phase, values: bool) -> Kind {
        let source = match phase {
            Phase::Heads if values => Source::V,
            Phase::Heads => Source::Q,
            Phase::Output => Source::O,
            Phase::GateUp => Source::Gate,
            Phase::Down => Source::Down,
            Phase::Logits => Source::Head,
        };
        kind(self.get(source).kind)
    }

    /// The kinds as the kernel's table has them; none if tiles cannot be made of one of them.
    pub fn kinds(&self) -> Option<u32> {
        let mut kinds = 0;
        for phase in self.phases() {
            for values in [false, true] {
                let code = Code::of(self.kind(*phase, values))?;
                let shift = KIND_BITS * Stream::field(*phase, values);
                kinds &= !(((1 << KIND_BITS) - 1) << shift);
                kinds |= code.0 << shift;
            }
        }
        Some(kinds)
    }

    /// Bytes of the largest tile.
    pub fn largest_tile(&self) -> u32 {
        let bytes = |phase: &Phase| {
            [false, true].map(|values| tile_bytes(self.kind(*phase, values))).into_iter().max()
        };
        self.phases().iter().filter_map(bytes).max().unwrap_or(0)
    }

    /// Bytes from one block's tiles to the next one's: what the largest block has.
    pub fn stride(&self, plan: &Plan) -> usize {
        let blocks = (0..plan.groups * plan.blocks).map(|block| self.block_bytes(plan, block));
        blocks.max().unwrap_or(0)
    }

    fn block_bytes(&self, plan: &Plan, block: u32) -> usize {
        let (group, rank) = (block / plan.blocks, block % plan.blocks);
        let bytes = |phase: &Phase| {
            let tile = tile_bytes(self.kind(*phase, rank >= plan.key_blocks));
            (plan.job(*phase, group, rank).segment.tiles() * WARPS * tile) as usize
        };
        self.phases().iter().map(bytes).sum()
    }

    /// Fills `out`, of [`stride`](Self::stride) bytes for each block.
    pub fn pack(&self, plan: &Plan, out: &mut [u8]) {
        let stride = self.stride(plan);
        out.par_chunks_mut(stride)
            .enumerate()
            .for_each(|(block, out)| self.pack_block(plan, block as u32, out));
    }

    fn pack_block(&self, plan: &Plan, block: u32, out: &mut [u8]) {
        let (group, rank) = (block / plan.blocks, block % plan.blocks);
        let mut rest = out;
        for phase in self.phases() {
            let kind = self.kind(*phase, rank >= plan.key_blocks);
            let bytes = tile_bytes(kind) as usize;
            for (first, sets, step) in plan.job(*phase, group, rank).segment.order() {
                for (warp, set) in
                    (0..WARPS).flat_map(|warp| (first..first + sets).map(move |set| (warp, set)))
                {
                    let (tile, after) = rest.split_at_mut(bytes);
                    rest = after;
                    tile.fill(0);
                    for quad in 0..BLOCKS as u32 {
                        let source = plan.source(*phase, (group, rank, warp), (set, step), quad);
                        if let Some((source, row, column)) = source {
                            let matrix = self.get(source);
                            let size = matrix.row_bytes() * BLOCK / matrix.cols;
                            let start = row as usize * matrix.row_bytes() + column as usize * size;
                            put_block(kind, &matrix.data[start..start + size], quad as usize, tile);
                        }
                    }
                }
            }
        }
    }
}

/// Bytes of a tile; none of a kind that tiles are not made of.
fn tile_bytes(kind: Kind) -> u32 {
    Code::of(kind).map_or(0, Code::bytes)
}

/// A block of 256 weights as quad `quad` of a tile. No bit of it is changed.
fn put_block(kind: Kind, block: &[u8], quad: usize, tile: &mut [u8]) {
    let mut put = |start: usize, bytes: &[u8]| tile[start..start + bytes.len()].copy_from_slice(bytes);
    let piece = |p: usize, j: usize| 512 * p + (4 * quad + j) * PIECE;
    match kind {
        Kind::Q4K => {
            let (header, codes) = block.split_at(16);
            let (factors, packed) = header.split_at(4);
            put(planes::Q4K_FACTORS + 4 * quad, factors);
            for j in 0..4 {
                let [(s0, m0), (s1, m1)] = [2 * j, 2 * j + 1].map(|i| scale_and_minimum(packed, i));
                put(planes::Q4K_SCALES + 4 * (4 * quad + j), &[s0, s1, m0, m1]);
            }
            for (i, codes) in codes.chunks_exact(PIECE).enumerate() {
                put(piece(i % 2, i / 2), codes);
            }
        }
        Kind::Q6K => {
            for j in 0..4 {
                let (low, high) = q6_codes(block, j);
                put(piece(0, j), &low[..PIECE]);
                put(piece(1, j), &low[PIECE..]);
                put(piece(2, j), &high);
                put(planes::Q6K_SCALES + 4 * (4 * quad + j), &block[192 + 4 * j..][..4]);
            }
            put(planes::Q6K_FACTORS + 2 * quad, &block[208..]);
        }
        Kind::Q8_0 => {
            for (b, block) in block.chunks_exact(34).enumerate() {
                let (d, codes) = block.split_at(2);
                put(planes::Q8_0_FACTORS + 4 * (4 * quad + b / 2) + 2 * (b % 2), d);
                for (i, codes) in codes.chunks_exact(PIECE).enumerate() {
                    put(piece(2 * (b % 2) + i, b / 2), codes);
                }
            }
        }
        Kind::F16 | Kind::F32 => unreachable!("the engine refuses models with such matrices"),
    }
}

/// The 6-bit scale and minimum of the 32 weights `i` of a `Q4_K` block: ggml's `get_scale_min_k4`.
fn scale_and_minimum(packed: &[u8], i: usize) -> (u8, u8) {
    if i < 4 {
        return (packed[i] & 63, packed[i + 4] & 63);
    }
    (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
}
