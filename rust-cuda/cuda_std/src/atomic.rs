//! Atomic accesses with a scope and an ordering.
//!
//! Rust's own atomics know no scopes and lose their ordering on the way to PTX; these are PTX instructions.

use core::cell::UnsafeCell;
use core::marker::PhantomData;

pub use core::sync::atomic::Ordering;

/// Who sees an atomic access in order.
pub trait Scope {
    #[doc(hidden)]
    const LEVEL: u32;
}

macro_rules! scopes {
    ($($name:ident, $level:literal, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl Scope for $name {
            const LEVEL: u32 = $level;
        }
    )*};
}

scopes! {
    Block, 0, "The threads of the block.";
    Device, 1, "The threads of the GPU.";
    System, 2, "The threads of all GPUs and of the host.";
}

/// A value in memory that threads change together.
#[repr(transparent)]
pub struct Atomic<T, S> {
    value: UnsafeCell<T>,
    scope: PhantomData<S>,
}

// SAFETY: all accesses are atomic.
unsafe impl<T: Send, S> Sync for Atomic<T, S> {}

impl<T, S: Scope> Atomic<T, S> {
    /// The atomic at a place in memory.
    ///
    /// # Safety
    /// The pointer must be valid and aligned for as long as the result lives, and nobody may access the place in
    /// other ways meanwhile.
    #[inline(always)]
    pub unsafe fn from_ptr<'a>(pointer: *mut T) -> &'a Self {
        // SAFETY: as the caller promises; the type is a transparent cell of the value.
        unsafe { &*pointer.cast::<Self>() }
    }

    #[inline(always)]
    fn pointer(&self) -> *mut T {
        self.value.get()
    }
}

/// Runs one of the instructions `$op.{relaxed,acquire,release,acq_rel}.{cta,gpu,sys}` by scope and ordering.
#[cfg(target_arch = "nvptx64")]
macro_rules! by_scope {
    ($scope:expr, $pre:expr, $post:expr, $($operands:tt)*) => {
        match $scope {
            0 => core::arch::asm!(concat!($pre, ".cta", $post), $($operands)*),
            1 => core::arch::asm!(concat!($pre, ".gpu", $post), $($operands)*),
            _ => core::arch::asm!(concat!($pre, ".sys", $post), $($operands)*),
        }
    };
}

#[cfg(target_arch = "nvptx64")]
macro_rules! by_order {
    ($order:expr, $scope:expr, $op:expr, $post:expr, $($operands:tt)*) => {
        match $order {
            Ordering::Relaxed => by_scope!($scope, concat!($op, ".relaxed"), $post, $($operands)*),
            Ordering::Acquire => by_scope!($scope, concat!($op, ".acquire"), $post, $($operands)*),
            Ordering::Release => by_scope!($scope, concat!($op, ".release"), $post, $($operands)*),
            _ => {
                if matches!($order, Ordering::SeqCst) {
                    sequential::<S>();
                }
                by_scope!($scope, concat!($op, ".acq_rel"), $post, $($operands)*)
            }
        }
    };
}

/// What makes the access after it sequentially consistent (PTX ISA, "Memory consistency model").
#[cfg(target_arch = "nvptx64")]
#[inline(always)]
fn sequential<S: Scope>() {
    // SAFETY: a fence only orders.
    unsafe { by_scope!(S::LEVEL, "fence.sc", ";", options(nostack)) }
}

/// Refuses the orderings that an access cannot have, as `core`'s atomics do.
#[cfg(not(target_arch = "nvptx64"))]
#[track_caller]
fn check_order(access: &str, order: Ordering, none: [Ordering; 2]) {
    assert!(!none.contains(&order), "an atomic {access} has no ordering {order:?}");
}

/// Tells the simulator of an access that is made now.
#[cfg(not(target_arch = "nvptx64"))]
#[track_caller]
fn tell<T, S: Scope>(pointer: *mut T, kind: cuda_sim::AtomicKind, order: Ordering) {
    use Ordering::{AcqRel, Acquire, Release, SeqCst};
    let access = cuda_sim::AtomicAccess {
        kind,
        device: S::LEVEL > Block::LEVEL,
        acquire: matches!(order, Acquire | AcqRel | SeqCst),
        release: matches!(order, Release | AcqRel | SeqCst),
    };
    cuda_sim::device::atomic(pointer as usize, size_of::<T>(), access);
}

