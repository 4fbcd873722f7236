//! A kernel with a shape, and its inputs on a device.

use std::borrow::Cow;
use std::fmt;

use super::expected::{Expected, Mismatch, Outputs};
use crate::device::{Device, DeviceError, DeviceInfo};
use crate::random::Random;

type Prepare = dyn for<'d> Fn(&'d Device, usize, &mut Random) -> Result<Box<dyn Prepared + 'd>, DeviceError>;

/// A kernel with a shape that decoding gives it.
pub struct Case {
    /// The kernel.
    pub kernel: &'static str,
    /// What the shape is for.
    pub name: String,
    /// The shape.
    pub shape: String,
    /// Bytes that a launch must move: each input read once, each output written once.
    pub bytes: u64,
    /// The oldest PTX that the kernel works in, as in `sm_90`; none where it works in all that the program holds.
    needs: Option<u32>,
    prepare: Box<Prepare>,
}

impl Case {
    pub(super) fn new(
        kernel: &'static str,
        name: impl Into<String>,
        shape: String,
        bytes: usize,
        prepare: impl for<'d> Fn(&'d Device, usize, &mut Random) -> Result<Box<dyn Prepared + 'd>, DeviceError>
        + 'static,
    ) -> Self {
        Self {
            kernel,
            name: name.into(),
            shape,
            bytes: bytes as u64,
            needs: None,
            prepare: Box::new(prepare),
        }
    }

    /// For devices that run PTX as new as this.
    pub(super) fn needs(self, ptx: u32) -> Self {
        Self { needs: Some(ptx), ..self }
    }

    /// Whether a device can run it; the simulator runs all.
    ///
    /// # Errors
    /// What the device lacks.
    pub fn supported(&self, info: &DeviceInfo) -> Result<(), DeviceError> {
        match (info.ptx, self.needs) {
            (Some(found), Some(required)) if found < required => {
                Err(DeviceError::OldCode { kernel: self.kernel, found, required })
            }
            _ => Ok(()),
        }
    }

    /// Makes random inputs and brings them to the device `copies` times, each to memory of its own.
    ///
    /// # Errors
    /// When the device cannot run the case, has too little memory, or fails.
    pub fn prepare<'d>(
        &self,
        device: &'d Device,
        copies: usize,
        random: &mut Random,
    ) -> Result<Box<dyn Prepared + 'd>, DeviceError> {
        self.supported(device.info())?;
        (self.prepare)(device, copies, random)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kernel, self.name)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.to_string()).field("shape", &self.shape).finish()
    }
}

/// A case's inputs on a device, in several copies. A copy is named by its number.
pub trait Prepared {
    /// Makes a copy's outputs what no launch leaves there, and what a launch changes what it was.
    ///
    /// # Errors
    /// When the device fails.
    fn reset(&mut self, copy: usize) -> Result<(), DeviceError>;

    /// Queues a launch, shaped as decoding does, that does not overlap with others.
    ///
    /// # Errors
    /// When it is refused.
    fn launch(&self, copy: usize) -> Result<(), DeviceError>;

    /// What one launch after a reset has left.
    ///
    /// # Errors
    /// When the device fails.
    fn outputs(&self, copy: usize) -> Result<Outputs, DeviceError>;

    /// What float64 gives for a copy, where the outputs that were `found` are taken as the inputs of others.
    fn expected(&self, copy: usize, found: &Outputs) -> Cow<'_, Expected>;

    /// Resets a copy, launches it once, and returns what that has left.
    ///
    /// # Errors
    /// When the device fails, or the simulator finds a fault.
    fn run(&mut self, copy: usize) -> Result<Outputs, DeviceError> {
        self.reset(copy)?;
        self.launch(copy)?;
        self.outputs(copy)
    }

    /// Holds what one launch after a reset has left against float64.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, copy: usize, found: &Outputs) -> Result<(), Mismatch> {
        self.expected(copy, found).check(found)
    }
}
