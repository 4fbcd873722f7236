//! The records of a case, measured or tested: flat, so that a line of CSV holds one.

use serde::Serialize;

use super::case::Case;
use super::measure::Measured;
use super::memory::Ceiling;
use super::shapes::Shapes;
use super::spread::Spread;
use super::verify::Tested;
use crate::device::{DeviceError, DeviceInfo};
use crate::environment::{Environment, now};

/// How every record of a case begins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordHead {
    /// The program and the device.
    #[serde(flatten)]
    pub environment: Environment,
    /// When the measurement or test ended, in UTC.
    pub test_time: String,
    /// The kernel.
    pub kernel: &'static str,
    /// What the shape is for.
    pub case: String,
    /// The model's size that it is of.
    pub size: &'static str,
    /// The shape.
    pub shape: String,
}

impl RecordHead {
    /// That of a case that has just been run.
    fn of(case: &Case, shapes: &Shapes, device: &DeviceInfo) -> Self {
        Self {
            environment: Environment::of(device),
            test_time: now(),
            kernel: case.kernel,
            case: case.name.clone(),
            size: shapes.size,
            shape: case.shape.clone(),
        }
    }
}

/// What a case gave. On the simulator times are the host's, and there are no rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelRecord {
    /// What was run, and where.
    #[serde(flatten)]
    pub head: RecordHead,
    /// Bytes that a launch must move.
    pub bytes: u64,
    /// Copies of the inputs that launches take in turns.
    pub copies: usize,
    /// Launches of a batch.
    pub launches: usize,
    /// The time of a launch.
    #[serde(flatten)]
    pub spread: Spread,
    /// `bytes` over the median, in GB/s.
    pub gb_per_s: Option<f64>,
    /// The rate of a copy within the memory in the same run, reading and writing counted, in GB/s.
    pub copy_gb_per_s: Option<f64>,
    /// The first as a share of the second, in percent.
    pub percent_of_copy: Option<f64>,
    /// The most that the memory can do, in GB/s.
    pub limit_gb_per_s: Option<f64>,
    /// Each batch's mean time of a launch.
    pub samples_ns: Vec<f64>,
}

impl KernelRecord {
    /// Puts a result on record.
    pub fn new(
        case: &Case,
        shapes: &Shapes,
        measured: Measured,
        ceiling: Option<Ceiling>,
        device: &DeviceInfo,
    ) -> Self {
        let rate = measured.rates(case.bytes).0;
        Self {
            head: RecordHead::of(case, shapes, device),
            bytes: case.bytes,
            copies: measured.copies,
            launches: measured.launches,
            spread: measured.spread,
            gb_per_s: ceiling.map(|_| rate / 1e9),
            copy_gb_per_s: ceiling.map(|ceiling| ceiling.copy / 1e9),
            percent_of_copy: ceiling.map(|ceiling| 100.0 * rate / ceiling.copy),
            limit_gb_per_s: ceiling.map(|ceiling| ceiling.limit / 1e9),
            samples_ns: measured.samples,
        }
    }
}

/// How a case's test ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestRecord {
    /// What was run, and where.
    #[serde(flatten)]
    pub head: RecordHead,
    /// Whether every result was right.
    pub passed: bool,
    /// What went wrong first.
    pub failure: Option<String>,
    /// Outputs of a launch that were compared with float64.
    pub compared: usize,
    /// How far off the number is that uses most of its bound; `None` where all outputs are exact.
    pub largest_error: Option<f64>,
    /// How far off that number may be.
    pub bound: Option<f64>,
    /// The first as a share of the second, in percent.
    pub percent_of_bound: Option<f64>,
    /// How long the test took, in the host's time.
    pub test_ns: u64,
}

impl TestRecord {
    /// Puts a test on record.
    pub fn new(
        case: &Case,
        shapes: &Shapes,
        tested: &Result<Tested, DeviceError>,
        device: &DeviceInfo,
    ) -> Self {
        let found = tested.as_ref().ok();
        let failure = match tested {
            Ok(tested) => tested.mismatch.map(|mismatch| mismatch.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let worst = found.and_then(|tested| tested.worst);
        Self {
            head: RecordHead::of(case, shapes, device),
            passed: failure.is_none(),
            failure,
            compared: found.map_or(0, |tested| tested.compared),
            largest_error: worst.map(|worst| worst.error),
            bound: worst.map(|worst| worst.bound),
            percent_of_bound: worst.map(|worst| 100.0 * worst.share()),
            test_ns: found.map_or(0, |tested| tested.time.as_nanos() as u64),
        }
    }
}
