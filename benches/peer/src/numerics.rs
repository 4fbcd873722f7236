//! How far two engines' logits are apart.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// Whose logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The program as it is used.
    Psionic,
    /// Psionic with `--activations float`, which is the nearest to exact.
    PsionicFloat,
    /// The comparator.
    Llama,
}

/// How far the logits of `other` are from those of `reference`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// What is compared with.
    pub reference: Source,
    /// What is compared.
    pub other: Source,
    /// Mean of `kl`.
    pub mean_kl: f64,
    /// The largest of `kl`.
    pub max_kl: f64,
    /// Root of the mean square of the differences, over the standard deviation of the reference's logits.
    pub relative_rms: f64,
    /// Positions with the same best token.
    pub same_best: usize,
    /// The largest margin between the reference's two best logits where the best token is another.
    pub widest_lost_margin: Option<f64>,
    /// KL(reference ‖ other) at each position, in nats.
    pub kl: Vec<f64>,
}

/// Where the two part. Each margin is an engine's own: the logit of its choice minus that of the other's.
#[derive(Debug, Serialize, Deserialize)]
pub struct Divergence {
    /// Psionic's choice.
    pub psionic_id: u32,
    /// llama.cpp's.
    pub llama_id: u32,
    /// Psionic's margin for its own.
    pub psionic_margin: f64,
    /// llama.cpp's for its own.
    pub llama_margin: f64,
    /// How far apart the two engines' logits are there, over the standard deviation of llama.cpp's.
    pub relative_rms: f64,
}

/// A file of logits: 32-bit floats in little-endian order, a row for each position.
pub struct Rows {
    path: PathBuf,
    file: BufReader<File>,
    vocab: usize,
}

impl Rows {
    /// Opens a file that must have this many rows of this length.
    ///
    /// # Errors
    /// When it cannot be read or is of another size.
    pub fn open(path: &Path, positions: usize, vocab: usize) -> Result<Self, Failure> {
        let failed = |error| Failure(format!("{} cannot be read: {error}", path.display()));
        let file = File::open(path).map_err(failed)?;
        let (found, expected) = (file.metadata().map_err(failed)?.len(), 4 * (positions * vocab) as u64);
        if found != expected {
            return Err(Failure(format!(
                "expected {positions} × {vocab} logits in {}, {expected} bytes, found {found}",
                path.display()
            )));
        }
        Ok(Self { path: path.to_owned(), file: BufReader::new(file), vocab })
    }

    /// The next row.
    ///
    /// # Errors
    /// When it cannot be read or holds other than numbers.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not stop at the first failure")]
    pub fn next(&mut self) -> Result<Row, Failure> {
        let mut bytes = vec![0; 4 * self.vocab];
        let failed = |error| Failure(format!("{} cannot be read: {error}", self.path.display()));
        self.file.read_exact(&mut bytes).map_err(failed)?;
        let (values, _) = bytes.as_chunks();
        let logits: Vec<f64> = values.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(Failure(format!("expected finite logits in {}, found others", self.path.display())));
        }
        Ok(Row::new(logits))
    }
}

/// One position's logits.
pub struct Row {
    logits: Vec<f64>,
    /// The logarithm of the sum of their exponentials.
    log_sum_exp: f64,
    /// The token with the largest logit, the lowest id on ties.
    best: usize,
}

impl Row {
    /// From logits.
    pub fn new(logits: Vec<f64>) -> Self {
        let best = (0..logits.len()).rev().max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap_or(0);
        let largest = logits.get(best).copied().unwrap_or(0.0);
        let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        Self { logits, log_sum_exp: largest + sum.ln(), best }
    }

    /// The Kullback-Leibler divergence KL(self ‖ other) of the distributions, in nats.
    fn kl(&self, other: &Self) -> f64 {
        let terms = self.logits.iter().zip(&other.logits).map(|(a, b)| {
            let (p, q) = (a - self.log_sum_exp, b - other.log_sum_exp);
            p.exp() * (p - q)
        });
        // Rounding may leave a little less than nothing.
        terms.sum::<f64>().max(0.0)
    }

    /// How far the best logit is above the second.
    fn margin(&self) -> f64 {
        let others = self.logits.iter().enumerate().filter(|(id, _)| *id != self.best);
        self.logits[self.best] - others.map(|(_, logit)| *logit).fold(f64::NEG_INFINITY, f64::max)
    }

    /// The sum of the squared distances from the mean.
    fn squares(&self) -> f64 {
        let mean = self.logits.iter().sum::<f64>() / self.logits.len() as f64;
        self.logits.iter().map(|logit| (logit - mean).powi(2)).sum()
    }

    /// The sum of the squared differences.
    fn distance(&self, other: &Self) -> f64 {
        self.logits.iter().zip(&other.logits).map(|(a, b)| (a - b).powi(2)).sum()
    }
}

/// The statistics of a pair, row by row.
pub struct Tally {
    pair: Pair,
    distance: f64,
    squares: f64,
}

impl Tally {
    /// Of nothing yet.
    pub fn new(reference: Source, other: Source) -> Self {
        let pair = Pair {
            reference,
            other,
            mean_kl: 0.0,
            max_kl: 0.0,
            relative_rms: 0.0,
            same_best: 0,
            widest_lost_margin: None,
            kl: Vec::new(),
        };
        Self { pair, distance: 0.0, squares: 0.0 }
    }

