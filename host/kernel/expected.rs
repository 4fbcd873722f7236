//! What a launch leaves, and what it must be.

/// What a launch has written.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// Numbers, which may be off by a bound.
    pub floats: Vec<f32>,
    /// Everything else, which is exact.
    pub words: Vec<u32>,
}

/// What is expected of an output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// Which of the numbers.
    pub index: usize,
    /// Its value, from float64.
    pub value: f64,
    /// How far off it may be.
    pub bound: f64,
}

/// What is expected of a launch. Every number must be written; of many, a sample is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The numbers that were there before the launch, none of which may be left.
    pub before: Vec<f32>,
    /// Those that are compared.
    pub near: Vec<Near>,
    /// Everything else.
    pub words: Vec<u32>,
}

/// The number that is nearest to its bound, or furthest beyond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worst {
    /// Which of the numbers.
    pub index: usize,
    /// How far it is off.
    pub error: f64,
    /// How far it may be off.
    pub bound: f64,
}

impl Worst {
    /// The error as a share of the bound: nothing above 1 passes.
    pub fn share(&self) -> f64 {
        // Where every bit is given, a right number uses nothing of a bound of nothing.
        if self.error == 0.0 { 0.0 } else { self.error / self.bound }
    }
}

/// How a result is wrong.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// More or fewer outputs than there must be.
    #[error("expected {expected} outputs, found {found}")]
    Count {
        /// As many as there must be.
        expected: usize,
        /// As many as there are.
        found: usize,
    },
    /// An output is what it was before the launch.
    #[error("output {index} was not written")]
    Unwritten {
        /// Which one.
        index: usize,
    },
    /// A number is off by more than its bound.
    #[error("output {index} is {found}, expected {value} ± {bound:e}")]
    Off {
        /// Which one.
        index: usize,
        /// What it is.
        found: f32,
        /// What float64 gives.
        value: f64,
        /// How far off it may be.
        bound: f64,
    },
    /// Something exact is something else.
    #[error("word {index} is {found:#x}, expected {expected:#x}")]
    Word {
        /// Which one.
        index: usize,
        /// What it is.
        found: u32,
        /// What it must be.
        expected: u32,
    },
}

impl Expected {
    /// That every number is written and near its value, and nothing else is.
    pub fn of(values: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let near: Vec<Near> = values
            .into_iter()
            .enumerate()
            .map(|(index, (value, bound))| Near { index, value, bound })
            .collect();
        Self { before: vec![f32::NAN; near.len()], near, words: Vec::new() }
    }

    /// That these words are written.
    pub fn exactly(words: Vec<u32>) -> Self {
        Self { before: Vec::new(), near: Vec::new(), words }
    }

    /// Holds a result against this.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, found: &Outputs) -> Result<(), Mismatch> {
        for (expected, found) in
            [(self.before.len(), found.floats.len()), (self.words.len(), found.words.len())]
        {
            if expected != found {
                return Err(Mismatch::Count { expected, found });
            }
        }
        let same = |(before, found): (&f32, &f32)| before.to_bits() == found.to_bits();
        if let Some(index) = self.before.iter().zip(&found.floats).position(same) {
            return Err(Mismatch::Unwritten { index });
        }
        for &Near { index, value, bound } in &self.near {
            let found = found.floats[index];
            // A number that is none is not near anything.
            if (f64::from(found) - value).abs() <= bound {
                continue;
            }
            return Err(Mismatch::Off { index, found, value, bound });
        }
        for (index, (&expected, &found)) in self.words.iter().zip(&found.words).enumerate() {
            if expected != found {
                return Err(Mismatch::Word { index, found, expected });
            }
        }
        Ok(())
    }

    /// Where a result comes nearest to its bound; `None` where no numbers are compared, or too few were found.
    pub fn worst(&self, found: &Outputs) -> Option<Worst> {
        let worst = |&Near { index, value, bound }: &Near| {
            let error = (f64::from(*found.floats.get(index)?) - value).abs();
            // What is no number is as far off as can be.
            Some(Worst { index, error: if error.is_nan() { f64::INFINITY } else { error }, bound })
        };
        self.near.iter().filter_map(worst).max_by(|a, b| a.share().total_cmp(&b.share()))
    }

    /// How many outputs are compared.
    pub fn compared(&self) -> usize {
        self.near.len() + self.words.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        let mut expected = Expected::of([(1.0, 1e-6), (2.0, 0.0), (-3.0, 0.5)]);
        expected.near.remove(1);
        expected.words = vec![7, 8];
        expected
    }

    fn found(floats: &[f32], words: &[u32]) -> Outputs {
        Outputs { floats: floats.to_vec(), words: words.to_vec() }
    }

    #[test]
    fn what_is_near_and_written_passes() {
        // The second number is not compared.
        assert_eq!(expected().check(&found(&[1.0, 50.0, -3.5], &[7, 8])), Ok(()));
    }

    #[test]
    fn the_worst_number_is_the_one_that_uses_most_of_its_bound() {
        let worst = |floats: &[f32]| expected().worst(&found(floats, &[7, 8])).unwrap();
        // 0.25 of 0.5; the second is not compared.
        assert_eq!(worst(&[1.0, 50.0, -3.25]), Worst { index: 2, error: 0.25, bound: 0.5 });
        assert_eq!(worst(&[1.0, 50.0, -3.25]).share(), 0.5);
        assert_eq!(worst(&[f32::NAN, 2.0, -3.0]).index, 0);
        assert_eq!(worst(&[f32::NAN, 2.0, -3.0]).share(), f64::INFINITY);
        let exact = Expected::of([(2.0, 0.0)]);
        assert_eq!(exact.worst(&found(&[2.0], &[])).unwrap().share(), 0.0);
        assert_eq!(exact.worst(&found(&[2.5], &[])).unwrap().share(), f64::INFINITY);
        assert_eq!(Expected::exactly(vec![1]).worst(&found(&[], &[1])), None);
        assert_eq!((expected().compared(), exact.compared()), (4, 1));
    }

    #[test]
    fn what_is_wrong_is_refused_and_named() {
        let check = |floats: &[f32], words: &[u32]| expected().check(&found(floats, words)).unwrap_err();
        let off = |index, found, value, bound| Mismatch::Off { index, found, value, bound };
        assert_eq!(check(&[1.00001, 2.0, -3.0], &[7, 8]), off(0, 1.00001, 1.0, 1e-6));
        assert_eq!(check(&[1.0, 2.0, f32::INFINITY], &[7, 8]), off(2, f32::INFINITY, -3.0, 0.5));
        assert!(matches!(check(&[1.0, 2.0, -f32::NAN], &[7, 8]), Mismatch::Off { index: 2, .. }));
        assert_eq!(check(&[1.0, f32::NAN, -3.0], &[7, 8]), Mismatch::Unwritten { index: 1 });
        assert_eq!(check(&[1.0, 2.0, -3.0], &[7, 9]), Mismatch::Word { index: 1, found: 9, expected: 8 });
        assert_eq!(check(&[1.0, 2.0], &[7, 8]), Mismatch::Count { expected: 3, found: 2 });
        assert_eq!(check(&[1.0, 2.0, -3.0], &[]), Mismatch::Count { expected: 2, found: 0 });
    }
}
