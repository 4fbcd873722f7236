//! Words that a kernel leaves for the host, and that can be read even when its launch has failed.

use cuda_driver::pinned::PinnedBuffer;
use cuda_std::launch::DevicePtrMut;

use super::DeviceError;

/// A few words that both the device and the host see.
pub struct Mailbox {
    words: Words,
    address: u64,
}

enum Words {
    /// Page-locked memory of the host, which outlives a failed context.
    Cuda(PinnedBuffer<u32>),
    /// The simulator's memory is the host's.
    Sim(cuda_sim::Allocation),
}

impl Mailbox {
    pub(super) fn cuda(len: usize) -> Result<Self, DeviceError> {
        let words = PinnedBuffer::zeroed(len)?;
        let address = words.device_ptr()?;
        Ok(Self { words: Words::Cuda(words), address })
    }

    pub(super) fn sim(words: cuda_sim::Allocation) -> Self {
        let address = words.as_ptr() as u64;
        Self { words: Words::Sim(words), address }
    }

    /// The first word, for a kernel.
    pub fn as_mut_ptr(&self) -> DevicePtrMut<u32> {
        DevicePtrMut::from_address(self.address)
    }

    /// Word `i` as it is now; zero until a kernel writes it.
    ///
    /// # Panics
    /// If there is no such word.
    pub fn read(&self, i: usize) -> u32 {
        match &self.words {
            Words::Cuda(words) => words.read_volatile(i),
            Words::Sim(words) => {
                assert!(
                    (i + 1) * size_of::<u32>() <= words.len(),
                    "word {i} of a mailbox of {} bytes",
                    words.len()
                );
                // SAFETY: inside the allocation, which holds any bits; kernels have ended when a launch returns.
                unsafe { words.as_ptr().cast::<u32>().add(i).read_volatile() }
            }
        }
    }
}
