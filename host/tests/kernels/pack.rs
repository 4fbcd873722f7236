//! Packing keeps every bit: through the `embed` kernel, which dequantises a row, and by unpacking.

use crate::kernels::{Uploaded, bits, launch};
use crate::machine;
use cuda_std::launch::LaunchConfig;
use psionic::decode::pack::{pack, packed_len};
use psionic::device::Device;
use psionic::kernel::Stored;
use psionic::quant::QuantType;
use psionic::random::Random;
use psionic_kernels::embed;

/// Factors at the ends of what half precision can say: zeros, the least and the largest subnormal, the least normal,
/// numbers with all bits set, the largest.
const FACTORS: [u16; 12] =
    [0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x3c00, 0xbfff, 0x5555, 0x7bff, 0xfbff];

fn shapes(kind: QuantType) -> &'static [(usize, usize)] {
    match kind.block_len() {
        256 => &[(1, 256), (3, 512), (7, 1280)],
        _ => &[(1, 32), (3, 96), (2, 64), (5, 160), (3, 992)],
    }
}

/// Rows through the kernel: those that are stored, bit for bit.
fn check_rows(device: &Device, stored: &Stored) {
    let uploaded = Uploaded::new(device, stored);
    let expected = stored.weights();
    for (row, expected) in expected.chunks(stored.cols).enumerate() {
        let tokens = device.upload(&[u32::MAX, row as u32, u32::MAX]).unwrap();
        let position = device.upload(&[1u32]).unwrap();
        // One more than the row has, which must stay as it is.
        let out = device.upload(&vec![f32::MAX; stored.cols + 4]).unwrap();
        let args = embed::embed::Args {
            m: uploaded.argument(0, 1),
            tokens: tokens.as_ptr(),
            position: position.as_ptr(),
            out: out.as_mut_ptr(),
        };
        let blocks = stored.cols.div_ceil(64).div_ceil(32) as u32;
        // SAFETY: the token is a row, `out` has its columns, and there are threads for all chunks.
        unsafe { launch(device, LaunchConfig::new(blocks, 32), args) };
        let found = device.download(&out).unwrap();
        let (found, beyond) = found.split_at(stored.cols);
        assert_eq!(beyond, [f32::MAX; 4], "{}: nothing is written beyond a row", stored.kind);
        for (i, (found, expected)) in bits(found).iter().zip(bits(expected)).enumerate() {
            assert_eq!(*found, expected, "{}: row {row} of {}, weight {i}", stored.kind, stored.rows);
        }
    }
}

/// Blocks with factors at the ends of their range, and codes and scales of any or of one value.
fn adversarial(kind: QuantType, (rows, cols): (usize, usize), random: &mut Random) -> Stored {
    let mut stored = Stored::random(kind, (rows, cols), 1.0, random);
    for block in stored.data.chunks_exact_mut(kind.block_bytes()) {
        match random.below(4) {
            0 => block.fill(0),
            1 => block.fill(0xff),
            2 => block.fill(0x80),
            _ => {}
        }
        let mut half = |at: usize| {
            let factor = FACTORS[random.below(FACTORS.len())];
            block[at..at + 2].copy_from_slice(&factor.to_le_bytes());
        };
        match kind {
            // A float of all bits set is none: the largest, and the least subnormal.
            QuantType::F32 => {
                block.copy_from_slice(&[f32::MAX, -f32::from_bits(1)][random.below(2)].to_le_bytes())
            }
            QuantType::F16 | QuantType::Q8_0 => half(0),
            QuantType::Q4K => [0, 2].into_iter().for_each(half),
            QuantType::Q6K => half(208),
        }
    }
    stored
}

#[test]
fn the_kernels_see_the_weights_of_the_file() {
    let device = machine::device();
    let mut random = Random::new(1);
    for kind in QuantType::ALL {
        for &shape in shapes(kind) {
            check_rows(&device, &Stored::random(kind, shape, 1.0, &mut random));
            check_rows(&device, &adversarial(kind, shape, &mut random));
        }
    }
}

