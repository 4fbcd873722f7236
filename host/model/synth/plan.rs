//! What a synthetic model consists of: its sizes, metadata and tensors in file order.

use super::super::config::EMBEDDING;
use super::super::error::SynthError;
use super::vocabulary::{self, Vocabulary};
use crate::gguf::HeaderWriter;
use crate::quant::QuantType;

/// Elements of a head, in every size.
pub const HEAD_DIM: usize = 128;

/// The shape of a published model.
#[derive(Debug, PartialEq, Eq)]
pub struct Size {
    /// Its name on the command line.
    pub name: &'static str,
    /// Transformer layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward network.
    pub ffn: usize,
    /// Query heads of 128.
    pub heads: usize,
    /// Key and value heads of 128.
    pub kv_heads: usize,
    /// Whether the output shares the embedding's weights.
    pub tied: bool,
}

/// Every size there is: a tiny one for tests, then the dense Qwen3 models.
pub const SIZES: [Size; 7] = [
    size("tiny", 2, 256, 768, (4, 2), true),
    size("0.6b", 28, 1024, 3072, (16, 8), true),
    size("1.7b", 28, 2048, 6144, (16, 8), true),
    size("4b", 36, 2560, 9728, (32, 8), true),
    size("8b", 36, 4096, 12288, (32, 8), false),
    size("14b", 40, 5120, 17408, (40, 8), false),
    size("32b", 64, 5120, 25600, (64, 8), false),
];

const fn size(
    name: &'static str,
    layers: usize,
    hidden: usize,
    ffn: usize,
    (heads, kv_heads): (usize, usize),
    tied: bool,
) -> Size {
    Size { name, layers, hidden, ffn, heads, kv_heads, tied }
}

/// Which model to make.
#[derive(Debug, Clone)]
pub struct SynthSpec {
    /// The shape.
    pub size: &'static Size,
    /// The seed of the weights.
    pub seed: u64,
    /// Transformer layers; the size's own unless changed.
    pub layers: usize,
    /// Tokens in the vocabulary; Qwen3's 151,936 unless changed.
    pub vocab: usize,
    /// The context length that the file announces; Qwen3's 40,960 unless changed.
    pub context: usize,
}

impl SynthSpec {
    /// The model of a size, with its own layers and Qwen3's vocabulary and context.
    pub fn new(size: &str, seed: u64) -> Result<Self, SynthError> {
        let Some(size) = SIZES.iter().find(|known| known.name.eq_ignore_ascii_case(size)) else {
            let expected = SIZES.map(|known| known.name).join(", ");
            return Err(SynthError::Size { expected, found: size.to_owned() });
        };
        Ok(Self { size, seed, layers: size.layers, vocab: 151_936, context: 40_960 })
    }

    /// The file's header, padded to where the data starts, and the length of the whole file.
    pub fn header(&self) -> Result<(Vec<u8>, u64), SynthError> {
        self.plan().map(|plan| (plan.header, plan.len))
    }

    pub(super) fn plan(&self) -> Result<Plan, SynthError> {
        let ranges = [
            ("layers", self.layers, 1, 1024),
            ("a vocabulary", self.vocab, vocabulary::LEAST, 1 << 20),
            ("a context", self.context, 1, 1 << 24),
        ];
        for (what, found, least, most) in ranges {
            if !(least..=most).contains(&found) {
                return Err(SynthError::Range { what, least, most, found });
            }
        }
        let mut header = HeaderWriter::default();
        self.metadata(&mut header);
        let mut tensors = self.tensors();
        for tensor in &mut tensors {
            tensor.offset = header.tensor(&tensor.name, &tensor.dimensions, tensor.kind, tensor.len());
        }
        let (header, data_len) = header.finish();
        tensors.iter_mut().for_each(|tensor| tensor.offset += header.len() as u64);
        Ok(Plan { len: header.len() as u64 + data_len, header, tensors })
    }

