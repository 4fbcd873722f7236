//! How far a kernel's result may be from float64, and why.

use psionic_kernels::swiglu as reference;

use super::activations::Activations;

/// What a result is off by for being added to a number around 1 that was there: one more rounding.
pub const ADDED: f64 = 1e-6;

/// A dot product of a row with floats.
///
/// A lane adds up 64 products a chunk, then its chunks, then the lanes are added: at most 80 roundings of 2^-24 on the
/// way of a product. Their errors walk: 9 of 2^-24, and as much again for a step astray.
pub fn float_dot(row: &[f64], x: &[f64]) -> f64 {
    1e-6 * row.iter().zip(x).map(|(w, x)| (w * x).abs()).sum::<f64>()
}

/// SwiGLU of two dot products with activations in 8-bit codes, `gate · v` and `up · v`.
///
/// SiLU's slope is at most 1.1. It is itself off by a few units, its exponential by 1.5 |g|.
pub fn gate_up(v: &Activations, (gate, g): (&[f64], f64), (up, u): (&[f64], f64)) -> f64 {
    let expected = reference::reference(&[g], &[u])[0];
    let silu = reference::reference(&[g], &[1.0])[0];
    let own = expected.abs() * (8.0 + 1.5 * g.abs()) * 2f64.powi(-23);
    1.1 * v.bound(gate) * (u.abs() + v.bound(up)) + silu.abs() * v.bound(up) + own
}

/// SwiGLU of two floats.
///
/// Some units in the last place, of which the exponential's grow with the gate. A GPU takes numbers below 2^-126 for 0:
/// so is `1 / (1 + e^87)`, and SiLU may be off by 87 times that.
pub fn swiglu(gate: f64, up: f64) -> f64 {
    let expected = reference::reference(&[gate], &[up])[0];
    expected.abs() * (8.0 + 1.5 * gate.abs()) * 2f64.powi(-23) + up.abs() * 88.0 * 2f64.powi(-126)
}

/// RMS norm of `n` numbers by `threads` threads.
///
/// A thread adds up its squares, then the threads are added, and the root halves the error; the rest is a handful of
/// roundings.
pub fn rms_norm(expected: f64, n: usize, threads: u32) -> f64 {
    expected.abs() * (n as f64 / f64::from(threads) / 2.0 + 12.0) * 2f64.powi(-24)
}

/// An element of a key, normalised, turned and stored: half a unit of half precision in the last of 11 bits, half its
/// least number, and what `f32` adds.
pub fn attention_key(expected: f64) -> f64 {
    expected.abs() * 2f64.powi(-11) + 2f64.powi(-25) + 1e-6
}

/// Attention over values of at most `largest`, keys and values as they are stored.
///
/// Scores are below 10, and off by the error of the norm, 2^-22, and their own sum's; exponentials by 2^-22: a weight
/// is off by 3e-6 of itself at most, and the output is a mean of values.
pub fn attention(largest: f64) -> f64 {
    3e-6 * largest
}
