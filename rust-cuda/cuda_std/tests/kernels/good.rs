//! Kernels of every form.

use cuda_std::launch::{DevicePtrMut, KernelArgs, ParamBuffer};
use cuda_std::prelude::*;

#[kernel]
unsafe fn nothing() {}

/// Documented, bounded, left out or not.
#[kernel(launch_bounds(128, 2))]
#[cfg(all())]
pub unsafe fn fill(mut value: u32, to: *mut u32) {
    value += 1;
    unsafe { to.write(value) };
}

#[kernel]
#[cfg(any())]
pub unsafe fn absent(value: DoesNotExist) {}

fn main() {
    assert_eq!(nothing::Args::NAME, "nothing");
    assert_eq!(fill::Args::LAUNCH_BOUNDS, Some((128, 2)));
    let params: Vec<_> = fill::Args::PARAMS.iter().map(|p| (p.name, p.ty)).collect();
    assert_eq!(params, [("value", "u32"), ("to", "* mut u32")]);
    let args = fill::Args { value: 7, to: DevicePtrMut::from_address(0x1000) };
    let mut buffer = ParamBuffer::of(&args);
    let pointers = buffer.pointers();
    assert_eq!(pointers.len(), 2);
    // SAFETY: the pointers are to values of these types, in the buffer.
    let (value, to) = unsafe { (pointers[0].cast::<u32>().read(), pointers[1].cast::<u64>().read()) };
    assert_eq!((value, to), (7, 0x1000));
}
