//! The spread of some measurements.

use serde::Serialize;

/// Where measurements lie: quantiles, interpolated between the two nearest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle.
    #[serde(rename = "median_ns")]
    pub median: f64,
    /// The least.
    #[serde(rename = "min_ns")]
    pub min: f64,
    /// A tenth is below.
    #[serde(rename = "p10_ns")]
    pub p10: f64,
    /// A tenth is above.
    #[serde(rename = "p90_ns")]
    pub p90: f64,
}

impl Spread {
    /// That of `values`; zeros of no values.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let place = share * sorted.len().saturating_sub(1) as f64;
            let at = |index: usize| sorted.get(index).or(sorted.last()).copied().unwrap_or(0.0);
            let (below, above) = (at(place as usize), at(place as usize + 1));
            below + place.fract() * (above - below)
        };
        Self { median: quantile(0.5), min: quantile(0.0), p10: quantile(0.1), p90: quantile(0.9) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_nearest_values() {
        let values: Vec<f64> = (0..=20).rev().map(f64::from).collect();
        assert_eq!(Spread::of(&values), Spread { median: 10.0, min: 0.0, p10: 2.0, p90: 18.0 });
        assert_eq!(Spread::of(&[4.0, 1.0]), Spread { median: 2.5, min: 1.0, p10: 1.3, p90: 3.7 });
    }

    #[test]
    fn one_value_is_everywhere_and_none_is_zero() {
        assert_eq!(Spread::of(&[3.0]), Spread { median: 3.0, min: 3.0, p10: 3.0, p90: 3.0 });
        assert_eq!(Spread::of(&[]).median, 0.0);
    }
}
