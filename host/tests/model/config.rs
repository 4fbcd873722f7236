//! Configurations and weights: the trained models', and one clear refusal for each way a file can fail to be a model.

use super::{TRAINED, trained};
use crate::raw_gguf::Raw;
use psionic::gguf::GgufFile;
use psionic::model::{Model, ModelError};
use psionic::quant::QuantType;

#[test]
fn trained_models_have_the_numbers_they_were_trained_with() {
    for name in TRAINED {
        let file = trained(name);
        let model = Model::from_gguf(&file).unwrap();
        let config = &model.config;
        assert_eq!((config.layers, config.hidden, config.ffn, config.vocab), (4, 256, 768, 4096));
        assert_eq!(
            (config.heads, config.kv_heads, config.head_dim, config.context_length),
            (4, 2, 128, 2048)
        );
        assert_eq!((config.rope_theta, config.rms_eps, model.tied), (1e6, 1e-6, true));
        assert_eq!(config.kv_bytes_per_position(), 4 * 2 * 256 * 2);
        assert_eq!(model.output.name, model.embedding.name);
        let layer = &model.layers[3];
        assert_eq!((layer.q.rows, layer.k.rows, layer.o.cols, layer.down.cols), (512, 256, 512, 768));
        assert_eq!((layer.attn_norm.len(), layer.q_norm.len(), model.output_norm.len()), (256, 128, 256));
        let row = model.embedding.row_bytes() as u64;
        let weights: u64 = file.tensors().iter().map(|tensor| tensor.range().len() as u64).sum();
        assert_eq!(model.bytes_per_token(), weights + row);
    }
    let file = trained(TRAINED[0]);
    let model = Model::from_gguf(&file).unwrap();
    let kinds: Vec<_> =
        model.layers.iter().map(|layer| (layer.v.kind, layer.down.kind, layer.up.kind)).collect();
    let (coarse, fine) = (QuantType::Q4K, QuantType::Q6K);
    assert_eq!(kinds[0], (coarse, coarse, coarse));
    assert_eq!(kinds[3], (fine, fine, coarse));
    assert_eq!(model.embedding.kind, fine);
}

/// A model of one layer in F32, built from a table that a test may change.
struct Table {
    keys: Vec<(&'static str, Key)>,
    tensors: Vec<(String, Vec<u64>, u32)>,
}

#[derive(Clone, Copy)]
enum Key {
    Text(&'static str),
    Count(u32),
    Number(f32),
}
use Key::{Count, Number, Text};

impl Table {
    /// Hidden 64, ffn 96, 4 query heads and 2 KV heads of 32, 10 tokens.
    fn good() -> Self {
        let keys = vec![
            ("general.architecture", Text("qwen3")),
            ("qwen3.block_count", Count(1)),
            ("qwen3.context_length", Count(512)),
            ("qwen3.embedding_length", Count(64)),
            ("qwen3.feed_forward_length", Count(96)),
            ("qwen3.attention.head_count", Count(4)),
            ("qwen3.attention.head_count_kv", Count(2)),
            ("qwen3.attention.key_length", Count(32)),
            ("qwen3.rope.freq_base", Number(1e6)),
            ("qwen3.attention.layer_norm_rms_epsilon", Number(1e-6)),
        ];
        let layer = [
            ("attn_norm", vec![64]),
            ("attn_q", vec![64, 128]),
            ("attn_k", vec![64, 64]),
            ("attn_v", vec![64, 64]),
            ("attn_q_norm", vec![32]),
            ("attn_k_norm", vec![32]),
            ("attn_output", vec![128, 64]),
            ("ffn_norm", vec![64]),
            ("ffn_gate", vec![64, 96]),
            ("ffn_up", vec![64, 96]),
            ("ffn_down", vec![96, 64]),
        ];
        let mut tensors = vec![("token_embd.weight".to_owned(), vec![64, 10], 0)];
        tensors.extend(layer.map(|(name, dimensions)| (format!("blk.0.{name}.weight"), dimensions, 0)));
        tensors.push(("output_norm.weight".to_owned(), vec![64], 0));
        Self { keys, tensors }
    }

