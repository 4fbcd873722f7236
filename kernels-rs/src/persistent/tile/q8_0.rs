//! `Q8_0`.

use cuda_std::half::f16x2_to_f32;
use cuda_std::mma::m16n8k32_i8;
use cuda_std::prelude::*;

use super::groups::{Groups, own};
use super::{Input, LARGE, Tile, at, planes};

/// `Q8_0`: 32 weights share a factor.
#[derive(Clone, Copy)]
pub struct Q8_0 {
    codes: [U32x4; 8],
    factors: U32x2,
}

impl Tile for Q8_0 {
    const BYTES: u32 = planes::Q8_0_FACTORS as u32 + 256;

    type Columns = Groups;

    #[inline(always)]
    unsafe fn load(tile: shared::Slice<u8>, lane: u32) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                codes: core::array::from_fn(|p| at(tile, planes::PIECES * p, lane)),
                factors: at(tile, planes::Q8_0_FACTORS, lane),
            }
        }
    }

    #[inline(always)]
    unsafe fn columns(input: impl Input, block: u32, lane: u32) -> Groups {
        // SAFETY: as the caller promises.
        unsafe { Groups::of(input, block, lane) }
    }

    #[inline(always)]
    fn dot(self, x: &Groups, lane: u32) -> [f32; 2] {
        let sums = own(lane % 4, core::array::from_fn(|m| m16n8k32_i8(self.codes[m].0, x.words, [LARGE; 4])));
        [0, 1].map(|row| {
            let [a, b] = f16x2_to_f32(self.factors.0[row]);
            (b * x.scales[1]).mul_add(sums[2 * row + 1], a * x.scales[0] * sums[2 * row])
        })
    }
}
