//! `rms_norm` of the residual stream.

use cuda_std::launch::LaunchConfig;
use psionic_kernels::rms_norm;

use crate::decode::launches::RMS_NORM_THREADS;
use crate::device::{Buffer, Device, DeviceError};
use crate::kernel::{Case, Expected, Kernel, Shapes, bounds, to_f64, vector};
use crate::random::Random;

pub const KERNEL: Kernel = Kernel::of::<rms_norm::rms_norm::Args>("RMS norm on its own", cases);

const EPS: f32 = 1e-6;

fn cases(shapes: &Shapes) -> Vec<Case> {
    let n = shapes.hidden;
    let spec = vector::Spec { kernel: "rms_norm", name: "hidden", inputs: 2 * n, outputs: n, make, launch };
    vec![spec.case()]
}

/// A vector and its weights.
fn make(spec: &vector::Spec, random: &mut Random) -> (Vec<f32>, Expected) {
    let n = spec.outputs;
    let inputs = [random.normals(n), random.norm_weights(n)].concat();
    let (x, weight) = (to_f64(&inputs[..n]), to_f64(&inputs[n..]));
    let values = rms_norm::reference(&x, &weight, EPS.into());
    let near = values.into_iter().map(|v| (v, bounds::rms_norm(v, n, RMS_NORM_THREADS)));
    (inputs, Expected::of(near))
}

fn launch(device: &Device, inputs: &Buffer<f32>, out: &Buffer<f32>) -> Result<(), DeviceError> {
    let n = out.len();
    let (x, weight) = (inputs.as_ptr(), inputs.as_ptr().add(n));
    let args = rms_norm::rms_norm::Args { x, weight, eps: EPS, n: n as u32, out: out.as_mut_ptr() };
    // SAFETY: `x`, the weights behind it and `out` have `n` elements, and the block is of whole warps.
    unsafe { device.launch(LaunchConfig::new(1, RMS_NORM_THREADS), args) }
}
