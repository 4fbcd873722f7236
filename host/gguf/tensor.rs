//! Where a file's tensors are, checked against each other and the file.

use super::error::{GgufError, shown};
use super::header::TensorHeader;
use crate::quant::QuantType;
use std::collections::HashSet;
use std::ops::Range;

/// A tensor whose bytes are known to lie inside its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    name: String,
    kind: QuantType,
    dimensions: Vec<u64>,
    range: Range<usize>,
}

impl TensorInfo {
    /// The tensor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The format of its weights.
    pub fn kind(&self) -> QuantType {
        self.kind
    }

    /// Its dimensions in GGUF's order: the length of a row first.
    pub fn dimensions(&self) -> &[u64] {
        &self.dimensions
    }

    /// Its bytes in the file.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }
}

/// Checks all tensors against a file of `len` bytes whose data section starts at `data_start`.
pub(super) fn place(
    parsed: Vec<TensorHeader>,
    alignment: u64,
    data_start: u64,
    len: u64,
) -> Result<Vec<TensorInfo>, GgufError> {
    let mut names = HashSet::with_capacity(parsed.len());
    if let Some(twice) = parsed.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        return Err(GgufError::DuplicateTensor { tensor: shown(&twice.name) });
    }
    let tensors = parsed
        .into_iter()
        .map(|tensor| place_one(tensor, alignment, data_start, len))
        .collect::<Result<Vec<_>, _>>()?;
    let mut by_start: Vec<&TensorInfo> = tensors.iter().collect();
    by_start.sort_by_key(|tensor| tensor.range.start);
    for pair in by_start.windows(2) {
        if pair[0].range.end > pair[1].range.start {
            return Err(GgufError::Overlap { first: shown(&pair[0].name), second: shown(&pair[1].name) });
        }
    }
    Ok(tensors)
}

fn place_one(
    parsed: TensorHeader,
    alignment: u64,
    data_start: u64,
    len: u64,
) -> Result<TensorInfo, GgufError> {
    let TensorHeader { name, dimensions, type_id: id, offset } = parsed;
    let Some(kind) = QuantType::from_gguf_id(id) else {
        let tensor = shown(&name);
        return Err(match unsupported_name(id) {
            Some(kind) => GgufError::UnsupportedType { tensor, kind },
            None => GgufError::UnknownType { tensor, id },
        });
    };
    if dimensions.contains(&0) {
        let found = format!("{dimensions:?}");
        return Err(GgufError::Dimensions { tensor: shown(&name), found });
    }
    let (block, cols) = (kind.block_len() as u64, dimensions[0]);
    if !cols.is_multiple_of(block) {
        return Err(GgufError::Blocks { tensor: shown(&name), kind, block, cols });
    }
    let bytes = dimensions[1..]
        .iter()
        .try_fold(cols / block, |blocks, &dimension| blocks.checked_mul(dimension))
        .and_then(|blocks| blocks.checked_mul(kind.block_bytes() as u64));
    let Some(bytes) = bytes else {
        let found = format!("{dimensions:?}, more bytes than 64 bits count");
        return Err(GgufError::Dimensions { tensor: shown(&name), found });
    };
    if !offset.is_multiple_of(alignment) {
        return Err(GgufError::Misaligned { tensor: shown(&name), offset, alignment });
    }
    let end = data_start.saturating_add(offset).saturating_add(bytes);
    if end > len {
        return Err(GgufError::OutOfRange { tensor: shown(&name), needed: end, len });
    }
    let range = (end - bytes) as usize..end as usize;
    Ok(TensorInfo { name, kind, dimensions, range })
}

/// The names of the tensor types that GGUF defines and Psionic does not read.
pub(super) fn unsupported_name(id: u32) -> Option<&'static str> {
    Some(match id {
        2 => "Q4_0",
        3 => "Q4_1",
        4 => "Q4_2",
        5 => "Q4_3",
        6 => "Q5_0",
        7 => "Q5_1",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        13 => "Q5_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        30 => "BF16",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36 => "IQ4_NL_4_4",
        37 => "IQ4_NL_4_8",
        38 => "IQ4_NL_8_8",
        39 => "MXFP4",
        40 => "NVFP4",
        41 => "Q1_0",
        _ => return None,
    })
}
