//! The words by which blocks exchange values, in the device's memory.

use psionic_kernels::persistent::plan::Plan;
use psionic_kernels::persistent::tile::BLOCK;
use psionic_kernels::persistent::{Exchanges, residual};

use crate::device::{Buffer, Device, DeviceError};

/// The words of the exchanges.
pub struct Words {
    heads: Buffer<u64>,
    partials: Buffer<u64>,
    hidden: Buffer<u64>,
    best: Buffer<u64>,
    residual: Buffer<u64>,
    /// Of the output projection, then of the down projection.
    sums: Buffer<u64>,
}

impl Words {
    /// Words of each buffer, in the order of the fields.
    fn lens(plan: &Plan) -> [usize; 6] {
        let blocks = plan.groups * plan.blocks;
        [
            plan.groups * plan.head_words(),
            blocks * plan.partial_words(),
            plan.groups * plan.largest_slice * BLOCK as u32,
            blocks * 2,
            residual::words(plan.hidden / 32),
            2 * plan.hidden,
        ]
        .map(|len| len as usize)
    }

    /// Words of no epoch.
    pub fn new(device: &Device, plan: &Plan) -> Result<Self, DeviceError> {
        let [heads, partials, hidden, best, residual, sums] = Self::lens(plan);
        Ok(Self {
            heads: device.zeroed(heads)?,
            partials: device.zeroed(partials)?,
            hidden: device.zeroed(hidden)?,
            best: device.zeroed(best)?,
            residual: device.zeroed(residual)?,
            sums: device.zeroed(sums)?,
        })
    }
    /// Bytes that they take.
    pub fn bytes(plan: &Plan) -> usize {
        Self::lens(plan).into_iter().sum::<usize>() * size_of::<u64>()
    }

    /// Forgets all epochs, so that the first may come again.
    pub fn forget(&mut self, device: &Device) -> Result<(), DeviceError> {
        let Self { heads, partials, hidden, best, residual, sums: _ } = self;
        [heads, partials, hidden, best, residual].into_iter().try_for_each(|words| device.clear(words))
    }

    /// Sets the sums to zero, as a launch wants them.
    pub fn clear_sums(&mut self, device: &Device) -> Result<(), DeviceError> {
        device.clear(&mut self.sums)
    }

    /// As the kernel takes them.
    pub fn argument(&self, plan: &Plan) -> Exchanges {
        Exchanges {
            heads: self.heads.as_mut_ptr().as_host(),
            partials: self.partials.as_mut_ptr().as_host(),
            hidden: self.hidden.as_mut_ptr().as_host(),
            best: self.best.as_mut_ptr().as_host(),
            residual: self.residual.as_mut_ptr().as_host(),
            output: self.sums.as_mut_ptr().as_host(),
            down: self.sums.as_mut_ptr().add(plan.hidden as usize).as_host(),
        }
    }
}
