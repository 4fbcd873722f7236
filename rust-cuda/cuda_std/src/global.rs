//! Loads and stores of global memory, of up to 16 bytes at once, with a cache policy.
//!
//! Reading through a slice or a raw pointer works too. These functions are for what those cannot say (one 16-byte
//! load, a policy), and their accesses are checked against the allocations on the simulator.

use crate::plain::Plain;

/// How a load uses the caches.
pub trait Policy: Copy {
    #[cfg(target_arch = "nvptx64")]
    #[doc(hidden)]
    unsafe fn load<T: Plain>(pointer: *const T) -> T;

    /// Whether a load sees what others write meanwhile: one that is repeated may be waiting for that.
    #[doc(hidden)]
    const FRESH: bool;

    /// Whether the memory must not be written during the launch.
    #[doc(hidden)]
    const CONSTANT: bool;
}

macro_rules! policies {
    ($($(#[$doc:meta])* $name:ident, $ld:literal, ($($option:ident),*), $fresh:literal, $constant:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Policy for $name {
            const FRESH: bool = $fresh;
            const CONSTANT: bool = $constant;

            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            unsafe fn load<T: Plain>(p: *const T) -> T {
                use core::arch::asm;
                use core::mem::transmute_copy;
                // SAFETY: the caller's pointer is valid, and `transmute_copy` reads as many bytes as were loaded.
                unsafe {
                    match size_of::<T>() {
                        1 => {
                            let r: u16;
                            asm!(concat!($ld, ".u8 {}, [{}];"), out(reg16) r, in(reg64) p, options(nostack $(, $option)*));
                            transmute_copy(&(r as u8))
                        }
                        2 => {
                            let r: u16;
                            asm!(concat!($ld, ".u16 {}, [{}];"), out(reg16) r, in(reg64) p, options(nostack $(, $option)*));
                            transmute_copy(&r)
                        }
                        4 => {
                            let r: u32;
                            asm!(concat!($ld, ".u32 {}, [{}];"), out(reg32) r, in(reg64) p, options(nostack $(, $option)*));
                            transmute_copy(&r)
                        }
                        8 => {
                            let (x, y): (u32, u32);
                            asm!(concat!($ld, ".v2.u32 {{{}, {}}}, [{}];"), out(reg32) x, out(reg32) y, in(reg64) p,
                                options(nostack $(, $option)*));
                            transmute_copy(&[x, y])
                        }
                        _ => {
                            let (x, y, z, w): (u32, u32, u32, u32);
                            asm!(concat!($ld, ".v4.u32 {{{}, {}, {}, {}}}, [{}];"), out(reg32) x, out(reg32) y,
                                out(reg32) z, out(reg32) w, in(reg64) p, options(nostack $(, $option)*));
                            transmute_copy(&[x, y, z, w])
                        }
                    }
                }
            }
        }
    )*};
}

policies! {
    /// As any load: kept in L1 and L2.
    Cached, "ld.global", (readonly), false, false;
    /// From L2: sees what other multiprocessors wrote before a barrier of the grid.
    L2, "ld.global.cg", (readonly), true, false;
    /// For memory that nobody writes during the launch: the compiler may move it, the read-only path serves it.
    ReadOnly, "ld.global.nc", (pure, readonly), false, true;
    /// For memory that nobody writes during the launch and that is used once: leaves L1 to others.
    Streaming, "ld.global.nc.L1::no_allocate", (pure, readonly), false, true;
}

/// Loads a value.
///
/// # Safety
/// The pointer must be valid for reads of global memory and aligned to the value, and the policy must fit.
#[track_caller]
#[inline(always)]
pub unsafe fn load<T: Plain, P: Policy>(pointer: *const T, policy: P) -> T {
    let _ = policy;
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as the caller promises.
    return unsafe { P::load(pointer) };
    #[cfg(not(target_arch = "nvptx64"))]
    {
        cuda_sim::device::check(pointer as usize, size_of::<T>(), align_of::<T>(), cuda_sim::Access::Read);
        if P::FRESH {
            cuda_sim::device::reread(pointer as usize);
        }
        let how = if P::CONSTANT { cuda_sim::Plain::ReadConstant } else { cuda_sim::Plain::Read };
        cuda_sim::device::plain(pointer as usize, size_of::<T>(), how);
        // SAFETY: checked: inside an allocation of the simulator, which holds any bits.
        unsafe { pointer.read() }
    }
}

/// Stores a value.
///
/// # Safety
/// The pointer must be valid for writes of global memory and aligned to the value.
#[track_caller]
#[inline(always)]
pub unsafe fn store<T: Plain>(pointer: *mut T, value: T) {
    #[cfg(not(target_arch = "nvptx64"))]
    {
        cuda_sim::device::check(pointer as usize, size_of::<T>(), align_of::<T>(), cuda_sim::Access::Write);
        cuda_sim::device::plain(pointer as usize, size_of::<T>(), cuda_sim::Plain::Write);
    }
    // SAFETY: as the caller promises; checked on the simulator.
    unsafe { pointer.write(value) }
}
