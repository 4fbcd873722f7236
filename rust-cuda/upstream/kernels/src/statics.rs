//! Upstream's other attributes and types.

use cuda_std::ptr::{self, AddressSpace};
use cuda_std::{address_space, externally_visible, gpu_only, kernel, thread};

/// Kept in the PTX for a host that looks for it.
#[externally_visible]
pub static VERSION: u32 = 3;

#[address_space(constant)]
static FACTORS: [u32; 4] = [1, 10, 100, 1000];

/// Only a GPU has this.
#[gpu_only]
pub fn of_a_gpu() -> u32 {
    1
}

/// Each thread writes what it finds in statics and indices.
#[kernel]
pub unsafe fn places(out: *mut u32) {
    #[address_space(shared)]
    static mut COUNT: u32 = 0;

    let (t, b, d, g) = (thread::thread_idx(), thread::block_idx(), thread::block_dim(), thread::grid_dim());
    let i = thread::index_3d();
    if t.x + t.y + t.z == 0 {
        unsafe { *COUNT = 5 };
    }
    let any = thread::sync_threads_or((t.x > 2) as u32);
    let all = thread::sync_threads_and(1u32);
    let value = unsafe { *COUNT } * FACTORS[3]
        + (i.x + i.y + i.z + b.x + d.y + g.z) * FACTORS[0]
        + (any + all) * FACTORS[2];
    unsafe {
        let here = out.add(thread::index() as usize);
        let address = ptr::convert_generic_to_specific_address_space(here, AddressSpace::Global);
        let same = ptr::convert_specific_address_space_to_generic(address, AddressSpace::Global);
        (same as *mut u32).write(value);
    }
}

/// Calls it.
#[kernel]
pub unsafe fn gpu_only_call(out: *mut u32) {
    unsafe { out.write(of_a_gpu()) };
}
