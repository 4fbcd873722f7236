//! Page-locked host memory.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

use bytemuck::Pod;
use cust::sys::{CU_MEMHOSTALLOC_DEVICEMAP, CU_MEMHOSTALLOC_PORTABLE, CUdeviceptr, CUresult};

use crate::error::DriverError;
use crate::symbols::calls;

/// A slice in page-locked host memory: copies to and from it run at full speed and beside other work, and kernels
/// can read and write it at [`device_ptr`](Self::device_ptr).
///
/// A kernel or copy that was queued with this memory may still be at it when the call that queued it has returned:
/// synchronise before the slice is used, written or dropped, or poll with [`read_volatile`](Self::read_volatile).
pub struct PinnedBuffer<T: Pod> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: this owns its memory as a `Vec` does, and the driver takes it back from any thread.
unsafe impl<T: Pod + Send> Send for PinnedBuffer<T> {}
// SAFETY: as for a slice.
unsafe impl<T: Pod + Sync> Sync for PinnedBuffer<T> {}

impl<T: Pod> PinnedBuffer<T> {
    /// `len` zeroes, addressable from every context of this process.
    pub fn zeroed(len: usize) -> Result<Self, DriverError> {
        const CALL: &str = "cuMemHostAlloc";
        // The driver aligns what it allocates for any ordinary type, no more.
        const { assert!(align_of::<T>() <= 256, "too large an alignment for the driver's allocator") };
        let out_of_memory = || DriverError::from_code(CALL, CUresult::CUDA_ERROR_OUT_OF_MEMORY as i32);
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(out_of_memory)?;
        // The driver refuses to allocate nothing.
        let bytes = isize::try_from(bytes).map_err(|_| out_of_memory())?.cast_unsigned().max(1);
        let mut start = ptr::null_mut();
        let flags = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP;
        // SAFETY: `start` is valid for the write.
        unsafe { calls::cuMemHostAlloc(&mut start, bytes, flags) }.check()?;
        let start = NonNull::new(start).ok_or_else(out_of_memory)?;
        // SAFETY: the driver just gave these bytes to this buffer alone.
        unsafe { start.cast::<u8>().write_bytes(0, bytes) };
        Ok(Self { start: start.cast(), len })
    }

    /// The address at which the current context's device sees the first element.
    pub fn device_ptr(&self) -> Result<CUdeviceptr, DriverError> {
        let mut address: CUdeviceptr = 0;
        // SAFETY: the memory was allocated as mapped, and `address` is valid for the write.
        unsafe { calls::cuMemHostGetDevicePointer_v2(&mut address, self.start.as_ptr().cast(), 0) }
            .check()?;
        Ok(address)
    }

    /// One element as it is now, for polling while a kernel may write it.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    pub fn read_volatile(&self, index: usize) -> T {
        assert!(index < self.len, "element {index} of a pinned buffer of {}", self.len);
        // SAFETY: in bounds, initialised, and every bit pattern is a `T`.
        unsafe { self.start.add(index).read_volatile() }
    }
}

impl<T: Pod> Deref for PinnedBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements were allocated and zeroed, and every bit pattern is a `T`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Pod> DerefMut for PinnedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and this borrow is the only one.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for PinnedBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: Pod> Drop for PinnedBuffer<T> {
    fn drop(&mut self) {
        // SAFETY: the memory came from the driver and is freed once.
        let _ = unsafe { calls::cuMemFreeHost(self.start.as_ptr().cast()) };
    }
}
