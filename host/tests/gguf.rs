//! GGUF files: what a good one holds, and one clear refusal for each way a file can be bad.

use crate::fixture;
use crate::raw_gguf::{Raw, string};
use psionic::gguf::{Array, GgufError, GgufFile, Value};
use psionic::quant::QuantType;

/// Two metadata pairs and two tensors, 32 + 4 weights in F32.
fn good() -> Raw {
    Raw::new()
        .string("general.architecture", "qwen3")
        .u32("qwen3.block_count", 4)
        .tensor("a", &[8, 4], 0, 0)
        .tensor("b", &[4], 0, 128)
        .data(144)
}

fn open(bytes: &[u8]) -> Result<GgufFile, GgufError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    GgufFile::open(&path)
}

/// Opens bytes that must be refused; the message must be one line that reads as one sentence.
#[track_caller]
fn refused(bytes: &[u8]) -> GgufError {
    let error = open(bytes).expect_err("the file is bad");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 300, "{text}");
    assert!(text.contains("expected") && text.contains("found") && text.contains(';'), "{text}");
    error
}

macro_rules! assert_refused {
    ($bytes:expr, $pattern:pat $(if $guard:expr)?) => {{
        let error = refused($bytes.as_ref());
        assert!(matches!(&error, $pattern $(if $guard)?), "{error:?}");
    }};
}

#[test]
fn a_good_file_gives_its_pairs_and_tensors() {
    let mut bytes = good().bytes();
    let at = bytes.len() - 16;
    bytes[at..].copy_from_slice(&[7; 16]);
    let file = open(&bytes).unwrap();
    assert_eq!(file.len(), bytes.len() as u64);
    assert_eq!(file.metadata().string("general.architecture").unwrap(), Some("qwen3"));
    assert_eq!(file.metadata().unsigned("qwen3.block_count").unwrap(), Some(4));
    assert_eq!(file.metadata().unsigned("absent").unwrap(), None);
    let keys: Vec<_> = file.metadata().iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["general.architecture", "qwen3.block_count"]);
    let error = file.metadata().unsigned("general.architecture").unwrap_err().to_string();
    assert!(
        error.starts_with("expected general.architecture to be a non-negative integer, found a string"),
        "{error}"
    );
    let b = file.tensor("b").unwrap();
    assert_eq!((b.name(), b.kind(), b.dimensions()), ("b", QuantType::F32, &[4][..]));
    assert_eq!(file.data(b), [7; 16]);
    assert_eq!(file.tensors().len(), 2);
    assert!(file.tensor("c").is_none());
}

#[test]
fn a_trained_model_gives_what_the_python_reader_gives() {
    let file = GgufFile::open(&fixture("models/tiny-qwen3-q4_k_m.gguf")).unwrap();
    let metadata = file.metadata();
    assert_eq!(file.tensors().len(), 46);
    assert_eq!(metadata.float("qwen3.rope.freq_base").unwrap(), Some(1e6));
    assert_eq!(metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap().len(), 4096);
    assert_eq!(metadata.boolean("tokenizer.ggml.add_bos_token").unwrap(), Some(false));
    let down = file.tensor("blk.3.ffn_down.weight").unwrap();
    assert_eq!((down.kind(), down.dimensions()), (QuantType::Q6K, &[768, 256][..]));
    assert_eq!(file.data(down).len(), 256 * 3 * 210);
    let last = file.tensors().iter().map(|tensor| tensor.range().end).max().unwrap();
    assert!(file.len() - (last as u64) < 32);
}

#[test]
fn every_value_type_is_read() {
    let scalar = |kind: u32, bytes: &[u8]| [&kind.to_le_bytes()[..], bytes].concat();
    let array = |kind: u32, count: u64, bytes: &[u8]| {
        [&9u32.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), bytes].concat()
    };
    let cases = [
        (scalar(0, &[200]), Value::Unsigned(200)),
        (scalar(1, &[200]), Value::Signed(-56)),
        (scalar(2, &[1, 2]), Value::Unsigned(513)),
        (scalar(3, &[0, 128]), Value::Signed(-32768)),
        (scalar(5, &(-9i32).to_le_bytes()), Value::Signed(-9)),
        (scalar(6, &1.5f32.to_le_bytes()), Value::Float(1.5)),
        (scalar(7, &[1]), Value::Bool(true)),
        (scalar(10, &u64::MAX.to_le_bytes()), Value::Unsigned(u64::MAX)),
        (scalar(11, &i64::MIN.to_le_bytes()), Value::Signed(i64::MIN)),
        (scalar(12, &0.1f64.to_le_bytes()), Value::Float(0.1)),
        (array(2, 2, &[1, 0, 2, 0]), Value::Array(Array::Unsigned(vec![1, 2]))),
        (array(1, 2, &[1, 255]), Value::Array(Array::Signed(vec![1, -1]))),
        (array(6, 1, &2f32.to_le_bytes()), Value::Array(Array::Float(vec![2.0]))),
        (array(7, 2, &[0, 1]), Value::Array(Array::Bool(vec![false, true]))),
        (array(8, 1, &string("né")), Value::Array(Array::String(vec!["né".to_owned()]))),
        (array(8, 0, &[]), Value::Array(Array::String(vec![]))),
    ];
    let raw =
        cases.iter().enumerate().fold(Raw::new(), |raw, (i, (bytes, _))| raw.pair(&format!("k{i}"), bytes));
    let file = open(&raw.bytes()).unwrap();
    for (i, (_, value)) in cases.iter().enumerate() {
        assert_eq!(file.metadata().get(&format!("k{i}")), Some(value));
    }
}

