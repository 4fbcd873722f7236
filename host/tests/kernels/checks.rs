//! The project's own kernels, with all of the simulator's checks.

use std::ops::ControlFlow;

use crate::tiny::Tiny;
use cuda_sim::{Deed, Finding, FindingKind, Place, SimConfig};
use psionic::decode::{Decoder, DecoderOptions, EngineChoice};
use psionic::device::Device;
use psionic::kernel::{ALL, Shapes, check, select};
use psionic::model::Model;
use psionic::quant::QuantType::{Q4K, Q6K};

#[test]
fn every_case_of_every_kernel_is_clean() {
    let shapes = Shapes::of("tiny").unwrap();
    for seed in [0, 3] {
        for case in select(&[ALL.to_owned()], &shapes).unwrap() {
            let checked = check(&case, seed).unwrap();
            assert!(checked.trouble.is_none(), "{case}: {}", checked.trouble.unwrap());
            let findings: String = checked.report.findings.iter().map(|f| format!("\n{f}")).collect();
            assert!(findings.is_empty(), "{case}, seed {seed}:{findings}");
            assert!(!checked.report.global.is_empty(), "{case} uses memory");
        }
    }
}

/// What decoding a few tokens with an engine is found to do wrong.
fn decoded(engine: EngineChoice, multiprocessors: u32, seed: u64) -> Vec<Finding> {
    let tiny = Tiny { head_dim: 128, v: Q6K, down: Q6K, embedding: Q6K, ..Tiny::new(Q4K) };
    let (_dir, file) = tiny.file(95);
    let model = Model::from_gguf(&file).unwrap();
    let device = Device::simulated(SimConfig { seed, multiprocessors, checks: true, ..SimConfig::default() });
    let checks = device.checks().unwrap();
    let options = DecoderOptions { engine, ..DecoderOptions::default() };
    let mut decoder = Decoder::load(device, &model, &options, &mut |_, _| {}).unwrap();
    decoder.feed(&[5, 250, 17]).unwrap();
    decoder.generate(3, &[], &mut |_| ControlFlow::Continue(())).unwrap();
    checks.take_report().findings
}

/// Whole tokens, whose launches hand memory on to each other.
#[test]
fn the_graph_engine_is_clean() {
    let findings: String = decoded(EngineChoice::Graph, 4, 1).iter().map(|f| format!("\n{f}")).collect();
    assert!(findings.is_empty(), "{findings}");
}

/// The persistent engine orders some writes to shared memory after the reads before them by values alone, which the checks
/// do not count (docs/simulator.md): a write in place of what was read, never a read of what may not be there yet.
#[test]
fn the_persistent_engine_reads_nothing_too_early() {
    for (multiprocessors, seed) in [(6, 0), (9, 1), (34, 2)] {
        for finding in decoded(EngineChoice::Persistent, multiprocessors, seed) {
            let before = finding.before.unwrap_or_else(|| panic!("{finding}"));
            assert_eq!(finding.kind, FindingKind::Race, "{finding}");
            assert!(!matches!(finding.place, Place::Global { .. }), "{finding}");
            assert!(before.deed == Deed::Read && finding.act.deed == Deed::Write, "{finding}");
            assert_eq!(finding.reversed, 0, "{finding}");
        }
    }
}
