//! The heap of a GPU: the driver's `malloc` and `free`, as Rust's global allocator.

/// The allocator of kernels that use `alloc`: boxes, vectors, strings.
///
/// All threads share one heap, of 8 MiB unless the host asks the context for more before it loads the kernels
/// (`ResourceLimit::MallocHeapSize` of `cust`). It lives as long as the context: what one kernel allocates another may
/// free. An allocation costs thousands of cycles, and ends the launch with an error when the heap is full.
///
/// On the simulator a kernel allocates from the host's heap.
pub struct CUDAAllocator;

#[cfg(target_arch = "nvptx64")]
pub use gpu::{free, malloc};

#[cfg(target_arch = "nvptx64")]
mod gpu {
    use core::alloc::{GlobalAlloc, Layout};
    use core::ffi::c_void;
    use core::ptr;

    use super::CUDAAllocator;

    unsafe extern "C" {
        /// Takes memory from the heap, aligned to 16 bytes; null when there is too little.
        pub fn malloc(bytes: usize) -> *mut c_void;
        /// Gives memory back.
        pub fn free(memory: *mut c_void);
    }

    /// What `malloc` aligns to.
    const ALIGN: usize = 16;

    #[global_allocator]
    static HEAP: CUDAAllocator = CUDAAllocator;

    // SAFETY: what is given out is as large and as aligned as was asked for, and given back once.
    unsafe impl GlobalAlloc for CUDAAllocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.align() <= ALIGN {
                // SAFETY: any size may be asked for.
                return unsafe { malloc(layout.size()) }.cast();
            }
            let Some(bytes) = layout.size().checked_add(layout.align()) else { return ptr::null_mut() };
            // SAFETY: as above.
            let start: *mut u8 = unsafe { malloc(bytes) }.cast();
            if start.is_null() {
                return start;
            }
            // At least 16 bytes further on, and at most the alignment: room for the start before it.
            let ahead = layout.align() - start as usize % layout.align();
            // SAFETY: inside what was allocated, and the place before is aligned to a pointer.
            unsafe {
                let aligned = start.add(ahead);
                aligned.cast::<*mut u8>().sub(1).write(start);
                aligned
            }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            // SAFETY: from `alloc` with the same layout, which left the start before what it aligned itself.
            unsafe {
                let start =
                    if layout.align() <= ALIGN { memory } else { memory.cast::<*mut u8>().sub(1).read() };
                free(start.cast());
            }
        }
    }
}