#[test]
fn version_2_is_read_and_other_versions_are_named() {
    assert!(open(&good().version(2).bytes()).is_ok());
    for version in [0, 1, 4, 999] {
        assert_refused!(good().version(version).bytes(), GgufError::Version { found } if *found == version);
    }
    assert_refused!(good().version(3 << 24).bytes(), GgufError::BigEndian);
    assert_refused!(good().version(2 << 24).bytes(), GgufError::BigEndian);
}

#[test]
fn other_files_are_not_gguf() {
    assert_refused!(b"", GgufError::Magic { .. });
    assert_refused!(b"PK\x03\x04 a zip", GgufError::Magic { .. });
    assert_refused!(b"\x1b[2J", GgufError::Magic { .. });
    assert!(!refused(b"\x1b[2J").to_string().contains('\x1b'), "a terminal must not obey a file");
}

#[test]
fn paths_that_are_no_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(GgufFile::open(dir.path()), Err(GgufError::NotAFile { .. })));
    assert!(matches!(GgufFile::open(&dir.path().join("none.gguf")), Err(GgufError::Io { .. })));
    #[cfg(unix)]
    assert!(matches!(GgufFile::open("/dev/null".as_ref()), Err(GgufError::NotAFile { .. })));
}

#[test]
fn a_file_cut_anywhere_is_refused_as_cut() {
    let whole = good().bytes();
    for len in 1..whole.len() {
        let error = refused(&whole[..len]);
        let cut = matches!(
            error,
            GgufError::Truncated { .. } | GgufError::Count { .. } | GgufError::OutOfRange { .. }
        );
        assert!(cut, "cut to {len} bytes: {error:?}");
    }
}

#[test]
fn a_trained_model_cut_anywhere_is_refused() {
    let whole = std::fs::read(fixture("models/tiny-qwen3-q4_k_m.gguf")).unwrap();
    let mut random = Random(1);
    for _ in 0..100 {
        let len = random.below(whole.len());
        refused(&whole[..len]);
    }
}

#[test]
fn flipped_bytes_never_panic_and_never_place_a_tensor_outside_the_file() {
    let small = good().pair("list", &string_array(&["one", "two"])).bytes();
    let trained = std::fs::read(fixture("models/tiny-qwen3-q8_0.gguf")).unwrap();
    let header = trained.len() - 5_000_000;
    let mut random = Random(2);
    let dir = tempfile::tempdir().unwrap();
    let mut shake = |original: &[u8], header: usize, rounds: usize| {
        for round in 0..rounds {
            let mut bytes = original.to_vec();
            for _ in 0..1 + round % 4 {
                bytes[random.below(header)] = random.next() as u8;
            }
            // A new file each time: some file systems flush a file that is written over.
            let path = dir.path().join(format!("{header}-{round}.gguf"));
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(file) = GgufFile::open(&path) {
                let held: usize = file.tensors().iter().map(|tensor| file.data(tensor).len()).sum();
                assert!(held <= bytes.len());
            }
            std::fs::remove_file(path).unwrap();
        }
    };
    shake(&small, small.len(), 4000);
    shake(&trained, header, 60);
}

#[test]
fn counts_that_the_file_cannot_hold_are_refused_before_anything_is_reserved() {
    for count in [1 << 20, u64::MAX / 32, u64::MAX] {
        assert_refused!(good().tensor_count(count).bytes(), GgufError::Count { what: "tensors", .. });
        assert_refused!(good().pair_count(count).bytes(), GgufError::Count { what: "metadata pairs", .. });
        let mut array = [9u32.to_le_bytes(), 4u32.to_le_bytes()].concat();
        array.extend(count.to_le_bytes());
        assert_refused!(good().pair("list", &array).bytes(), GgufError::Count { what: "array items", .. });
        let mut text = 8u32.to_le_bytes().to_vec();
        text.extend(count.to_le_bytes());
        assert_refused!(good().pair("text", &text).bytes(), GgufError::Truncated { .. });
    }
}

#[test]
fn arrays_of_more_items_than_any_model_has_are_refused() {
    let mut array = [9u32.to_le_bytes(), 0u32.to_le_bytes()].concat();
    array.extend((5u64 << 20).to_le_bytes());
    array.resize(array.len() + (5 << 20), 0);
    let raw = Raw::new().pair("one", &array);
    assert!(open(&raw.clone().bytes()).is_ok());
    assert_refused!(raw.pair("two", &array).bytes(), GgufError::Count { what: "array items", .. });
}

