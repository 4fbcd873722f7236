//! The record of a profile.

use serde::Serialize;

use super::{PhaseTimes, Profile, TokenTimes};
use crate::bench::ModelSummary;
use crate::decode::{Decoder, EngineKind};
use crate::device::Backend;
use crate::environment::{Environment, now};

/// What a profile gave. On the simulator times are the host's, and there are no rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProfileRecord {
    /// The program and the device.
    #[serde(flatten)]
    pub environment: Environment,
    /// The model.
    #[serde(flatten)]
    pub model: ModelSummary,
    /// How activations are stored: `int8` or `float`.
    pub activations: String,
    /// What ran the tokens.
    pub engine: EngineKind,
    /// The profile's name: `profile @ d4096`.
    pub test: String,
    /// Tokens in the sequence before the generation.
    pub n_depth: usize,
    /// The position of the token that was profiled.
    pub position: usize,
    /// Blocks that ran it.
    pub blocks: usize,
    /// When the measurement ended, in UTC.
    pub test_time: String,
    /// The token's time.
    pub token_ns: f64,
    /// Bytes that it reads.
    pub bytes: u64,
    /// `bytes` over `token_ns`, in GB/s.
    pub gb_per_s: Option<f64>,
    /// The most that the memory can do, from its clock and bus, in GB/s.
    pub limit_gb_per_s: Option<f64>,
    /// The first as a share of the second, in percent.
    pub percent_of_limit: Option<f64>,
    /// Each profile's time of the token, of which `token_ns` is the median.
    pub samples_ns: Vec<f64>,
    /// The parts of the token, in the order in which it meets them.
    pub phases: Vec<PhaseRecord>,
}

/// Steps that compute the same thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseRecord {
    /// What they compute.
    pub phase: &'static str,
    /// How many of them a token has.
    pub steps: usize,
    /// Bytes that all of them read.
    pub bytes: u64,
    /// A step's time from a block's input to its results, the mean over steps and blocks.
    pub work_ns: f64,
    /// A step's time from a block's results of the step before to its input, the mean over steps and blocks.
    pub waiting_ns: f64,
    /// Both, of all steps together.
    pub token_ns: f64,
    /// That as a share of the token's time, in percent.
    pub percent_of_token: f64,
    /// `bytes` over `token_ns`, in GB/s.
    pub gb_per_s: Option<f64>,
    /// `bytes` over the part of it that is work, in GB/s.
    pub working_gb_per_s: Option<f64>,
    /// `gb_per_s` as a share of what the memory can do, in percent.
    pub percent_of_limit: Option<f64>,
}

impl ProfileRecord {
    /// Puts a profile on record.
    pub fn new(
        depth: usize,
        profile: &Profile,
        model: ModelSummary,
        decoder: &Decoder,
        activations: impl ToString,
    ) -> Self {
        let device = decoder.device();
        let times = TokenTimes::of(&profile.timeline);
        let limit = device.memory_bytes_per_second.map(|rate| rate as f64 / 1e9);
        let rate = |rate: Option<f64>| rate.filter(|_| device.backend == Backend::Cuda);
        let share = |rate: Option<f64>| Some(100.0 * rate? / limit?);
        let phase = |phase: &PhaseTimes| PhaseRecord {
            phase: phase.name,
            steps: phase.steps,
            bytes: phase.bytes,
            work_ns: phase.work_ns / phase.steps as f64,
            waiting_ns: phase.waiting_ns / phase.steps as f64,
            token_ns: phase.ns(),
            percent_of_token: times.percent(phase),
            gb_per_s: rate(phase.gb_per_s()),
            working_gb_per_s: rate(phase.working_gb_per_s()),
            percent_of_limit: share(rate(phase.gb_per_s())),
        };
        Self {
            environment: Environment::of(device),
            model,
            activations: activations.to_string(),
            engine: decoder.engine(),
            test: if depth > 0 { format!("profile @ d{depth}") } else { "profile".to_owned() },
            n_depth: depth,
            position: profile.timeline.position,
            blocks: profile.timeline.steps.first().map_or(0, |step| step.blocks.len()),
            test_time: now(),
            token_ns: times.ns,
            bytes: times.bytes,
            gb_per_s: rate(times.gb_per_s()),
            limit_gb_per_s: limit,
            percent_of_limit: share(rate(times.gb_per_s())),
            samples_ns: profile.samples.clone(),
            phases: times.phases.iter().map(phase).collect(),
        }
    }
}
