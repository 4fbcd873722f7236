//! How often each byte occurs: each block counts for itself, then adds its counts to everybody's.

use cuda_std::atomic::{Atomic, Block, Device, Ordering::Relaxed};
use cuda_std::prelude::*;

/// Different bytes.
pub const BINS: usize = 256;

/// Adds to `counts[b]` how often the byte `b` is in `bytes`.
///
/// # Safety
/// `counts` has [`BINS`] elements.
#[kernel]
pub unsafe fn histogram(bytes: &[u8], counts: *mut u32) {
    let own = shared_array![u32; BINS];
    let (me, all) = (thread::thread_idx_x() as usize, thread::block_dim_x() as usize);
    // SAFETY: the indices are inside both arrays; between the barriers all accesses are atomic.
    unsafe {
        for bin in (me..BINS).step_by(all) {
            own.add(bin).write(0);
        }
        thread::sync_threads();
        let stride = thread::grid_dim_x() as usize * all;
        for i in (thread::index_1d() as usize..bytes.len()).step_by(stride) {
            // Shared memory, and seen by this block only: such an atomic is quick.
            Atomic::<u32, Block>::from_ptr(own.add(bytes[i] as usize)).fetch_add(1, Relaxed);
        }
        thread::sync_threads();
        for bin in (me..BINS).step_by(all) {
            Atomic::<u32, Device>::from_ptr(counts.add(bin)).fetch_add(own.add(bin).read(), Relaxed);
        }
    }
}
