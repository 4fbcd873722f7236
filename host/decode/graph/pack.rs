//! A matrix of the file in the order in which the kernels read it: see [`psionic_kernels::layout`].

use psionic_kernels::layout::{CHUNK, Kind, Planes, chunks};

use crate::model::Matrix;
use crate::quant::QuantType;

const PIECE: usize = 16;

/// How the kernels call a format.
pub fn kind(quant: QuantType) -> Kind {
    match quant {
        QuantType::F32 => Kind::F32,
        QuantType::F16 => Kind::F16,
        QuantType::Q8_0 => Kind::Q8_0,
        QuantType::Q4K => Kind::Q4K,
        QuantType::Q6K => Kind::Q6K,
    }
}

/// Bytes of a packed matrix.
pub fn packed_len(m: &Matrix<'_>) -> usize {
    Planes::new(kind(m.kind), m.rows, m.cols).bytes
}

/// The matrix, packed into `out`, which is as long as [`packed_len`] says. No bit of it is changed.
pub fn pack(m: &Matrix<'_>, out: &mut [u8]) {
    let kind = kind(m.kind);
    let planes = Planes::new(kind, m.rows, m.cols);
    assert_eq!(out.len(), planes.bytes, "the buffer of a packed matrix is as long as its planes");
    let n = chunks(m.cols);
    for (row, from) in m.data.chunks_exact(m.row_bytes()).enumerate() {
        match kind {
            Kind::Q4K => {
                for (b, block) in from.chunks_exact(144).enumerate() {
                    let (header, codes) = block.split_at(16);
                    put(out, planes.factors + (row * n / 4 + b) * 16, header);
                    for (i, piece) in codes.chunks_exact(PIECE).enumerate() {
                        put(out, at(n, 2, row, i % 2, 4 * b + i / 2), piece);
                    }
                }
            }
            Kind::Q6K => {
                for (b, block) in from.chunks_exact(210).enumerate() {
                    for j in 0..4 {
                        let c = 4 * b + j;
                        let (low, high) = q6_codes(block, j);
                        put(out, at(n, 2, row, 0, c), &low[..PIECE]);
                        put(out, at(n, 2, row, 1, c), &low[PIECE..]);
                        put(out, planes.high + at(n, 1, row, 0, c), &high);
                        put(out, planes.scales + (row * n + c) * 4, &block[192 + 4 * j..][..4]);
                    }
                    put(out, planes.factors + (row * n / 4 + b) * 2, &block[208..]);
                }
            }
            Kind::Q8_0 => {
                for (b, block) in from.chunks_exact(34).enumerate() {
                    let (d, codes) = block.split_at(2);
                    put(out, planes.factors + (row * n * 2 + b) * 2, d);
                    for (i, piece) in codes.chunks_exact(PIECE).enumerate() {
                        put(out, at(n, 4, row, 2 * (b % 2) + i, b / 2), piece);
                    }
                }
            }
            Kind::F16 | Kind::F32 => {
                let pieces = kind.pieces();
                for (i, piece) in from.chunks(PIECE).enumerate() {
                    put(out, at(n, pieces, row, i % pieces, i / pieces), piece);
                }
            }
        }
    }
}

/// Where piece `p` of chunk `c` lies in a plane of `pieces` pieces a chunk and `n` chunks a row.
fn at(n: usize, pieces: usize, row: usize, p: usize, c: usize) -> usize {
    (row * pieces * n + p * n + c) * PIECE
}

fn put(out: &mut [u8], start: usize, bytes: &[u8]) {
    out[start..start + bytes.len()].copy_from_slice(bytes);
}

/// The 4-bit and the 2-bit codes of chunk `j` of a `Q6_K` block.
///
/// ggml keeps the low halves of weights `32 k + l` (of the 128 of a half block) in byte `32 (k % 2) + l`, nibble
/// `k / 2`, and the high bits in byte `l`, bits `2 k` and `2 k + 1`.
pub(crate) fn q6_codes(block: &[u8], j: usize) -> ([u8; 2 * PIECE], [u8; PIECE]) {
    let (half, m) = (j / 2, j % 2);
    let (ql, qh) = (&block[64 * half..][..64], &block[128 + 32 * half..][..32]);
    let nibble = |byte: u8| byte >> (4 * m) & 15;
    let low = std::array::from_fn(|i| nibble(ql[i]) | nibble(ql[CHUNK / 2 + i]) << 4);
    let high = std::array::from_fn(|i| {
        let bits = |q: usize| qh[16 * (q % 2) + i] >> (2 * (2 * m + q / 2)) & 3;
        bits(0) | bits(1) << 2 | bits(2) << 4 | bits(3) << 6
    });
    (low, high)
}
