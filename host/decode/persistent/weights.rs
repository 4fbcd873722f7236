//! A model's weights on a device, as the blocks' streams of tiles.

use psionic_kernels::persistent::Weights;
use psionic_kernels::persistent::plan::{HEAD, Plan};

use super::pack::streams;
use crate::decode::graph::pack::packed_len;
use crate::decode::graph::weights::{DeviceMatrix, upload};
use crate::decode::sequence::Sequence;
use crate::device::{Buffer, Device, DeviceError};
use crate::model::Model;

/// The weights on the device.
pub struct DeviceWeights {
    tiles: Buffer<u8>,
    streams: Buffer<[u32; 4]>,
    /// Of the tiles of each layer and of the head, as in `streams`.
    kinds: Vec<u32>,
    norms: Buffer<f32>,
    q_norms: Buffer<f32>,
    k_norms: Buffer<f32>,
    embedding: DeviceMatrix,
}

impl DeviceWeights {
    /// Bytes that they take on a device.
    pub fn bytes(model: &Model<'_>, plan: &Plan) -> usize {
        let (layers, hidden) = (plan.layers as usize, plan.hidden as usize);
        let blocks = (plan.groups * plan.blocks) as usize;
        let tiles: usize = streams(model).map(|matrices| matrices.stride(plan) * blocks).sum();
        let norms = ((2 * layers + 1) * hidden + 2 * layers * HEAD as usize) * size_of::<f32>();
        tiles + (layers + 1) * size_of::<[u32; 4]>() + norms + packed_len(&model.embedding)
    }

    /// Packs them and copies them to the device, a layer at a time; `progress` is told the bytes done and of all.
    pub fn load(
        device: &Device,
        model: &Model<'_>,
        plan: &Plan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, DeviceError> {
        let blocks = (plan.groups * plan.blocks) as usize;
        let strides: Vec<usize> = streams(model).map(|matrices| matrices.stride(plan)).collect();
        let total: usize = strides.iter().map(|stride| stride * blocks).sum();
        let mut tiles = device.zeroed(total)?;
        let (mut start, mut table, mut staging) = (0, Vec::new(), Vec::new());
        for (matrices, stride) in streams(model).zip(strides) {
            staging.resize(stride * blocks, 0);
            matrices.pack(plan, &mut staging);
            device.write(&mut tiles, start, &staging)?;
            table.push([matrices.kinds().unwrap_or(0), (start / 16) as u32, (stride / 16) as u32, 0]);
            start += staging.len();
            progress(start as u64, total as u64);
        }
        let layers = &model.layers;
        let mut norms: Vec<f32> =
            layers.iter().flat_map(|l| [&l.attn_norm, &l.ffn_norm]).flatten().copied().collect();
        norms.extend(&model.output_norm);
        let q_norms: Vec<f32> = layers.iter().flat_map(|l| &l.q_norm).copied().collect();
        let k_norms: Vec<f32> = layers.iter().flat_map(|l| &l.k_norm).copied().collect();
        Ok(Self {
            tiles,
            streams: device.upload(&table)?,
            kinds: table.iter().map(|[kinds, ..]| *kinds).collect(),
            norms: device.upload(&norms)?,
            q_norms: device.upload(&q_norms)?,
            k_norms: device.upload(&k_norms)?,
            embedding: upload(device, &model.embedding)?,
        })
    }

    /// The kinds of the tiles of each layer and of the head.
    pub fn kinds(&self) -> &[u32] {
        &self.kinds
    }

    /// As the kernel takes them, with a sequence's tables and cache.
    pub fn argument(&self, sequence: &Sequence) -> Weights {
        Weights {
            tiles: self.tiles.as_ptr().as_host(),
            streams: self.streams.as_ptr().cast().as_host(),
            norms: self.norms.as_ptr().as_host(),
            q_norms: self.q_norms.as_ptr().as_host(),
            k_norms: self.k_norms.as_ptr().as_host(),
            rope: sequence.rope.as_ptr().cast().as_host(),
            embedding: self.embedding.argument(0, 1),
            keys: sequence.keys.as_mut_ptr().cast().as_host(),
            values: sequence.values.as_mut_ptr().cast().as_host(),
        }
    }
}
