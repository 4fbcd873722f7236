//! Random blocks whose weights have a wanted standard deviation, written as they are stored: nothing is quantised.

use crate::quant::QuantType;
use half::f16;

/// E[g²] of a scale's factor g, even between 0.75 and 1.25.
const FACTOR_SQUARE: f64 = 1.0208;

/// Fills whole blocks with weights around zero of the standard deviation `std`; F32, the norms' format, around one.
pub(super) fn fill(kind: QuantType, std: f64, random: &mut Random, bytes: &mut [u8]) {
    match kind {
        QuantType::F32 => {
            for weight in bytes.chunks_exact_mut(4) {
                weight.copy_from_slice(&(1.0 + 0.1 * random.normal()).to_le_bytes());
            }
        }
        QuantType::Q4K => bytes.chunks_exact_mut(144).for_each(|block| q4_k(std, random, block)),
        QuantType::Q6K => bytes.chunks_exact_mut(210).for_each(|block| q6_k(std, random, block)),
        QuantType::F16 | QuantType::Q8_0 => unreachable!("no synthetic tensor has the format {kind}"),
    }
}

/// Scales from 32 to 63, minima near them, and `dmin = 7.5 d`, so that the mean of a sub-block is about zero.
fn q4_k(std: f64, random: &mut Random, block: &mut [u8]) {
    // var(w) / d² = E[scale²] var(code) + 7.5² var(minimum - scale)
    let unit = ((2336.5 * 21.25 + 7.5 * 7.5 * 2.0) * FACTOR_SQUARE).sqrt();
    let d = random.factor() * (std / unit) as f32;
    block[..2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    block[2..4].copy_from_slice(&f16::from_f32(d * 7.5).to_le_bytes());
    let scales = random.next().to_le_bytes().map(|byte| 32 + (byte & 31));
    let mut minima = random.next().to_le_bytes();
    for (minimum, scale) in minima.iter_mut().zip(scales) {
        *minimum = (scale + *minimum % 5 - 2).min(63);
    }
    for i in 0..4 {
        block[4 + i] = scales[i] | (scales[i + 4] >> 4 << 6);
        block[8 + i] = minima[i] | (minima[i + 4] >> 4 << 6);
        block[12 + i] = (scales[i + 4] & 15) | ((minima[i + 4] & 15) << 4);
    }
    random.fill(&mut block[16..]);
}

/// Scales from 64 to 127 of either sign.
fn q6_k(std: f64, random: &mut Random, block: &mut [u8]) {
    // var(w) / d² = E[scale²] E[(code - 32)²]
    let unit = (9461.5 * (341.25 + 0.25) * FACTOR_SQUARE).sqrt();
    let (codes, rest) = block.split_at_mut(192);
    random.fill(codes);
    random.fill(&mut rest[..16]);
    for scale in &mut rest[..16] {
        let size = (64 + (*scale & 63)) as i8;
        *scale = if *scale & 128 == 0 { size } else { -size } as u8;
    }
    rest[16..].copy_from_slice(&f16::from_f32(random.factor() * (std / unit) as f32).to_le_bytes());
}

/// The numbers that blocks are made of: a seed makes the same file everywhere.
pub(super) struct Random(crate::random::Random);

impl Random {
    /// The stream of one chunk of one tensor, so that the bytes do not depend on which thread makes them.
    pub fn new(seed: u64, tensor: usize, chunk: usize) -> Self {
        let mut stream = crate::random::Random::new(seed);
        for part in [tensor, chunk] {
            stream = crate::random::Random::new(stream.bits() ^ part as u64);
        }
        Self(crate::random::Random::new(stream.bits()))
    }

    fn next(&mut self) -> u64 {
        self.0.bits()
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    /// Even between 0 and 1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// What a block's scale is multiplied by.
    fn factor(&mut self) -> f32 {
        0.75 + 0.5 * self.unit()
    }

    /// About normal: a sum of twelve even numbers needs no function whose last bit differs between machines.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}
