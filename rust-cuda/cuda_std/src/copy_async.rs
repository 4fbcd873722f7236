//! Copies from global to shared memory that go on while the threads do something else.
//!
//! `cp.async` (from `sm_80` on): a thread copies 4, 8 or 16 bytes, groups what it asked for with [`commit`], and waits
//! for its groups with [`wait`]; other threads see the bytes after a barrier. [`MBarrier`] and [`bulk`] (from `sm_90`
//! on): one thread copies kilobytes, and any thread waits for the bytes at the barrier.

use crate::plain::Plain;
use crate::shared::{Address, Slice};

/// Asks for a copy of one element of 4, 8 or 16 bytes.
///
/// # Safety
/// Both places must be valid and aligned to the element; `to` must not be used before the copy was waited for.
#[track_caller]
#[inline(always)]
pub unsafe fn copy<T: Plain>(to: Slice<T>, index: usize, from: *const T) {
    const { assert!(size_of::<T>() >= 4, "cp.async copies 4, 8 or 16 bytes") };
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as the caller promises.
    unsafe {
        let to = to.address(index);
        match size_of::<T>() {
            4 => {
                core::arch::asm!("cp.async.ca.shared.global [{}], [{}], 4;", in(reg32) to, in(reg64) from, options(nostack))
            }
            8 => {
                core::arch::asm!("cp.async.ca.shared.global [{}], [{}], 8;", in(reg32) to, in(reg64) from, options(nostack))
            }
            _ => {
                core::arch::asm!("cp.async.cg.shared.global [{}], [{}], 16;", in(reg32) to, in(reg64) from, options(nostack))
            }
        }
    };
    #[cfg(not(target_arch = "nvptx64"))]
    assert!(index < to.len(), "index {index} of a shared slice of {} elements", to.len());
    #[cfg(not(target_arch = "nvptx64"))]
    cuda_sim::device::copy_async(to.address(index) as *mut u8, from.cast(), size_of::<T>(), 0);
}

/// Ends the group of copies that this thread asked for since the last commit.
#[track_caller]
#[inline(always)]
pub fn commit() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: groups copies.
    unsafe {
        core::arch::asm!("cp.async.commit_group;", options(nostack))
    };
    #[cfg(not(target_arch = "nvptx64"))]
    cuda_sim::device::copy_async_commit();
}

/// Waits until at most the newest `LEFT` of this thread's groups are under way.
#[track_caller]
#[inline(always)]
pub fn wait<const LEFT: u32>() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: waits.
    unsafe {
        core::arch::asm!("cp.async.wait_group {};", const LEFT, options(nostack))
    };
    #[cfg(not(target_arch = "nvptx64"))]
    cuda_sim::device::copy_async_wait(LEFT as usize);
}

/// A barrier in shared memory that counts threads and bytes of bulk copies.
#[derive(Clone, Copy)]
pub struct MBarrier(Address);

impl MBarrier {
    /// The barrier in element `index` of `words`.
    #[inline(always)]
    pub fn at(words: Slice<u64>, index: usize) -> Self {
        Self(words.address(index))
    }

    /// Makes it a barrier for `arrivals` arrivals a phase. One thread does this, then [`publish`](Self::publish) and
    /// a barrier of the block.
    ///
    /// # Safety
    /// The word must be shared memory that nothing else uses.
    #[track_caller]
    #[inline(always)]
    pub unsafe fn init(self, arrivals: u32) {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: as the caller promises.
        unsafe {
            core::arch::asm!("mbarrier.init.shared.b64 [{}], {};", in(reg32) self.0, in(reg32) arrivals, options(nostack))
        };
        #[cfg(not(target_arch = "nvptx64"))]
        cuda_sim::device::mbarrier_init(self.0, arrivals);
    }

    /// Makes initialised barriers visible to the copy engine.
    #[inline(always)]
    pub fn publish() {
        #[cfg(all(target_arch = "nvptx64", cuda_arch_ge_90))]
        // SAFETY: a fence only orders.
        unsafe {
            core::arch::asm!("fence.mbarrier_init.release.cluster;", options(nostack))
        };
    }

