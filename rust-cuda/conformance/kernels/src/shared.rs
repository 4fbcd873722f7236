//! Shared memory, slices, and parameters.

use cuda_std::prelude::*;

/// Reverses a block's elements through shared memory, for one type.
macro_rules! reverse {
    ($($name:ident, $ty:ty;)*) => {$(
        /// Reverses each block's elements through dynamic shared memory, from an offset of 64 bytes on.
        #[kernel]
        pub unsafe fn $name(values: *const $ty, out: *mut $ty) {
            // SAFETY: the launch asked for 64 bytes and an element for every thread; a barrier parts writes and reads.
            unsafe {
                let (me, all) = (thread::thread_idx_x() as usize, thread::block_dim_x() as usize);
                let board = shared::Slice::<$ty>::dynamic(64, all);
                board.set(me, crate::take(values));
                thread::sync_threads();
                crate::put(out, board.get(all - 1 - me));
            }
        }
    )*};
}

reverse! {
    reverse_1, u8;
    reverse_2, u16;
    reverse_4, u32;
    reverse_8, F32x2;
    reverse_16, U32x4;
}

/// Gives each thread the elements whose numbers differ from its own in one bit and in all of four, from runs of 16 in the
/// dynamic memory: its start is aligned to them.
#[kernel]
pub unsafe fn flipped(values: *const U32x4, out: *mut [U32x4; 2]) {
    // SAFETY: the launch asked for an element for every thread, whose number is a multiple of 16; a barrier parts writes and
    // reads.
    unsafe {
        let (me, all) = (thread::thread_idx_x() as usize, thread::block_dim_x() as usize);
        let board = shared::Slice::<U32x4>::dynamic(0, all);
        board.set(me, crate::take(values));
        thread::sync_threads();
        let mine = board.from(me);
        crate::put(out, [4, 15].map(|bits| mine.flip(bits).get(0)));
    }
}

/// Two static arrays and the dynamic memory do not overlap, and are shared by the block alone.
#[kernel]
pub unsafe fn arrays(out: *mut [u32; 4]) {
    // SAFETY: the block has 64 threads and asked for 256 bytes; barriers part writes and reads.
    unsafe {
        let (me, block) = (thread::thread_idx_x() as usize, thread::block_idx_x());
        let words = shared_array![u32; 64];
        let bytes = shared_array![u8; 64];
        let dynamic = shared::dynamic_shared_mem::<u32>();
        words.add(me).write(1000 + me as u32 + block);
        bytes.add(me).write(me as u8 + block as u8);
        dynamic.add(me).write(5000 + me as u32 + block);
        thread::sync_threads();
        let other = 63 - me;
        let bytes_slice = shared::Slice::from_raw(bytes, 64);
        let seen = [
            words.add(other).read(),
            bytes.add(other).read().into(),
            dynamic.add(other).read(),
            // The same bytes, four at a time.
            bytes_slice.cast::<u32>().get(other / 4),
        ];
        crate::put(out, seen);
    }
}

/// What a slice says of itself: length, emptiness, distance of elements, length as another type.
#[kernel]
pub unsafe fn slice_facts(out: *mut [u32; 4]) {
    // SAFETY: the launch asked for 256 bytes; the buffer has an element for every thread.
    unsafe {
        let slice = shared::Slice::<u16>::dynamic(32, 100);
        let base = shared::address_of(shared::dynamic_shared_mem::<u8>());
        let seen = [
            slice.len() as u32,
            u32::from(slice.is_empty()) + 2 * u32::from(shared::Slice::<u16>::dynamic(0, 0).is_empty()),
            (slice.address(7) - base) as u32,
            slice.cast::<u64>().len() as u32,
        ];
        crate::put(out, seen);
    }
}

/// What a kernel takes by value.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Record {
    /// A byte, before padding.
    pub a: u8,
    /// A double.
    pub b: f64,
    /// An array.
    pub c: [u16; 3],
}

/// Every kind of parameter.
#[kernel]
#[allow(improper_ctypes_definitions)]
pub unsafe fn parameters(
    flag: bool,
    small: u8,
    short: i16,
    word: u32,
    long: i64,
    float: f32,
    double: f64,
    half: f16,
    vector: U32x4,
    record: Record,
    read: &[u16],
    write: &mut [f64],
    pointer: *const u32,
    absent: *const u32,
) {
    let values = [
        f64::from(u8::from(flag)),
        small.into(),
        short.into(),
        word.into(),
        long as f64,
        float.into(),
        double,
        cuda_std::half::f16_to_f32(half).into(),
        vector.0[3].into(),
        record.a.into(),
        record.b,
        record.c[2].into(),
        read.len() as f64,
        read[read.len() - 1].into(),
        write.len() as f64,
        // SAFETY: the launch passed a pointer to a word.
        unsafe { pointer.read() }.into(),
        f64::from(u8::from(absent.is_null())),
    ];
    for (to, value) in write.iter_mut().zip(values) {
        *to = value;
    }
}

/// `mut` parameters, early returns and helper functions are ordinary Rust.
#[kernel(launch_bounds(64, 2))]
pub unsafe fn countdown(mut count: u32, out: *mut u32) {
    if thread::thread_idx_x() >= 32 {
        return;
    }
    let mut steps = 0;
    while count > thread::thread_idx_x() {
        count -= 1;
        steps += 1;
    }
    // SAFETY: the buffer has an element for every thread.
    unsafe { crate::put(out, steps) };
}