/// On the simulator one thread runs at a time: a plain access is atomic.
#[cfg(not(target_arch = "nvptx64"))]
#[track_caller]
fn change<T: Copy, S: Scope>(
    pointer: *mut T,
    kind: cuda_sim::AtomicKind,
    order: Ordering,
    to: impl FnOnce(T) -> T,
) -> T {
    use cuda_sim::{Access, device};
    device::check(pointer as usize, size_of::<T>(), size_of::<T>(), Access::Write);
    tell::<T, S>(pointer, kind, order);
    // SAFETY: checked: inside an allocation of the simulator.
    let old = unsafe { pointer.read() };
    // SAFETY: as above.
    unsafe { pointer.write(to(old)) };
    device::wrote();
    old
}

macro_rules! atomic {
    ($ty:ty, $reg:ident, $bits:literal) => {
        impl<S: Scope> Atomic<$ty, S> {
            /// Reads the value. The ordering is `Relaxed`, `Acquire` or `SeqCst`.
            #[track_caller]
            #[inline(always)]
            pub fn load(&self, order: Ordering) -> $ty {
                let p = self.pointer();
                #[cfg(target_arch = "nvptx64")]
                {
                    let r: $ty;
                    // SAFETY: the place is valid, as `from_ptr` demands.
                    unsafe {
                        match order {
                            Ordering::Release | Ordering::AcqRel => crate::thread::trap(),
                        Ordering::Relaxed => by_scope!(S::LEVEL, "ld.relaxed", concat!(".b", $bits, " {}, [{}];"), out($reg) r, in(reg64) p, options(nostack)),
                            _ => {
                                if matches!(order, Ordering::SeqCst) {
                                    sequential::<S>();
                                }
                                by_scope!(S::LEVEL, "ld.acquire", concat!(".b", $bits, " {}, [{}];"), out($reg) r, in(reg64) p, options(nostack))
                            }
                        }
                    }
                    r
                }
                #[cfg(not(target_arch = "nvptx64"))]
                {
                    check_order("load", order, [Ordering::Release, Ordering::AcqRel]);
                    // Whoever reads in a loop waits for others: let them run.
                    cuda_sim::device::check(p as usize, size_of::<$ty>(), align_of::<$ty>(), cuda_sim::Access::Read);
                    cuda_sim::device::poll(p as usize);
                    tell::<$ty, S>(p, cuda_sim::AtomicKind::Load, order);
                    // SAFETY: checked: inside an allocation of the simulator.
                    unsafe { p.read() }
                }
            }

            /// Writes the value. The ordering is `Relaxed`, `Release` or `SeqCst`.
            #[track_caller]
            #[inline(always)]
            pub fn store(&self, value: $ty, order: Ordering) {
                let p = self.pointer();
                #[cfg(target_arch = "nvptx64")]
                // SAFETY: the place is valid, as `from_ptr` demands.
                unsafe {
                    match order {
                        Ordering::Acquire | Ordering::AcqRel => crate::thread::trap(),
                        Ordering::Relaxed => by_scope!(S::LEVEL, "st.relaxed", concat!(".b", $bits, " [{}], {};"), in(reg64) p, in($reg) value, options(nostack)),
                        _ => {
                            if matches!(order, Ordering::SeqCst) {
                                sequential::<S>();
                            }
                            by_scope!(S::LEVEL, "st.release", concat!(".b", $bits, " [{}], {};"), in(reg64) p, in($reg) value, options(nostack))
                        }
                    }
                }
                #[cfg(not(target_arch = "nvptx64"))]
                {
                    check_order("store", order, [Ordering::Acquire, Ordering::AcqRel]);
                    change::<$ty, S>(p, cuda_sim::AtomicKind::Store, order, |_| value);
                }
            }

            /// Replaces the value; gives the old one.
            #[track_caller]
            #[inline(always)]
            pub fn swap(&self, value: $ty, order: Ordering) -> $ty {
                let p = self.pointer();
                #[cfg(target_arch = "nvptx64")]
                {
                    let r: $ty;
                    // SAFETY: the place is valid, as `from_ptr` demands.
                    unsafe { by_order!(order, S::LEVEL, "atom", concat!(".exch.b", $bits, " {}, [{}], {};"), out($reg) r, in(reg64) p, in($reg) value, options(nostack)) };
                    r
                }
                #[cfg(not(target_arch = "nvptx64"))]
                change::<$ty, S>(p, cuda_sim::AtomicKind::Change, order, |_| value)
            }
        }
    };
}

