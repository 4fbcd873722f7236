//! How a weight matrix lies in device memory: the blocks of the file, taken apart into planes.
//!
//! A row is cut into chunks of 64 weights; one lane of a warp takes one chunk at a time. A chunk's codes are cut into
//! pieces of 16 bytes, and the pieces with the same number lie together: when 32 lanes each load the piece `p` of
//! their chunk, they load 512 bytes in a row. Scales have planes of their own. Nothing is rounded: the bits are those
//! of the file in another order.
//!
//! | kind | planes, each row by row |
//! |---|---|
//! | `Q4_K` | codes: 2 pieces of 4-bit codes · headers: 16 bytes for 256 weights, as in the file |
//! | `Q6_K` | low: 2 pieces of 4-bit codes · high: 1 piece of 2-bit codes · scales: 4 bytes a chunk · `d`: an `f16` for 256 weights |
//! | `Q8_0` | codes: 4 pieces of 8-bit codes · `d`: 2 `f16` a chunk |
//! | `F16` | 8 pieces of 8 weights |
//! | `F32` | 16 pieces of 4 weights |
//!
//! In 4-bit pieces the low half of byte `i` of piece `p` is weight `16 p + i` of the chunk, the high half is weight
//! `32 + 16 p + i`. In the 2-bit piece, bits `2 q` and `2 q + 1` of byte `i` belong to weight `16 q + i`.

/// Weights of a chunk.
pub const CHUNK: usize = 64;

/// The block format of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// 32-bit floats.
    F32 = 0,
    /// 16-bit floats.
    F16 = 1,
    /// 8-bit codes, a scale for 32.
    Q8_0 = 8,
    /// 4-bit codes, a 6-bit scale and minimum for 32, two factors for 256.
    Q4K = 12,
    /// 6-bit codes, an 8-bit scale for 16, a factor for 256.
    Q6K = 14,
}

impl Kind {
    /// Pieces of 16 bytes that hold a chunk's codes.
    pub const fn pieces(self) -> usize {
        match self {
            Kind::F32 => 16,
            Kind::F16 => 8,
            Kind::Q8_0 => 4,
            Kind::Q4K => 2,
            Kind::Q6K => 3,
        }
    }

    /// Whether the kernels with 8-bit activations take it: the others have exact weights, and get exact activations.
    pub const fn is_quantized(self) -> bool {
        matches!(self, Kind::Q8_0 | Kind::Q4K | Kind::Q6K)
    }
}

/// Where the planes of a matrix begin, in bytes from its start, and how many bytes it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planes {
    /// The pieces with low or whole codes.
    pub low: usize,
    /// `Q6_K`: the pieces with the high codes.
    pub high: usize,
    /// `Q6_K`: the chunks' scales.
    pub scales: usize,
    /// The factors: `Q4_K`'s headers, `Q6_K`'s and `Q8_0`'s `d`.
    pub factors: usize,
    /// The size of all planes, a multiple of 16.
    pub bytes: usize,
}

/// Chunks of a row of `cols` weights; the last may be filled up with zeros.
#[inline(always)]
pub const fn chunks(cols: usize) -> usize {
    cols.div_ceil(CHUNK)
}

impl Planes {
    /// The planes of a matrix. `Q4_K` and `Q6_K` need `cols` to be a multiple of 256.
    #[inline(always)]
    pub const fn new(kind: Kind, rows: usize, cols: usize) -> Self {
        let n = rows * chunks(cols);
        let low_pieces = if matches!(kind, Kind::Q6K) { 2 } else { kind.pieces() };
        let high = n * low_pieces * 16;
        let (scales, factors, end) = match kind {
            Kind::Q6K => (high + n * 16, high + n * 20, high + n * 20 + n / 2),
            Kind::Q4K => (high, high, high + n * 4),
            Kind::Q8_0 => (high, high, high + n * 4),
            Kind::F16 | Kind::F32 => (high, high, high),
        };
        Self { low: 0, high, scales, factors, bytes: end.next_multiple_of(16) }
    }
}

/// A matrix in device memory, as the kernels take it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Matrix {
    /// Its planes, aligned to 16 bytes.
    pub data: *const u8,
    /// Rows, which are outputs.
    pub rows: u32,
    /// Weights of a row, which are inputs.
    pub cols: u32,
    /// The block format.
    pub kind: Kind,
    /// The first of the launch's blocks that work on it.
    pub first_block: u32,
    /// How many do; the matrices of a launch share its blocks.
    pub blocks: u32,
}

impl Matrix {
    /// No matrix: a launch takes three, not all of which are there.
    pub const NONE: Self =
        Self { data: core::ptr::null(), rows: 0, cols: 0, kind: Kind::Q4K, first_block: 0, blocks: 0 };

    /// Of the matrices of a launch, the one that a block works on, and the rows of those before it.
    #[inline(always)]
    pub fn of_block(m0: Self, m1: Self, m2: Self, block: u32) -> (Self, usize) {
        if block < m1.first_block || m1.blocks == 0 {
            (m0, 0)
        } else if block < m2.first_block || m2.blocks == 0 {
            (m1, m0.rows as usize)
        } else {
            (m2, (m0.rows + m1.rows) as usize)
        }
    }

    /// Chunks of a row.
    #[inline(always)]
    pub fn chunks(&self) -> usize {
        chunks(self.cols as usize)
    }

    /// Where its planes begin.
    #[inline(always)]
    pub fn planes(&self, kind: Kind) -> Planes {
        Planes::new(kind, self.rows as usize, self.cols as usize)
    }
}
