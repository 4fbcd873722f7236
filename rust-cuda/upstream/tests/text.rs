//! What kernels print and assert. A program's output can be read only from outside: each test runs itself again.

use std::process::{Command, Output};

use cuda_std::launch::LaunchConfig;
use cuda_upstream::device;
use cuda_upstream_kernels as kernels;

/// Set in the program that runs the kernel.
const INNER: &str = "CUDA_UPSTREAM_INNER";

/// Runs a test of this program again, with its output seen; in there, gives nothing.
fn outer(test: &str) -> Option<Output> {
    if std::env::var_os(INNER).is_some() {
        return None;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    Some(again.args([test, "--exact", "--nocapture"]).env(INNER, "1").output().unwrap())
}

#[test]
fn threads_print_lines() {
    let Some(output) = outer("threads_print_lines") else {
        let device = device();
        let numbers = device.upload(&[0.5f32, -3.25, 1e20, f32::INFINITY, 0.1, 7.0]).unwrap();
        // SAFETY: a number for each thread, alive until the device is synchronised.
        unsafe {
            device.launch(LaunchConfig::new(2, 3), kernels::hello::Args { numbers: numbers.as_slice() })
        }
        .unwrap();
        return device.synchronize().unwrap();
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = text.lines().filter_map(|line| Some(&line[line.find("hello")?..])).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "hello from thread  0 of block 0: 0.5 and 0x0",
            "hello from thread  0 of block 1: inf and 0x30",
            "hello from thread  1 of block 0: -3.25 and 0x10",
            "hello from thread  1 of block 1: 0.1 and 0x40",
            "hello from thread  2 of block 0: 1e20 and 0x20",
            "hello from thread  2 of block 1: 7.0 and 0x50",
        ]
    );
}

#[test]
fn a_line_may_be_long() {
    let Some(output) = outer("a_line_may_be_long") else {
        let device = device();
        // SAFETY: the kernel uses no memory.
        unsafe { device.launch(LaunchConfig::new(2, 32), kernels::long_line::Args { length: 1000 }) }
            .unwrap();
        return device.synchronize().unwrap();
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = format!("{{{}end}}\n\n", " ".repeat(997));
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_failed_assert_ends_the_launch() {
    let Some(output) = outer("a_failed_assert_ends_the_launch") else {
        let device = device();
        let run = |left, right| {
            // SAFETY: the kernel uses no memory.
            unsafe { device.launch(LaunchConfig::new(1, 2), kernels::must_equal::Args { left, right }) }
                .and_then(|()| device.synchronize())
        };
        run(4, 4).unwrap();
        let equal = kernels::core_asserts::must_equal_too::Args { left: 4, right: 4 };
        // SAFETY: the kernel uses no memory.
        unsafe { device.launch(LaunchConfig::new(1, 2), equal) }.unwrap();
        eprintln!("refused: {}", run(4, 5).unwrap_err());
        // On a GPU the context is gone, and with it the device's orderly end.
        std::process::exit(0);
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("refused: "), "{text}");
}

#[test]
fn what_only_a_gpu_has_is_a_fault_on_the_simulator() {
    let device = device();
    let out = device.zeroed::<u32>(1).unwrap();
    // SAFETY: a word, alive until the download.
    let launched = unsafe {
        device.launch(LaunchConfig::new(1, 1), kernels::gpu_only_call::Args { out: out.as_mut_ptr() })
    };
    match device.info().backend {
        cuda_device::Backend::Sim => {
            let fault = launched.unwrap_err().to_string();
            assert!(fault.contains("`of_a_gpu` can only be called on a GPU"), "{fault}");
        }
        cuda_device::Backend::Cuda => assert_eq!(device.download(&out).unwrap(), [1]),
    }
}
