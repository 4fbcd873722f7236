//! Which files may run: decided from the header, before any weights are read.

use serde::{Deserialize, Serialize};

use super::error::MedPsyError;
use super::size::ModelSize;
use super::tier::Tier;
use crate::gguf::GgufHeader;

/// What the policy says of a size and tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Posture {
    /// May run.
    Preferred,
    /// May run, and says what speaks against it.
    AllowedWithWarning,
    /// May not, unless overridden.
    BlockedByDefault,
}

/// The documented table; a tier without a size is meant for both. What is not in it is blocked.
pub const TABLE: [(Option<ModelSize>, &str, Posture); 9] = [
    (None, "BF16", Posture::Preferred),
    (None, "Q8_0", Posture::Preferred),
    (None, "Q5_K_M", Posture::Preferred),
    (None, "Q4_K_M", Posture::Preferred),
    (None, "IQ4_NL", Posture::AllowedWithWarning),
    (None, "IQ4_XS", Posture::AllowedWithWarning),
    (Some(ModelSize::B4), "IQ3_M", Posture::AllowedWithWarning),
    (Some(ModelSize::B1_7), "IQ3_M", Posture::BlockedByDefault),
    (None, "IQ3_XXS", Posture::BlockedByDefault),
];

/// The size that a file of neither published shape is given.
pub const OTHER_SIZE: &str = "other";

/// What is asked of the admission.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdmissionRequest {
    /// The size that the file is said to have; checked, never believed. Without one any size is admitted.
    pub claimed: Option<ModelSize>,
    /// Whether the explicit override for blocked and 3-bit tiers is given.
    pub allow_blocked: bool,
}

/// An admitted file, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// `1.7b`, `4b` or `other`, from the file.
    pub model_size: String,
    /// As in `Q4_K_M`, from the file.
    pub tier: String,
    /// The policy's posture.
    pub posture: Posture,
    /// Whether the file has matrices of fewer than four bits a weight.
    pub three_bit: bool,
    /// Whether only the override admitted it.
    pub overridden: bool,
    /// What is to be said with every use.
    pub warnings: Vec<String>,
}

/// The posture of a size and tier.
pub fn posture(size: Option<ModelSize>, tier: &str) -> Option<Posture> {
    let of_size = |of: Option<ModelSize>| of.is_none() || of == size;
    TABLE.into_iter().find(|(of, name, _)| *name == tier && of_size(*of)).map(|(_, _, posture)| posture)
}

/// Decides whether a file may run.
///
/// # Errors
/// When the file is not of the size that it is said to be, its tier cannot be told, or the policy blocks the tier.
pub fn admit(header: &GgufHeader, request: AdmissionRequest) -> Result<Admission, MedPsyError> {
    let size = ModelSize::of(header);
    if let Some(claimed) = request.claimed.filter(|claimed| Some(*claimed) != size) {
        let found = match size {
            Some(size) => format!("that of {size}"),
            None => "that of neither published size".to_owned(),
        };
        return Err(MedPsyError::SizeMismatch { claimed, found });
    }
    let tier = Tier::of(header)?;
    let listed = posture(size, tier.name);
    let posture = listed.unwrap_or(Posture::BlockedByDefault);
    let size = size.map_or(OTHER_SIZE, ModelSize::name);
    let reason = match (posture, tier.three_bit) {
        (Posture::BlockedByDefault, _) if listed.is_none() => {
            Some("a tier that the policy does not list".to_owned())
        }
        (Posture::BlockedByDefault, _) => Some("a tier that it marks as degraded for medical use".to_owned()),
        (_, Some(format)) => Some(format!("weights in {format}, and any 3-bit route needs an override")),
        (_, None) => None,
    };
    if let (Some(reason), false) = (&reason, request.allow_blocked) {
        return Err(MedPsyError::TierBlocked {
            size: size.to_owned(),
            tier: tier.name,
            reason: reason.clone(),
        });
    }
    let mut warnings = Vec::new();
    if tier.quantised {
        warnings.push(format!(
            "the weights are quantised to {}: answers may be worse than the original model's",
            tier.name
        ));
    }
    if posture == Posture::AllowedWithWarning {
        warnings.push(format!("{} needs retained safety evidence before it is used in a product", tier.name));
    }
    if let Some(reason) = &reason {
        warnings.push(format!("{} of the {size} model runs by explicit override only: {reason}", tier.name));
    }
    Ok(Admission {
        model_size: size.to_owned(),
        tier: tier.name.to_owned(),
        posture,
        three_bit: tier.three_bit.is_some(),
        overridden: reason.is_some(),
        warnings,
    })
}
