//! A matrix of 8-bit weights times a vector: four products with one instruction, a warp for each row.

use cuda_std::prelude::*;

/// Elements that share a scale.
pub const GROUP: usize = 32;

/// `y[r]` is row `r` of the weights times `x`. An element is its 8-bit code times the scale of its group, in the weights
/// as in `x`.
///
/// # Safety
/// Rows and `x` have `groups` groups of [`GROUP`] codes, aligned to 16 bytes, and as many scales. The grid has a warp
/// for each row: the launch covers `y` exactly.
#[kernel]
pub unsafe fn matvec(
    codes: *const U32x4,
    scales: *const f32,
    x_codes: *const U32x4,
    x_scales: *const f32,
    groups: u32,
    y: *mut f32,
) {
    const LOADS: usize = GROUP / 16;
    let (row, groups) = ((thread::index_1d() / warp::SIZE) as usize, groups as usize);
    let mut sum = 0.0f32;
    for group in (warp::lane_id() as usize..groups).step_by(warp::SIZE as usize) {
        let mut products = 0;
        // SAFETY: the indices are inside the matrix and the vector, which nobody writes meanwhile.
        unsafe {
            for load in 0..LOADS {
                let w = global::load(codes.add((row * groups + group) * LOADS + load), Streaming);
                let v = global::load(x_codes.add(group * LOADS + load), ReadOnly);
                for i in 0..4 {
                    products = dot::dp4a_i32(w.0[i], v.0[i], products);
                }
            }
            let scale = *scales.add(row * groups + group) * *x_scales.add(group);
            sum = (products as f32).mul_add(scale, sum);
        }
    }
    let sum = warp::sum_f32(sum);
    if warp::lane_id() == 0 {
        // SAFETY: one lane writes the row's element.
        unsafe { *y.add(row) = sum };
    }
}
