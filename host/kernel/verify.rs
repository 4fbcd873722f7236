//! Testing a case: its results against float64, without a meaningful time.

use std::time::{Duration, Instant};

use super::case::Case;
use super::expected::{Mismatch, Worst};
use crate::device::{Device, DeviceError};
use crate::random::Random;

/// Launches of a test: both copies of the inputs, and one of them again, which finds what a launch leaves behind.
const LAUNCHES: [usize; 3] = [0, 1, 0];

/// What a test has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// Outputs of a launch that are compared.
    pub compared: usize,
    /// Where the results come nearest to their bounds; `None` where all outputs are exact.
    pub worst: Option<Worst>,
    /// The first thing that is wrong.
    pub mismatch: Option<Mismatch>,
    /// How long it took: inputs, launches and float64.
    pub time: Duration,
}

/// Launches a case a few times and holds each result against float64.
///
/// # Errors
/// When the device fails, or the simulator finds a fault in the kernel.
pub fn test(device: &Device, case: &Case, seed: u64) -> Result<Tested, DeviceError> {
    let start = Instant::now();
    let mut inputs = case.prepare(device, 2, &mut Random::new(seed))?;
    let (mut compared, mut worst, mut mismatch) = (0, None::<Worst>, None);
    for copy in LAUNCHES {
        let found = inputs.run(copy)?;
        let expected = inputs.expected(copy, &found);
        compared = expected.compared();
        let worse = |&new: &Worst| worst.is_none_or(|worst| new.share() > worst.share());
        worst = expected.worst(&found).filter(worse).or(worst);
        mismatch = mismatch.or(expected.check(&found).err());
    }
    Ok(Tested { compared, worst, mismatch, time: start.elapsed() })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::cell::Cell;

    use super::*;
    use crate::device::{self, BackendChoice};
    use crate::kernel::{Expected, Outputs, Prepared};

    /// A kernel that gives 1, 2 or 3 by how often it was launched.
    struct Counts {
        launches: Cell<usize>,
        expected: [Expected; 2],
    }

    impl Prepared for Counts {
        fn reset(&mut self, _: usize) -> Result<(), DeviceError> {
            Ok(())
        }

        fn launch(&self, _: usize) -> Result<(), DeviceError> {
            self.launches.set(self.launches.get() + 1);
            Ok(())
        }

        fn outputs(&self, _: usize) -> Result<Outputs, DeviceError> {
            Ok(Outputs { floats: vec![self.launches.get() as f32], words: Vec::new() })
        }

        fn expected(&self, copy: usize, _: &Outputs) -> Cow<'_, Expected> {
            Cow::Borrowed(&self.expected[copy])
        }
    }

    /// Of a first copy with this value and bound, and a second one with another.
    fn tested(first: (f64, f64), second: (f64, f64)) -> Tested {
        let case = Case::new("counts", "one", String::new(), 4, move |_, _, _| {
            let expected = [Expected::of([first]), Expected::of([second])];
            Ok(Box::new(Counts { launches: Cell::new(0), expected }))
        });
        test(&device::open(BackendChoice::Sim).unwrap(), &case, 0).unwrap()
    }

    #[test]
    fn a_right_result_passes_with_its_largest_error() {
        let right = tested((2.0, 2.0), (2.0, 0.0));
        assert_eq!((right.compared, right.mismatch), (1, None));
        assert_eq!(right.worst, Some(Worst { index: 0, error: 1.0, bound: 2.0 }));
    }

    #[test]
    fn a_wrong_result_of_any_launch_is_found_and_the_first_one_is_told() {
        let off = |found, value, bound| Some(Mismatch::Off { index: 0, found, value, bound });
        assert_eq!(tested((1.5, 1.0), (2.0, 0.0)).mismatch, off(3.0, 1.5, 1.0));
        assert_eq!(tested((2.0, 1.0), (4.0, 1.0)).mismatch, off(2.0, 4.0, 1.0));
        assert_eq!(tested((9.0, 1.0), (9.0, 1.0)).mismatch, off(1.0, 9.0, 1.0));
        assert_eq!(tested((9.0, 1.0), (9.0, 1.0)).worst.unwrap().error, 8.0);
    }
}