    /// Sets a key, new or not.
    fn key(mut self, key: &'static str, value: Key) -> Self {
        self = self.without_key(key);
        self.keys.push((key, value));
        self
    }

    fn without_key(mut self, key: &str) -> Self {
        self.keys.retain(|(known, _)| *known != key);
        self
    }

    /// Sets a tensor, new or not.
    fn tensor(mut self, name: &str, dimensions: &[u64], kind: u32) -> Self {
        self = self.without_tensor(name);
        self.tensors.push((name.to_owned(), dimensions.to_vec(), kind));
        self
    }

    fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|(known, ..)| known != name);
        self
    }

    fn load(self) -> Result<(bool, u64), ModelError> {
        let mut raw = Raw::new();
        for (key, value) in self.keys {
            raw = match value {
                Text(text) => raw.string(key, text),
                Count(count) => raw.u32(key, count),
                Number(number) => raw.pair(key, &[6u32.to_le_bytes(), number.to_le_bytes()].concat()),
            };
        }
        let mut offset = 0;
        for (name, dimensions, id) in &self.tensors {
            let kind = QuantType::from_gguf_id(*id).unwrap();
            let weights = dimensions.iter().product::<u64>() as usize;
            raw = raw.tensor(name, dimensions, *id, offset as u64);
            offset += kind.row_bytes(weights).unwrap().next_multiple_of(32);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, raw.data(offset).bytes()).unwrap();
        let file = GgufFile::open(&path).unwrap();
        Model::from_gguf(&file).map(|model| (model.tied, model.bytes_per_token()))
    }

    #[track_caller]
    fn refused(self) -> ModelError {
        let error = self.load().expect_err("the model is bad");
        let text = error.to_string();
        assert!(text.starts_with("expected ") && text.contains("found ") && text.contains(';'), "{text}");
        error
    }
}

#[test]
fn tied_and_separate_outputs_are_loaded() {
    let layer = 64 * 128 + 2 * 64 * 64 + 128 * 64 + 3 * 64 * 96 + 2 * 64 + 2 * 32;
    let (output, row) = (64 * 10, 64);
    let bytes = 4 * (layer + 64 + output + row);
    assert_eq!(Table::good().load().unwrap(), (true, bytes));
    assert_eq!(Table::good().tensor("output.weight", &[64, 10], 0).load().unwrap(), (false, bytes));
}

#[test]
fn matrices_may_be_in_any_format_and_norms_in_half_precision() {
    let table = Table::good().tensor("blk.0.attn_q.weight", &[64, 128], 8).tensor(
        "blk.0.ffn_up.weight",
        &[64, 96],
        1,
    );
    assert!(table.tensor("blk.0.attn_norm.weight", &[64], 1).load().is_ok());
    let error = Table::good().tensor("blk.0.attn_norm.weight", &[64], 8).refused();
    assert!(matches!(error, ModelError::NormType { found: QuantType::Q8_0, .. }), "{error:?}");
}

#[test]
fn other_architectures_are_named() {
    let error = Table::good().key("general.architecture", Text("llama")).refused();
    assert!(error.to_string().contains("expected the architecture qwen3, found \"llama\""), "{error}");
    let error = Table::good().key("general.architecture", Text("qwen3moe")).refused();
    assert!(matches!(error, ModelError::Architecture { .. }));
}

#[test]
fn each_required_key_is_missed_by_name() {
    let required: Vec<&str> = Table::good().keys.iter().map(|(key, _)| *key).collect();
    for key in required {
        let error = Table::good().without_key(key).refused();
        assert!(
            matches!(&error, ModelError::MissingKey { key: missing } if missing == key),
            "{key}: {error:?}"
        );
    }
}

#[test]
fn values_of_another_type_are_named() {
    for key in ["qwen3.block_count", "qwen3.attention.head_count", "qwen3.rope.freq_base"] {
        let error = Table::good().key(key, Text("many")).refused();
        assert!(matches!(&error, ModelError::Metadata(error) if error.key == key), "{error:?}");
    }
}

