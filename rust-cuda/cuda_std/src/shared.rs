//! Shared memory: what the threads of a block have in common.
//!
//! [`shared_array!`](crate::shared_array) declares a static array, [`dynamic_shared_mem`] is what the launch asked
//! for. Both give raw pointers, as upstream does. A [`Slice`] is the faster way in: its loads and stores are shared
//! ones on a GPU, not generic ones, and are checked against its length on the simulator.
//!
//! A static array has a constant length:
//!
//! ```
//! const N: usize = 32;
//! fn tile() -> *mut f32 {
//!     cuda_std::shared_array![f32; 2 * N]
//! }
//! ```
//!
//! One that is only known when the kernel runs takes dynamic shared memory:
//!
//! ```compile_fail,E0435
//! fn tile(n: usize) -> *mut f32 {
//!     cuda_std::shared_array![f32; 2 * n]
//! }
//! ```

use core::marker::PhantomData;

use crate::plain::Plain;

#[cfg(target_arch = "nvptx64")]
core::arch::global_asm!(".extern .shared .align 256 .b8 dynamic_shared_memory[];");

/// The start of the dynamic shared memory, aligned to 256 bytes. It is not initialised.
#[inline(always)]
pub fn dynamic_shared_mem<T>() -> *mut T {
    #[cfg(target_arch = "nvptx64")]
    {
        let p: *mut T;
        // SAFETY: takes an address.
        unsafe {
            core::arch::asm!("{{ .reg .u64 a; mov.u64 a, dynamic_shared_memory; cvta.shared.u64 {}, a; }}",
                out(reg64) p, options(pure, nomem, nostack))
        };
        p
    }
    #[cfg(not(target_arch = "nvptx64"))]
    cuda_sim::device::dynamic_shared().0.cast()
}

/// How large a `shared_array!` is: its declaration stands in a module of its own, where the constants of the function
/// around it cannot be named.
#[cfg(target_arch = "nvptx64")]
#[doc(hidden)]
pub trait Extent {
    const BYTES: usize;
    const ALIGN: usize;
}

/// What `shared_array!` is on the simulator.
#[cfg(not(target_arch = "nvptx64"))]
#[doc(hidden)]
pub fn array_of_block<T>(site: &'static core::sync::atomic::AtomicU8, len: usize) -> *mut T {
    cuda_sim::device::shared_array(core::ptr::from_ref(site) as usize, len * size_of::<T>()).cast()
}

/// An address in shared memory, as instructions take it: 32 bits on a GPU.
#[cfg(target_arch = "nvptx64")]
pub type Address = u32;
/// An address in shared memory.
#[cfg(not(target_arch = "nvptx64"))]
pub type Address = usize;

/// The shared-memory address that a pointer to shared memory stands for.
///
/// # Safety
/// The pointer must point to shared memory.
#[inline(always)]
pub unsafe fn address_of<T>(pointer: *const T) -> Address {
    #[cfg(target_arch = "nvptx64")]
    {
        let a: u32;
        // SAFETY: a conversion of registers.
        unsafe {
            core::arch::asm!("{{ .reg .u64 a; cvta.to.shared.u64 a, {1}; cvt.u32.u64 {0}, a; }}",
                out(reg32) a, in(reg64) pointer, options(pure, nomem, nostack))
        };
        a
    }
    #[cfg(not(target_arch = "nvptx64"))]
    return pointer as usize;
}

/// A run of elements in shared memory.
///
/// Threads share it: what one writes another sees after a barrier, and two threads must not write one element
/// between barriers.
pub struct Slice<T> {
    start: Address,
    len: u32,
    element: PhantomData<*mut T>,
}

impl<T> Clone for Slice<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slice<T> {}

impl<T: Plain> Slice<T> {
    /// The `len` elements from `pointer` on.
    ///
    /// # Safety
    /// They must lie in the block's shared memory, aligned to the element.
    #[inline(always)]
    pub unsafe fn from_raw(pointer: *mut T, len: usize) -> Self {
        // SAFETY: as the caller promises.
        Self { start: unsafe { address_of(pointer) }, len: len as u32, element: PhantomData }
    }

