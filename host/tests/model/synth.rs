//! Synthetic models against files that another program wrote, and against the published sizes.

use crate::fixture;
use psionic::gguf::{Array, GgufFile, Value as Metadatum};
use psionic::model::{Model, SIZES, SynthError, SynthSpec, Tokenizer, write_synthetic};
use psionic::quant::dequantize;
use serde_json::{Value, json};
use std::path::Path;

/// The header of a model over a data section of zeros that takes no space on the disk.
fn hollow(spec: &SynthSpec) -> (tempfile::TempDir, GgufFile) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hollow.gguf");
    let (header, len) = spec.header().unwrap();
    std::fs::write(&path, header).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
    let file = GgufFile::open(&path).unwrap();
    (dir, file)
}

fn tiny() -> SynthSpec {
    SynthSpec { vocab: 512, context: 2048, ..SynthSpec::new("tiny", 7).unwrap() }
}

fn write(spec: &SynthSpec, path: &Path) {
    write_synthetic(spec, path, &mut |_, _| {}).unwrap();
}

fn value(found: &Metadatum, expected: &Value) -> Value {
    let array = match found {
        Metadatum::Unsigned(number) => return json!(number),
        Metadatum::Signed(number) => return json!(number),
        Metadatum::Float(number) => return json!(number),
        Metadatum::Bool(truth) => return json!(truth),
        Metadatum::String(text) => return json!(text),
        Metadatum::Array(Array::String(items)) => json!(items),
        Metadatum::Array(Array::Signed(items)) => json!(items),
        Metadatum::Array(_) => unreachable!("no other arrays are written"),
    };
    let Some(items) = expected.get("items") else { return array };
    let picked = items.as_array().unwrap().iter().map(|item| item[0].as_u64().unwrap() as usize);
    let items: Vec<_> = picked.map(|at| json!([at, array[at]])).collect();
    json!({ "length": array.as_array().unwrap().len(), "items": items })
}

#[test]
fn keys_and_tensors_are_those_of_the_recipe() {
    let text = std::fs::read_to_string(fixture("synth/structure.json")).unwrap();
    let structure: Value = serde_json::from_str(&text).unwrap();
    let specs = [
        ("tiny", tiny()),
        ("0.6b", SynthSpec { layers: 9, ..SynthSpec::new("0.6b", 1).unwrap() }),
        ("8b", SynthSpec { layers: 2, vocab: 512, ..SynthSpec::new("8B", 1).unwrap() }),
    ];
    for (name, spec) in specs {
        let (_dir, file) = hollow(&spec);
        let expected = structure[name]["metadata"].as_object().unwrap();
        let keys: Vec<_> = file.metadata().iter().map(|(key, _)| key).collect();
        assert_eq!(keys, expected.keys().collect::<Vec<_>>());
        for (key, found) in file.metadata().iter() {
            assert_eq!(value(found, &expected[key]), expected[key], "{name}: {key}");
        }
        let tensors: Vec<_> = file
            .tensors()
            .iter()
            .map(|tensor| {
                json!([tensor.name(), tensor.dimensions(), tensor.kind().name(), tensor.range().start])
            })
            .collect();
        assert_eq!(json!(tensors), structure[name]["tensors"], "{name}");
    }
}

#[test]
fn every_size_reads_the_published_bytes_per_token() {
    let published = [
        ("0.6b", 390_754_120, 114_688),
        ("1.7b", 1_101_459_088, 114_688),
        ("4b", 2_491_326_004, 147_456),
        ("8b", 4_671_768_832, 147_456),
    ];
    for size in &SIZES {
        let (_dir, file) = hollow(&SynthSpec::new(size.name, 1).unwrap());
        let model = Model::from_gguf(&file).unwrap();
        assert_eq!((model.config.vocab, model.config.head_dim, model.tied), (151_936, 128, size.tied));
        if let Some(&(_, bytes, kv)) = published.iter().find(|row| row.0 == size.name) {
            assert_eq!(model.bytes_per_token(), bytes, "{}", size.name);
            assert_eq!(model.config.kv_bytes_per_position(), kv, "{}", size.name);
        }
    }
}

