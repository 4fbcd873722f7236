//! Whether weights are numbers, as those of an undamaged file are.

use super::QuantType;

/// Whether every weight of `data`, which is whole blocks, is finite. A quantised block's codes are integers, so only its
/// half-precision scales are looked at.
pub fn is_finite(kind: QuantType, data: &[u8]) -> bool {
    let scales: &[usize] = match kind {
        QuantType::F32 => {
            let mut weights = data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            return weights.all(f32::is_finite);
        }
        QuantType::F16 | QuantType::Q8_0 => &[0],
        QuantType::Q4K => &[0, 2],
        QuantType::Q6K => &[208],
    };
    // Infinities and what is no number have all bits of the exponent.
    let finite = |block: &[u8], at: usize| block[at + 1] & 0x7c != 0x7c;
    data.chunks_exact(kind.block_bytes()).all(|block| scales.iter().all(|at| finite(block, *at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::dequantize;
    use crate::random::Random;

    /// Of any bits: also with a code of zero an infinite scale makes a weight that is no number.
    #[test]
    fn it_is_what_the_weights_are() {
        let mut random = Random::new(96);
        for kind in QuantType::ALL {
            let mut seen = [0; 2];
            for _ in 0..4096 {
                let block = random.bytes(kind.block_bytes());
                let mut weights = vec![0.0; kind.block_len()];
                dequantize(kind, &block, &mut weights);
                let finite = weights.iter().all(|weight| weight.is_finite());
                assert_eq!(is_finite(kind, &block), finite, "{kind:?} {block:?}");
                seen[usize::from(finite)] += 1;
            }
            assert!(seen.iter().all(|count| *count > 0), "{kind:?}: {seen:?}");
        }
    }
}
