//! `swiglu` inside the feed-forward network.

use cuda_std::launch::LaunchConfig;
use psionic_kernels::swiglu;

use crate::decode::launches::SWIGLU_THREADS;
use crate::device::{Buffer, Device, DeviceError};
use crate::kernel::{Case, Expected, Kernel, Shapes, bounds, to_f64, vector};
use crate::random::Random;

pub const KERNEL: Kernel = Kernel::of::<swiglu::swiglu::Args>("SwiGLU on its own", cases);

fn cases(shapes: &Shapes) -> Vec<Case> {
    let n = shapes.ffn;
    vec![vector::Spec { kernel: "swiglu", name: "ffn", inputs: 2 * n, outputs: n, make, launch }.case()]
}

/// Gates and ups.
fn make(spec: &vector::Spec, random: &mut Random) -> (Vec<f32>, Expected) {
    let inputs: Vec<f32> = random.normals(spec.inputs).into_iter().map(|v| 5.0 * v).collect();
    let (gate, up) = inputs.split_at(spec.outputs);
    let (gate, up) = (to_f64(gate), to_f64(up));
    let values = swiglu::reference(&gate, &up);
    let bound = gate.into_iter().zip(up).map(|(gate, up)| bounds::swiglu(gate, up));
    (inputs, Expected::of(values.into_iter().zip(bound)))
}

fn launch(device: &Device, inputs: &Buffer<f32>, out: &Buffer<f32>) -> Result<(), DeviceError> {
    let n = out.len() as u32;
    let config = LaunchConfig::new(n.div_ceil(SWIGLU_THREADS), SWIGLU_THREADS);
    let args = swiglu::swiglu::Args { gate_up: inputs.as_ptr(), n, out: out.as_mut_ptr() };
    // SAFETY: the buffers have `2 n` and `n` elements.
    unsafe { device.launch(config, args) }
}
