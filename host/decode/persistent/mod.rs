//! The persistent engine: one launch for many tokens, see [`psionic_kernels::persistent`].

pub mod pack;
mod plan;
#[cfg(test)]
mod tests;
mod timeline;
mod weights;
mod words;

use cuda_std::launch::LaunchConfig;
use psionic_kernels::persistent::plan::{Plan, THREADS};
use psionic_kernels::persistent::{Profile, Tokens, decode, profile_phases};

use super::DecodeError;
use super::engine::{Engine, Needs};
use super::sequence::Sequence;
use super::timeline::Timeline;
use crate::device::{Backend, Buffer, Device, DeviceError, Mailbox};
use crate::model::Model;
use weights::DeviceWeights;
use words::Words;

pub use plan::{NEEDED_PTX, plan};

/// The last epoch: an epoch has two tags, of 32 bits.
const LAST_EPOCH: u32 = u32::MAX / 2;

/// Nanoseconds that blocks of a GPU wait for each other before the launch is ended.
const PATIENCE: u64 = 500_000_000;

/// A model's weights, and what the blocks exchange.
pub struct Persistent {
    plan: Plan,
    weights: DeviceWeights,
    exchange: Words,
    /// The block that got stuck and one, the epoch, the exchange.
    report: Mailbox,
    /// The last epoch that was used.
    epoch: u32,
    patience: u64,
}

impl Persistent {
    /// Bytes that it takes on the device.
    pub fn needs(model: &Model<'_>, plan: &Plan) -> Needs {
        Needs { weights: DeviceWeights::bytes(model, plan) as u64, rest: Words::bytes(plan) as u64 }
    }

    /// Packs the weights and copies them to the device.
    pub fn load(
        device: &Device,
        model: &Model<'_>,
        plan: &Plan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, DeviceError> {
        Ok(Self {
            plan: *plan,
            weights: DeviceWeights::load(device, model, plan, progress)?,
            exchange: Words::new(device, plan)?,
            report: device.mailbox(3)?,
            epoch: 0,
            // The simulator finds out itself when nothing goes on.
            patience: if device.info().backend == Backend::Cuda { PATIENCE } else { u64::MAX },
        })
    }

    /// Queues a launch that runs the tokens at positions `start` to `start + count - 1`, of which there are `known`.
    fn launch(
        &mut self,
        device: &Device,
        sequence: &Sequence,
        start: usize,
        count: usize,
        known: usize,
        profile: Option<&Buffer<u64>>,
    ) -> Result<(), DeviceError> {
        let plan = self.plan;
        // A token has an epoch for each layer and one more.
        let epochs = (plan.layers + 1) * count as u32;
        if epochs > LAST_EPOCH - self.epoch {
            // Words of an early epoch would pass for those of a later one.
            self.exchange.forget(device)?;
            self.epoch = 0;
        }
        self.exchange.clear_sums(device)?;
        let args = decode::Args {
            plan,
            shared: plan.shared(),
            weights: self.weights.argument(sequence),
            exchanges: self.exchange.argument(&plan),
            tokens: Tokens {
                ids: sequence.tokens.as_mut_ptr().as_host(),
                start: start as u32,
                count: count as u32,
                known: known as u32,
                epoch: self.epoch,
            },
            logits: sequence.logits.as_mut_ptr(),
            patience: self.patience,
            report: self.report.as_mut_ptr(),
            profile: Profile {
                times: profile.map_or(std::ptr::null_mut(), |times| times.as_mut_ptr().as_host()),
            },
        };
        self.epoch += epochs;
        let config = LaunchConfig::new(plan.groups * plan.blocks, THREADS)
            .shared_bytes(plan.shared().bytes)
            .cooperative();
        // SAFETY: the weights were packed for this plan; the decoder checks tokens and positions; the words are as
        // long as the plan says and of earlier epochs, the sums zero.
        unsafe { device.launch(config, args) }
    }

    /// Names what a failed launch was stuck in, if it was.
    fn explain<T>(&self, result: Result<T, DeviceError>) -> Result<T, DecodeError> {
        result.map_err(|error| DecodeError::stuck(&self.report).unwrap_or(error.into()))
    }
}

impl Engine for Persistent {
    fn look(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        to: usize,
    ) -> Result<(), DecodeError> {
        let run =
            self.launch(device, sequence, from, to - from, to, None).and_then(|()| device.synchronize());
        self.explain(run)
    }

    fn extend(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        count: usize,
    ) -> Result<Vec<u32>, DecodeError> {
        let mut tokens = vec![0; count];
        let run = self
            .launch(device, sequence, from, count, from + 1, None)
            .and_then(|()| device.read(&sequence.tokens, from, &mut tokens));
        self.explain(run)?;
        Ok(tokens)
    }

    fn profile(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        count: usize,
    ) -> Result<Option<Timeline>, DecodeError> {
        let plan = self.plan;
        let (phases, blocks) = (profile_phases(plan.layers) as usize, (plan.groups * plan.blocks) as usize);
        let times = device.zeroed(2 * phases * blocks)?;
        let run = self
            .launch(device, sequence, from, count, from + 1, Some(&times))
            .and_then(|()| device.download(&times));
        let times = self.explain(run)?;
        Ok(Some(timeline::of(&plan, self.weights.kinds(), &times, from + count - 1)))
    }
}