    /// Arrives.
    ///
    /// # Safety
    /// The barrier must be initialised.
    #[track_caller]
    #[inline(always)]
    pub unsafe fn arrive(self) {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: as the caller promises.
        unsafe {
            core::arch::asm!("{{ .reg .b64 s; mbarrier.arrive.shared.b64 s, [{}]; }}", in(reg32) self.0, options(nostack))
        };
        #[cfg(not(target_arch = "nvptx64"))]
        cuda_sim::device::mbarrier_arrive(self.0, 0);
    }

    /// Arrives, and makes the phase wait for `bytes` bytes of bulk copies too. From `sm_90` on.
    ///
    /// # Safety
    /// The barrier must be initialised, and the copies must be asked for.
    #[track_caller]
    #[inline(always)]
    pub unsafe fn arrive_and_expect(self, bytes: u32) {
        #[cfg(all(target_arch = "nvptx64", cuda_arch_ge_90))]
        // SAFETY: as the caller promises.
        unsafe {
            core::arch::asm!("{{ .reg .b64 s; mbarrier.arrive.expect_tx.shared::cta.b64 s, [{}], {}; }}",
                in(reg32) self.0, in(reg32) bytes, options(nostack))
        };
        #[cfg(all(target_arch = "nvptx64", not(cuda_arch_ge_90)))]
        {
            let _ = bytes;
            crate::thread::trap();
        }
        #[cfg(not(target_arch = "nvptx64"))]
        cuda_sim::device::mbarrier_arrive(self.0, bytes);
    }

    /// Waits until the phase of `parity` (0 for the first, then in turn) is complete.
    ///
    /// # Safety
    /// The barrier must be initialised.
    #[track_caller]
    #[inline(always)]
    pub unsafe fn wait(self, parity: u32) {
        #[cfg(target_arch = "nvptx64")]
        loop {
            let done: u32;
            // SAFETY: as the caller promises.
            unsafe {
                #[cfg(cuda_arch_ge_90)]
                core::arch::asm!("{{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [{1}], {2}; selp.u32 {0}, 1, 0, p; }}",
                    out(reg32) done, in(reg32) self.0, in(reg32) parity, options(nostack));
                #[cfg(not(cuda_arch_ge_90))]
                core::arch::asm!("{{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [{1}], {2}; selp.u32 {0}, 1, 0, p; }}",
                    out(reg32) done, in(reg32) self.0, in(reg32) parity, options(nostack));
            }
            if done != 0 {
                break;
            }
        }
        #[cfg(not(target_arch = "nvptx64"))]
        while !cuda_sim::device::mbarrier_test(self.0, parity) {
            cuda_sim::device::poll(self.0);
        }
    }
}

/// Orders what other threads wrote, and this one knows of, before the bulk copies that it asks for: the copy engine reads by
/// another way than the threads. From `sm_90` on.
#[inline(always)]
pub fn bulk_fence() {
    #[cfg(all(target_arch = "nvptx64", cuda_arch_ge_90))]
    // SAFETY: a fence only orders.
    unsafe {
        core::arch::asm!("fence.proxy.async;", options(nostack))
    };
    #[cfg(all(target_arch = "nvptx64", not(cuda_arch_ge_90)))]
    crate::thread::trap();
}

/// Asks for a copy of `bytes` bytes, a multiple of 16, that completes on `barrier`. From `sm_90` on.
///
/// # Safety
/// Both places must be valid and aligned to 16 bytes, one thread must ask, and `to` must not be used before the
/// barrier's phase is complete.
#[track_caller]
#[inline(always)]
pub unsafe fn bulk(to: Slice<u8>, from: *const u8, bytes: u32, barrier: MBarrier) {
    #[cfg(all(target_arch = "nvptx64", cuda_arch_ge_90))]
    // SAFETY: as the caller promises.
    unsafe {
        core::arch::asm!("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [{}], [{}], {}, [{}];",
            in(reg32) to.address(0), in(reg64) from, in(reg32) bytes, in(reg32) barrier.0, options(nostack))
    };
    #[cfg(all(target_arch = "nvptx64", not(cuda_arch_ge_90)))]
    {
        let _ = (to, from, bytes, barrier);
        crate::thread::trap();
    }
    #[cfg(not(target_arch = "nvptx64"))]
    assert!(bytes as usize <= to.len(), "a copy of {bytes} bytes to a shared slice of {}", to.len());
    #[cfg(not(target_arch = "nvptx64"))]
    cuda_sim::device::bulk_copy(to.address(0) as *mut u8, from, bytes as usize, barrier.0);
}
