//! From stored blocks to `f32`, in the order of operations that defines each format.

use super::QuantType;
use half::f16;

/// Writes the weights stored in `bytes` to `out`, bit for bit as the format's definition gives them.
///
/// All products of a half-precision scale, a sub-block scale and a code fit in 24 bits, so fused and separate
/// multiply-adds agree and the result does not depend on how this was compiled.
///
/// # Panics
/// When `out` is not whole blocks or `bytes` is not exactly their storage.
pub fn dequantize(kind: QuantType, bytes: &[u8], out: &mut [f32]) {
    let expected = kind.row_bytes(out.len());
    assert_eq!(Some(bytes.len()), expected, "the storage of {} weights in {kind}", out.len());
    let block: fn(&[u8], &mut [f32]) = match kind {
        QuantType::F32 => {
            |bytes, out| out[0] = f32::from_le_bytes(bytes.try_into().expect("a block is 4 bytes"))
        }
        QuantType::F16 => |bytes, out| out[0] = half_at(bytes, 0),
        QuantType::Q8_0 => q8_0,
        QuantType::Q4K => q4_k,
        QuantType::Q6K => q6_k,
    };
    let blocks = bytes.chunks_exact(kind.block_bytes());
    for (bytes, out) in blocks.zip(out.chunks_exact_mut(kind.block_len())) {
        block(bytes, out);
    }
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// `d`, then 32 codes.
fn q8_0(bytes: &[u8], out: &mut [f32]) {
    let d = half_at(bytes, 0);
    for (weight, &code) in out.iter_mut().zip(&bytes[2..]) {
        *weight = f32::from(code as i8) * d;
    }
}

/// `d`, `dmin`, 12 bytes of scales and minima, 128 bytes of codes: 32 bytes hold two sub-blocks, the first in the low
/// nibbles.
fn q4_k(bytes: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(bytes, 0), half_at(bytes, 2));
    let (scales, codes) = (&bytes[4..16], &bytes[16..]);
    for (sub, weights) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = q4_k_scale_min(scales, sub);
        let (scale, minimum) = (d * f32::from(scale), dmin * f32::from(minimum));
        for (weight, &code) in weights.iter_mut().zip(&codes[sub / 2 * 32..]) {
            *weight = scale * f32::from((code >> (sub % 2 * 4)) & 15) - minimum;
        }
    }
}

/// The 6-bit scale and minimum of a sub-block: the first four are whole bytes, whose top two bits complete the nibbles
/// that hold the last four.
fn q4_k_scale_min(scales: &[u8], sub: usize) -> (u8, u8) {
    if sub < 4 {
        (scales[sub] & 63, scales[sub + 4] & 63)
    } else {
        let nibbles = scales[sub + 4];
        ((nibbles & 15) | (scales[sub - 4] >> 6 << 4), (nibbles >> 4) | (scales[sub] >> 6 << 4))
    }
}

/// 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 scales, `d`. Each half of the block has four runs of 32
/// weights; run `r` takes nibble `r / 2` of the low bytes `r % 2 * 32 ..` and bit pair `r` of the high bytes.
fn q6_k(bytes: &[u8], out: &mut [f32]) {
    let (low, high, scales, d) = (&bytes[..128], &bytes[128..192], &bytes[192..208], half_at(bytes, 208));
    for (run, weights) in out.chunks_exact_mut(32).enumerate() {
        let (half, r) = (run / 4, run % 4);
        let low = &low[half * 64 + r % 2 * 32..][..32];
        let high = &high[half * 32..][..32];
        for (i, weight) in weights.iter_mut().enumerate() {
            let code = ((low[i] >> (r / 2 * 4)) & 15) | (((high[i] >> (2 * r)) & 3) << 4);
            let scale = f32::from(scales[run * 2 + i / 16] as i8);
            *weight = d * scale * (f32::from(code) - 32.0);
        }
    }
}
