//! The matrices of a layer as the blocks' streams of tiles: see [`psionic_kernels::persistent::tile`].

use psionic_kernels::layout::Kind;
use psionic_kernels::persistent::plan::{Phase, Plan, Source, Stream, WARPS};
use psionic_kernels::persistent::tile::planes::{
    PIECES, Q4K_FACTORS, Q4K_SCALES, Q6K_FACTORS, Q6K_HIGH, Q6K_SCALES, Q8_0_FACTORS,
};
use psionic_kernels::persistent::tile::{BLOCK, Code, KIND_BITS, ROWS};
use rayon::prelude::*;

use crate::decode::graph::pack::{kind, q6_codes};
use crate::model::{Layer, Matrix, Model};

#[cfg(test)]
mod tests;

const PIECE: usize = 16;

/// The matrices that a stream is made of: a layer's, or the head.
pub enum Matrices<'m, 'a> {
    /// A layer.
    Layer(&'m Layer<'a>),
    /// The matrix of the logits.
    Head(&'m Matrix<'a>),
}

/// Those of the layers, and the head.
pub fn streams<'m, 'a>(model: &'m Model<'a>) -> impl Iterator<Item = Matrices<'m, 'a>> {
    model.layers.iter().map(Matrices::Layer).chain([Matrices::Head(&model.output)])
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
            (plan.job(*phase, group, rank).tiles() * WARPS * tile) as usize
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
            for (set, column) in plan.job(*phase, group, rank).order() {
                let (tile, after) = rest.split_at_mut(bytes);
                rest = after;
                tile.fill(0);
                for row in 0..ROWS {
                    let source = plan.source(*phase, (group, rank), (set * ROWS + row, column));
                    if let Some((source, i, column)) = source {
                        let matrix = self.get(source);
                        let size = matrix.row_bytes() * BLOCK / matrix.cols;
                        let start = i as usize * matrix.row_bytes() + column as usize * size;
                        put_block(kind, &matrix.data[start..start + size], row as usize, tile);
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

/// A block of 256 weights as row `row` of a tile. No bit of it is changed.
fn put_block(kind: Kind, block: &[u8], row: usize, tile: &mut [u8]) {
    // The row's lanes, and which of their two rows it is.
    let (g, side) = (row % 8, row / 8);
    let mut put = |start: usize, bytes: &[u8]| tile[start..start + bytes.len()].copy_from_slice(bytes);
    // Of 32 bytes of codes each lane has a word of either half.
    let codes = |put: &mut dyn FnMut(usize, &[u8]), plane: usize, codes: &[u8]| {
        for (i, word) in codes.chunks_exact(4).enumerate() {
            put(plane + PIECE * (4 * g + i % 4) + 4 * (side + 2 * (i / 4)), word);
        }
    };
    match kind {
        Kind::Q4K => {
            let (header, packed) = block.split_at(16);
            let (factors, scales) = header.split_at(4);
            for (p, piece) in packed.chunks_exact(2 * PIECE).enumerate() {
                codes(&mut put, PIECES * p, piece);
            }
            for t in 0..4 {
                let [(s0, m0), (s1, m1)] = [2 * t, 2 * t + 1].map(|i| scale_and_minimum(scales, i));
                put(Q4K_SCALES + 8 * (4 * g + t) + 4 * side, &[s0, s1, m0, m1]);
            }
            put(Q4K_FACTORS + 8 * g + 4 * side, factors);
        }
        Kind::Q6K => {
            let chunks: [_; 4] = std::array::from_fn(|j| q6_codes(block, j));
            for (p, (low, _)) in chunks.iter().enumerate() {
                codes(&mut put, PIECES * p, low);
            }
            for half in 0..2 {
                // Byte `i` has the high bits of weight `i` of each of four groups.
                let bits = |i: usize, group: usize| {
                    let (_, high) = &chunks[2 * half + group / 2];
                    high[i % 16] >> (2 * (2 * (group % 2) + i / 16)) & 3
                };
                let high: [u8; 2 * PIECE] =
                    std::array::from_fn(|i| (0..4).map(|group| bits(i, group) << (2 * group)).sum());
                codes(&mut put, Q6K_HIGH + PIECES * half, &high);
            }
            let scales = &block[192..208];
            for t in 0..4 {
                let mine = [2 * t, 2 * t + 1, 8 + 2 * t, 8 + 2 * t + 1].map(|i| scales[i]);
                put(Q6K_SCALES + 8 * (4 * g + t) + 4 * side, &mine);
            }
            put(Q6K_FACTORS + 4 * g + 2 * side, &block[208..]);
        }
        Kind::Q8_0 => {
            for (m, block) in block.chunks_exact(34).enumerate() {
                let (d, packed) = block.split_at(2);
                codes(&mut put, PIECES * m, packed);
                put(Q8_0_FACTORS + 8 * (4 * g + m / 2) + 4 * side + 2 * (m % 2), d);
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
