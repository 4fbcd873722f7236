//! `Q4_K`.

use cuda_std::half::f16x2_to_f32;
use cuda_std::mma::m16n8k32_u8_i8;
use cuda_std::prelude::*;

use super::groups::{Groups, own};
use super::{Input, LARGE, Tile, at, byte, planes};

/// `Q4_K`: 32 weights share a scale and a minimum.
#[derive(Clone, Copy)]
pub struct Q4K {
    codes: [U32x4; 4],
    scales: U32x2,
    factors: U32x2,
}

impl Tile for Q4K {
    const BYTES: u32 = planes::Q4K_FACTORS as u32 + 64;

    type Columns = Groups;

    #[inline(always)]
    unsafe fn load(tile: shared::Slice<u8>, lane: u32) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                codes: core::array::from_fn(|p| at(tile, planes::PIECES * p, lane)),
                scales: at(tile, planes::Q4K_SCALES, lane),
                factors: at(tile, planes::Q4K_FACTORS, lane / 4),
            }
        }
    }

    #[inline(always)]
    unsafe fn columns(input: impl Input, block: u32, lane: u32) -> Groups {
        // SAFETY: as the caller promises.
        let mut x = unsafe { Groups::of(input, block, lane) };
        // The second group's codes are multiplied where they stand.
        x.scales[1] *= 1.0 / 16.0;
        x
    }

    #[inline(always)]
    fn dot(self, x: &Groups, lane: u32) -> [f32; 2] {
        let sums = own(
            lane % 4,
            core::array::from_fn(|m| {
                let mask = [0x0f0f_0f0f, 0xf0f0_f0f0][m % 2];
                m16n8k32_u8_i8(self.codes[m / 2].0.map(|word| word & mask), x.words, [LARGE; 4])
            }),
        );
        [0, 1].map(|row| {
            let scales = self.scales.0[row];
            let [a, b] = [byte(scales, 0) * x.scales[0], byte(scales, 1) * x.scales[1]];
            let products = b.mul_add(sums[2 * row + 1], a * sums[2 * row]);
            let offsets = byte(scales, 3).mul_add(x.sums[1], byte(scales, 2) * x.sums[0]);
            let [d, min] = f16x2_to_f32(self.factors.0[row]);
            d.mul_add(products, -(min * offsets))
        })
    }
}
