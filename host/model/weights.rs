//! A model's weights where they lie in the file, each checked against the configuration.

use super::config::{Config, EMBEDDING};
use super::error::ModelError;
use crate::gguf::{GgufFile, TensorInfo};
use crate::quant::{QuantType, dequantize, is_finite};
use rayon::prelude::*;

/// A matrix in its stored format, row after row; a row makes one output.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The tensor's name in the file.
    pub name: &'a str,
    /// The format of the weights.
    pub kind: QuantType,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// `rows` rows of `kind.row_bytes(cols)` bytes.
    pub data: &'a [u8],
}

impl Matrix<'_> {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.data.len() / self.rows
    }

    /// Refuses weights that are not finite.
    fn check(&self) -> Result<(), ModelError> {
        let rows = self.data.par_chunks(self.row_bytes());
        match rows.position_first(|row| !is_finite(self.kind, row)) {
            Some(row) => Err(ModelError::NotFinite { tensor: self.name.to_owned(), row }),
            None => Ok(()),
        }
    }
}

/// One transformer layer.
#[derive(Debug, Clone)]
pub struct Layer<'a> {
    /// Norm before attention, `hidden` wide.
    pub attn_norm: Vec<f32>,
    /// Query projection.
    pub q: Matrix<'a>,
    /// Key projection.
    pub k: Matrix<'a>,
    /// Value projection.
    pub v: Matrix<'a>,
    /// Norm of each query head, `head_dim` wide.
    pub q_norm: Vec<f32>,
    /// Norm of each key head, `head_dim` wide.
    pub k_norm: Vec<f32>,
    /// Attention's output projection.
    pub o: Matrix<'a>,
    /// Norm before the feed-forward network, `hidden` wide.
    pub ffn_norm: Vec<f32>,
    /// The gate that SwiGLU passes through SiLU.
    pub gate: Matrix<'a>,
    /// What the gate scales.
    pub up: Matrix<'a>,
    /// The feed-forward network's output projection.
    pub down: Matrix<'a>,
}

/// A whole model over an open file.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    /// The model's numbers.
    pub config: Config,
    /// A row for each token.
    pub embedding: Matrix<'a>,
    /// The layers, first to last.
    pub layers: Vec<Layer<'a>>,
    /// Norm before the output, `hidden` wide.
    pub output_norm: Vec<f32>,
    /// A row for each token's logit; the embedding again when `tied`.
    pub output: Matrix<'a>,
    /// Whether the output shares the embedding's weights.
    pub tied: bool,
    bytes_per_token: u64,
}

impl<'a> Model<'a> {
    /// Checks every tensor of a Qwen3 file and finds its weights.
    pub fn from_gguf(file: &'a GgufFile) -> Result<Self, ModelError> {
        let config = Config::from_gguf(file)?;
        let tensors = Tensors { file };
        let (hidden, vocab) = (config.hidden, config.vocab);
        let embedding = tensors.matrix(EMBEDDING, vocab, hidden)?;
        let layers =
            (0..config.layers).map(|layer| tensors.layer(layer, &config)).collect::<Result<Vec<_>, _>>()?;
        let output_norm = tensors.norm("output_norm.weight", hidden)?;
        let tied = file.tensor(OUTPUT).is_none();
        let output = if tied { embedding } else { tensors.matrix(OUTPUT, vocab, hidden)? };
        // Every tensor that was asked for was found, so a larger number means that some were not asked for.
        let known = layers.len() * LAYER_TENSORS.len() + if tied { 2 } else { 3 };
        if file.tensors().len() != known {
            return Err(unexpected(file, config.layers));
        }
        let bytes_per_token = bytes_per_token(file, tied);
        Ok(Self { config, embedding, layers, output_norm, output, tied, bytes_per_token })
    }

    /// Refuses a file with weights that are not finite, which would make every result worthless without a sign of it. That
    /// reads much of the file.
    pub fn check_weights(&self) -> Result<(), ModelError> {
        for Layer { q, k, v, o, gate, up, down, .. } in &self.layers {
            [q, k, v, o, gate, up, down].into_iter().try_for_each(Matrix::check)?;
        }
        self.embedding.check()?;
        if self.tied { Ok(()) } else { self.output.check() }
    }

