//! A timeline's steps by what they compute: how long blocks work, and how long they wait.

use crate::decode::{Step, Timeline};

/// Where the time of a token goes.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenTimes {
    /// From a block's first input to its last result, the mean over blocks, in nanoseconds: the sum over the phases.
    pub ns: f64,
    /// Bytes that the token reads.
    pub bytes: u64,
    /// The kinds of steps, in the order in which a token meets them.
    pub phases: Vec<PhaseTimes>,
}

/// Steps that compute the same thing, in all layers. Times are means over blocks and sums over the steps.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseTimes {
    /// What they compute.
    pub name: &'static str,
    /// How many of them a token has.
    pub steps: usize,
    /// Bytes that they read, of weights and of the cache, over all blocks.
    pub bytes: u64,
    /// From when a block had its input until it had sent its results, in nanoseconds.
    pub work_ns: f64,
    /// From when a block had sent the results of the step before until it had its input, in nanoseconds.
    pub waiting_ns: f64,
}

impl TokenTimes {
    /// Those of a timeline.
    pub fn of(timeline: &Timeline) -> Self {
        let mut phases: Vec<PhaseTimes> = Vec::new();
        let mut before: Option<&Step> = None;
        for step in &timeline.steps {
            let index = phases.iter().position(|phase| phase.name == step.name).unwrap_or_else(|| {
                phases.push(PhaseTimes {
                    name: step.name,
                    steps: 0,
                    bytes: 0,
                    work_ns: 0.0,
                    waiting_ns: 0.0,
                });
                phases.len() - 1
            });
            let phase = &mut phases[index];
            phase.steps += 1;
            phase.bytes += step.weight_bytes + step.cache_bytes;
            phase.work_ns += mean(step.blocks.iter().map(|[ready, sent]| sent.saturating_sub(*ready)));
            phase.waiting_ns += before.map_or(0.0, |before| {
                let blocks = before.blocks.iter().zip(&step.blocks);
                mean(blocks.map(|([_, sent], [ready, _])| ready.saturating_sub(*sent)))
            });
            before = Some(step);
        }
        Self {
            ns: phases.iter().map(PhaseTimes::ns).sum(),
            bytes: phases.iter().map(|phase| phase.bytes).sum(),
            phases,
        }
    }

    /// Bytes over the token's time, in GB/s; none where that says nothing.
    pub fn gb_per_s(&self) -> Option<f64> {
        rate(self.bytes, self.ns)
    }

    /// A phase's share of the token's time, in percent.
    pub fn percent(&self, phase: &PhaseTimes) -> f64 {
        if self.ns > 0.0 { 100.0 * phase.ns() / self.ns } else { 0.0 }
    }
}

impl PhaseTimes {
    /// Work and waiting, in nanoseconds.
    pub fn ns(&self) -> f64 {
        self.work_ns + self.waiting_ns
    }

    /// Bytes over work and waiting, in GB/s; none where that says nothing.
    pub fn gb_per_s(&self) -> Option<f64> {
        rate(self.bytes, self.ns())
    }

    /// Bytes over work alone, in GB/s; none where that says nothing.
    pub fn working_gb_per_s(&self) -> Option<f64> {
        rate(self.bytes, self.work_ns)
    }
}

/// Bytes in a nanosecond are gigabytes in a second.
fn rate(bytes: u64, ns: f64) -> Option<f64> {
    (bytes > 0 && ns > 0.0).then(|| bytes as f64 / ns)
}

/// 0 of no values.
fn mean(values: impl ExactSizeIterator<Item = u64>) -> f64 {
    let count = values.len().max(1);
    values.map(|value| value as f64).sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(
        layer: Option<usize>,
        name: &'static str,
        weight_bytes: u64,
        cache_bytes: u64,
        blocks: [[u64; 2]; 2],
    ) -> Step {
        Step { layer, name, weight_bytes, cache_bytes, blocks: blocks.into() }
    }

    /// Two layers of two phases, a head without waiting for one of two blocks.
    fn timeline() -> Timeline {
        let steps = vec![
            step(Some(0), "query", 1000, 0, [[100, 110], [102, 116]]),
            step(Some(0), "attention", 0, 600, [[110, 130], [116, 128]]),
            step(Some(1), "query", 1400, 0, [[140, 148], [138, 150]]),
            step(Some(1), "attention", 0, 600, [[148, 160], [150, 160]]),
            step(None, "head", 4000, 0, [[160, 200], [170, 202]]),
            step(None, "choice", 0, 0, [[210, 210], [210, 210]]),
        ];
        Timeline { position: 7, steps }
    }

    #[test]
    fn times_are_means_over_blocks_and_sums_over_layers() {
        let times = TokenTimes::of(&timeline());
        let phase =
            |name, steps, bytes, work_ns, waiting_ns| PhaseTimes { name, steps, bytes, work_ns, waiting_ns };
        assert_eq!(
            times.phases,
            [
                // (10 + 14) / 2 and (8 + 12) / 2; nothing and (10 + 10) / 2.
                phase("query", 2, 2400, 12.0 + 10.0, 10.0),
                // (20 + 12) / 2 and (12 + 10) / 2; it begins where the queries end.
                phase("attention", 2, 1200, 16.0 + 11.0, 0.0),
                // (40 + 32) / 2; (0 + 10) / 2.
                phase("head", 1, 4000, 36.0, 5.0),
                // (10 + 8) / 2.
                phase("choice", 1, 0, 0.0, 9.0),
            ]
        );
        // The blocks' own tokens last from 100 to 210 and from 102 to 210.
        assert_eq!((times.ns, times.bytes), (109.0, 7600));
    }

    #[test]
    fn rates_are_of_the_whole_time_and_of_the_work() {
        let times = TokenTimes::of(&timeline());
        let [query, _, head, choice] = &times.phases[..] else { panic!("{times:?}") };
        assert_eq!((query.gb_per_s(), query.working_gb_per_s()), (Some(2400.0 / 32.0), Some(2400.0 / 22.0)));
        assert_eq!((head.gb_per_s(), head.working_gb_per_s()), (Some(4000.0 / 41.0), Some(4000.0 / 36.0)));
        assert_eq!((choice.gb_per_s(), choice.working_gb_per_s()), (None, None));
        assert_eq!(times.gb_per_s(), Some(7600.0 / 109.0));
        let shares: f64 = times.phases.iter().map(|phase| times.percent(phase)).sum();
        assert!((shares - 100.0).abs() < 1e-9, "{shares}");
        assert_eq!(times.percent(head), 100.0 * 41.0 / 109.0);
    }

    /// A coarse clock may show results before the input of the step after them, and a timeline may be empty.
    #[test]
    fn times_that_run_backwards_and_no_times_are_nothing() {
        let steps = vec![
            step(Some(0), "query", 8, 0, [[10, 20], [10, 20]]),
            step(Some(0), "output", 8, 0, [[19, 19], [19, 18]]),
        ];
        let times = TokenTimes::of(&Timeline { position: 0, steps });
        assert_eq!((times.ns, times.phases[1].ns(), times.phases[1].gb_per_s()), (10.0, 0.0, None));
        let none = TokenTimes::of(&Timeline { position: 0, steps: Vec::new() });
        assert_eq!((none.ns, none.bytes, none.gb_per_s()), (0.0, 0, None));
    }
}
