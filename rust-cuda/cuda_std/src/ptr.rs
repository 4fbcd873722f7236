//! Which memory a pointer points to.

/// A GPU's kinds of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressSpace {
    /// That of all threads, and of the host's buffers.
    Global,
    /// That of a block.
    Shared,
    /// That which no kernel writes.
    Constant,
    /// That of a thread.
    Local,
}

macro_rules! conversions {
    ($($(#[$doc:meta])* $name:ident, $to:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// The simulator's pointers are the same in every space.
        ///
        /// # Safety
        /// The pointer must point to that space.
        #[inline(always)]
        pub unsafe fn $name<T>(pointer: *const T, space: AddressSpace) -> *const T {
            #[cfg(target_arch = "nvptx64")]
            {
                use core::arch::asm;
                let result: *const T;
                // SAFETY: a conversion of registers.
                unsafe {
                    match space {
                        AddressSpace::Global => asm!(concat!("cvta", $to, ".global.u64 {}, {};"),
                            out(reg64) result, in(reg64) pointer, options(pure, nomem, nostack)),
                        AddressSpace::Shared => asm!(concat!("cvta", $to, ".shared.u64 {}, {};"),
                            out(reg64) result, in(reg64) pointer, options(pure, nomem, nostack)),
                        AddressSpace::Constant => asm!(concat!("cvta", $to, ".const.u64 {}, {};"),
                            out(reg64) result, in(reg64) pointer, options(pure, nomem, nostack)),
                        AddressSpace::Local => asm!(concat!("cvta", $to, ".local.u64 {}, {};"),
                            out(reg64) result, in(reg64) pointer, options(pure, nomem, nostack)),
                    }
                }
                result
            }
            #[cfg(not(target_arch = "nvptx64"))]
            {
                let _ = space;
                pointer
            }
        }
    )*};
}

conversions! {
    /// The address within its space of what an ordinary pointer points to.
    convert_generic_to_specific_address_space, ".to";
    /// The ordinary pointer to an address within a space.
    convert_specific_address_space_to_generic, "";
}
