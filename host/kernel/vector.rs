//! What a kernel is measured with that makes one vector of numbers of another.

use std::borrow::Cow;

use super::case::{Case, Prepared};
use super::expected::{Expected, Outputs};
use crate::device::{Buffer, Device, DeviceError};
use crate::random::Random;

/// Launches a kernel on inputs and outputs.
type Launch = fn(&Device, &Buffer<f32>, &Buffer<f32>) -> Result<(), DeviceError>;

/// A kernel of vectors, at one length.
pub struct Spec {
    /// The kernel.
    pub kernel: &'static str,
    /// What the length is for.
    pub name: &'static str,
    /// Numbers that it reads: all inputs, one behind the other.
    pub inputs: usize,
    /// Numbers that it writes.
    pub outputs: usize,
    /// Makes the inputs, and what must come of them.
    pub make: fn(&Spec, &mut Random) -> (Vec<f32>, Expected),
    /// Launches the kernel.
    pub launch: Launch,
}

impl Spec {
    /// As a case.
    pub fn case(self) -> Case {
        let bytes = (self.inputs + self.outputs) * size_of::<f32>();
        Case::new(self.kernel, self.name, self.outputs.to_string(), bytes, move |device, copies, random| {
            let (inputs, expected) = (self.make)(&self, random);
            let copy = |_| Ok((device.upload(&inputs)?, device.zeroed(self.outputs)?));
            let copies = (0..copies).map(copy).collect::<Result<_, DeviceError>>()?;
            Ok(Box::new(Vector { device, launch: self.launch, copies, expected }))
        })
    }
}

struct Vector<'d> {
    device: &'d Device,
    launch: Launch,
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
        (self.launch)(self.device, inputs, out)
    }

    fn outputs(&self, copy: usize) -> Result<Outputs, DeviceError> {
        Ok(Outputs { floats: self.device.download(&self.copies[copy].1)?, words: Vec::new() })
    }

    fn expected(&self, _: usize, _: &Outputs) -> Cow<'_, Expected> {
        Cow::Borrowed(&self.expected)
    }
}
