//! The numbers that make a Qwen3 model, read from a file's metadata.

use super::error::ModelError;
use crate::gguf::GgufFile;
use std::ops::RangeInclusive;

/// The tensor that gives the vocabulary its size.
pub(super) const EMBEDDING: &str = "token_embd.weight";

/// Every width is a multiple of this: activations are quantised in groups of 32.
const GROUP: usize = 32;

/// A Qwen3 model's numbers, each within what the kernels can run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Config {
    /// The model's own name, where the file has one.
    pub name: Option<String>,
    /// Transformer layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward network.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Positions the model was trained for.
    pub context_length: usize,
    /// Base of the rotary embedding's frequencies.
    pub rope_theta: f32,
    /// What RMSNorm adds to the mean square.
    pub rms_eps: f32,
}

impl Config {
    /// Reads and checks the configuration of a Qwen3 file.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, ModelError> {
        let metadata = file.metadata();
        match metadata.string("general.architecture")? {
            Some("qwen3") => {}
            Some(found) => return Err(ModelError::Architecture { found: found.chars().take(80).collect() }),
            None => return Err(ModelError::MissingKey { key: "general.architecture".to_owned() }),
        }
        let keys = Keys { file };
        keys.refuse_unsupported()?;
        let config = Self {
            name: metadata.string("general.name")?.map(str::to_owned),
            layers: keys.count("block_count", 1..=1024)?,
            hidden: keys.width("embedding_length", 1 << 20)?,
            ffn: keys.width("feed_forward_length", 1 << 22)?,
            heads: keys.count("attention.head_count", 1..=4096)?,
            kv_heads: keys.count("attention.head_count_kv", 1..=4096)?,
            head_dim: keys.width("attention.key_length", 256)?,
            vocab: vocabulary(file)?,
            context_length: keys.count("context_length", 1..=1 << 24)?,
            rope_theta: keys.float("rope.freq_base", 1.0..=1e12)?,
            rms_eps: keys.float("attention.layer_norm_rms_epsilon", f32::MIN_POSITIVE..=0.1)?,
        };
        if !config.heads.is_multiple_of(config.kv_heads) {
            return Err(ModelError::Value {
                key: "qwen3.attention.head_count_kv".to_owned(),
                expected: format!("a divisor of the {} query heads", config.heads),
                found: config.kv_heads.to_string(),
            });
        }
        for key in ["attention.value_length", "rope.dimension_count"] {
            keys.equal(key, config.head_dim)?;
        }
        keys.equal("vocab_size", config.vocab)?;
        Ok(config)
    }

    /// Width of all query heads together.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Bytes that one position adds to a key-value cache in half precision.
    pub fn kv_bytes_per_position(&self) -> u64 {
        (self.layers * 2 * self.kv_width() * 2) as u64
    }
}

/// The rows of the embedding; no key is required to say it.
fn vocabulary(file: &GgufFile) -> Result<usize, ModelError> {
    const MOST: u64 = 1 << 24;
    let missing = || ModelError::MissingTensor { tensor: EMBEDDING.to_owned() };
    let dimensions = file.tensor(EMBEDDING).ok_or_else(missing)?.dimensions();
    match *dimensions {
        [_, rows] if rows <= MOST => Ok(rows as usize),
        _ => Err(ModelError::Value {
            key: EMBEDDING.to_owned(),
            expected: format!("a matrix of at most {MOST} rows"),
            found: format!("{dimensions:?}"),
        }),
    }
}

/// The metadata below `qwen3.`.
struct Keys<'a> {
    file: &'a GgufFile,
}

impl Keys<'_> {
    fn unsigned(&self, key: &str) -> Result<Option<u64>, ModelError> {
        Ok(self.file.metadata().unsigned(&full(key))?)
    }

    fn count(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize, ModelError> {
        let found = self.unsigned(key)?.ok_or_else(|| ModelError::MissingKey { key: full(key) })?;
        match usize::try_from(found) {
            Ok(value) if range.contains(&value) => Ok(value),
            _ => Err(outside(key, format!("from {} to {}", range.start(), range.end()), found)),
        }
    }

    fn width(&self, key: &str, most: usize) -> Result<usize, ModelError> {
        let value = self.count(key, 0..=usize::MAX)?;
        if value == 0 || value > most || !value.is_multiple_of(GROUP) {
            return Err(outside(key, format!("a multiple of {GROUP} up to {most}"), value));
        }
        Ok(value)
    }

    fn float(&self, key: &str, range: RangeInclusive<f32>) -> Result<f32, ModelError> {
        let found = self.file.metadata().float(&full(key))?;
        let value = found.ok_or_else(|| ModelError::MissingKey { key: full(key) })?;
        if range.contains(&value) {
            return Ok(value);
        }
        Err(outside(key, format!("from {:e} to {:e}", range.start(), range.end()), value))
    }

    /// A key that may be absent and otherwise repeats what is known.
    fn equal(&self, key: &str, known: usize) -> Result<(), ModelError> {
        match self.unsigned(key)? {
            Some(found) if found != known as u64 => Err(outside(key, known.to_string(), found)),
            _ => Ok(()),
        }
    }

    /// What a file can ask for that would change every result if it were ignored.
    fn refuse_unsupported(&self) -> Result<(), ModelError> {
        let metadata = self.file.metadata();
        match metadata.string(&full("rope.scaling.type"))? {
            None => {
                for key in ["rope.scaling.factor", "rope.scale_linear"] {
                    if let Some(factor) =
                        metadata.float(&full(key))?.filter(|&factor| factor != 0.0 && factor != 1.0)
                    {
                        return Err(unsupported("RoPE scaling", format!("a factor of {factor}")));
                    }
                }
            }
            Some("none") => {}
            Some(kind) => {
                return Err(unsupported(
                    "RoPE scaling",
                    format!("{:?}", kind.chars().take(80).collect::<String>()),
                ));
            }
        }
        for (key, feature) in
            [("attention.sliding_window", "sliding-window attention"), ("expert_count", "experts")]
        {
            if let Some(found) = self.unsigned(key)?.filter(|&found| found > 0) {
                return Err(unsupported(feature, format!("{} = {found}", full(key))));
            }
        }
        match metadata.unsigned("split.count")? {
            Some(parts @ 2..) => Err(unsupported("model split over files", format!("one of {parts} parts"))),
            _ => Ok(()),
        }
    }
}

fn full(key: &str) -> String {
    format!("qwen3.{key}")
}

fn outside(key: &str, expected: String, found: impl ToString) -> ModelError {
    ModelError::Value { key: full(key), expected, found: found.to_string() }
}

fn unsupported(feature: &'static str, found: String) -> ModelError {
    ModelError::Unsupported { feature, found }
}
