//! The graph engine: a token takes some 144 launches, recorded once as a graph and replayed. It runs on every device.

mod network;
pub mod pack;
mod state;
pub(super) mod weights;

use super::engine::{Engine, Needs};
use super::sequence::Sequence;
use super::timeline::Timeline;
use super::{Activations, DecodeError};
use crate::device::{Device, DeviceError, Recording};
use crate::model::{Config, Model};
use network::Network;
use state::{Plan, State};
use weights::DeviceWeights;

/// How decoding launches its kernels, for whoever measures them one by one.
pub(crate) mod launches {
    pub use super::network::{EMBED_THREADS, RMS_NORM_THREADS, SWIGLU_THREADS, mat_vec_blocks, share};
    pub use super::state::{argmax_blocks, attention_splits};
    pub use super::weights::DeviceMatrix;
}

/// A model's weights, and a token's launches.
pub struct Graph {
    /// Dropped first: nothing else may go while launches use it.
    steps: Steps,
    state: State,
    /// Only the launches use them.
    _weights: DeviceWeights,
}

/// A token's launches.
struct Steps {
    /// Layers, then on to the next token, which is known.
    absorb: Recording,
    /// Layers and logits.
    look: Recording,
    /// The best token, its layers and the logits after it.
    extend: Recording,
}

impl Graph {
    /// Bytes that it takes on the device.
    pub fn needs(device: &Device, model: &Model<'_>, context: usize) -> Result<Needs, DeviceError> {
        let plan = Plan::new(device, &model.config, context)?;
        Ok(Needs { weights: weights::device_bytes(model), rest: plan.bytes(&model.config) })
    }

    /// Packs the weights, copies them to the device, and records the launches for `sequence`.
    pub fn load(
        device: &Device,
        model: &Model<'_>,
        sequence: &Sequence,
        context: usize,
        activations: Activations,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, DeviceError> {
        let config: &Config = &model.config;
        let plan = Plan::new(device, config, context)?;
        let weights = weights::load(device, model, progress)?;
        let state = State::new(device, config, &plan)?;
        let network = Network { device, config, weights: &weights, state: &state, sequence, activations };
        let steps = Steps::record(&network)?;
        Ok(Self { steps, state, _weights: weights })
    }

    fn stand_at(&mut self, device: &Device, position: usize) -> Result<(), DeviceError> {
        device.write(&mut self.state.position, 0, &[position as u32])
    }
}

impl Engine for Graph {
    fn look(&mut self, device: &Device, _: &mut Sequence, from: usize, to: usize) -> Result<(), DecodeError> {
        self.stand_at(device, from)?;
        for _ in from + 1..to {
            // SAFETY: recorded for this engine's weights and state, and the decoder's sequence.
            unsafe { device.replay(&self.steps.absorb) }?;
        }
        // SAFETY: as above.
        unsafe { device.replay(&self.steps.look) }?;
        Ok(device.synchronize()?)
    }

    fn extend(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        count: usize,
    ) -> Result<Vec<u32>, DecodeError> {
        for _ in 0..count {
            // SAFETY: as above.
            unsafe { device.replay(&self.steps.extend) }?;
        }
        let mut tokens = vec![0; count];
        device.read(&sequence.tokens, from, &mut tokens)?;
        Ok(tokens)
    }

    fn profile(
        &mut self,
        _: &Device,
        _: &mut Sequence,
        _: usize,
        _: usize,
    ) -> Result<Option<Timeline>, DecodeError> {
        Ok(None)
    }
}

impl Steps {
    fn record(network: &Network<'_>) -> Result<Self, DeviceError> {
        let device = network.device;
        Ok(Self {
            absorb: device.record(|| network.layers().and_then(|()| network.skip()))?,
            look: device.record(|| network.layers().and_then(|()| network.logits()))?,
            extend: device.record(|| {
                network.choose()?;
                network.layers()?;
                network.logits()
            })?,
        })
    }
}