    fn metadata(&self, header: &mut HeaderWriter) {
        const Q4_K_M: u32 = 15;
        let size = self.size;
        header.string("general.architecture", "qwen3");
        header.string("general.type", "model");
        header.string("general.name", &format!("synthetic qwen3 {} seed {}", size.name, self.seed));
        header.u32("general.file_type", Q4_K_M);
        header.u32("general.quantization_version", 2);
        header.u32("qwen3.block_count", self.layers as u32);
        header.u32("qwen3.context_length", self.context as u32);
        header.u32("qwen3.embedding_length", size.hidden as u32);
        header.u32("qwen3.feed_forward_length", size.ffn as u32);
        header.u32("qwen3.attention.head_count", size.heads as u32);
        header.u32("qwen3.attention.head_count_kv", size.kv_heads as u32);
        header.u32("qwen3.attention.key_length", HEAD_DIM as u32);
        header.u32("qwen3.attention.value_length", HEAD_DIM as u32);
        header.f32("qwen3.rope.freq_base", 1e6);
        header.f32("qwen3.attention.layer_norm_rms_epsilon", 1e-6);
        let Vocabulary { tokens, types, merges } = vocabulary::make(self.vocab);
        header.string("tokenizer.ggml.model", "gpt2");
        header.string("tokenizer.ggml.pre", "qwen2");
        header.strings("tokenizer.ggml.tokens", &tokens);
        header.i32s("tokenizer.ggml.token_type", &types);
        header.strings("tokenizer.ggml.merges", &merges);
        if self.vocab > vocabulary::IM_END as usize {
            header.u32("tokenizer.ggml.eos_token_id", vocabulary::IM_END);
            header.u32("tokenizer.ggml.padding_token_id", vocabulary::END_OF_TEXT);
            header.u32("tokenizer.ggml.bos_token_id", vocabulary::END_OF_TEXT);
        }
        header.boolean("tokenizer.ggml.add_bos_token", false);
    }

    fn tensors(&self) -> Vec<Tensor> {
        use QuantType::{Q4K, Q6K};
        let Size { hidden, ffn, heads, kv_heads, tied, .. } = *self.size;
        let (q, kv) = (heads * HEAD_DIM, kv_heads * HEAD_DIM);
        let mut all = vec![matrix(EMBEDDING, (self.vocab, hidden), if tied { Q6K } else { Q4K })];
        for layer in 0..self.layers {
            let fine = if more_bits(layer, self.layers) { Q6K } else { Q4K };
            let name = |tensor: &str| format!("blk.{layer}.{tensor}.weight");
            all.extend([
                norm(name("attn_norm"), hidden),
                matrix(name("attn_q"), (q, hidden), Q4K),
                matrix(name("attn_k"), (kv, hidden), Q4K),
                matrix(name("attn_v"), (kv, hidden), fine),
                norm(name("attn_q_norm"), HEAD_DIM),
                norm(name("attn_k_norm"), HEAD_DIM),
                matrix(name("attn_output"), (hidden, q), Q4K),
                norm(name("ffn_norm"), hidden),
                matrix(name("ffn_gate"), (ffn, hidden), Q4K),
                matrix(name("ffn_up"), (ffn, hidden), Q4K),
                matrix(name("ffn_down"), (hidden, ffn), fine),
            ]);
        }
        all.push(norm("output_norm.weight", hidden));
        if !tied {
            all.push(matrix("output.weight", (self.vocab, hidden), Q6K));
        }
        all
    }
}

/// llama.cpp's rule for the layers whose `attn_v` and `ffn_down` are Q6_K in Q4_K_M.
fn more_bits(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// A file in all but its weights.
pub(super) struct Plan {
    pub header: Vec<u8>,
    pub tensors: Vec<Tensor>,
    /// The length of the file.
    pub len: u64,
}

pub(super) struct Tensor {
    pub name: String,
    pub kind: QuantType,
    /// In GGUF's order: the length of a row first.
    pub dimensions: Vec<u64>,
    /// Where its bytes start in the file.
    pub offset: u64,
}

impl Tensor {
    pub fn blocks(&self) -> usize {
        self.dimensions.iter().product::<u64>() as usize / self.kind.block_len()
    }

    pub fn len(&self) -> u64 {
        self.blocks() as u64 * self.kind.block_bytes() as u64
    }
}

fn matrix(name: impl Into<String>, (rows, cols): (usize, usize), kind: QuantType) -> Tensor {
    Tensor { name: name.into(), kind, dimensions: vec![cols as u64, rows as u64], offset: 0 }
}

fn norm(name: impl Into<String>, len: usize) -> Tensor {
    Tensor { name: name.into(), kind: QuantType::F32, dimensions: vec![len as u64], offset: 0 }
}
