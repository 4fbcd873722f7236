//! The medical policy: what a MedPsy model may be used for, and which texts it refuses.

use serde::{Deserialize, Serialize};

use super::error::MedPsyError;
use crate::gguf::{Array, Metadata, Value};

/// The policy's name.
pub const POLICY_ID: &str = "medical_model_use.medpsy.v1";

/// What figures over token ids are, and are not.
pub const CLAIM_BOUNDARY: &str = "local_runtime_benchmark_only_not_clinical_quality_claim";

/// The persona that opens every conversation.
pub const PERSONA: &str = "You are MedPsy, a medical and healthcare AI assistant developed by QVAC.";

/// What is shown with every answer.
pub const DISCLAIMER: &str = "medical information, not a diagnosis; it does not replace professional medical judgement, \
    needs review by a qualified person and sources for its claims; in an emergency call the local emergency number";

/// Lower-case phrases that ask for clinical authority or describe an emergency.
pub const REFUSED_PHRASES: [&str; 8] = [
    "diagnose me",
    "diagnose my",
    "prescribe",
    "what dose",
    "dosage should i take",
    "i have chest pain",
    "stroke symptoms",
    "should i go to the emergency room",
];

/// The policy's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MedicalPolicy {
    /// [`POLICY_ID`].
    pub policy_id: String,
    /// What an answer is unless somebody qualified says otherwise.
    pub default_classification: String,
    /// Whether [`DISCLAIMER`] is shown.
    pub disclaimer_required: bool,
    /// Whether refusals point to emergency care.
    pub emergency_referral_required: bool,
    /// Whether the model may diagnose.
    pub direct_diagnosis_allowed: bool,
    /// Whether it may prescribe or decide on treatment.
    pub prescribing_or_treatment_authority_allowed: bool,
    /// Whether clinical workflows need a person's review.
    pub human_review_required_for_clinical_workflows: bool,
    /// Whether claims need sources.
    pub source_citation_required_for_claims: bool,
    /// Whether a quantised model is announced as such.
    pub quantization_warning_required: bool,
}

impl MedicalPolicy {
    /// The rules in force.
    pub fn current() -> Self {
        Self {
            policy_id: POLICY_ID.to_owned(),
            default_classification: "medical_information_not_diagnosis".to_owned(),
            disclaimer_required: true,
            emergency_referral_required: true,
            direct_diagnosis_allowed: false,
            prescribing_or_treatment_authority_allowed: false,
            human_review_required_for_clinical_workflows: true,
            source_citation_required_for_claims: true,
            quantization_warning_required: true,
        }
    }
}

/// Refuses a text with one of the phrases, in upper or lower case and whatever white space its words are apart by.
///
/// # Errors
/// [`MedPsyError::Refused`], which names the policy and points to qualified care.
pub fn check_text(text: &str) -> Result<(), MedPsyError> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let text = words.join(" ");
    match REFUSED_PHRASES.into_iter().find(|phrase| text.contains(phrase)) {
        Some(phrase) => Err(MedPsyError::Refused { phrase }),
        None => Ok(()),
    }
}

/// Whether a model is MedPsy, by the texts of its own metadata.
pub fn is_medpsy(metadata: &Metadata) -> bool {
    let is_qwen3 = matches!(metadata.string("general.architecture"), Ok(Some("qwen3")));
    let names = |key: &str| key.starts_with("general.");
    let is_name = |text: &String| text.to_lowercase().contains("medpsy");
    let mentions = |value: &Value| match value {
        Value::String(text) => is_name(text),
        Value::Array(Array::String(texts)) => texts.iter().any(is_name),
        _ => false,
    };
    let persona = matches!(metadata.string("tokenizer.chat_template"), Ok(Some(template)) if template.contains(PERSONA));
    is_qwen3 && (persona || metadata.iter().any(|(key, value)| names(key) && mentions(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<&'static str> {
        match check_text(text) {
            Err(MedPsyError::Refused { phrase }) => Some(phrase),
            _ => None,
        }
    }

    #[test]
    fn every_phrase_is_refused_in_any_case_and_across_lines() {
        for phrase in REFUSED_PHRASES {
            assert_eq!(refused(&format!("Please, {phrase} now")), Some(phrase));
            assert_eq!(refused(&phrase.to_uppercase()), Some(phrase));
            assert_eq!(refused(&phrase.replace(' ', "\n  ")), Some(phrase));
        }
    }

    #[test]
    fn near_misses_pass() {
        for text in [
            "",
            "How do doctors diagnose asthma?",
            "What is a dose of radiation?",
            "dosage forms of ibuprofen",
            "I had chest pain described in a novel",
            "symptoms of a stroke",
            "Where is the emergency room?",
            "subscribe to a newsletter",
            "What causes a headache?",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
        // The phrase is refused wherever it stands, inside a longer word too.
        assert_eq!(refused("Can a nurse prescribed medicine?"), Some("prescribe"));
    }

    #[test]
    fn a_refusal_names_the_policy_and_points_to_care() {
        let message = check_text("prescribe something").unwrap_err().to_string();
        for part in [POLICY_ID, "prescribe", "qualified health professional", "emergency"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