macro_rules! fetch {
    ($ty:ty, $reg:ident, $($name:ident, $ptx:literal, $op:expr, $doc:literal;)*) => {
        impl<S: Scope> Atomic<$ty, S> {$(
            #[doc = $doc]
            /// Gives the value before.
            #[track_caller]
            #[inline(always)]
            pub fn $name(&self, value: $ty, order: Ordering) -> $ty {
                let p = self.pointer();
                #[cfg(target_arch = "nvptx64")]
                {
                    let r: $ty;
                    // SAFETY: the place is valid, as `from_ptr` demands.
                    unsafe { by_order!(order, S::LEVEL, "atom", concat!($ptx, " {}, [{}], {};"), out($reg) r, in(reg64) p, in($reg) value, options(nostack)) };
                    r
                }
                #[cfg(not(target_arch = "nvptx64"))]
                {
                    let op: fn($ty, $ty) -> $ty = $op;
                    change::<$ty, S>(p, cuda_sim::AtomicKind::Change, order, |old| op(old, value))
                }
            }
        )*}
    };
}

macro_rules! compare {
    ($ty:ty, $reg:ident, $bits:literal) => {
        impl<S: Scope> Atomic<$ty, S> {
            /// Replaces the value if it is `current`. Gives the value before: `Ok` if it was replaced.
            ///
            /// # Errors
            /// The value found, if it was another.
            #[track_caller]
            #[inline(always)]
            pub fn compare_exchange(&self, current: $ty, new: $ty, order: Ordering) -> Result<$ty, $ty> {
                let p = self.pointer();
                let found: $ty;
                #[cfg(target_arch = "nvptx64")]
                // SAFETY: the place is valid, as `from_ptr` demands.
                unsafe {
                    by_order!(order, S::LEVEL, "atom", concat!(".cas.b", $bits, " {}, [{}], {}, {};"), out($reg) found, in(reg64) p, in($reg) current, in($reg) new, options(nostack))
                };
                #[cfg(not(target_arch = "nvptx64"))]
                {
                    cuda_sim::device::check(p as usize, size_of::<$ty>(), align_of::<$ty>(), cuda_sim::Access::Write);
                    // SAFETY: checked: inside an allocation of the simulator.
                    found = unsafe { p.read() };
                    if found == current {
                        change::<$ty, S>(p, cuda_sim::AtomicKind::Change, order, |_| new);
                    } else {
                        tell::<$ty, S>(p, cuda_sim::AtomicKind::Load, order);
                        // Whoever compares in a loop waits for others: let them run.
                        cuda_sim::device::poll(p as usize);
                    }
                }
                if found == current { Ok(found) } else { Err(found) }
            }
        }
    };
}

atomic!(u32, reg32, "32");
atomic!(i32, reg32, "32");
atomic!(u64, reg64, "64");
atomic!(f32, reg32, "32");
atomic!(f64, reg64, "64");
compare!(u32, reg32, "32");
compare!(i32, reg32, "32");
compare!(u64, reg64, "64");