#[test]
fn the_tokenizer_has_qwen3s_special_tokens_and_writes_any_text() {
    let (_dir, file) = hollow(&SynthSpec { layers: 1, ..SynthSpec::new("tiny", 1).unwrap() });
    let tokenizer = Tokenizer::from_gguf(&file).unwrap();
    assert_eq!(
        (tokenizer.eos(), tokenizer.bos(), tokenizer.vocab_size()),
        (Some(151_645), Some(151_643), 151_936)
    );
    assert_eq!(tokenizer.stop_tokens(), [151_643, 151_645]);
    assert_eq!(tokenizer.encode("<|im_start|>").unwrap(), [151_644]);
    assert_eq!(tokenizer.encode(" the").unwrap(), [261], "two merges make one token");
    let text = "any text: é 🦀\n";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text);
}

#[test]
fn weights_have_the_deviation_of_the_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    write(&tiny(), &path);
    let file = GgufFile::open(&path).unwrap();
    let model = Model::from_gguf(&file).unwrap();
    assert_eq!(Tokenizer::from_gguf(&file).unwrap().eos(), None, "512 tokens have no place for Qwen3's");
    let layer = &model.layers[1];
    for matrix in [model.embedding, layer.q, layer.v, layer.o, layer.up, layer.down] {
        let mut weights = vec![0f32; matrix.rows * matrix.cols];
        dequantize(matrix.kind, matrix.data, &mut weights);
        let count = weights.len() as f64;
        let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / count;
        let deviation =
            (weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / count - mean * mean).sqrt();
        let expected = 1.0 / (matrix.cols as f64).sqrt();
        assert!((deviation / expected - 1.0).abs() < 0.03, "{}: {deviation} for {expected}", matrix.name);
        assert!(mean.abs() < 0.05 * expected, "{}: a mean of {mean}", matrix.name);
    }
    let norm = &layer.attn_norm;
    assert!(norm.iter().all(|weight| (weight - 1.0).abs() < 0.6) && norm[0] != norm[1]);
}

#[test]
fn a_seed_fixes_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str, seed| {
        let path = dir.path().join(name);
        write(&SynthSpec { seed, ..tiny() }, &path);
        std::fs::read(path).unwrap()
    };
    let first = made("a", 7);
    assert!(first == made("b", 7));
    assert!(first[..] != made("c", 8)[..]);
    // These bytes were written once: benchmarks of two versions of the program then decode the same weights.
    let hash = first.iter().fold(0xCBF2_9CE4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    assert_eq!(hash, 0x346A_D9DB_D3BA_C9B8, "{hash:#x}");
}

#[test]
fn progress_reaches_its_total() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    let mut seen = Vec::new();
    let summary = write_synthetic(&tiny(), &path, &mut |done, total| seen.push((done, total))).unwrap();
    assert!(seen.is_sorted() && seen.iter().all(|&(done, total)| done <= total && total == summary.bytes));
    assert_eq!(seen.last(), Some(&(summary.bytes, summary.bytes)));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), summary.bytes);
    assert_eq!(summary.tensors, 24);
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut silent = |_, _| {};
    let absent = dir.path().join("none/tiny.gguf");
    let failed = |result| matches!(result, Err(SynthError::Io { .. }));
    assert!(failed(write_synthetic(&tiny(), &absent, &mut silent)));
    assert!(failed(write_synthetic(&tiny(), dir.path(), &mut silent)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let path = dir.path().join("kept.gguf");
    std::fs::write(&path, "kept").unwrap();
    let spec = SynthSpec { layers: 0, ..tiny() };
    assert!(matches!(
        write_synthetic(&spec, &path, &mut silent),
        Err(SynthError::Range { what: "layers", .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"kept");
    write(&tiny(), &path);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only the model");
}

#[test]
fn sizes_and_numbers_that_no_model_has_are_refused() {
    let text = SynthSpec::new("7b", 1).unwrap_err().to_string();
    assert!(text.contains("tiny, 0.6b, 1.7b") && text.contains("\"7b\""), "{text}");
    for spec in [
        SynthSpec { vocab: 261, ..tiny() },
        SynthSpec { vocab: usize::MAX, ..tiny() },
        SynthSpec { layers: usize::MAX, ..tiny() },
        SynthSpec { context: 0, ..tiny() },
    ] {
        assert!(matches!(spec.header(), Err(SynthError::Range { .. })));
    }
}
