//! Random matrices in the formats of a file, made of raw blocks: nothing here quantises.

use half::f16;

use crate::model::Matrix;
use crate::quant::{QuantType, dequantize};
use crate::random::Random;

/// A matrix as it is stored in a file.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its format.
    pub kind: QuantType,
    /// Outputs.
    pub rows: usize,
    /// Inputs: whole blocks of the format.
    pub cols: usize,
    /// Its rows, one after the other.
    pub data: Vec<u8>,
}

impl Stored {
    /// Any codes and scales, with factors of either sign that give the weights about the deviation `std`.
    ///
    /// # Panics
    /// When `cols` are not whole blocks of the format.
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

    /// As a model's matrix.
    pub fn view(&self) -> Matrix<'_> {
        Matrix { name: "random", kind: self.kind, rows: self.rows, cols: self.cols, data: &self.data }
    }

    /// All weights, row by row.
    pub fn weights(&self) -> Vec<f32> {
        weights(&self.view())
    }

    /// The weights of one row.
    pub fn row(&self, row: usize) -> Vec<f64> {
        let bytes = self.data.len() / self.rows;
        let mut weights = vec![0.0; self.cols];
        dequantize(self.kind, &self.data[row * bytes..][..bytes], &mut weights);
        to_f64(&weights)
    }
}

/// A matrix's weights, row by row.
pub fn weights(m: &Matrix<'_>) -> Vec<f32> {
    let mut weights = vec![0.0; m.rows * m.cols];
    dequantize(m.kind, m.data, &mut weights);
    weights
}

/// The same numbers, wider.
pub fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}