    /// Bytes of weights that decoding one token reads: every matrix and norm once, and one row of the embedding.
    pub fn bytes_per_token(&self) -> u64 {
        self.bytes_per_token
    }
}

const OUTPUT: &str = "output.weight";

const LAYER_TENSORS: [&str; 11] = [
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_q_norm",
    "attn_k_norm",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
];

fn bytes_per_token(file: &GgufFile, tied: bool) -> u64 {
    let size = |tensor: &TensorInfo| tensor.range().len() as u64;
    let all: u64 = file.tensors().iter().map(size).sum();
    let Some(embedding) = file.tensor(EMBEDDING) else { return all };
    let row = size(embedding) / embedding.dimensions()[1];
    all + row - if tied { 0 } else { size(embedding) }
}

/// Names the first tensor that no part of the model asked for.
fn unexpected(file: &GgufFile, layers: usize) -> ModelError {
    let known = |name: &str| {
        let in_layer = || {
            let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
            let canonical = layer.parse::<usize>().ok().filter(|&at| at < layers && at.to_string() == layer);
            canonical.and_then(|_| rest.strip_suffix(".weight")).filter(|rest| LAYER_TENSORS.contains(rest))
        };
        [EMBEDDING, OUTPUT, "output_norm.weight"].contains(&name) || in_layer().is_some()
    };
    let stranger = file.tensors().iter().map(TensorInfo::name).find(|name| !known(name)).unwrap_or_default();
    ModelError::UnexpectedTensor { tensor: stranger.chars().take(80).collect() }
}

struct Tensors<'a> {
    file: &'a GgufFile,
}

impl<'a> Tensors<'a> {
    fn layer(&self, layer: usize, config: &Config) -> Result<Layer<'a>, ModelError> {
        let name = |tensor: &str| format!("blk.{layer}.{tensor}.weight");
        let matrix = |tensor, rows, cols| self.matrix(&name(tensor), rows, cols);
        let norm = |tensor, len| self.norm(&name(tensor), len);
        let Config { hidden, ffn, head_dim, .. } = *config;
        Ok(Layer {
            attn_norm: norm("attn_norm", hidden)?,
            q: matrix("attn_q", config.q_width(), hidden)?,
            k: matrix("attn_k", config.kv_width(), hidden)?,
            v: matrix("attn_v", config.kv_width(), hidden)?,
            q_norm: norm("attn_q_norm", head_dim)?,
            k_norm: norm("attn_k_norm", head_dim)?,
            o: matrix("attn_output", hidden, config.q_width())?,
            ffn_norm: norm("ffn_norm", hidden)?,
            gate: matrix("ffn_gate", ffn, hidden)?,
            up: matrix("ffn_up", ffn, hidden)?,
            down: matrix("ffn_down", hidden, ffn)?,
        })
    }

    fn find(&self, name: &str, expected: &[u64]) -> Result<&'a TensorInfo, ModelError> {
        let missing = || ModelError::MissingTensor { tensor: name.to_owned() };
        let tensor = self.file.tensor(name).ok_or_else(missing)?;
        if tensor.dimensions() != expected {
            let (expected, found) = (expected.to_vec(), tensor.dimensions().to_vec());
            return Err(ModelError::Shape { tensor: name.to_owned(), expected, found });
        }
        Ok(tensor)
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix<'a>, ModelError> {
        let tensor = self.find(name, &[cols as u64, rows as u64])?;
        Ok(Matrix { name: tensor.name(), kind: tensor.kind(), rows, cols, data: self.file.data(tensor) })
    }

    fn norm(&self, name: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        let tensor = self.find(name, &[len as u64])?;
        if !matches!(tensor.kind(), QuantType::F32 | QuantType::F16) {
            return Err(ModelError::NormType { tensor: name.to_owned(), found: tensor.kind() });
        }
        let mut weights = vec![0.0; len];
        let data = self.file.data(tensor);
        if !is_finite(tensor.kind(), data) {
            return Err(ModelError::NotFinite { tensor: name.to_owned(), row: 0 });
        }
        dequantize(tensor.kind(), data, &mut weights);
        Ok(weights)
    }
}
