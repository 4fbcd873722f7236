//! Where the time of a token goes, as recorded by the thread blocks of a decode themselves.

mod record;
mod times;

pub use record::{PhaseRecord, ProfileRecord};
pub use times::{PhaseTimes, TokenTimes};

use super::run::tokens;
use crate::decode::{DecodeError, Decoder, EngineKind, Timeline};

/// Tokens that are generated at once, of which the last is profiled: by then nothing is as at the launch's start.
pub const PROFILED_TOKENS: usize = 32;

/// One of several profiles, and how long the token took in each of them.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The one of the median time; the faster of two.
    pub timeline: Timeline,
    /// Each profile's time of the token, in nanoseconds, in the order of the profiles.
    pub samples: Vec<f64>,
}

impl Profile {
    /// Positions that a profile behind `depth` tokens needs. Saturates, so that an absurd depth is refused for its size.
    pub fn positions(depth: usize) -> usize {
        depth.saturating_add(1 + PROFILED_TOKENS)
    }

    /// The one of the median time; none of none.
    pub fn median(timelines: Vec<Timeline>) -> Option<Self> {
        let samples: Vec<f64> = timelines.iter().map(|timeline| TokenTimes::of(timeline).ns).collect();
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by(|a, b| samples[*a].total_cmp(&samples[*b]));
        let median = *order.get(order.len().saturating_sub(1) / 2)?;
        let timeline = timelines.into_iter().nth(median)?;
        Some(Self { timeline, samples })
    }
}

/// Profiles the last of [`PROFILED_TOKENS`] tokens `warmup` times and then `repetitions` times, of which the median is
/// kept. Each generation starts behind `depth` tokens and one, as a [workload](super::Workload)'s does. None where the
/// engine keeps no times.
///
/// # Errors
/// When decoding fails.
pub fn profile(
    decoder: &mut Decoder,
    depth: usize,
    warmup: usize,
    repetitions: usize,
) -> Result<Option<Profile>, DecodeError> {
    if decoder.engine() == EngineKind::Graph {
        return Ok(None);
    }
    let before = tokens(0, depth + 1, decoder.config().vocab);
    decoder.reset();
    decoder.feed(&before)?;
    let mut timelines = Vec::with_capacity(repetitions);
    for i in 0..warmup + repetitions {
        decoder.truncate(before.len());
        let timeline = decoder.profile(PROFILED_TOKENS)?;
        timelines.extend(timeline.filter(|_| i >= warmup));
    }
    Ok(Profile::median(timelines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Step;

    /// A token of one step that lasts so long.
    fn timeline(ns: u64) -> Timeline {
        let step =
            Step { layer: None, name: "head", weight_bytes: 1, cache_bytes: 0, blocks: vec![[5, 5 + ns]] };
        Timeline { position: 0, steps: vec![step] }
    }

    #[test]
    fn the_profile_of_the_median_time_is_kept() {
        let of = |times: &[u64]| {
            let profile = Profile::median(times.iter().map(|&ns| timeline(ns)).collect())?;
            Some((TokenTimes::of(&profile.timeline).ns, profile.samples))
        };
        assert_eq!(of(&[30, 900, 10]), Some((30.0, vec![30.0, 900.0, 10.0])));
        assert_eq!(of(&[40, 20, 30, 10]).unwrap().0, 20.0);
        assert_eq!(of(&[7]).unwrap().0, 7.0);
        assert_eq!(of(&[]), None);
    }
}
