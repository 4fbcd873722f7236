//! `new_kernel` at the width of the residual stream.

use cuda_std::launch::LaunchConfig;
use psionic_kernels::new_kernel as kernel;

use crate::device::{Buffer, Device, DeviceError};
use crate::kernel::{Case, Expected, Kernel, Shapes, to_f64, vector};
use crate::random::Random;

type Args = kernel::new_kernel::Args;

pub const KERNEL: Kernel = Kernel::of::<Args>("a vector times a number", cases);

const FACTOR: f32 = 0.7;

fn cases(shapes: &Shapes) -> Vec<Case> {
    let (kernel, n) = (KERNEL.name, shapes.hidden);
    vec![vector::Spec { kernel, name: "hidden", inputs: n, outputs: n, make, launch }.case()]
}

/// A vector, and what must come of it.
fn make(spec: &vector::Spec, random: &mut Random) -> (Vec<f32>, Expected) {
    let x = random.normals(spec.inputs);
    let values = kernel::reference(&to_f64(&x), FACTOR.into());
    (x, Expected::of(values.into_iter().map(|v| (v, kernel::bound(v)))))
}

fn launch(device: &Device, x: &Buffer<f32>, out: &Buffer<f32>) -> Result<(), DeviceError> {
    let config = LaunchConfig::new((x.len() as u32).div_ceil(kernel::THREADS), kernel::THREADS);
    let args = Args { x: x.as_slice(), factor: FACTOR, out: out.as_mut_ptr() };
    // SAFETY: `out` has as many elements as `x`, and there is a thread for each.
    unsafe { device.launch(config, args) }
}
