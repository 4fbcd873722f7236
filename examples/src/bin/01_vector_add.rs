//! The sum of two vectors. Upload, launch, download, check: every example does these.

use cuda_std::launch::LaunchConfig;
use example_kernels::vector_add::vector_add;
use examples::{Outcome, check, device, noise};

fn main() -> Outcome {
    const N: usize = 10_000;
    let device = device()?;
    let (a, b) = (noise(N, 1), noise(N, 2));
    let (on_a, on_b, on_c) = (device.upload(&a)?, device.upload(&b)?, device.zeroed::<f32>(N)?);
    let args = vector_add::Args { a: on_a.as_slice(), b: on_b.as_slice(), c: on_c.as_mut_ptr() };
    let blocks = N.div_ceil(256) as u32;
    // SAFETY: the three buffers are equally long, and live until the download has waited for the kernel.
    unsafe { device.launch(LaunchConfig::new(blocks, 256), args) }?;
    check("c", &device.download(&on_c)?, |i| f64::from(a[i] + b[i]), 0.0)
}
