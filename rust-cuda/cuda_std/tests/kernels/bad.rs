use cuda_std::kernel;

#[kernel]
pub fn safe(x: u32) {}

#[kernel]
pub unsafe fn generic<T>(x: *const T) {}

#[kernel]
pub unsafe fn reference(x: &u32) {}

#[kernel]
pub unsafe fn returns(x: u32) -> u32 {
    x
}

#[kernel]
pub unsafe fn pattern((a, b): (u32, u32)) {}

#[kernel]
pub unsafe extern "C" fn convention(x: u32) {}

#[kernel]
pub async unsafe fn asynchronous(x: u32) {}

#[kernel(launch_bounds(2048))]
pub unsafe fn wide() {}

#[kernel(blocks(3))]
pub unsafe fn option() {}

#[kernel]
pub unsafe fn opaque(x: impl Copy) {}

fn main() {}
