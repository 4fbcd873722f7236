//! Device memory with a type.

use std::marker::PhantomData;

use cuda_std::launch::{DevicePtr, DevicePtrMut, DeviceSlice, DeviceSliceMut};

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

    /// The first element, for a kernel that writes. A launch is `unsafe`, so that the buffer need not be borrowed
    /// exclusively while it waits in the queue.
    pub fn as_mut_ptr(&self) -> DevicePtrMut<T> {
        DevicePtrMut::from_address(self.address())
    }

    /// All elements, for a kernel that takes a slice and reads.
    pub fn as_slice(&self) -> DeviceSlice<T> {
        // SAFETY: one allocation of this length. Nothing but a launch, which is `unsafe` and demands that the buffer
        // lives, makes use of it.
        unsafe { DeviceSlice::new(self.as_ptr(), self.len) }
    }

    /// All elements, for a kernel that takes a slice and writes.
    pub fn as_mut_slice(&self) -> DeviceSliceMut<T> {
        // SAFETY: as above.
        unsafe { DeviceSliceMut::new(self.as_mut_ptr(), self.len) }
    }

    /// The simulator's memory, and the bytes of elements `start..start + len` in it.
    fn simulated(&self, start: usize, len: usize) -> Option<(&cuda_sim::Allocation, usize, usize)> {
        match &self.memory {
            Memory::Cuda(_) => None,
            Memory::Sim(allocation) => Some((allocation, start * size_of::<T>(), len * size_of::<T>())),
        }
    }

    /// Tells the simulator's checks that the host has written elements.
    pub(super) fn written(&self, start: usize, len: usize) {
        if let Some((allocation, offset, bytes)) = self.simulated(start, len) {
            allocation.written(offset, bytes);
        }
    }

    /// Tells the simulator's checks that elements hold nothing that a kernel may read.
    pub(super) fn forget(&self, start: usize, len: usize) {
        if let Some((allocation, offset, bytes)) = self.simulated(start, len) {
            allocation.forget(offset, bytes);
        }
    }

    /// The address of `len` elements from `start` on.
    pub(super) fn range(&self, start: usize, len: usize) -> Result<u64, DeviceError> {
        if start > self.len || len > self.len - start {
            return Err(DeviceError::OutOfRange { start, len, buffer: self.len });
        }
        Ok(self.address() + (start * size_of::<T>()) as u64)
    }
}
