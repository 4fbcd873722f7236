//! Size and tier are a file's own; what the policy blocks is refused before any weights are read.

use super::{file, header, id};
use crate::fixture;
use psionic::gguf::GgufHeader;
use psionic::medpsy::{
    Admission, AdmissionRequest, MedPsyError, ModelSize, OTHER_SIZE, Posture, admit, is_medpsy,
};
use psionic::model::SynthSpec;

use ModelSize::{B1_7, B4};

fn admitted(bytes: &[u8], claimed: Option<ModelSize>, allow_blocked: bool) -> Result<Admission, MedPsyError> {
    let (_folder, path) = file(bytes);
    admit(&GgufHeader::open(&path).unwrap(), AdmissionRequest { claimed, allow_blocked })
}

/// Size, most weights, `attn_v`, file type; the tier and its posture, and whether it needs the override.
type Case = (ModelSize, &'static str, &'static str, u32, &'static str, Posture, bool);

const CASES: [Case; 13] = [
    (B1_7, "BF16", "BF16", 32, "BF16", Posture::Preferred, false),
    (B1_7, "Q8_0", "Q8_0", 7, "Q8_0", Posture::Preferred, false),
    (B4, "Q5_K", "Q6_K", 17, "Q5_K_M", Posture::Preferred, false),
    (B1_7, "Q4_K", "Q6_K", 15, "Q4_K_M", Posture::Preferred, false),
    (B1_7, "IQ4_NL", "Q5_K", 25, "IQ4_NL", Posture::AllowedWithWarning, false),
    (B4, "IQ4_XS", "Q5_K", 30, "IQ4_XS", Posture::AllowedWithWarning, false),
    (B4, "IQ3_S", "Q4_K", 27, "IQ3_M", Posture::AllowedWithWarning, true),
    (B1_7, "IQ3_S", "Q4_K", 27, "IQ3_M", Posture::BlockedByDefault, true),
    (B1_7, "IQ3_XXS", "Q4_K", 23, "IQ3_XXS", Posture::BlockedByDefault, true),
    (B4, "IQ3_XXS", "Q4_K", 23, "IQ3_XXS", Posture::BlockedByDefault, true),
    // Not in the table.
    (B1_7, "Q6_K", "Q6_K", 18, "Q6_K", Posture::BlockedByDefault, true),
    (B1_7, "Q4_K", "Q5_K", 14, "Q4_K_S", Posture::BlockedByDefault, true),
    (B4, "F16", "F16", 1, "F16", Posture::BlockedByDefault, true),
];

#[test]
fn the_documented_table_holds() {
    for (size, main, attn_v, file_type, tier, posture, needs_override) in CASES {
        let bytes = header(size, main, attn_v, Some(file_type)).bytes();
        let plain = admitted(&bytes, Some(size), false);
        let context = format!("{size} {tier}");
        if needs_override {
            let error = plain.unwrap_err();
            let blocked = matches!(&error, MedPsyError::TierBlocked { tier: found, .. } if *found == tier);
            assert!(blocked, "{context}: {error:?}");
            assert!(error.to_string().contains("medical_model_use.medpsy.v1"), "{error}");
        } else {
            assert!(!plain.unwrap().overridden, "{context}");
        }
        let admission = admitted(&bytes, Some(size), true).unwrap();
        assert_eq!((&*admission.tier, admission.posture), (tier, posture), "{context}");
        assert_eq!(admission.overridden, needs_override, "{context}");
        assert_eq!(admission.model_size, size.name());
        let said = |part: &str| admission.warnings.iter().any(|warning| warning.contains(part));
        assert_eq!(said("are quantised to"), !matches!(main, "BF16" | "F16"), "{context}");
        assert_eq!(said("override"), needs_override, "{context}");
        assert_eq!(said("safety evidence"), posture == Posture::AllowedWithWarning, "{context}");
    }
}

#[test]
fn one_matrix_of_three_bits_needs_the_override_whatever_the_file_is_called() {
    let bytes = header(B1_7, "Q4_K", "IQ3_S", Some(15)).bytes();
    let error = admitted(&bytes, None, false).unwrap_err();
    assert!(matches!(error, MedPsyError::TierBlocked { tier: "Q4_K_S" | "Q4_K_M", .. }), "{error:?}");
    assert!(error.to_string().contains("IQ3_S"), "{error}");
    assert!(admitted(&bytes, None, true).unwrap().three_bit);
}

#[test]
fn the_metadata_cannot_make_a_tier_of_other_tensors() {
    let error = admitted(&header(B1_7, "IQ3_S", "Q4_K", Some(15)).bytes(), None, true).unwrap_err();
    assert!(
        matches!(&error, MedPsyError::TierMismatch { told, found } if told == "Q4_K_M" && found == "IQ3_S")
    );
    // Without the key the tensors decide.
    let of = |main, attn_v| admitted(&header(B1_7, main, attn_v, None).bytes(), None, true).unwrap().tier;
    assert_eq!([of("Q4_K", "Q6_K"), of("Q4_K", "Q4_K"), of("Q8_0", "Q8_0")], ["Q4_K_M", "Q4_K_S", "Q8_0"]);
    let unknown = header(B1_7, "Q8_0", "Q8_0", Some(7)).tensor("blk.0.more.weight", &[32, 1], 99, 0);
    assert!(matches!(admitted(&unknown.bytes(), None, true), Err(MedPsyError::UnknownTier { .. })));
}

#[test]
fn the_size_is_the_files_own() {
    let bytes = header(B4, "Q8_0", "Q8_0", Some(7)).bytes();
    let error = admitted(&bytes, Some(B1_7), true).unwrap_err();
    assert!(matches!(error, MedPsyError::SizeMismatch { claimed: B1_7, .. }), "{error:?}");
    assert_eq!(admitted(&bytes, None, false).unwrap().model_size, "4b");
    // A layer more, and metadata that says nothing of it.
    let more =
        header(B1_7, "Q8_0", "Q8_0", Some(7)).tensor("blk.28.attn_q.weight", &[2048, 2048], id("Q8_0"), 0);
    assert_eq!(admitted(&more.clone().bytes(), None, false).unwrap().model_size, OTHER_SIZE);
    assert!(matches!(admitted(&more.bytes(), Some(B1_7), false), Err(MedPsyError::SizeMismatch { .. })));
}

#[test]
fn synthetic_models_have_the_sizes_of_their_shapes() {
    for (name, size) in [("1.7b", "1.7b"), ("4b", "4b"), ("0.6b", OTHER_SIZE)] {
        let (header, _) = SynthSpec::new(name, 1).unwrap().header().unwrap();
        let admission = admitted(&header, None, false).unwrap();
        assert_eq!((&*admission.model_size, &*admission.tier), (size, "Q4_K_M"));
    }
}

#[test]
fn a_model_is_medpsy_by_its_metadata_only() {
    let named = |path: &std::path::Path| is_medpsy(GgufHeader::open(path).unwrap().metadata());
    assert!(!named(&fixture("models").join("tiny-qwen3-q4_k_m.gguf")));
    let (_folder, path) = super::tiny_medpsy();
    assert!(named(&path));
    let (_folder, path) = file(&header(B1_7, "Q8_0", "Q8_0", None).bytes());
    assert!(named(&path));
}
