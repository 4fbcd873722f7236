//! Mean and standard deviation.

/// The mean and the sample standard deviation of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stats {
    /// The arithmetic mean; 0 of no values.
    pub mean: f64,
    /// The sample standard deviation, with n - 1 below the line; 0 of fewer than two values.
    pub std_dev: f64,
}

impl Stats {
    /// Those of `values`.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        if values.is_empty() {
            return Self { mean: 0.0, std_dev: 0.0 };
        }
        let mean = values.iter().sum::<f64>() / n;
        // From the deviations, not from the sum of squares: rates of one machine differ in the last digits only.
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std_dev = if values.len() < 2 { 0.0 } else { (squares / (n - 1.0)).sqrt() };
        Self { mean, std_dev }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_are_those_of_the_textbook() {
        let Stats { mean, std_dev } = Stats::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(mean, 5.0);
        assert!((std_dev - (32.0f64 / 7.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn one_value_and_none_have_no_deviation() {
        assert_eq!(Stats::of(&[3.5]), Stats { mean: 3.5, std_dev: 0.0 });
        assert_eq!(Stats::of(&[]), Stats { mean: 0.0, std_dev: 0.0 });
    }

    #[test]
    fn a_small_spread_on_a_large_mean_is_not_lost() {
        let stats = Stats::of(&[1e9, 1e9 + 1.0, 1e9 + 2.0]);
        assert!((stats.std_dev - 1.0).abs() < 1e-9);
    }
}
