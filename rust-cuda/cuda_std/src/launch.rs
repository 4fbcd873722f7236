//! The host's side of a launch: device pointers with a type, a kernel's arguments, the shape of a grid.

use core::ffi::c_void;
use core::marker::PhantomData;
use std::vec::Vec;

/// Blocks of a grid or threads of a block, in x, y and z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dim3 {
    /// In x.
    pub x: u32,
    /// In y.
    pub y: u32,
    /// In z.
    pub z: u32,
}

impl Dim3 {
    /// The three numbers.
    pub const fn as_array(self) -> [u32; 3] {
        [self.x, self.y, self.z]
    }
}

impl From<u32> for Dim3 {
    fn from(x: u32) -> Self {
        Self { x, y: 1, z: 1 }
    }
}

impl From<(u32, u32)> for Dim3 {
    fn from((x, y): (u32, u32)) -> Self {
        Self { x, y, z: 1 }
    }
}

impl From<(u32, u32, u32)> for Dim3 {
    fn from((x, y, z): (u32, u32, u32)) -> Self {
        Self { x, y, z }
    }
}

/// The shape of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchConfig {
    /// Blocks.
    pub grid: Dim3,
    /// Threads of a block.
    pub block: Dim3,
    /// Dynamic shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// All blocks run at the same time, as a grid barrier needs.
    pub cooperative: bool,
    /// The launch may begin before the one before it has ended (programmatic dependent launch): the kernel must call
    /// [`grid::wait_for_predecessor`](crate::grid::wait_for_predecessor) before it uses that one's results.
    pub dependent: bool,
}

impl LaunchConfig {
    /// A grid of blocks of threads.
    pub fn new(grid: impl Into<Dim3>, block: impl Into<Dim3>) -> Self {
        Self { grid: grid.into(), block: block.into(), shared_bytes: 0, cooperative: false, dependent: false }
    }

    /// With dynamic shared memory.
    pub fn shared_bytes(self, shared_bytes: u32) -> Self {
        Self { shared_bytes, ..self }
    }

    /// With all blocks running at the same time.
    pub fn cooperative(self) -> Self {
        Self { cooperative: true, ..self }
    }

    /// Allowed to begin before the launch before it has ended.
    pub fn dependent(self, dependent: bool) -> Self {
        Self { dependent, ..self }
    }
}