#[test]
fn absurd_numbers_are_refused() {
    let cases = [
        ("qwen3.block_count", Count(0)),
        ("qwen3.block_count", Count(u32::MAX)),
        ("qwen3.context_length", Count(0)),
        ("qwen3.context_length", Count(u32::MAX)),
        ("qwen3.embedding_length", Count(0)),
        ("qwen3.embedding_length", Count(65)),
        ("qwen3.embedding_length", Count(u32::MAX - 31)),
        ("qwen3.feed_forward_length", Count(100)),
        ("qwen3.attention.head_count", Count(0)),
        ("qwen3.attention.head_count", Count(u32::MAX)),
        ("qwen3.attention.head_count_kv", Count(0)),
        ("qwen3.attention.head_count_kv", Count(3)),
        ("qwen3.attention.head_count_kv", Count(8)),
        ("qwen3.attention.key_length", Count(33)),
        ("qwen3.attention.key_length", Count(48)),
        ("qwen3.attention.key_length", Count(288)),
        ("qwen3.attention.value_length", Count(64)),
        ("qwen3.rope.dimension_count", Count(16)),
        ("qwen3.rope.freq_base", Number(0.0)),
        ("qwen3.rope.freq_base", Number(f32::NAN)),
        ("qwen3.rope.freq_base", Number(f32::INFINITY)),
        ("qwen3.attention.layer_norm_rms_epsilon", Number(0.0)),
        ("qwen3.attention.layer_norm_rms_epsilon", Number(-1e-6)),
        ("qwen3.attention.layer_norm_rms_epsilon", Number(1.0)),
        ("qwen3.vocab_size", Count(11)),
    ];
    for (key, value) in cases {
        let error = Table::good().key(key, value).refused();
        assert!(matches!(&error, ModelError::Value { key: named, .. } if named == key), "{error:?}");
    }
}

#[test]
fn what_would_change_every_result_is_refused_by_name() {
    let cases = [
        ("qwen3.rope.scaling.type", Text("yarn"), "RoPE scaling"),
        ("qwen3.rope.scaling.type", Text("linear"), "RoPE scaling"),
        ("qwen3.rope.scaling.factor", Number(4.0), "RoPE scaling"),
        ("qwen3.rope.scale_linear", Number(2.0), "RoPE scaling"),
        ("qwen3.attention.sliding_window", Count(4096), "sliding-window attention"),
        ("qwen3.expert_count", Count(8), "experts"),
        ("split.count", Count(2), "model split over files"),
    ];
    for (key, value, feature) in cases {
        let error = Table::good().key(key, value).refused();
        assert!(
            matches!(error, ModelError::Unsupported { feature: named, .. } if named == feature),
            "{error:?}"
        );
    }
    let harmless = Table::good().key("qwen3.rope.scaling.type", Text("none")).key("split.count", Count(1));
    assert!(harmless.key("qwen3.rope.scaling.factor", Number(1.0)).load().is_ok());
}

#[test]
fn each_tensor_is_missed_by_name_and_has_its_shape() {
    let all = Table::good().tensors;
    for (name, dimensions, _) in &all {
        let error = Table::good().without_tensor(name).refused();
        assert!(matches!(&error, ModelError::MissingTensor { tensor } if tensor == name), "{error:?}");
        let mut wide = dimensions.clone();
        wide[0] += 32;
        let error = Table::good().tensor(name, &wide, 0).refused();
        assert!(matches!(&error, ModelError::Shape { tensor, .. } if tensor == name), "{error:?}");
    }
    let error = Table::good().tensor("output.weight", &[64, 11], 0).refused();
    assert!(matches!(error, ModelError::Shape { .. }));
    let error = Table::good().tensor("token_embd.weight", &[640], 0).refused();
    assert!(matches!(error, ModelError::Value { .. }));
}

#[test]
fn tensors_that_would_be_ignored_are_named() {
    for name in ["blk.0.attn_q.bias", "blk.1.attn_q.weight", "blk.00.attn_q.weight", "rope_freqs.weight"] {
        let error = Table::good().tensor(name, &[64], 0).refused();
        assert!(matches!(&error, ModelError::UnexpectedTensor { tensor } if tensor == name), "{error:?}");
    }
}
