//! Dequantisation against the Python `gguf` package, bit for bit.

use crate::fixture;
use psionic::quant::{QuantType, dequantize};

fn check(kind: QuantType, file: &str) {
    let bytes = std::fs::read(fixture("quant").join(file)).unwrap();
    let (count, rest) = bytes.split_at(4);
    let blocks = u32::from_le_bytes(count.try_into().unwrap()) as usize;
    let (stored, expected) = rest.split_at(blocks * kind.block_bytes());
    let mut weights = vec![0f32; blocks * kind.block_len()];
    assert_eq!(expected.len(), weights.len() * 4, "{file} holds one number per weight");
    dequantize(kind, stored, &mut weights);
    for (at, (weight, bits)) in weights.iter().zip(expected.chunks_exact(4)).enumerate() {
        let expected = f32::from_le_bytes(bits.try_into().unwrap());
        let same = weight.to_bits() == expected.to_bits() || weight.is_nan() && expected.is_nan();
        let (block, place) = (at / kind.block_len(), at % kind.block_len());
        assert!(same, "{kind}, block {block}, weight {place}: expected {expected:e}, found {weight:e}");
    }
}

#[test]
fn f32_weights_have_the_reference_bits() {
    check(QuantType::F32, "f32.bin");
}

#[test]
fn f16_weights_have_the_reference_bits() {
    check(QuantType::F16, "f16.bin");
}

#[test]
fn q8_0_weights_have_the_reference_bits() {
    check(QuantType::Q8_0, "q8_0.bin");
}

#[test]
fn q4_k_weights_have_the_reference_bits() {
    check(QuantType::Q4K, "q4_k.bin");
}

#[test]
fn q6_k_weights_have_the_reference_bits() {
    check(QuantType::Q6K, "q6_k.bin");
}

#[test]
fn rows_are_whole_blocks() {
    assert_eq!(QuantType::Q4K.row_bytes(512), Some(288));
    assert_eq!(QuantType::Q6K.row_bytes(256), Some(210));
    assert_eq!(QuantType::Q8_0.row_bytes(96), Some(102));
    assert_eq!(QuantType::F16.row_bytes(3), Some(6));
    assert_eq!(QuantType::Q4K.row_bytes(128), None);
    assert_eq!(QuantType::F32.row_bytes(usize::MAX), None);
}

#[test]
fn type_ids_and_names_are_those_of_gguf() {
    let table: Vec<_> = QuantType::ALL.map(|kind| (kind.gguf_id(), kind.name())).into();
    assert_eq!(table, [(0, "F32"), (1, "F16"), (8, "Q8_0"), (12, "Q4_K"), (14, "Q6_K")]);
    assert_eq!(QuantType::from_gguf_id(30), None);
}

#[test]
#[should_panic(expected = "the storage of 256 weights in Q4_K")]
fn storage_of_another_size_is_a_bug_in_the_caller() {
    dequantize(QuantType::Q4K, &[0; 143], &mut [0.0; 256]);
}
