//! What is in a model's file, for people and for programs.

use super::config::Config;
use super::error::ModelError;
use super::weights::Model;
use crate::gguf::GgufFile;
use crate::quant::QuantType;
use std::collections::BTreeMap;

/// A model's file in numbers.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ModelReport {
    /// The file's path as it was given.
    pub path: String,
    /// The file's size.
    pub file_bytes: u64,
    /// The model's numbers.
    pub config: Config,
    /// Whether the output shares the embedding's weights.
    pub tied: bool,
    /// Weights in all tensors.
    pub weights: u64,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
    /// Bytes of weights that decoding one token reads.
    pub bytes_per_token: u64,
    /// Bytes that a position adds to a key-value cache in half precision.
    pub kv_bytes_per_position: u64,
    /// The formats in the file, the one with the most bytes first.
    pub formats: Vec<FormatShare>,
    /// The tensors, in file order.
    pub tensors: Vec<TensorReport>,
}

/// What a format has of a file.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct FormatShare {
    /// The format.
    pub kind: QuantType,
    /// Tensors in it.
    pub tensors: usize,
    /// Their weights.
    pub weights: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their part of all tensors' bytes, from 0 to 1.
    pub share: f64,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// Its format.
    pub kind: QuantType,
    /// Its dimensions, the length of a row first.
    pub dimensions: Vec<u64>,
    /// Where it starts in the file.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Describes a file that is a model Psionic can run.
pub fn describe(file: &GgufFile) -> Result<ModelReport, ModelError> {
    let model = Model::from_gguf(file)?;
    let tensors: Vec<TensorReport> = file
        .tensors()
        .iter()
        .map(|tensor| TensorReport {
            name: tensor.name().to_owned(),
            kind: tensor.kind(),
            dimensions: tensor.dimensions().to_vec(),
            offset: tensor.range().start as u64,
            bytes: tensor.range().len() as u64,
        })
        .collect();
    let weight_bytes = tensors.iter().map(|tensor| tensor.bytes).sum();
    let formats = formats(&tensors, weight_bytes);
    Ok(ModelReport {
        path: file.path().display().to_string(),
        file_bytes: file.len(),
        tied: model.tied,
        weights: formats.iter().map(|format| format.weights).sum(),
        weight_bytes,
        bytes_per_token: model.bytes_per_token(),
        kv_bytes_per_position: model.config.kv_bytes_per_position(),
        config: model.config,
        formats,
        tensors,
    })
}

fn formats(tensors: &[TensorReport], all: u64) -> Vec<FormatShare> {
    let mut by_kind = BTreeMap::new();
    for tensor in tensors {
        let kind = tensor.kind;
        let format =
            by_kind.entry(kind).or_insert(FormatShare { kind, tensors: 0, weights: 0, bytes: 0, share: 0.0 });
        format.tensors += 1;
        format.weights += tensor.dimensions.iter().product::<u64>();
        format.bytes += tensor.bytes;
        format.share = format.bytes as f64 / all as f64;
    }
    let mut formats: Vec<FormatShare> = by_kind.into_values().collect();
    formats.sort_by_key(|format| std::cmp::Reverse(format.bytes));
    formats
}
