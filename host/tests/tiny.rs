//! Small Qwen3 models of any shape and mixture of formats, with random weights.

use crate::raw_gguf::Raw;
use psionic::gguf::GgufFile;
use psionic::kernel::Stored;
use psionic::quant::QuantType;
use psionic::random::Random;

/// What a model is made of.
#[derive(Clone, Debug)]
pub struct Tiny {
    pub layers: usize,
    pub hidden: usize,
    pub ffn: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocab: usize,
    pub context: usize,
    pub embedding: QuantType,
    /// `None` where the embedding serves.
    pub output: Option<QuantType>,
    pub q: QuantType,
    pub k: QuantType,
    pub v: QuantType,
    pub o: QuantType,
    pub gate: QuantType,
    pub up: QuantType,
    pub down: QuantType,
}

impl Tiny {
    /// A model of one format: two layers, 256 wide, a tied output.
    pub fn new(kind: QuantType) -> Self {
        Self {
            layers: 2,
            hidden: 256,
            ffn: 512,
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            vocab: 301,
            context: 40,
            embedding: kind,
            output: None,
            q: kind,
            k: kind,
            v: kind,
            o: kind,
            gate: kind,
            up: kind,
            down: kind,
        }
    }

    fn tensors(&self) -> Vec<(String, QuantType, Vec<usize>)> {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let matrix = |name: &str, kind, rows, cols| (format!("{name}.weight"), kind, vec![cols, rows]);
        let norm = |name: &str, len| (format!("{name}.weight"), QuantType::F32, vec![len]);
        let mut all = vec![matrix("token_embd", self.embedding, self.vocab, self.hidden)];
        for layer in 0..self.layers {
            let name = |tensor: &str| format!("blk.{layer}.{tensor}");
            all.extend([
                norm(&name("attn_norm"), self.hidden),
                matrix(&name("attn_q"), self.q, q, self.hidden),
                matrix(&name("attn_k"), self.k, kv, self.hidden),
                matrix(&name("attn_v"), self.v, kv, self.hidden),
                norm(&name("attn_q_norm"), self.head_dim),
                norm(&name("attn_k_norm"), self.head_dim),
                matrix(&name("attn_output"), self.o, self.hidden, q),
                norm(&name("ffn_norm"), self.hidden),
                matrix(&name("ffn_gate"), self.gate, self.ffn, self.hidden),
                matrix(&name("ffn_up"), self.up, self.ffn, self.hidden),
                matrix(&name("ffn_down"), self.down, self.hidden, self.ffn),
            ]);
        }
        all.push(norm("output_norm", self.hidden));
        all.extend(self.output.map(|kind| matrix("output", kind, self.vocab, self.hidden)));
        all
    }

    /// The model as a file, with the weights of a seed.
    pub fn file(&self, seed: u64) -> (tempfile::TempDir, GgufFile) {
        let float = |value: f32| [&6u32.to_le_bytes()[..], &value.to_le_bytes()].concat();
        let mut raw = Raw::new()
            .string("general.architecture", "qwen3")
            .u32("qwen3.block_count", self.layers as u32)
            .u32("qwen3.context_length", self.context as u32)
            .u32("qwen3.embedding_length", self.hidden as u32)
            .u32("qwen3.feed_forward_length", self.ffn as u32)
            .u32("qwen3.attention.head_count", self.heads as u32)
            .u32("qwen3.attention.head_count_kv", self.kv_heads as u32)
            .u32("qwen3.attention.key_length", self.head_dim as u32)
            .u32("qwen3.attention.value_length", self.head_dim as u32)
            // Neither is a published model's: what is not read from the file shows.
            .pair("qwen3.rope.freq_base", &float(5000.0))
            .pair("qwen3.attention.layer_norm_rms_epsilon", &float(0.03));
        let mut random = Random::new(seed);
        let mut data = Vec::new();
        for (name, kind, dimensions) in self.tensors() {
            let shape: Vec<u64> = dimensions.iter().map(|d| *d as u64).collect();
            raw = raw.tensor(&name, &shape, kind.gguf_id(), data.len() as u64);
            match dimensions[..] {
                [len] => random.norm_weights(len).iter().for_each(|w| data.extend(w.to_le_bytes())),
                [cols, rows] => {
                    let std = if name.starts_with("token") { 1.0 } else { (cols as f32).sqrt().recip() };
                    data.extend(Stored::random(kind, (rows, cols), std, &mut random).data);
                }
                _ => unreachable!("tensors are vectors and matrices"),
            }
            data.resize(data.len().next_multiple_of(32), 0);
        }
        let mut bytes = raw.bytes();
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(data);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("tiny.gguf");
        std::fs::write(&path, bytes).expect("the file is written");
        let file = GgufFile::open(&path).expect("the file is sound");
        (dir, file)
    }
}
