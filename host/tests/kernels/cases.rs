//! The cases that kernels are measured with: all kernels have some, and the verifier finds what is wrong.

use crate::machine;
use cuda_sim::SimConfig;
use psionic::device::{Device, DeviceError};
use psionic::kernel::{ALL, Case, KERNELS, KernelError, Shapes, select};
use psionic::random::Random;
use std::collections::BTreeSet;
use std::path::Path;

fn shapes() -> Shapes {
    Shapes::of("tiny").unwrap()
}

fn all(shapes: &Shapes) -> Vec<Case> {
    select(&[ALL.to_owned()], shapes).unwrap()
}

/// All that the device can run.
fn supported(device: &Device) -> Vec<Case> {
    all(&shapes()).into_iter().filter(|case| case.supported(device.info()).is_ok()).collect()
}

/// The kernels that the files of a folder declare.
fn declarations(folder: &Path, declared: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            declarations(&path, declared);
            continue;
        }
        let source = std::fs::read_to_string(path).unwrap();
        for (_, after) in source.match_indices("\n#[kernel").map(|(at, _)| source.split_at(at)) {
            let name = after.split_once("pub unsafe fn ").unwrap().1;
            declared.insert(name.split_once('(').unwrap().0.to_owned());
        }
    }
}

#[test]
fn every_kernel_of_the_source_is_listed_with_its_declaration() {
    let mut declared = BTreeSet::new();
    declarations(&machine::root().join("kernels-rs/src"), &mut declared);
    let listed: BTreeSet<String> = KERNELS.iter().map(|kernel| kernel.name.to_owned()).collect();
    assert_eq!(listed, declared);
    for kernel in KERNELS {
        assert_eq!(kernel.cases(&shapes()).is_empty(), kernel.measured_by.is_some(), "{}", kernel.name);
        assert!(!kernel.params.is_empty(), "{}", kernel.name);
    }
}

#[test]
fn each_copy_of_each_case_is_right_and_launches_twice() {
    let device = machine::device();
    for case in supported(&device) {
        let mut inputs = case.prepare(&device, 2, &mut Random::new(5)).unwrap();
        for copy in [0, 1, 0] {
            let found = inputs.run(copy).unwrap();
            assert_eq!(inputs.check(copy, &found), Ok(()), "{case}, copy {copy}");
        }
    }
}

/// Every output of every case, one at a time: a small error and an output that was not written.
#[test]
fn a_wrong_output_is_found() {
    let device = machine::device();
    for case in supported(&device) {
        let mut inputs = case.prepare(&device, 1, &mut Random::new(6)).unwrap();
        let right = inputs.run(0).unwrap();
        inputs.reset(0).unwrap();
        assert!(inputs.check(0, &inputs.outputs(0).unwrap()).is_err(), "{case}: before the launch");
        // Attention's reference takes a while.
        let step = if case.kernel == "attention" { 97 } else { 1 };
        for index in (0..right.floats.len()).step_by(step) {
            let mut wrong = right.clone();
            wrong.floats[index] += 0.02 * wrong.floats[index].abs() + 0.02;
            assert!(inputs.check(0, &wrong).is_err(), "{case}: output {index} is off");
            wrong.floats[index] = f32::NAN;
            assert!(inputs.check(0, &wrong).is_err(), "{case}: output {index} is no number");
        }
        for index in 0..right.words.len() {
            let mut wrong = right.clone();
            wrong.words[index] ^= 1;
            assert!(inputs.check(0, &wrong).is_err(), "{case}: word {index}");
        }
        let mut short = right;
        if short.floats.pop().is_none() {
            short.words.pop();
        }
        assert!(inputs.check(0, &short).is_err(), "{case}: an output is missing");
    }
}

#[test]
fn cases_are_chosen_by_kernel_and_by_name_and_each_once() {
    let names = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        select(&names, &shapes()).map(|cases| cases.iter().map(Case::to_string).collect::<Vec<_>>())
    };
    assert_eq!(names(&["project/head", "swiglu", "project/head"]).unwrap(), ["project/head", "swiglu/ffn"]);
    assert_eq!(names(&["attention"]).unwrap().len(), 4);
    assert!(matches!(names(&["gate"]), Err(KernelError::UnknownKernel { found, .. }) if found == "gate"));
    assert!(matches!(names(&["project/x"]), Err(KernelError::UnknownCase { kernel: "project", .. })));
    assert!(matches!(names(&["decode"]), Err(KernelError::NoCases { kernel: "decode", .. })));
}

/// The bytes of some of 1.7B's shapes, counted by hand.
#[test]
fn bytes_are_each_input_and_each_output_once() {
    let shapes = Shapes::of("1.7b").unwrap();
    let bytes = |name: &str| select(&[name.to_owned()], &shapes).unwrap()[0].bytes;
    // 144 bytes for 256 weights in Q4_K, 210 in Q6_K; the vector and its norm; the outputs.
    assert_eq!(bytes("gate_up"), 2 * 6144 * 2048 / 256 * 144 + (2 * 2048 + 6144) * 4);
    assert_eq!(bytes("project/head"), 151_936 * 2048 / 256 * 210 + (2 * 2048 + 151_936) * 4);
    // In tiles of 16 rows of 256 weights: 2,368 bytes in Q4_K, 3,360 in Q6_K. 28 layers' gate and up, a vector for each.
    let gate_up = 2 * 6144 / 16 * (2048 / 256) * 2368 + (2048 + 2 * 6144) * 4;
    assert_eq!(bytes("products/gate_up"), 28 * gate_up);
    assert_eq!(bytes("products/head"), 151_936 / 16 * (2048 / 256) * 3360 + (2048 + 151_936) * 4);
    assert_eq!(bytes("project/o"), 2048 * 2048 / 256 * 144 + (2048 + 2 * 2048) * 4);
    // 32,768 positions before and the new one, 8 heads of 128 halves, keys and values.
    let vectors = (16 + 8 + 8) * 128 + 2 * 128 + 128 + 1 + 16 * 128;
    assert_eq!(bytes("attention/p32768"), 2 * 32_769 * 8 * 128 * 2 + vectors * 4);
}

/// From one block, which goes round the ring several times and has more rows than it sums up at once, to more than there
/// is work for.
#[test]
fn the_persistent_engines_products_are_right_on_grids_of_all_sizes() {
    let shapes = Shapes { layers: 3, ffn: 1500, hidden: 512, ..shapes() };
    for multiprocessors in [1, 3, 7, 34] {
        let device = Device::simulated(SimConfig { multiprocessors, checks: true, ..SimConfig::default() });
        for case in select(&["products".to_owned()], &shapes).unwrap() {
            let mut inputs = case.prepare(&device, 1, &mut Random::new(7)).unwrap();
            let found = inputs.run(0).unwrap();
            assert_eq!(inputs.check(0, &found), Ok(()), "{case} on {multiprocessors} multiprocessors");
        }
        let findings = device.checks().unwrap().take_report().findings;
        assert!(findings.is_empty(), "{multiprocessors} multiprocessors: {}", findings[0]);
    }
}

#[test]
fn products_are_refused_where_a_block_has_too_little_shared_memory() {
    let device = Device::simulated(SimConfig { shared_bytes: 100 << 10, ..SimConfig::default() });
    let case = &select(&["products/head".to_owned()], &shapes()).unwrap()[0];
    let error = case.prepare(&device, 1, &mut Random::new(8)).err().unwrap();
    assert!(matches!(error, DeviceError::NotResident { kernel: "products", .. }), "{error}");
}
