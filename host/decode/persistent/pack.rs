//! The matrices of a layer as the blocks' streams of tiles: see [`psionic_kernels::persistent::tile`].

use psionic_kernels::layout::Kind;
use psionic_kernels::persistent::plan::{Phase, Plan, SLOT_WARPS, Source, Stream, WARPS};
use psionic_kernels::persistent::tile::{self, BLOCK, BLOCKS, Code, KIND_BITS};
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
            Self::Layer(_) => &Phase::ALL[..5],
            Self::Head(_) => &Phase::ALL[5..],
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
            Phase::Query => Source::Q,
            Phase::KeyValue if values => Source::V,
            Phase::KeyValue => Source::K,
            Phase::Output => Source::O,
            Phase::GateUp => Source::Gate,
            Phase::Down => Source::Down,
            Phase::Head => Source::Head,
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
            [false, true].map(|values| tile::bytes(self.kind(*phase, values)).unwrap_or(0)).into_iter().max()
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
            let tile = tile::bytes(self.kind(*phase, rank >= plan.key_blocks())).unwrap_or(0);
            (plan.segment(*phase, group).tiles * WARPS * tile) as usize
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
            let kind = self.kind(*phase, rank >= plan.key_blocks());
            let bytes = tile::bytes(kind).unwrap_or(0) as usize;
            for step in 0..plan.segment(*phase, group).tiles {
                for slot in 0..WARPS / SLOT_WARPS {
                    for place in 0..SLOT_WARPS {
                        let warp = slot * SLOT_WARPS + place;
                        let (tile, after) = rest.split_at_mut(bytes);
                        rest = after;
                        tile.fill(0);
                        for quad in 0..BLOCKS as u32 {
                            let source = plan.source(*phase, (group, rank, warp), step, quad);
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
}

/// A block of 256 weights as quad `quad` of a tile. No bit of it is changed.
fn put_block(kind: Kind, block: &[u8], quad: usize, tile: &mut [u8]) {
    let mut put = |start: usize, bytes: &[u8]| tile[start..start + bytes.len()].copy_from_slice(bytes);
    let piece = |p: usize, j: usize| 512 * p + (4 * quad + j) * PIECE;
    match kind {
        Kind::Q4K => {
            let (header, codes) = block.split_at(16);
            put(1024 + 16 * quad, header);
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
                put(1536 + 4 * (4 * quad + j), &block[192 + 4 * j..][..4]);
            }
            put(1664 + 2 * quad, &block[208..]);
        }
        Kind::Q8_0 => {
            for (b, block) in block.chunks_exact(34).enumerate() {
                let (d, codes) = block.split_at(2);
                put(2048 + 4 * (4 * quad + b / 2) + 2 * (b % 2), d);
                for (i, codes) in codes.chunks_exact(PIECE).enumerate() {
                    put(piece(2 * (b % 2) + i, b / 2), codes);
                }
            }
        }
        Kind::F16 | Kind::F32 => unreachable!("the engine refuses models with such matrices"),
    }
}
