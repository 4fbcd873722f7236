//! The quantisation tier of a file, from its tensors. What its metadata says must agree.

use std::collections::BTreeMap;

use super::error::MedPsyError;
use crate::gguf::GgufHeader;

/// A tier: what a file is called after, as in `Q4_K_M`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The name.
    pub name: &'static str,
    /// Whether the weights are quantised.
    pub quantised: bool,
    /// The coarsest format of any matrix, where it has fewer than four bits a weight.
    pub three_bit: Option<&'static str>,
}

/// Tiers by `general.file_type`: its number, its name, and the format that most weights of the layers have in it.
const FILE_TYPES: [(u64, &str, &str); 31] = [
    (0, "F32", "F32"),
    (1, "F16", "F16"),
    (2, "Q4_0", "Q4_0"),
    (3, "Q4_1", "Q4_1"),
    (7, "Q8_0", "Q8_0"),
    (8, "Q5_0", "Q5_0"),
    (9, "Q5_1", "Q5_1"),
    (10, "Q2_K", "Q2_K"),
    (10, "Q2_K", "Q3_K"),
    (11, "Q3_K_S", "Q3_K"),
    (12, "Q3_K_M", "Q3_K"),
    (13, "Q3_K_L", "Q3_K"),
    (14, "Q4_K_S", "Q4_K"),
    (15, "Q4_K_M", "Q4_K"),
    (16, "Q5_K_S", "Q5_K"),
    (17, "Q5_K_M", "Q5_K"),
    (18, "Q6_K", "Q6_K"),
    (19, "IQ2_XXS", "IQ2_XXS"),
    (20, "IQ2_XS", "IQ2_XS"),
    (21, "Q2_K_S", "Q2_K"),
    (22, "IQ3_XS", "IQ3_XXS"),
    (22, "IQ3_XS", "IQ3_S"),
    (23, "IQ3_XXS", "IQ3_XXS"),
    (24, "IQ1_S", "IQ1_S"),
    (25, "IQ4_NL", "IQ4_NL"),
    (26, "IQ3_S", "IQ3_S"),
    (27, "IQ3_M", "IQ3_S"),
    (28, "IQ2_S", "IQ2_XS"),
    (29, "IQ2_M", "IQ2_S"),
    (30, "IQ4_XS", "IQ4_XS"),
    (32, "BF16", "BF16"),
];

/// Formats with fewer than four bits a weight, coarse ones first.
const COARSE: [&str; 11] =
    ["Q1_0", "TQ1_0", "IQ1_S", "IQ1_M", "TQ2_0", "IQ2_XXS", "IQ2_XS", "Q2_K", "IQ2_S", "IQ3_XXS", "IQ3_S"];

impl Tier {
    /// A file's tier.
    ///
    /// # Errors
    /// When it has no matrices of layers, formats that nobody knows, or tensors of another tier than its metadata says.
    pub fn of(header: &GgufHeader) -> Result<Self, MedPsyError> {
        let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
        let mut three_bit: Option<&'static str> = None;
        for tensor in header.tensors().iter().filter(|tensor| tensor.dimensions().len() > 1) {
            let format = tensor
                .format()
                .ok_or_else(|| MedPsyError::UnknownTier { found: "a tensor of an unknown format".into() })?;
            if let Some(rank) = rank(format) {
                let coarser = three_bit.and_then(self::rank).is_none_or(|known| rank < known);
                three_bit = if coarser { Some(format) } else { three_bit };
            }
            if tensor.name().starts_with("blk.") {
                let sum = weights.entry(format).or_default();
                *sum = sum.saturating_add(tensor.weights());
            }
        }
        let Some((main, _)) = weights.iter().max_by_key(|(_, weights)| **weights) else {
            return Err(MedPsyError::UnknownTier { found: "no matrices of layers".into() });
        };
        let name = name(header, main, weights.contains_key("Q6_K"))?;
        Ok(Self { name, quantised: !matches!(*main, "F32" | "F16" | "BF16"), three_bit })
    }
}

/// How coarse a format is, the coarsest first; `Q3_K` ends the list.
fn rank(format: &str) -> Option<usize> {
    COARSE.iter().chain(&["Q3_K"]).position(|coarse| *coarse == format)
}

/// The tier that the metadata names, if most weights of the layers have its format.
fn name(header: &GgufHeader, main: &str, finer_parts: bool) -> Result<&'static str, MedPsyError> {
    let of_format = || FILE_TYPES.iter().filter(|(_, _, format)| *format == main);
    let told = header.metadata().unsigned("general.file_type").ok().flatten();
    let found = match told {
        Some(told) => of_format().find(|(id, _, _)| *id == told),
        // `_M` has Q6_K in parts of the layers, `_S` has not.
        None if matches!(main, "Q4_K" | "Q5_K") => {
            of_format().find(|(_, name, _)| name.ends_with("_M") == finer_parts)
        }
        None => of_format().next(),
    };
    found.map(|(_, name, _)| *name).ok_or_else(|| match told {
        Some(told) => {
            let known = FILE_TYPES.iter().find(|(id, _, _)| *id == told);
            let told = known.map_or_else(|| format!("type {told}"), |(_, name, _)| (*name).to_owned());
            MedPsyError::TierMismatch { told, found: main.to_owned() }
        }
        None => MedPsyError::UnknownTier { found: format!("most weights in {main}") },
    })
}
