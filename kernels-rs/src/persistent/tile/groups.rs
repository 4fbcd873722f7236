//! Weights of which 32 share a scale: their activations, and their sums out of the products.

use super::{Input, Part, number, pick};

/// Activations with a scale for each 32 columns.
#[derive(Clone, Copy)]
pub struct Groups {
    /// The lane's words of its group, for all products.
    pub words: [u32; 2],
    /// The scales of the groups that it gets the sums of.
    pub scales: [f32; 2],
    /// The sums of their activations.
    pub sums: [f32; 2],
}

impl Groups {
    /// # Safety
    /// As for [`Tile::columns`](super::Tile::columns).
    #[inline(always)]
    pub unsafe fn of(input: impl Input, block: u32, lane: u32) -> Self {
        let (g, t) = (lane / 4, lane % 4);
        let (word, group) = (64 * block + 8 * g + t, 8 * block + 2 * t);
        // SAFETY: as the caller promises.
        let Part { words, scales, sums } = unsafe { input.part([word, word + 4], [group, group + 1]) };
        Self { words, scales, sums: sums.map(|[a, b]| a + b) }
    }
}

/// Of eight products this lane's sums, as numbers: groups `2 t` and `2 t + 1` of row `g`, and of row `g + 8`.
#[inline(always)]
pub fn own(t: u32, products: [[i32; 4]; 8]) -> [f32; 4] {
    let mut sums = [0.0; 4];
    for i in 0..4 {
        let p = i % 2;
        sums[i] = number(pick(t, products[p][i], products[2 + p][i], products[4 + p][i], products[6 + p][i]));
    }
    sums
}
