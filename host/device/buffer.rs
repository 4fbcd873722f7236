//! Device memory with a type.

use std::marker::PhantomData;

use cuda_std::launch::{DevicePtr, DevicePtrMut, DeviceSlice};

use super::{DeviceError, cuda};

/// What device memory can hold: values that are their bytes.
pub trait Element: bytemuck::Pod {}

impl<T: bytemuck::Pod> Element for T {}

pub(super) enum Memory {
    Cuda(cuda::Allocation),
    Sim(cuda_sim::Allocation),
}

/// `len` elements in the memory of a device; given back when dropped.
pub struct Buffer<T> {
    memory: Memory,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    pub(super) fn new(memory: Memory, len: usize) -> Self {
        Self { memory, len, element: PhantomData }
    }

    fn address(&self) -> u64 {
        match &self.memory {
            Memory::Cuda(allocation) => allocation.address(),
            Memory::Sim(allocation) => allocation.as_ptr() as u64,
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first element, for a kernel that reads.
    pub fn as_ptr(&self) -> DevicePtr<T> {
        DevicePtr::from_address(self.address())
    }

    /// All elements, for a kernel that reads.
    pub fn as_slice(&self) -> DeviceSlice<T> {
        // SAFETY: they are one allocation, and who launches a kernel on them promises that it still lives.
        unsafe { DeviceSlice::new(self.as_ptr(), self.len) }
    }

    /// The first element, for a kernel that writes. A launch is `unsafe`, so that the buffer need not be borrowed
    /// exclusively while it waits in the queue.
    pub fn as_mut_ptr(&self) -> DevicePtrMut<T> {
        DevicePtrMut::from_address(self.address())
    }

    /// The address of `len` elements from `start` on.
    pub(super) fn range(&self, start: usize, len: usize) -> Result<u64, DeviceError> {
        if start > self.len || len > self.len - start {
            return Err(DeviceError::OutOfRange { start, len, buffer: self.len });
        }
        Ok(self.address() + (start * size_of::<T>()) as u64)
    }
}