/// Every value of every scale and minimum of a `Q4_K` block, each beside others.
#[test]
fn every_scale_of_q4_k_is_found() {
    let device = machine::device();
    let mut stored = Stored::random(QuantType::Q4K, (8, 2048), 1.0, &mut Random::new(2));
    for (b, block) in stored.data.chunks_exact_mut(144).enumerate() {
        // 37 has no common factor with 64: each sub-block takes every value in 64 blocks.
        let value = |i: usize| ((37 * b + 11 * i) % 64) as u8;
        for i in 0..4 {
            block[4 + i] = value(i) | value(i + 4) >> 4 << 6;
            block[8 + i] = value(i + 8) | value(i + 12) >> 4 << 6;
            block[12 + i] = value(i + 4) & 15 | value(i + 12) << 4;
        }
        // Codes that tell a scale from a minimum.
        block[16..].fill(0x71);
    }
    check_rows(&device, &stored);
}

/// The file's bytes from the planes, written from the layout's documentation.
fn unpack(kind: QuantType, rows: usize, cols: usize, packed: &[u8]) -> Vec<u8> {
    let chunks = cols.div_ceil(64);
    // Piece `p` of `pieces`, of chunk `c` of a row, in the plane that begins at `plane`.
    let piece = |plane: usize, pieces: usize, row: usize, p: usize, c: usize| {
        &packed[plane + ((row * pieces + p) * chunks + c) * 16..][..16]
    };
    let all = rows * chunks;
    let mut file = Vec::new();
    for row in 0..rows {
        match kind {
            QuantType::F32 | QuantType::F16 => {
                let pieces = 64 * kind.block_bytes() / 16;
                let start = file.len();
                (0..chunks * pieces).for_each(|i| file.extend(piece(0, pieces, row, i % pieces, i / pieces)));
                let padding = file.split_off(start + cols * kind.block_bytes());
                assert!(padding.iter().all(|byte| *byte == 0), "the last chunk is filled up with zeros");
            }
            QuantType::Q8_0 => {
                for block in 0..cols / 32 {
                    file.extend(&packed[all * 64 + (row * chunks * 2 + block) * 2..][..2]);
                    for p in 0..2 {
                        file.extend(piece(0, 4, row, block % 2 * 2 + p, block / 2));
                    }
                }
            }
            QuantType::Q4K => {
                for block in 0..cols / 256 {
                    file.extend(&packed[all * 32 + (row * chunks / 4 + block) * 16..][..16]);
                    (0..8).for_each(|i| file.extend(piece(0, 2, row, i % 2, 4 * block + i / 2)));
                }
            }
            QuantType::Q6K => {
                for block in 0..cols / 256 {
                    let (mut low, mut high) = ([0u8; 128], [0u8; 64]);
                    for i in 0..256 {
                        let (c, q, byte) = (4 * block + i / 64, i % 64 / 16, i % 16);
                        let four = piece(0, 2, row, q % 2, c)[byte] >> (q / 2 * 4) & 15;
                        let two = piece(all * 32, 1, row, 0, c)[byte] >> (2 * q) & 3;
                        // As the file has them: halves of 128, in each four runs of 32.
                        let (half, run, place) = (i / 128, i % 128 / 32, i % 32);
                        low[64 * half + run % 2 * 32 + place] |= four << (run / 2 * 4);
                        high[32 * half + place] |= two << (2 * run);
                    }
                    file.extend(low);
                    file.extend(high);
                    file.extend(&packed[all * 48 + (row * chunks + 4 * block) * 4..][..16]);
                    file.extend(&packed[all * 52 + (row * chunks / 4 + block) * 2..][..2]);
                }
            }
        }
    }
    file
}

#[test]
fn every_bit_of_the_file_is_found_again() {
    let mut random = Random::new(3);
    for kind in QuantType::ALL {
        for &(rows, cols) in shapes(kind) {
            let data = random.bytes(rows * kind.row_bytes(cols).unwrap());
            let stored = Stored { kind, rows, cols, data };
            let mut packed = vec![0; packed_len(&stored.view())];
            pack(&stored.view(), &mut packed);
            assert!(unpack(kind, rows, cols, &packed) == stored.data, "{kind}: {rows} rows of {cols}");
            let most =
                stored.data.len() + if cols % 64 == 0 { 15 } else { rows * (64 * kind.block_bytes() + 15) };
            assert!(packed.len() <= most, "{kind}: {} bytes for {}", packed.len(), stored.data.len());
        }
    }
}
