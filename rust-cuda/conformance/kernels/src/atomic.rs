//! Atomic accesses of every type, scope and ordering.

use cuda_std::atomic::{Atomic, Block, Device, Ordering, System};
use cuda_std::prelude::*;

const EVERY: [Ordering; 5] =
    [Ordering::Relaxed, Ordering::Acquire, Ordering::Release, Ordering::AcqRel, Ordering::SeqCst];
const LOADS: [Ordering; 3] = [Ordering::Relaxed, Ordering::Acquire, Ordering::SeqCst];
const STORES: [Ordering; 3] = [Ordering::Relaxed, Ordering::Release, Ordering::SeqCst];

/// A sequence of operations on a cell of each thread's own, in every ordering; writes down what each gave.
macro_rules! sequence {
    ($($name:ident, $ty:ty, $scope:ty, [$($op:ident),*], [$($cas:ident)?];)*) => {$(
        /// A sequence of operations on a cell of each thread's own, in every ordering.
        #[kernel]
        pub unsafe fn $name(cells: *mut $ty, operands: *const $ty, out: *mut $ty) {
            let i = thread::index_1d() as usize;
            // SAFETY: every thread has a cell, an operand and 64 places for results.
            unsafe {
                let cell = Atomic::<$ty, $scope>::from_ptr(cells.add(i));
                let operand = operands.add(i).read();
                let mut place = out.add(64 * i);
                let mut note = |value: $ty| {
                    place.write(value);
                    place = place.add(1);
                };
                for order in EVERY {
                    $(note(cell.$op(operand, order));)*
                    $(
                        let (Ok(seen) | Err(seen)) = cell.$cas(operand, operand, order);
                        note(seen);
                        let (Ok(seen) | Err(seen)) = cell.$cas(seen, operand, order);
                        note(seen);
                    )?
                }
                for (load, store) in LOADS.into_iter().zip(STORES) {
                    note(cell.load(load));
                    cell.store(operand, store);
                    note(cell.load(load));
                }
            }
        }
    )*};
}

sequence! {
    sequence_u32_block, u32, Block, [fetch_add, fetch_min, fetch_max, fetch_and, fetch_or, fetch_xor, swap], [compare_exchange];
    sequence_u32_device, u32, Device, [fetch_add, fetch_min, fetch_max, fetch_and, fetch_or, fetch_xor, swap], [compare_exchange];
    sequence_u32_system, u32, System, [fetch_add, fetch_min, fetch_max, fetch_and, fetch_or, fetch_xor, swap], [compare_exchange];
    sequence_i32_block, i32, Block, [fetch_add, fetch_min, fetch_max, fetch_and, fetch_or, fetch_xor, swap], [compare_exchange];
    sequence_i32_device, i32, Device, [fetch_add, fetch_min, fetch_max, fetch_and, fetch_or, fetch_xor, swap], [compare_exchange];
    sequence_i32_system, i32, System, [fetch_add, fetch_min, fetch_max, fetch_and, fetch_or, fetch_xor, swap], [compare_exchange];
    sequence_u64_block, u64, Block, [fetch_add, fetch_min, fetch_max, fetch_and, fetch_or, fetch_xor, swap], [compare_exchange];
    sequence_u64_device, u64, Device, [fetch_add, fetch_min, fetch_max, fetch_and, fetch_or, fetch_xor, swap], [compare_exchange];
    sequence_u64_system, u64, System, [fetch_add, fetch_min, fetch_max, fetch_and, fetch_or, fetch_xor, swap], [compare_exchange];
    sequence_f32_block, f32, Block, [fetch_add, swap], [];
    sequence_f32_device, f32, Device, [fetch_add, swap], [];
    sequence_f32_system, f32, System, [fetch_add, swap], [];
    sequence_f64_block, f64, Block, [fetch_add, swap], [];
    sequence_f64_device, f64, Device, [fetch_add, swap], [];
    sequence_f64_system, f64, System, [fetch_add, swap], [];
}

/// All threads change the same cells: a sum, a least, a greatest, bits; each notes the ticket it drew.
#[kernel]
pub unsafe fn contended(values: *const u32, cells: *mut u32, tickets: *mut u32) {
    // SAFETY: there are 8 cells; the other buffers have an element for every thread.
    unsafe {
        let cell = |i: usize| Atomic::<u32, Device>::from_ptr(cells.add(i));
        let value = crate::take(values);
        crate::put(tickets, cell(0).fetch_add(1, Ordering::Relaxed));
        cell(1).fetch_min(value, Ordering::Relaxed);
        cell(2).fetch_max(value, Ordering::AcqRel);
        cell(3).fetch_and(value, Ordering::Relaxed);
        cell(4).fetch_or(value, Ordering::Release);
        cell(5).fetch_xor(value, Ordering::Acquire);
        cell(6).add(value, Ordering::Relaxed);
        cell(7).add(value, Ordering::Release);
    }
}

/// A lock around a plain counter, taken once by every warp's first lane of every block.
#[kernel]
pub unsafe fn locked(lock: *mut u32, counter: *mut u32) {
    if warp::lane_id() == 0 {
        // SAFETY: the counter is used under the lock alone.
        unsafe {
            let lock = Atomic::<u32, Device>::from_ptr(lock);
            while lock.compare_exchange(0, 1, Ordering::Acquire).is_err() {}
            let old = global::load(counter, L2);
            global::store(counter, old + 1);
            lock.store(0, Ordering::Release);
        }
    }
}

/// A histogram in shared memory, then added to the one of the grid.
#[kernel]
pub unsafe fn histogram(values: *const u32, bins: *mut u32) {
    // SAFETY: there are 16 bins; the values have an element for every thread; barriers part plain and atomic use.
    unsafe {
        let local = shared_array![u32; 16];
        let me = thread::thread_idx_x() as usize;
        if me < 16 {
            local.add(me).write(0);
        }
        thread::sync_threads();
        let bin = crate::take(values) as usize % 16;
        Atomic::<u32, Block>::from_ptr(local.add(bin)).fetch_add(1, Ordering::Relaxed);
        thread::sync_threads();
        if me < 16 {
            Atomic::<u32, Device>::from_ptr(bins.add(me)).add(local.add(me).read(), Ordering::Relaxed);
        }
    }
}

/// Adds every thread's value to one sum, in whatever order the threads come.
#[kernel]
pub unsafe fn float_sum(values: *const f32, sum: *mut f32) {
    // SAFETY: the values have an element for every thread.
    unsafe {
        Atomic::<f32, Device>::from_ptr(sum).fetch_add(crate::take(values), Ordering::Relaxed);
    }
}
