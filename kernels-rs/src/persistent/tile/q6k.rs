//! `Q6_K`.

use cuda_std::half::f16x2_to_f32;
use cuda_std::mma::m16n8k32_u8_i8;
use cuda_std::prelude::*;

use super::{Input, LARGE, Part, Tile, at, byte, number, pick, planes};

/// Activations for weights of which 16 share a scale: either half of a block is cut into 8 vectors of 16, which have their
/// places in the 32 columns of a product, the even ones in the first half and the odd ones in the second.
#[derive(Clone, Copy)]
pub struct Sixteens {
    /// The lane's words for the first four products, and for the others.
    words: [[u32; 2]; 2],
    /// The scale of group `t` of either half.
    scales: [f32; 2],
    /// 32 times the sums of the activations of its two sixteens.
    offsets: [[f32; 2]; 2],
}

/// `Q6_K`: sixteen weights share a scale.
#[derive(Clone, Copy)]
pub struct Q6K {
    low: [U32x4; 4],
    high: [U32x4; 2],
    scales: U32x2,
    factors: u32,
}

impl Tile for Q6K {
    const BYTES: u32 = planes::Q6K_FACTORS as u32 + 32;

    type Columns = Sixteens;

    #[inline(always)]
    unsafe fn load(tile: shared::Slice<u8>, lane: u32) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                low: core::array::from_fn(|p| at(tile, planes::PIECES * p, lane)),
                high: core::array::from_fn(|p| at(tile, planes::Q6K_HIGH + planes::PIECES * p, lane)),
                scales: at(tile, planes::Q6K_SCALES, lane),
                factors: at(tile, planes::Q6K_FACTORS, lane / 4),
            }
        }
    }

    #[inline(always)]
    unsafe fn columns(input: impl Input, block: u32, lane: u32) -> Sixteens {
        let (g, t) = (lane / 4, lane % 4);
        let (word, group) = (64 * block + 4 * g + t, 8 * block + t);
        // SAFETY: as the caller promises.
        let Part { words, scales, sums } = unsafe { input.part([word, word + 32], [group, group + 4]) };
        Sixteens {
            words: words.map(|word| if g.is_multiple_of(2) { [word, 0] } else { [0, word] }),
            scales,
            offsets: sums.map(|sums| sums.map(|sum| 32.0 * sum)),
        }
    }

    #[inline(always)]
    fn dot(self, x: &Sixteens, lane: u32) -> [f32; 2] {
        let mut products = [[0; 4]; 8];
        for m in 0..8 {
            let mut codes = [0; 4];
            for i in 0..4 {
                let (low, high) = (self.low[m / 2].0[i], self.high[m / 4].0[i]);
                let low = if m % 2 == 0 { low } else { low >> 4 };
                let high = match m % 4 {
                    0 => high << 4,
                    1 => high << 2,
                    2 => high,
                    _ => high >> 2,
                };
                codes[i] = low & 0x0f0f_0f0f | high & 0x3030_3030;
            }
            products[m] = m16n8k32_u8_i8(codes, x.words[m / 4], [LARGE; 4]);
        }
        let factors = f16x2_to_f32(self.factors);
        [0, 1].map(|row| {
            // From signed to what `byte` takes.
            let scales = self.scales.0[row] ^ 0x8080_8080;
            let mut total = 0.0f32;
            for half in 0..2 {
                for side in 0..2 {
                    // The lane's group of the half, whose product has nothing else.
                    let (p, i) = (4 * half, 2 * row + side);
                    let own = pick(
                        lane % 4,
                        products[p][i],
                        products[p + 1][i],
                        products[p + 2][i],
                        products[p + 3][i],
                    );
                    // The codes stand for 32 less: take 32 times the activations' sum away.
                    let sum = number(own);
                    let group = x.scales[half].mul_add(sum, -x.offsets[half][side]);
                    let scale = byte(scales, (2 * half + side) as u32) - 128.0;
                    total = scale.mul_add(group, total);
                }
            }
            factors[row] * total
        })
    }
}
