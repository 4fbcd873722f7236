//! Weights that are not numbers: a file that was damaged behind its header.

use super::{TRAINED, trained};
use psionic::gguf::GgufFile;
use psionic::model::{Model, ModelError};
use psionic::quant::QuantType;

/// Where a block's half-precision scales are.
fn scales(kind: QuantType) -> &'static [usize] {
    match kind {
        QuantType::Q4K => &[0, 2],
        QuantType::Q6K => &[208],
        _ => &[0],
    }
}

fn check(file: &GgufFile) -> Result<(), ModelError> {
    Model::from_gguf(file)?.check_weights()
}

#[test]
fn one_damaged_scale_in_any_tensor_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.gguf");
    let good = trained(TRAINED[0]);
    check(&good).unwrap();
    let bytes = std::fs::read(good.path()).unwrap();
    for tensor in good.tensors() {
        let (kind, dimensions) = (tensor.kind(), tensor.dimensions());
        let rows = dimensions.get(1).map_or(1, |rows| *rows as usize);
        let (start, size) = (tensor.range().start, tensor.range().len() / rows);
        for (i, scale) in scales(kind).iter().enumerate() {
            // The last block of a row.
            let row = rows * (i + 1) / 3;
            let at = start + (row + 1) * size - kind.block_bytes() + scale;
            let mut bytes = bytes.clone();
            match kind {
                QuantType::F32 => bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes()),
                // Minus infinity.
                _ => bytes[at..at + 2].copy_from_slice(&0xfc00u16.to_le_bytes()),
            }
            std::fs::write(&path, &bytes).unwrap();
            match check(&GgufFile::open(&path).unwrap()) {
                Err(ModelError::NotFinite { tensor: named, row: found }) => {
                    assert_eq!((named.as_str(), found), (tensor.name(), row));
                }
                other => panic!("{} is damaged in row {row}: {other:?}", tensor.name()),
            }
        }
    }
}
