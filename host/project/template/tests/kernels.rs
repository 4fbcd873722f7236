//! The kernels on the simulator, or with `PSIONIC_TEST_BACKEND=cuda` on the GPU, against plain loops.

use cuda_device::{BackendChoice, Device, SimConfig};
use host::{KERNELS, saxpy};

#[test]
fn saxpy_is_right_for_every_length() {
    let device = Device::open(BackendChoice::for_tests(), &KERNELS).expect("the tests' device opens");
    for len in [0, 1, 255, 256, 257, 5000] {
        let x: Vec<f32> = (0..len).map(|i| i as f32 / 8.0).collect();
        let y: Vec<f32> = (0..len).map(|i| 100.0 - i as f32).collect();
        let result = saxpy(&device, 0.5, &x, &y).expect("the kernel runs");
        assert_eq!(result.len(), len);
        for i in 0..len {
            assert_eq!(result[i], 0.5 * x[i] + y[i], "element {i} of {len}");
        }
    }
}

/// What gives the right result by chance: data races, reads of what nobody wrote. Only the simulator can tell.
#[test]
fn the_checks_find_nothing() {
    let device = Device::simulated(SimConfig { checks: true, ..SimConfig::default() });
    saxpy(&device, 0.5, &[1.0; 1000], &[2.0; 1000]).expect("the kernel runs");
    let report = device.checks().expect("the checks are on").take_report();
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
