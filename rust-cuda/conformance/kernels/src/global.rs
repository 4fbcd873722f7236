//! Loads and stores of every size with every policy.

use cuda_std::prelude::*;

macro_rules! loads {
    ($($name:ident, $ty:ty;)*) => {$(
        /// Copies each thread's element four times, with four policies.
        #[kernel]
        pub unsafe fn $name(from: *const $ty, cached: *mut $ty, l2: *mut $ty, read_only: *mut $ty, streaming: *mut $ty) {
            let i = thread::index_1d() as usize;
            // SAFETY: the buffers have an element for every thread, and nobody writes the input.
            unsafe {
                global::store(cached.add(i), global::load(from.add(i), Cached));
                global::store(l2.add(i), global::load(from.add(i), L2));
                global::store(read_only.add(i), global::load(from.add(i), ReadOnly));
                global::store(streaming.add(i), global::load(from.add(i), Streaming));
            }
        }
    )*};
}

loads! {
    loads_u8, u8;
    loads_i8, i8;
    loads_u16, u16;
    loads_i16, i16;
    loads_u32, u32;
    loads_i32, i32;
    loads_u64, u64;
    loads_i64, i64;
    loads_f32, f32;
    loads_f64, f64;
    loads_f16, f16;
    loads_bf16, bf16;
    loads_u32x2, U32x2;
    loads_u32x4, U32x4;
    loads_f32x2, F32x2;
    loads_f32x4, F32x4;
}