    /// `len` elements of the dynamic shared memory, `offset` bytes from its start.
    ///
    /// # Safety
    /// The launch must have asked for at least `offset + len * size_of::<T>()` bytes, and the offset must be a
    /// multiple of the element's size.
    #[inline(always)]
    pub unsafe fn dynamic(offset: usize, len: usize) -> Self {
        #[cfg(target_arch = "nvptx64")]
        {
            // The symbol's own address is the shared one: no conversion from a generic address.
            let start: u32;
            // SAFETY: takes an address.
            unsafe {
                core::arch::asm!("mov.u32 {}, dynamic_shared_memory;", out(reg32) start, options(pure, nomem, nostack))
            };
            Self { start: start + offset as u32, len: len as u32, element: PhantomData }
        }
        #[cfg(not(target_arch = "nvptx64"))]
        // SAFETY: as the caller promises.
        unsafe {
            Self::from_raw(dynamic_shared_mem::<u8>().add(offset).cast(), len)
        }
    }

    /// Elements.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The shared-memory address of element `i`.
    #[inline(always)]
    pub fn address(self, i: usize) -> Address {
        self.start + (i * size_of::<T>()) as Address
    }

    /// The address of element `i` as LLVM's intrinsics take it, which `cuda_builder` makes one in shared memory again.
    #[cfg(target_arch = "nvptx64")]
    #[inline(always)]
    pub(crate) fn pointer(self, i: usize) -> *const T {
        let pointer: *const T;
        // SAFETY: a conversion of registers.
        unsafe {
            core::arch::asm!("cvt.u64.u32 {}, {};", out(reg64) pointer, in(reg32) self.address(i),
                options(pure, nomem, nostack))
        };
        pointer
    }

    /// The elements from `first` on.
    ///
    /// # Safety
    /// `first` must not be beyond the length.
    #[inline(always)]
    pub unsafe fn from(self, first: usize) -> Self {
        Self { start: self.address(first), len: self.len.wrapping_sub(first as u32), element: PhantomData }
    }

    /// The element alone whose number differs from the first's in the given bits, where elements are counted from an
    /// address that is aligned to all that the bits reach: one operation for the address, whatever the first's number is.
    ///
    /// # Safety
    /// There must be such an element.
    #[inline(always)]
    pub unsafe fn flip(self, bits: usize) -> Self {
        Self { start: self.start ^ (bits * size_of::<T>()) as Address, len: 1, element: PhantomData }
    }

    /// The same memory as elements of another type.
    ///
    /// # Safety
    /// The start must be aligned to `U`.
    #[inline(always)]
    pub unsafe fn cast<U: Plain>(self) -> Slice<U> {
        Slice {
            start: self.start,
            len: (self.len as usize * size_of::<T>() / size_of::<U>()) as u32,
            element: PhantomData,
        }
    }

    /// Element `i`.
    ///
    /// # Safety
    /// `i` must be below the length, and no thread may write the element before the next barrier.
    #[track_caller]
    #[inline(always)]
    pub unsafe fn get(self, i: usize) -> T {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: as the caller promises.
        return unsafe { access::load(self.address(i)) };
        #[cfg(not(target_arch = "nvptx64"))]
        {
            self.check(i, cuda_sim::Access::Read);
            cuda_sim::device::plain(self.address(i), size_of::<T>(), cuda_sim::Plain::Read);
            // SAFETY: checked: inside the block's shared memory, which holds any bits.
            unsafe { (self.address(i) as *const T).read() }
        }
    }