#[test]
fn nested_arrays_and_unknown_value_types_are_refused() {
    let nested = [9u32, 9, 1, 0, 9, 1, 0].map(u32::to_le_bytes).concat();
    assert_refused!(good().pair("deep", &nested).bytes(), GgufError::ValueType { found, .. } if found == "an array of arrays");
    assert_refused!(good().pair("odd", &13u32.to_le_bytes()).bytes(), GgufError::ValueType { .. });
    let boolean = [&7u32.to_le_bytes()[..], &[2]].concat();
    assert_refused!(good().pair("truth", &boolean).bytes(), GgufError::ValueType { .. });
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let text = [&8u32.to_le_bytes()[..], &2u64.to_le_bytes(), &[0xC3, 0x28]].concat();
    assert_refused!(good().pair("text", &text).bytes(), GgufError::NotUtf8 { .. });
}

#[test]
fn names_occur_once() {
    assert_refused!(good().u32("qwen3.block_count", 5).bytes(), GgufError::DuplicateKey { .. });
    assert_refused!(good().tensor("a", &[4], 0, 160).data(176).bytes(), GgufError::DuplicateTensor { .. });
}

#[test]
fn the_alignment_is_a_power_of_two_and_obeyed() {
    for alignment in [0, 1, 4, 24, 33] {
        assert_refused!(good().u32("general.alignment", alignment).bytes(), GgufError::Alignment { .. });
    }
    assert_refused!(good().string("general.alignment", "32").bytes(), GgufError::Alignment { .. });
    let wide = good().u32("general.alignment", 64).align(64).bytes();
    let file = open(&wide).unwrap();
    assert_eq!(file.tensor("a").unwrap().range().start % 64, 0);
    assert_eq!(file.tensor("b").unwrap().range().end, wide.len());
    assert_refused!(
        good().tensor("c", &[4], 0, 150).data(512).bytes(),
        GgufError::Misaligned { offset: 150, .. }
    );
    assert_refused!(good().u32("general.alignment", 1 << 31).bytes(), GgufError::OutOfRange { .. });
}

#[test]
fn tensors_lie_inside_the_file() {
    assert_refused!(good().data(143).bytes(), GgufError::OutOfRange { .. });
    assert_refused!(good().tensor("far", &[4], 0, 1 << 40).bytes(), GgufError::OutOfRange { .. });
    let last = u64::MAX - 31;
    assert_refused!(good().tensor("wraps", &[4], 0, last).bytes(), GgufError::OutOfRange { .. });
}

#[test]
fn tensors_do_not_overlap() {
    assert_refused!(good().tensor("c", &[16], 0, 96).data(512).bytes(), GgufError::Overlap { first, second }
        if (first.as_str(), second.as_str()) == ("a", "c"));
    assert_refused!(good().tensor("c", &[4], 0, 128).bytes(), GgufError::Overlap { .. });
}

#[test]
fn dimensions_are_one_to_four_above_zero_that_fit_64_bits() {
    for dimensions in [&[][..], &[1, 1, 1, 1, 1], &[0], &[4, 0], &[1 << 33, 1 << 33]] {
        assert_refused!(good().tensor("c", dimensions, 0, 160).bytes(), GgufError::Dimensions { .. });
    }
    assert_refused!(good().tensor("c", &[u64::MAX, 1], 0, 160).bytes(), GgufError::Dimensions { .. });
}

#[test]
fn rows_are_whole_blocks() {
    for (kind, cols) in [(12, 128), (14, 300), (8, 16)] {
        assert_refused!(
            good().tensor("c", &[cols, 2], kind, 160).data(4096).bytes(),
            GgufError::Blocks { .. }
        );
    }
}

#[test]
fn types_that_are_not_supported_are_named() {
    for (id, name) in
        [(2, "Q4_0"), (13, "Q5_K"), (16, "IQ2_XXS"), (20, "IQ4_NL"), (26, "I32"), (30, "BF16"), (39, "MXFP4")]
    {
        let error = refused(&good().tensor("c", &[256], id, 160).data(4096).bytes());
        assert!(matches!(error, GgufError::UnsupportedType { kind, .. } if kind == name), "{error:?}");
        assert!(error.to_string().contains(name));
    }
    assert_refused!(good().tensor("c", &[256], 77, 160).bytes(), GgufError::UnknownType { id: 77, .. });
}

#[test]
fn a_long_name_does_not_fill_the_message() {
    let name = "é".repeat(100_000);
    assert_refused!(good().tensor(&name, &[256], 30, 160).bytes(), GgufError::UnsupportedType { .. });
}

fn string_array(items: &[&str]) -> Vec<u8> {
    let mut bytes = [9u32.to_le_bytes(), 8u32.to_le_bytes()].concat();
    bytes.extend((items.len() as u64).to_le_bytes());
    items.iter().for_each(|item| bytes.extend(string(item)));
    bytes
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
