//! Timing a workload.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::workload::{Phase, Workload};
use crate::decode::{DecodeError, Decoder};

/// What each repetition took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples(pub Vec<Duration>);

impl Samples {
    /// In nanoseconds, at least 1.
    pub fn nanoseconds(&self) -> Vec<u64> {
        self.0.iter().map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)).collect()
    }

    /// As tokens per second, when each repetition did `tokens`.
    pub fn rates(&self, tokens: usize) -> Vec<f64> {
        self.nanoseconds().into_iter().map(|ns| tokens as f64 * 1e9 / ns as f64).collect()
    }
}

/// Runs a workload `warmup` times and then `repetitions` times, which are timed.
///
/// Each repetition starts from an empty sequence and first feeds the workload's depth, untimed. A prompt is timed from
/// its first token until its logits are ready on the device. A generation starts from the logits of a prompt of one
/// token, which is not timed, and is timed until the last chosen token is on the host: every token is chosen on the
/// device, goes through the whole model, and none ends the loop.
///
/// # Errors
/// When decoding fails.
pub fn measure(
    decoder: &mut Decoder,
    workload: &Workload,
    warmup: usize,
    repetitions: usize,
) -> Result<Samples, DecodeError> {
    for _ in 0..warmup {
        once(decoder, workload)?;
    }
    (0..repetitions).map(|_| once(decoder, workload)).collect::<Result<_, _>>().map(Samples)
}

fn once(decoder: &mut Decoder, workload: &Workload) -> Result<Duration, DecodeError> {
    let vocab = decoder.config().vocab;
    decoder.reset();
    if workload.depth > 0 {
        decoder.feed(&tokens(0, workload.depth, vocab))?;
    }
    let start;
    match workload.phase {
        Phase::Prompt(n) => {
            let prompt = tokens(workload.depth, n, vocab);
            start = Instant::now();
            decoder.feed(&prompt)?;
        }
        Phase::Generate(n) => {
            decoder.feed(&tokens(workload.depth, 1, vocab))?;
            start = Instant::now();
            decoder.generate(n, &[], &mut |_| ControlFlow::Continue(()))?;
        }
    }
    Ok(start.elapsed())
}

/// Arbitrary tokens, the same for every run, so that runs do the same work.
pub(super) fn tokens(start: usize, count: usize, vocab: usize) -> Vec<u32> {
    // The multiplier of the golden ratio spreads consecutive positions over the vocabulary.
    let token = |at: usize| ((at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % vocab as u64;
    (start..start + count).map(|at| token(at) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_of_the_vocabulary_and_go_on_where_the_depth_ends() {
        let all = tokens(0, 1000, 300);
        assert!(all.iter().all(|&token| token < 300));
        assert_eq!(all[600..], tokens(600, 400, 300));
    }

    #[test]
    fn a_rate_is_tokens_over_time() {
        let samples = Samples(vec![Duration::from_millis(500), Duration::ZERO]);
        assert_eq!(samples.rates(64), [128.0, 64e9]);
    }
}