    /// One position more.
    pub fn add(&mut self, reference: &Row, other: &Row) {
        self.pair.kl.push(reference.kl(other));
        self.distance += reference.distance(other);
        self.squares += reference.squares();
        if reference.best == other.best {
            self.pair.same_best += 1;
        } else {
            let widest = self.pair.widest_lost_margin.unwrap_or(0.0).max(reference.margin());
            self.pair.widest_lost_margin = Some(widest);
        }
    }

    /// The statistics of all of them.
    pub fn finish(mut self) -> Pair {
        let kl = &self.pair.kl;
        self.pair.mean_kl = kl.iter().sum::<f64>() / kl.len().max(1) as f64;
        self.pair.max_kl = kl.iter().copied().fold(0.0, f64::max);
        self.pair.relative_rms = (self.distance / self.squares).sqrt();
        self.pair
    }
}

/// Where two lists of ids part: at the first that differs. Where one is the beginning of the other they do not.
pub fn first_difference(a: &[u32], b: &[u32]) -> Option<usize> {
    a.iter().zip(b).position(|(a, b)| a != b)
}

/// What the engines thought where they parted.
pub fn divergence(psionic: (u32, &Row), llama: (u32, &Row)) -> Divergence {
    let margin = |row: &Row, own: u32, other: u32| row.logits[own as usize] - row.logits[other as usize];
    let ((psionic_id, ours), (llama_id, theirs)) = (psionic, llama);
    Divergence {
        psionic_id,
        llama_id,
        psionic_margin: margin(ours, psionic_id, llama_id),
        llama_margin: margin(theirs, llama_id, psionic_id),
        relative_rms: (theirs.distance(ours) / theirs.squares()).sqrt(),
    }
}

/// Token ids, the same for the same seed.
pub fn token_ids(seed: u64, count: usize, vocab: usize) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..count).map(|_| (next() % vocab as u64) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-12
    }

    #[test]
    fn divergence_is_that_of_the_definition() {
        // Probabilities 1/2, 1/2 against 1/4, 3/4; a constant in all logits changes nothing.
        let even = Row::new(vec![1000.0, 1000.0]);
        let uneven = Row::new(vec![0.0, 3f64.ln()]);
        let expected = 0.5 * (0.5f64 / 0.25).ln() + 0.5 * (0.5f64 / 0.75).ln();
        assert!(near(even.kl(&uneven), expected));
        let other_way = 0.25 * (0.25f64 / 0.5).ln() + 0.75 * (0.75f64 / 0.5).ln();
        assert!(near(uneven.kl(&even), other_way));
        assert_eq!(even.kl(&even), 0.0);
    }

    #[test]
    fn the_best_token_is_the_first_of_the_largest_and_its_margin_that_to_the_next() {
        let row = Row::new(vec![1.0, 4.0, 2.5, 4.0]);
        assert_eq!((row.best, row.margin()), (1, 0.0));
        assert_eq!(Row::new(vec![1.0, 4.0, 2.5]).margin(), 1.5);
    }

    #[test]
    fn a_tally_counts_agreement_and_the_widest_margin_that_was_lost() {
        let mut tally = Tally::new(Source::Llama, Source::Psionic);
        let rows = [([0.0, 2.0], [0.0, 2.0]), ([0.0, 0.5], [0.5, 0.0]), ([3.0, 1.0], [0.0, 1.0])];
        for (reference, other) in rows {
            tally.add(&Row::new(reference.to_vec()), &Row::new(other.to_vec()));
        }
        let pair = tally.finish();
        assert_eq!((pair.same_best, pair.widest_lost_margin, pair.kl.len()), (1, Some(2.0), 3));
        assert!(near(pair.mean_kl, pair.kl.iter().sum::<f64>() / 3.0));
        assert!(pair.kl[0] == 0.0 && pair.max_kl == pair.kl[2]);
        // Squares of differences 0, 0.5 and 9; of the distances from the mean 2, 0.125 and 2.
        assert!(near(pair.relative_rms, (9.5f64 / 4.125).sqrt()));
    }

    #[test]
    fn ids_part_where_they_differ_and_not_where_one_ends() {
        assert_eq!(first_difference(&[1, 2, 3], &[1, 4, 3]), Some(1));
        assert_eq!(first_difference(&[1, 2, 3], &[1, 2]), None);
        assert_eq!(first_difference(&[], &[1]), None);
        let (ours, theirs) = (Row::new(vec![0.0, 1.0, 0.75]), Row::new(vec![0.0, 1.0, 1.5]));
        let found = divergence((1, &ours), (2, &theirs));
        assert_eq!((found.psionic_margin, found.llama_margin), (0.25, 0.5));
    }

    #[test]
    fn token_ids_are_of_the_vocabulary_and_follow_from_the_seed() {
        let ids = token_ids(1, 1000, 300);
        assert!(ids.iter().all(|id| *id < 300) && ids.iter().any(|id| *id > 250));
        assert_eq!(ids[..10], token_ids(1, 10, 300));
        assert_ne!(ids, token_ids(2, 1000, 300));
    }

    #[test]
    fn a_file_of_another_size_and_logits_that_are_no_numbers_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logits.f32");
        let bytes: Vec<u8> = [1f32, 2.0, 3.0, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(&path, bytes).unwrap();
        assert!(Rows::open(&path, 3, 2).err().unwrap().0.contains("expected 3 × 2 logits"));
        let mut rows = Rows::open(&path, 2, 2).unwrap();
        assert_eq!(rows.next().unwrap().logits, [1.0, 2.0]);
        assert!(rows.next().err().unwrap().0.contains("expected finite logits"));
    }
}
