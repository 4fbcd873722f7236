//! The kernels of one vector: `rms_norm` and `swiglu`.

use cuda_std::launch::LaunchConfig;
use psionic_kernels::{rms_norm, swiglu};

use super::bounds;
use super::case::{Case, Prepared};
use super::expected::{Expected, Mismatch, Outputs};
use super::shapes::Shapes;
use super::stored::to_f64;
use crate::decode::launches::{RMS_NORM_THREADS, SWIGLU_THREADS};
use crate::device::{Buffer, Device, DeviceError};
use crate::random::Random;

const EPS: f32 = 1e-6;

pub fn rms_norm(shapes: &Shapes) -> Vec<Case> {
    let make = |n, random: &mut Random| {
        let inputs = [random.normals(n), random.norm_weights(n)].concat();
        let (x, weight) = (to_f64(&inputs[..n]), to_f64(&inputs[n..]));
        let values = rms_norm::reference(&x, &weight, EPS.into());
        let near = values.into_iter().map(|v| (v, bounds::rms_norm(v, n, RMS_NORM_THREADS)));
        (inputs, Expected::of(near))
    };
    vec![case("rms_norm", "hidden", shapes.hidden, make, |vector, inputs, out| {
        let (x, weight) = (inputs.as_ptr(), inputs.as_ptr().add(vector.n));
        let args =
            rms_norm::rms_norm::Args { x, weight, eps: EPS, n: vector.n as u32, out: out.as_mut_ptr() };
        // SAFETY: `x`, the weights behind it and `out` have `n` elements, and the block is of whole warps.
        unsafe { vector.device.launch(LaunchConfig::new(1, RMS_NORM_THREADS), args) }
    })]
}

pub fn swiglu(shapes: &Shapes) -> Vec<Case> {
    let make = |n, random: &mut Random| {
        let inputs: Vec<f32> = random.normals(2 * n).into_iter().map(|v| 5.0 * v).collect();
        let (gate, up) = (to_f64(&inputs[..n]), to_f64(&inputs[n..]));
        let values = swiglu::reference(&gate, &up);
        let bound = gate.into_iter().zip(up).map(|(gate, up)| bounds::swiglu(gate, up));
        (inputs, Expected::of(values.into_iter().zip(bound)))
    };
    vec![case("swiglu", "ffn", shapes.ffn, make, |vector, inputs, out| {
        let n = vector.n as u32;
        let config = LaunchConfig::new(n.div_ceil(SWIGLU_THREADS), SWIGLU_THREADS);
        let args = swiglu::swiglu::Args { gate_up: inputs.as_ptr(), n, out: out.as_mut_ptr() };
        // SAFETY: the buffers have `2 n` and `n` elements.
        unsafe { vector.device.launch(config, args) }
    })]
}

/// Makes the inputs and what must come of them.
type Make = fn(usize, &mut Random) -> (Vec<f32>, Expected);
/// Launches the kernel on inputs and outputs.
type Launch = fn(&Vector<'_>, &Buffer<f32>, &Buffer<f32>) -> Result<(), DeviceError>;

/// A kernel that makes `n` numbers of two times `n`.
fn case(kernel: &'static str, name: &'static str, n: usize, make: Make, launch: Launch) -> Case {
    Case::new(kernel, name, n.to_string(), 3 * n * size_of::<f32>(), move |device, copies, random| {
        let (inputs, expected) = make(n, random);
        let copy = |_| Ok((device.upload(&inputs)?, device.zeroed(n)?));
        let copies = (0..copies).map(copy).collect::<Result<_, DeviceError>>()?;
        Ok(Box::new(Vector { device, launch, n, copies, expected }))
    })
}

struct Vector<'d> {
    device: &'d Device,
    launch: Launch,
    n: usize,
    /// Inputs and outputs.
    copies: Vec<(Buffer<f32>, Buffer<f32>)>,
    expected: Expected,
}

impl Prepared for Vector<'_> {
    fn reset(&mut self, copy: usize) -> Result<(), DeviceError> {
        self.device.poison(&mut self.copies[copy].1, 0, &self.expected.before)
    }

    fn launch(&self, copy: usize) -> Result<(), DeviceError> {
        let (inputs, out) = &self.copies[copy];
        (self.launch)(self, inputs, out)
    }

    fn outputs(&self, copy: usize) -> Result<Outputs, DeviceError> {
        Ok(Outputs { floats: self.device.download(&self.copies[copy].1)?, words: Vec::new() })
    }

    fn check(&self, _: usize, found: &Outputs) -> Result<(), Mismatch> {
        self.expected.check(found)
    }
}
