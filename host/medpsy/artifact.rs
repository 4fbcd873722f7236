//! What a model file is: its digest and where it comes from.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::MedPsyError;
use super::policy::is_medpsy;
use crate::gguf::Metadata;

/// The published file whose digest is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// The repository that publishes it.
    pub repo: &'static str,
    /// Its name there.
    pub file: &'static str,
    /// Its SHA-256.
    pub sha256: &'static str,
}

/// The only pinned file.
pub const PINNED: Pinned = Pinned {
    repo: "qvac/MedPsy-1.7B-GGUF",
    file: "medpsy-1.7b-q4_k_m-imat.gguf",
    sha256: "41ee947d9cce72ec657577219fd1798fabeabf0d832217fe23c9d6d3d18d5880",
};

/// Where a file comes from, as far as it can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// The pinned file: its digest is that one.
    Pinned,
    /// Calls itself MedPsy; its digest is not known.
    Unpinned,
    /// Random weights in a real shape, as `psionic model synth` writes them.
    SyntheticRandomWeights,
    /// Another Qwen3 model.
    Other,
}

impl Provenance {
    /// Of a file with this metadata and digest.
    pub fn of(metadata: &Metadata, sha256: &str) -> Self {
        let name = metadata.string("general.name").ok().flatten().unwrap_or_default();
        match () {
            () if sha256 == PINNED.sha256 => Self::Pinned,
            () if name.starts_with("synthetic qwen3 ") => Self::SyntheticRandomWeights,
            () if is_medpsy(metadata) => Self::Unpinned,
            () => Self::Other,
        }
    }

    /// Whether two correct engines may choose different tokens everywhere, because every choice is a near-tie.
    pub fn has_random_weights(self) -> bool {
        self == Self::SyntheticRandomWeights
    }
}

/// The SHA-256 of bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An expected digest as it is typed: `pinned`, or hexadecimal digits.
///
/// # Errors
/// When it is neither.
pub fn expected_digest(text: &str) -> Result<String, MedPsyError> {
    match text {
        "pinned" => Ok(PINNED.sha256.to_owned()),
        _ if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(MedPsyError::Digest { found: text.chars().take(80).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_standard() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn an_expected_digest_is_the_pinned_one_or_64_digits() {
        assert_eq!(expected_digest("pinned").unwrap(), PINNED.sha256);
        assert_eq!(expected_digest(&PINNED.sha256.to_uppercase()).unwrap(), PINNED.sha256);
        for text in ["", "41ee", &"g".repeat(64), &"0".repeat(65)] {
            assert!(matches!(expected_digest(text), Err(MedPsyError::Digest { .. })), "{text}");
        }
    }
}
