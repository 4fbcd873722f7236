//! How far a comparator's tokens are Psionic's.

use psionic_peer::{Pair, first_difference};

use super::record::{Agreement, Basis, DivergenceAt, LogitsAgreement, Row, Strength};

/// Two correct engines with 8-bit activations stay below both: 3.9e-4 and 2.8 % were found on the 1.7B shape.
const LIMIT_MEAN_KL: f64 = 2e-3;
const LIMIT_RELATIVE_RMS: f64 = 0.05;

impl LogitsAgreement {
    /// Judges what was compared.
    pub fn new(token_seed: u64, pair: Pair) -> Self {
        let within_limits = pair.mean_kl <= LIMIT_MEAN_KL && pair.relative_rms <= LIMIT_RELATIVE_RMS;
        Self {
            token_seed,
            positions: pair.kl.len(),
            limit_mean_kl: LIMIT_MEAN_KL,
            limit_relative_rms: LIMIT_RELATIVE_RMS,
            within_limits,
            pair,
        }
    }

    /// Whether its verdict follows from its figures.
    pub fn is_sound(&self) -> bool {
        self.positions > 0
            && self.positions == self.pair.kl.len()
            && *self == Self::new(self.token_seed, self.pair.clone())
    }
}

/// A comparator's agreement with Psionic's row of the same scenario, without margins.
pub fn judge(
    psionic: &Row,
    other: &Row,
    random_weights: bool,
    logits: Option<&LogitsAgreement>,
) -> Agreement {
    let (Some(ours), Some(theirs)) = (&psionic.generated_tokens, &other.generated_tokens) else {
        let same_length = psionic.output_tokens.is_some() && psionic.output_tokens == other.output_tokens;
        let strength = if same_length { Strength::WeakLengthMatchedOnly } else { Strength::Mismatched };
        return Agreement { strength, basis: Basis::Lengths, same_tokens: None, first_divergence: None };
    };
    let shorter = ours.len().min(theirs.len());
    let parted = first_difference(ours, theirs).or((ours.len() != theirs.len()).then_some(shorter));
    let first_divergence = parted.map(|index| DivergenceAt {
        index,
        psionic_id: ours.get(index).copied(),
        other_id: theirs.get(index).copied(),
        psionic_margin: None,
        other_margin: None,
    });
    let (strength, basis) = match (parted, logits) {
        (None, _) => (Strength::Strong, Basis::GeneratedTokens),
        // The logits are those of the llama.cpp that ran here, and say nothing of a row that ran elsewhere.
        (Some(_), Some(logits)) if random_weights && other.imported_from.is_none() => {
            let strength = if logits.within_limits { Strength::Strong } else { Strength::Mismatched };
            (strength, Basis::LogitsOverFixedTokens)
        }
        (Some(_), _) => (Strength::Mismatched, Basis::GeneratedTokens),
    };
    Agreement { strength, basis, same_tokens: Some(parted.unwrap_or(shorter)), first_divergence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use psionic_peer::Source;

    fn row(tokens: Option<&[u32]>, count: usize) -> Row {
        Row { generated_tokens: tokens.map(<[u32]>::to_vec), output_tokens: Some(count), ..Row::default() }
    }

    fn logits(mean_kl: f64, relative_rms: f64) -> LogitsAgreement {
        let pair = Pair {
            reference: Source::Llama,
            other: Source::Psionic,
            mean_kl,
            max_kl: mean_kl,
            relative_rms,
            same_best: 1,
            widest_lost_margin: None,
            kl: vec![mean_kl],
        };
        LogitsAgreement::new(1, pair)
    }

    fn judged(
        ours: &Row,
        theirs: &Row,
        random: bool,
        logits: Option<&LogitsAgreement>,
    ) -> (Strength, Basis, Option<usize>) {
        let found = judge(ours, theirs, random, logits);
        (found.strength, found.basis, found.first_divergence.map(|at| at.index))
    }

    #[test]
    fn the_same_tokens_are_strong_and_others_name_the_first() {
        let ours = row(Some(&[1, 2, 3]), 3);
        let token = Basis::GeneratedTokens;
        assert_eq!(judged(&ours, &ours, false, None), (Strength::Strong, token, None));
        let other = row(Some(&[1, 9, 3]), 3);
        assert_eq!(judged(&ours, &other, false, None), (Strength::Mismatched, token, Some(1)));
        // Logits excuse nothing where the weights are trained.
        let near = logits(1e-4, 0.01);
        assert_eq!(judged(&ours, &other, false, Some(&near)), (Strength::Mismatched, token, Some(1)));
        // One that ended sooner parts where it ended.
        assert_eq!(
            judged(&ours, &row(Some(&[1, 2]), 2), false, None),
            (Strength::Mismatched, token, Some(2))
        );
    }

    #[test]
    fn with_random_weights_logits_decide() {
        let (ours, other) = (row(Some(&[1, 2]), 2), row(Some(&[3, 2]), 2));
        let basis = Basis::LogitsOverFixedTokens;
        assert_eq!(
            judged(&ours, &other, true, Some(&logits(1e-4, 0.01))),
            (Strength::Strong, basis, Some(0))
        );
        for far in [logits(3e-3, 0.01), logits(1e-4, 0.06)] {
            assert_eq!(judged(&ours, &other, true, Some(&far)), (Strength::Mismatched, basis, Some(0)));
        }
        assert_eq!(judged(&ours, &other, true, None).0, Strength::Mismatched);
        let imported = Row { imported_from: Some("a.json".to_owned()), ..other };
        assert_eq!(judged(&ours, &imported, true, Some(&logits(1e-4, 0.01))).0, Strength::Mismatched);
    }

    #[test]
    fn tokens_that_are_not_known_match_in_number_at_most() {
        let ours = row(Some(&[1, 2]), 2);
        assert_eq!(
            judged(&ours, &row(None, 2), true, None),
            (Strength::WeakLengthMatchedOnly, Basis::Lengths, None)
        );
        assert_eq!(judged(&ours, &row(None, 3), true, None), (Strength::Mismatched, Basis::Lengths, None));
    }

    #[test]
    fn a_verdict_that_does_not_follow_is_found() {
        let mut forged = logits(0.5, 0.5);
        assert!(forged.is_sound());
        forged.within_limits = true;
        assert!(!forged.is_sound());
        forged = logits(0.5, 0.5);
        forged.limit_mean_kl = 1.0;
        assert!(!forged.is_sound());
    }
}