    /// Sets element `i`.
    ///
    /// # Safety
    /// `i` must be below the length, and no other thread may use the element before the next barrier.
    #[track_caller]
    #[inline(always)]
    pub unsafe fn set(self, i: usize, value: T) {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: as the caller promises.
        unsafe {
            access::store(self.address(i), value)
        };
        #[cfg(not(target_arch = "nvptx64"))]
        {
            self.check(i, cuda_sim::Access::Write);
            cuda_sim::device::plain(self.address(i), size_of::<T>(), cuda_sim::Plain::Write);
            // SAFETY: checked: inside the block's shared memory.
            unsafe { (self.address(i) as *mut T).write(value) };
        }
    }

    #[cfg(not(target_arch = "nvptx64"))]
    #[track_caller]
    fn check(self, i: usize, access: cuda_sim::Access) {
        assert!(i < self.len(), "index {i} of a shared slice of {} elements", self.len);
        cuda_sim::device::check(self.address(i), size_of::<T>(), align_of::<T>(), access);
    }
}

#[cfg(target_arch = "nvptx64")]
mod access {
    use core::arch::asm;
    use core::mem::transmute_copy;

    use crate::plain::Plain;

    #[inline(always)]
    pub unsafe fn load<T: Plain>(a: u32) -> T {
        // SAFETY: the caller's address is valid, and `transmute_copy` reads as many bytes as were loaded.
        unsafe {
            match size_of::<T>() {
                1 => {
                    let r: u16;
                    asm!("ld.shared.u8 {}, [{}];", out(reg16) r, in(reg32) a, options(nostack, readonly));
                    transmute_copy(&(r as u8))
                }
                2 => {
                    let r: u16;
                    asm!("ld.shared.u16 {}, [{}];", out(reg16) r, in(reg32) a, options(nostack, readonly));
                    transmute_copy(&r)
                }
                4 => {
                    let r: u32;
                    asm!("ld.shared.u32 {}, [{}];", out(reg32) r, in(reg32) a, options(nostack, readonly));
                    transmute_copy(&r)
                }
                8 => {
                    let (x, y): (u32, u32);
                    asm!("ld.shared.v2.u32 {{{}, {}}}, [{}];", out(reg32) x, out(reg32) y, in(reg32) a, options(nostack, readonly));
                    transmute_copy(&[x, y])
                }
                _ => {
                    let (x, y, z, w): (u32, u32, u32, u32);
                    asm!("ld.shared.v4.u32 {{{}, {}, {}, {}}}, [{}];", out(reg32) x, out(reg32) y, out(reg32) z,
                        out(reg32) w, in(reg32) a, options(nostack, readonly));
                    transmute_copy(&[x, y, z, w])
                }
            }
        }
    }

    #[inline(always)]
    pub unsafe fn store<T: Plain>(a: u32, value: T) {
        // SAFETY: the caller's address is valid, and `transmute_copy` reads the value's own bytes.
        unsafe {
            match size_of::<T>() {
                1 => {
                    let v: u8 = transmute_copy(&value);
                    asm!("st.shared.u8 [{}], {};", in(reg32) a, in(reg16) v as u16, options(nostack));
                }
                2 => {
                    let v: u16 = transmute_copy(&value);
                    asm!("st.shared.u16 [{}], {};", in(reg32) a, in(reg16) v, options(nostack));
                }
                4 => {
                    let v: u32 = transmute_copy(&value);
                    asm!("st.shared.u32 [{}], {};", in(reg32) a, in(reg32) v, options(nostack));
                }
                8 => {
                    let v: [u32; 2] = transmute_copy(&value);
                    asm!("st.shared.v2.u32 [{}], {{{}, {}}};", in(reg32) a, in(reg32) v[0], in(reg32) v[1], options(nostack));
                }
                _ => {
                    let v: [u32; 4] = transmute_copy(&value);
                    asm!("st.shared.v4.u32 [{}], {{{}, {}, {}, {}}};", in(reg32) a, in(reg32) v[0], in(reg32) v[1],
                        in(reg32) v[2], in(reg32) v[3], options(nostack));
                }
            }
        }
    }
}
