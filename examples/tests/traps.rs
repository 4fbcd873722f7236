//! What the simulator says of mistakes; the book shows these tests.

use cuda_device::{BackendChoice, Device};
use cuda_std::launch::{KernelArgs, LaunchConfig};
use example_kernels::traps;
use examples::KERNELS;

fn simulator() -> Device {
    Device::open(BackendChoice::Sim, &KERNELS).unwrap()
}

/// What the simulator says of a launch of one block.
fn fault(device: &Device, threads: u32, args: impl KernelArgs + 'static) -> String {
    // SAFETY: the simulator checks what the kernels get wrong; the rest is as they demand.
    unsafe { device.launch(LaunchConfig::new(1, threads), args) }.unwrap_err().to_string()
}

// ANCHOR: barrier
#[test]
fn a_barrier_in_a_branch() {
    let said = fault(&simulator(), 64, traps::barrier_in_a_branch::Args {});
    assert!(said.contains("divergent barrier: thread 0 waits at"), "{said}");
}
// ANCHOR_END: barrier

// ANCHOR: shuffle
#[test]
fn a_shuffle_from_nobody() {
    let device = simulator();
    let out = device.zeroed::<u32>(32).unwrap();
    let said = fault(&device, 32, traps::shuffle_from_nobody::Args { out: out.as_mut_ptr() });
    assert!(said.contains("shuffle_down reads from lane 16, which takes no part in it"), "{said}");
}
// ANCHOR_END: shuffle

// ANCHOR: bounds
#[test]
fn a_store_beyond_the_end() {
    let device = simulator();
    let out = device.zeroed::<u32>(40).unwrap();
    let said = fault(&device, 64, traps::one_too_many::Args { out: out.as_mut_ptr(), len: 40 });
    assert!(said.contains("thread (40, 0, 0)") && said.contains("is outside every allocation"), "{said}");
}
// ANCHOR_END: bounds

#[test]
fn a_copy_without_a_wait() {
    let device = simulator();
    let from = device.upload(&[7u32; 32]).unwrap();
    let out = device.zeroed::<u32>(32).unwrap();
    let args = traps::no_wait::Args { from: from.as_ptr(), out: out.as_mut_ptr() };
    // SAFETY: the buffers are as demanded, and live until the download.
    unsafe { device.launch(LaunchConfig::new(1, 32), args) }.unwrap();
    // No fault: the value is simply not there yet.
    assert_ne!(device.download(&out).unwrap(), [7; 32]);
}
