//! A model's weights on a device.

use psionic_kernels::layout;

use super::pack::{kind, pack, packed_len};
use crate::device::{Buffer, Device, DeviceError};
use crate::model::{Matrix, Model};

/// A packed matrix on the device.
pub struct DeviceMatrix {
    data: Buffer<u8>,
    rows: usize,
    cols: usize,
    kind: layout::Kind,
}

impl DeviceMatrix {
    /// Copies a matrix that was [packed](pack) to the device.
    pub fn upload(device: &Device, m: &Matrix<'_>, packed: &[u8]) -> Result<Self, DeviceError> {
        Ok(Self { data: device.upload(packed)?, rows: m.rows, cols: m.cols, kind: kind(m.kind) })
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The format.
    pub fn kind(&self) -> layout::Kind {
        self.kind
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// As a kernel takes it, with the blocks that work on it.
    pub fn argument(&self, first_block: u32, blocks: u32) -> layout::Matrix {
        layout::Matrix {
            data: self.data.as_ptr().as_host(),
            rows: self.rows as u32,
            cols: self.cols as u32,
            kind: self.kind,
            first_block,
            blocks,
        }
    }
}

/// A layer's weights.
pub struct DeviceLayer {
    pub attn_norm: Buffer<f32>,
    pub qkv: [DeviceMatrix; 3],
    pub q_norm: Buffer<f32>,
    pub k_norm: Buffer<f32>,
    pub o: DeviceMatrix,
    pub ffn_norm: Buffer<f32>,
    pub gate: DeviceMatrix,
    pub up: DeviceMatrix,
    pub down: DeviceMatrix,
}

/// All weights.
pub struct DeviceWeights {
    pub embedding: DeviceMatrix,
    pub layers: Vec<DeviceLayer>,
    pub output_norm: Buffer<f32>,
    /// `None` where the embedding serves.
    pub output: Option<DeviceMatrix>,
}

impl DeviceWeights {
    /// The matrix of the logits.
    pub fn output(&self) -> &DeviceMatrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

/// Bytes that the model's weights take on a device.
pub fn device_bytes(model: &Model<'_>) -> u64 {
    let norms: usize = model.layers.iter().map(norm_len).sum::<usize>() + model.output_norm.len();
    let matrices: usize = matrices(model).map(packed_len).sum();
    (matrices + norms * size_of::<f32>()) as u64
}

fn norm_len(layer: &crate::model::Layer<'_>) -> usize {
    layer.attn_norm.len() + layer.q_norm.len() + layer.k_norm.len() + layer.ffn_norm.len()
}

fn matrices<'m, 'a>(model: &'m Model<'a>) -> impl Iterator<Item = &'m Matrix<'a>> {
    let layers = model.layers.iter().flat_map(|l| [&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down]);
    layers.chain([&model.embedding]).chain((!model.tied).then_some(&model.output))
}

/// Packs a matrix and copies it to the device.
pub fn upload(device: &Device, m: &Matrix<'_>) -> Result<DeviceMatrix, DeviceError> {
    let mut packed = vec![0; packed_len(m)];
    pack(m, &mut packed);
    DeviceMatrix::upload(device, m, &packed)
}

/// Packs the weights and copies them to the device; `progress` is told the bytes done and the bytes of all.
pub fn load(
    device: &Device,
    model: &Model<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<DeviceWeights, DeviceError> {
    let total = device_bytes(model);
    let mut loader = Loader { device, done: 0, total, progress };
    let layers = model.layers.iter().map(|layer| {
        Ok(DeviceLayer {
            attn_norm: loader.norm(&layer.attn_norm)?,
            qkv: [loader.matrix(&layer.q)?, loader.matrix(&layer.k)?, loader.matrix(&layer.v)?],
            q_norm: loader.norm(&layer.q_norm)?,
            k_norm: loader.norm(&layer.k_norm)?,
            o: loader.matrix(&layer.o)?,
            ffn_norm: loader.norm(&layer.ffn_norm)?,
            gate: loader.matrix(&layer.gate)?,
            up: loader.matrix(&layer.up)?,
            down: loader.matrix(&layer.down)?,
        })
    });
    let layers = layers.collect::<Result<_, DeviceError>>()?;
    Ok(DeviceWeights {
        embedding: loader.matrix(&model.embedding)?,
        layers,
        output_norm: loader.norm(&model.output_norm)?,
        output: if model.tied { None } else { Some(loader.matrix(&model.output)?) },
    })
}

struct Loader<'a> {
    device: &'a Device,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Loader<'_> {
    fn matrix(&mut self, m: &Matrix<'_>) -> Result<DeviceMatrix, DeviceError> {
        let matrix = upload(self.device, m)?;
        self.count(matrix.bytes());
        Ok(matrix)
    }

    fn norm(&mut self, weights: &[f32]) -> Result<Buffer<f32>, DeviceError> {
        self.count(size_of_val(weights));
        self.device.upload(weights)
    }

    fn count(&mut self, bytes: usize) {
        self.done += bytes as u64;
        (self.progress)(self.done, self.total);
    }
}