fetch! { u32, reg32,
    fetch_add, ".add.u32", |a, b| a.wrapping_add(b), "Adds, wrapping.";
    fetch_min, ".min.u32", |a, b| a.min(b), "Takes the lesser.";
    fetch_max, ".max.u32", |a, b| a.max(b), "Takes the greater.";
    fetch_and, ".and.b32", |a, b| a & b, "Takes the bits in both.";
    fetch_or, ".or.b32", |a, b| a | b, "Takes the bits in either.";
    fetch_xor, ".xor.b32", |a, b| a ^ b, "Takes the bits in one of the two.";
}
fetch! { i32, reg32,
    fetch_add, ".add.s32", |a, b| a.wrapping_add(b), "Adds, wrapping.";
    fetch_min, ".min.s32", |a, b| a.min(b), "Takes the lesser.";
    fetch_max, ".max.s32", |a, b| a.max(b), "Takes the greater.";
    fetch_and, ".and.b32", |a, b| a & b, "Takes the bits in both.";
    fetch_or, ".or.b32", |a, b| a | b, "Takes the bits in either.";
    fetch_xor, ".xor.b32", |a, b| a ^ b, "Takes the bits in one of the two.";
}
fetch! { u64, reg64,
    fetch_add, ".add.u64", |a, b| a.wrapping_add(b), "Adds, wrapping.";
    fetch_min, ".min.u64", |a, b| a.min(b), "Takes the lesser.";
    fetch_max, ".max.u64", |a, b| a.max(b), "Takes the greater.";
    fetch_and, ".and.b64", |a, b| a & b, "Takes the bits in both.";
    fetch_or, ".or.b64", |a, b| a | b, "Takes the bits in either.";
    fetch_xor, ".xor.b64", |a, b| a ^ b, "Takes the bits in one of the two.";
}
fetch! { f32, reg32,
    fetch_add, ".add.f32", |a, b| a + b, "Adds. The order in which threads add is not fixed, so the rounding is not either.";
}
fetch! { f64, reg64,
    fetch_add, ".add.f64", |a, b| a + b, "Adds. The order in which threads add is not fixed, so the rounding is not either.";
}

macro_rules! add {
    ($ty:ty, $reg:ident, $ptx:literal) => {
        impl<S: Scope> Atomic<$ty, S> {
            /// Adds, wrapping, and gives nothing back, which costs less. The ordering is `Relaxed` or `Release`.
            #[track_caller]
            #[inline(always)]
            pub fn add(&self, value: $ty, order: Ordering) {
                let p = self.pointer();
                #[cfg(target_arch = "nvptx64")]
                // SAFETY: the place is valid, as `from_ptr` demands.
                unsafe {
                    match order {
                        Ordering::Relaxed => {
                            by_scope!(S::LEVEL, "red.relaxed", concat!($ptx, " [{}], {};"), in(reg64) p, in($reg) value, options(nostack))
                        }
                        Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst => crate::thread::trap(),
                        _ => {
                            by_scope!(S::LEVEL, "red.release", concat!($ptx, " [{}], {};"), in(reg64) p, in($reg) value, options(nostack))
                        }
                    }
                };
                #[cfg(not(target_arch = "nvptx64"))]
                {
                    check_order("addition without a result", order, [Ordering::Acquire, Ordering::AcqRel]);
                    check_order("addition without a result", order, [Ordering::SeqCst; 2]);
                    change::<$ty, S>(p, cuda_sim::AtomicKind::Change, order, |old| old.wrapping_add(value));
                }
            }
        }
    };
}

add!(u32, reg32, ".add.u32");
add!(u64, reg64, ".add.u64");

impl<S: Scope> Atomic<u64, S> {
    /// Reads two neighbours with one instruction, each as [`load`](Self::load) with `Relaxed` does: one may be older
    /// than the other. `pair` is aligned to 16 bytes.
    #[track_caller]
    #[inline(always)]
    pub fn load_pair(pair: &[Self; 2]) -> [u64; 2] {
        let p = pair.as_ptr();
        #[cfg(target_arch = "nvptx64")]
        {
            let (a, b): (u64, u64);
            // SAFETY: the places are valid, as `from_ptr` demands.
            unsafe {
                by_scope!(S::LEVEL, "ld.relaxed", ".v2.b64 {{{}, {}}}, [{}];", out(reg64) a, out(reg64) b, in(reg64) p, options(nostack))
            };
            [a, b]
        }
        #[cfg(not(target_arch = "nvptx64"))]
        {
            cuda_sim::device::check(p as usize, 16, 16, cuda_sim::Access::Read);
            cuda_sim::device::poll(p as usize);
            for place in pair {
                tell::<u64, S>(place.pointer(), cuda_sim::AtomicKind::Load, Ordering::Relaxed);
            }
            // SAFETY: checked: inside an allocation of the simulator.
            unsafe { p.cast::<[u64; 2]>().read() }
        }
    }
}