macro_rules! pointer {
    ($(#[$doc:meta])* $name:ident, $raw:ty) => {
        $(#[$doc])*
        pub struct $name<T> {
            address: u64,
            target: PhantomData<$raw>,
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<T> {}

        impl<T> core::fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}({:#x})", stringify!($name), self.address)
            }
        }

        impl<T> $name<T> {
            /// The pointer to a device address.
            pub const fn from_address(address: u64) -> Self {
                Self { address, target: PhantomData }
            }

            /// A pointer to nothing, for a kernel that takes it as an absent argument.
            pub const fn null() -> Self {
                Self::from_address(0)
            }

            /// The device address.
            pub const fn address(self) -> u64 {
                self.address
            }

            /// The pointer to the element `count` further on.
            #[must_use]
            pub const fn add(self, count: usize) -> Self {
                Self::from_address(self.address + (count * size_of::<T>()) as u64)
            }

            /// The same address, for elements of another type.
            pub const fn cast<U>(self) -> $name<U> {
                $name::from_address(self.address)
            }

            /// The pointer as the simulator's kernels see it.
            pub const fn as_host(self) -> $raw {
                self.address as usize as $raw
            }
        }
    };
}

pointer!(
    /// A pointer to device memory that a kernel reads.
    DevicePtr, *const T
);
pointer!(
    /// A pointer to device memory that a kernel reads and writes.
    DevicePtrMut, *mut T
);

impl<T> From<DevicePtrMut<T>> for DevicePtr<T> {
    fn from(p: DevicePtrMut<T>) -> Self {
        Self::from_address(p.address())
    }
}

macro_rules! slice {
    ($(#[$doc:meta])* $name:ident, $pointer:ident, $view:ty, $from:ident) => {
        $(#[$doc])*
        pub struct $name<T> {
            start: $pointer<T>,
            len: usize,
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<T> {}

        impl<T> $name<T> {
            /// The `len` elements from `start` on.
            ///
            /// # Safety
            /// They must be in one living allocation.
            pub const unsafe fn new(start: $pointer<T>, len: usize) -> Self {
                // Even an empty slice has an address, and it is aligned.
                let start = if len == 0 { $pointer::from_address(align_of::<T>() as u64) } else { start };
                Self { start, len }
            }

            /// The device address of the first element.
            pub const fn address(self) -> u64 {
                self.start.address()
            }

            /// Elements.
            pub const fn len(self) -> usize {
                self.len
            }

            /// Whether there are none.
            pub const fn is_empty(self) -> bool {
                self.len == 0
            }

            /// The slice as the simulator's kernels see it.
            ///
            /// # Safety
            /// The elements must be memory of a simulator, alive and initialised, and used as Rust's references
            /// demand for as long as the result lives.
            pub unsafe fn as_host<'a>(self) -> $view {
                // SAFETY: as the caller promises.
                unsafe { core::slice::$from(self.start.as_host(), self.len) }
            }
        }
    };
}

slice!(
    /// A slice of device memory that a kernel reads.
    DeviceSlice, DevicePtr, &'a [T], from_raw_parts
);
slice!(
    /// A slice of device memory that a kernel reads and writes.
    DeviceSliceMut, DevicePtrMut, &'a mut [T], from_raw_parts_mut
);

/// A parameter in a kernel's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its type, as written.
    pub ty: &'static str,
}

/// A kernel's arguments, made by `#[kernel]`: what a GPU is given, and what the simulator calls.
///
/// They are checked when the launch is compiled. With this kernel and launch
///
/// ```
/// # use cuda_std::{kernel, launch::{DevicePtr, DevicePtrMut, DeviceSlice, KernelArgs}};
/// #[kernel]
/// pub unsafe fn axpy(a: f32, x: &[f32], y: *mut f32) {}
/// # fn launch(_: impl KernelArgs) {}
/// # fn host(a: f32, x: DeviceSlice<f32>, y: DevicePtrMut<f32>) {
/// launch(axpy::Args { a, x, y });
/// # }
/// # fn main() {}
/// ```
///
/// a missing argument does not compile,
///
/// ```compile_fail,E0063
/// # use cuda_std::{kernel, launch::{DevicePtr, DevicePtrMut, DeviceSlice, KernelArgs}};
/// # #[kernel]
/// # pub unsafe fn axpy(a: f32, x: &[f32], y: *mut f32) {}
/// # fn launch(_: impl KernelArgs) {}
/// # fn host(a: f32, x: DeviceSlice<f32>, y: DevicePtrMut<f32>) {
/// launch(axpy::Args { a, x });
/// # }
/// # fn main() {}
/// ```
///
/// nor does one too many,
///
/// ```compile_fail,E0560
/// # use cuda_std::{kernel, launch::{DevicePtr, DevicePtrMut, DeviceSlice, KernelArgs}};
/// # #[kernel]
/// # pub unsafe fn axpy(a: f32, x: &[f32], y: *mut f32) {}
/// # fn launch(_: impl KernelArgs) {}
/// # fn host(a: f32, x: DeviceSlice<f32>, y: DevicePtrMut<f32>) {
/// launch(axpy::Args { a, x, y, n: 5 });
/// # }
/// # fn main() {}
/// ```
///
/// nor two that were swapped,
///
/// ```compile_fail,E0308
/// # use cuda_std::{kernel, launch::{DevicePtr, DevicePtrMut, DeviceSlice, KernelArgs}};
/// # #[kernel]
/// # pub unsafe fn axpy(a: f32, x: &[f32], y: *mut f32) {}
/// # fn launch(_: impl KernelArgs) {}
/// # fn host(a: f32, x: DeviceSlice<f32>, y: DevicePtrMut<f32>) {
/// launch(axpy::Args { a, x: y, y: x });
/// # }
/// # fn main() {}
/// ```
///
/// nor one of another type,
///
/// ```compile_fail,E0308
/// # use cuda_std::{kernel, launch::{DevicePtr, DevicePtrMut, DeviceSlice, KernelArgs}};
/// # #[kernel]
/// # pub unsafe fn axpy(a: f32, x: &[f32], y: *mut f32) {}
/// # fn launch(_: impl KernelArgs) {}
/// # fn host(a: f64, x: DeviceSlice<f32>, y: DevicePtrMut<f32>) {
/// launch(axpy::Args { a, x, y });
/// # }
/// # fn main() {}
/// ```
///
/// nor a pointer that only reads where the kernel writes, nor one to other elements.
///
/// ```compile_fail,E0308
/// # use cuda_std::{kernel, launch::{DevicePtr, DevicePtrMut, DeviceSlice, KernelArgs}};
/// # #[kernel]
/// # pub unsafe fn axpy(a: f32, x: &[f32], y: *mut f32) {}
/// # fn launch(_: impl KernelArgs) {}
/// # fn host(a: f32, x: DeviceSlice<f32>, y: DevicePtr<f32>) {
/// launch(axpy::Args { a, x, y });
/// # }
/// # fn main() {}
/// ```
///
/// ```compile_fail,E0308
/// # use cuda_std::{kernel, launch::{DevicePtr, DevicePtrMut, DeviceSlice, KernelArgs}};
/// # #[kernel]
/// # pub unsafe fn axpy(a: f32, x: &[f32], y: *mut f32) {}
/// # fn launch(_: impl KernelArgs) {}
/// # fn host(a: f32, x: DeviceSlice<u32>, y: DevicePtrMut<f32>) {
/// launch(axpy::Args { a, x, y });
/// # }
/// # fn main() {}
/// ```
pub trait KernelArgs: Copy {
    /// The kernel's name, which is that of its PTX entry.
    const NAME: &'static str;
    /// The kernel's parameters.
    const PARAMS: &'static [Param];
    /// The most threads of a block, and the fewest blocks of a multiprocessor (0: no wish).
    const LAUNCH_BOUNDS: Option<(u32, u32)>;

    /// Appends the arguments as the PTX entry takes them.
    fn push(&self, out: &mut ParamBuffer);

    /// Runs the kernel's function, for one simulated thread.
    ///
    /// # Safety
    /// The arguments must be as the kernel demands, and a simulator must be running it.
    unsafe fn call(&self);
}

/// Arguments in the form that the driver takes: an array of pointers to values.
#[derive(Default)]
pub struct ParamBuffer {
    /// 16-byte cells, so that every value is aligned.
    cells: Vec<[u64; 2]>,
    starts: Vec<usize>,
}

impl ParamBuffer {
    /// The arguments of one launch.
    pub fn of(args: &impl KernelArgs) -> Self {
        let mut buffer = Self::default();
        args.push(&mut buffer);
        buffer
    }

    /// Appends one value.
    pub fn value<T: Copy + 'static>(&mut self, value: T) {
        const { assert!(align_of::<T>() <= 16, "a kernel's parameter is aligned to at most 16 bytes") };
        let start = self.cells.len();
        self.starts.push(start);
        self.cells.resize(start + size_of::<T>().div_ceil(16).max(1), [0; 2]);
        // SAFETY: the new cells have room for the value, and 16-byte cells of `u64` pairs are aligned to 8; the
        // unaligned write covers a 16-byte alignment.
        unsafe { self.cells.as_mut_ptr().add(start).cast::<T>().write_unaligned(value) };
    }

    /// The parameters that are addresses of device memory, with those.
    pub fn addresses<K: KernelArgs>(args: &K) -> Vec<(&'static str, usize)> {
        let buffer = Self::of(args);
        let mut values = buffer.starts.iter().map(|start| buffer.cells[*start][0] as usize);
        let mut addresses = Vec::new();
        for Param { name, ty } in K::PARAMS {
            let (pointer, slice) = (ty.starts_with('*'), ty.starts_with('&'));
            let value = values.next();
            addresses.extend(value.filter(|_| pointer || slice).map(|address| (*name, address)));
            // A slice's length.
            let _ = slice.then(|| values.next());
        }
        addresses
    }

    /// Pointers to the values, valid until the buffer changes.
    pub fn pointers(&mut self) -> Vec<*mut c_void> {
        let base = self.cells.as_mut_ptr();
        // SAFETY: every start is inside the cells.
        self.starts.iter().map(|start| unsafe { base.add(*start) }.cast()).collect()
    }
}
