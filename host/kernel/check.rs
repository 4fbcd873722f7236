//! Checking a case: one launch on the simulator, which looks for mistakes whose effect on a GPU depends on chance.

use cuda_sim::{Fault, Report, SimConfig};

use super::case::Case;
use super::expected::Mismatch;
use crate::device::{Device, DeviceError};
use crate::random::Random;

/// What checking a case gave.
#[derive(Debug)]
pub struct Checked {
    /// What the simulator's checks found, and how each line uses memory.
    pub report: Report,
    /// What made the launch useless, if anything did.
    pub trouble: Option<Trouble>,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.report.findings.is_empty() && self.trouble.is_none()
    }
}

/// Why a launch came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A thread did what a GPU program must not do.
    #[error(transparent)]
    Fault(Box<Fault>),
    /// The result is wrong.
    #[error("the result is wrong: {0}")]
    Wrong(Mismatch),
}

/// Launches a case once with all checks. The seed is that of the inputs and of the order in which threads run.
///
/// # Errors
/// When the simulator has too little memory.
pub fn check(case: &Case, seed: u64) -> Result<Checked, DeviceError> {
    let device = Device::simulated(SimConfig { seed, checks: true, ..SimConfig::default() });
    let mut inputs = case.prepare(&device, 1, &mut Random::new(seed))?;
    inputs.reset(0)?;
    let trouble = match inputs.launch(0) {
        Ok(()) => inputs.check(0, &inputs.outputs(0)?).err().map(Trouble::Wrong),
        Err(DeviceError::Fault(fault)) => Some(Trouble::Fault(fault)),
        Err(error) => return Err(error),
    };
    let report = device.checks().map(|checks| checks.take_report()).unwrap_or_default();
    Ok(Checked { report, trouble })
}
