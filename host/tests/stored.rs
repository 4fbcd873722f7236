//! Random matrices in the formats of a file, made of raw blocks: nothing here quantises.

use crate::random::Random;
use half::f16;
use psionic::model::Matrix;
use psionic::quant::{QuantType, dequantize};

/// A matrix as it is stored in a file.
pub struct Stored {
    pub kind: QuantType,
    pub rows: usize,
    pub cols: usize,
    pub data: Vec<u8>,
}

impl Stored {
    /// Any codes and scales, with factors of either sign that give the weights about the deviation `std`.
    pub fn random(kind: QuantType, (rows, cols): (usize, usize), std: f32, random: &mut Random) -> Self {
        let mut data = random.bytes(rows * kind.row_bytes(cols).expect("whole blocks"));
        let mut factor = |std: f32| {
            let sign = if random.bits() & 1 == 0 { 1.0 } else { -1.0 };
            sign * std * (1.0 + 0.5 * random.signed())
        };
        let half = |value: f32| f16::from_f32(value).to_le_bytes();
        for block in data.chunks_exact_mut(kind.block_bytes()) {
            match kind {
                QuantType::F32 => block.copy_from_slice(&factor(std).to_le_bytes()),
                QuantType::F16 => block.copy_from_slice(&half(factor(std))),
                QuantType::Q8_0 => block[..2].copy_from_slice(&half(factor(std / 74.0))),
                QuantType::Q4K => {
                    // The offset is that of the middle code, as it is in weights that were quantised.
                    let d = factor(std / 300.0);
                    block[..2].copy_from_slice(&half(d));
                    block[2..4].copy_from_slice(&half(7.5 * d));
                }
                QuantType::Q6K => block[208..].copy_from_slice(&half(factor(std / 1370.0))),
            }
        }
        Self { kind, rows, cols, data }
    }

    pub fn view(&self) -> Matrix<'_> {
        Matrix { name: "random", kind: self.kind, rows: self.rows, cols: self.cols, data: &self.data }
    }

    pub fn weights(&self) -> Vec<f32> {
        weights(&self.view())
    }
}

/// A matrix's weights, row by row.
pub fn weights(m: &Matrix<'_>) -> Vec<f32> {
    let mut weights = vec![0.0; m.rows * m.cols];
    dequantize(m.kind, m.data, &mut weights);
    weights
}

pub fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}
