//! What 8-bit activations stand for, from their documentation alone: 32 share a scale, `max|x| / 127`.

use psionic_kernels::rms_norm;

use super::stored::to_f64;

/// Further from the middle between two codes than any rounding of `f32` moves a number: `127 * 8 * 2^-24`.
const UNDECIDED: f64 = 1e-4;

/// Activations, rounded to their codes.
#[derive(Debug, Clone)]
pub struct Activations {
    /// As they were given.
    pub exact: Vec<f64>,
    /// What their codes stand for.
    pub rounded: Vec<f64>,
    /// The step between two codes.
    step: Vec<f64>,
    /// The step where `f32` may round to the other neighbour, otherwise 0.
    undecided: Vec<f64>,
}

impl Activations {
    /// Those of `x`, normalised if there are weights for that.
    pub fn new(x: &[f32], norm: Option<&[f32]>, eps: f32) -> Self {
        let x = to_f64(x);
        let exact = norm.map_or_else(|| x.clone(), |norm| rms_norm::reference(&x, &to_f64(norm), eps.into()));
        let (mut rounded, mut step, mut undecided) = (Vec::new(), Vec::new(), Vec::new());
        for group in exact.chunks(32) {
            let scale = group.iter().fold(0.0, |largest: f64, v| largest.max(v.abs())) / 127.0;
            for v in group {
                let code = if scale > 0.0 { v / scale } else { 0.0 };
                rounded.push(code.round_ties_even() * scale);
                step.push(scale);
                let near = (code - code.floor() - 0.5).abs() < UNDECIDED;
                undecided.push(if near { scale } else { 0.0 });
            }
        }
        Self { exact, rounded, step, undecided }
    }

    /// Whether `f32` rounds every one of them as float64 does.
    pub fn is_decided(&self) -> bool {
        self.undecided.iter().all(|step| *step == 0.0)
    }

    /// How far `f32` may be from the dot product of a row with the rounded activations.
    ///
    /// Sums of codes are exact. What is rounded, to 2^-24 each, are the norm (2^-23 for a GPU's root), the scale, and
    /// some ten products and sums on the way to the result, whose errors do not add up but walk.
    pub fn bound(&self, row: &[f64]) -> f64 {
        let terms = row.iter().zip(&self.rounded).zip(&self.undecided);
        terms.map(|((w, x), other)| w.abs() * (1e-6 * x.abs() + other)).sum::<f64>() + 1e-30
    }

    /// How far the dot product with the rounded activations may be from that with the exact ones: six deviations of
    /// a sum of errors that are even over a step, `step^2 / 12` each.
    pub fn rounding_bound(&self, row: &[f64]) -> f64 {
        let variance: f64 = row.iter().zip(&self.step).map(|(w, step)| (w * step).powi(2) / 12.0).sum();
        6.0 * variance.sqrt()
    }
}
