//! Many steps in one launch: the blocks stay, and wait for each other at a barrier of the grid.

use cuda_std::prelude::*;

/// Lets heat spread along a rod for `steps` steps, in turns from one of two buffers to the other. The ends keep theirs.
///
/// # Safety
/// Both buffers have `len` elements, the same two at the ends. `counter` is zero, and the launch is cooperative.
#[kernel]
pub unsafe fn diffuse(even: *mut f32, odd: *mut f32, len: u32, steps: u32, counter: *mut u32) {
    let stride = (thread::grid_dim_x() * thread::block_dim_x()) as usize;
    for step in 0..steps {
        let (from, to) = if step % 2 == 0 { (even, odd) } else { (odd, even) };
        for i in (thread::index_1d() as usize + 1..len as usize - 1).step_by(stride) {
            // SAFETY: not at an end. The neighbours may have been written by other multiprocessors, before the barrier:
            // their values are in L2, which is where this load looks.
            unsafe {
                let at = |i: usize| global::load(from.add(i), L2);
                global::store(to.add(i), 0.25 * at(i - 1) + 0.5 * at(i) + 0.25 * at(i + 1));
            }
        }
        // SAFETY: every thread comes here, in every step; the rest is as the launch promises.
        unsafe { grid::sync(counter, step + 1) };
    }
}
