//! The kernels' machine code: where it comes from, and how much of it a device holds at once.

use cuda_driver::cubin::Cubin;
use cuda_driver::module::Module;
use psionic::device::{DeviceError, KERNELS};
use psionic_kernels::{activation, attention, gate_up, project, project_f32};

use crate::machine::{device, is_gpu};

#[test]
fn a_multiprocessor_holds_as_many_blocks_as_the_kernels_are_written_for() {
    let device = device();
    let multiprocessors = device.info().multiprocessors;
    let each = |resident: Result<u32, DeviceError>| resident.unwrap() / multiprocessors;
    for cols in [1024, 4096, 12_288] {
        let shared = activation::shared_bytes(cols) as u32;
        assert_eq!(each(device.resident_blocks::<project::project::Args>(project::THREADS, shared)), 2);
        assert_eq!(each(device.resident_blocks::<gate_up::gate_up::Args>(project::THREADS, shared)), 2);
    }
    assert_eq!(each(device.resident_blocks::<project_f32::project_f32::Args>(project::THREADS, 0)), 2);
    let shape = attention::Shape { kv_heads: 8, group: 4, head_dim: 128, context: 4096 };
    let shared = shape.shared_bytes() as u32;
    // It takes all registers that a thread can have, of which the simulator knows nothing.
    let expected = if is_gpu() { 1 } else { 2 };
    let resident = device.resident_blocks::<attention::attention::Args>(attention::THREADS, shared);
    assert_eq!(each(resident), expected);
    // Two such blocks do not fit the shared memory.
    let half = device.resident_blocks::<project_f32::project_f32::Args>(project::THREADS, 120 << 10);
    assert_eq!(each(half), 1);
}

#[test]
fn a_kernel_that_fits_no_multiprocessor_is_refused() {
    type Project = project::project::Args;
    let device = device();
    let refused =
        |shared_bytes| device.resident_blocks::<Project>(project::THREADS, shared_bytes).unwrap_err();
    for shared in [256 << 10, 1 << 20, u32::MAX] {
        let error = refused(shared);
        assert!(
            matches!(error, DeviceError::NotResident { kernel: "project", threads: 256, shared_bytes } if shared_bytes == shared),
            "{error}"
        );
    }
    let error = device.resident_blocks::<Project>(project::THREADS + 1, 0).unwrap_err();
    assert!(matches!(error, DeviceError::TooManyThreads { asked: 257, limit: 256, .. }), "{error}");
    // A refusal leaves the kernel as it was.
    assert!(device.resident_blocks::<Project>(project::THREADS, 0).is_ok());
}

/// How many bytes of local memory a thread of kept code may have beyond the loader's: one slot for the widest access. Two
/// compilers lay out a frame of their own (24 bytes and 16 for `decode` on an H200, with as many registers); where the
/// registers do not suffice, the frame has hundreds.
const SPILL_SLOT: u32 = 16;

/// The linker, whose code can be kept, compiles as well as the loader, whose code cannot. It takes other registers, some
/// more for some kernels: that costs nothing as long as a multiprocessor holds as many blocks.
#[test]
fn code_that_is_kept_is_as_good_as_code_that_is_not() {
    if !is_gpu() {
        println!("skipped: only a GPU has machine code");
        return;
    }
    // Its context is current on this thread.
    let device = device();
    let (_, ptx) = KERNELS.ptx.iter().find(|(sm, _)| Some(*sm) == device.info().ptx).unwrap();
    let modules = [Module::from_ptx(ptx).unwrap(), Cubin::compile(ptx).unwrap().load().unwrap()];
    let entries: Vec<&str> = ptx
        .lines()
        .filter_map(|line| line.trim().strip_prefix(".visible .entry ")?.split('(').next())
        .collect();
    assert!(entries.contains(&"project") && entries.contains(&"attention"), "{entries:?}");
    let mut worse = Vec::new();
    for entry in entries {
        let functions = modules.each_ref().map(|module| module.function(entry).unwrap());
        let attributes = functions.each_ref().map(|function| function.attributes().unwrap());
        let blocks = functions.each_ref().map(|function| function.max_active_blocks(256, 16 << 10).unwrap());
        let [loaded, kept] = attributes;
        println!(
            "{entry}: loaded {} registers, {} local bytes, {} blocks; kept {} registers, {} local bytes, {} blocks",
            loaded.registers, loaded.local_bytes, blocks[0], kept.registers, kept.local_bytes, blocks[1]
        );
        if blocks[1] < blocks[0] || kept.local_bytes > loaded.local_bytes + SPILL_SLOT {
            worse.push((entry, loaded, kept));
        }
    }
    assert!(worse.is_empty(), "{worse:#?}");
}

#[test]
fn only_a_gpu_has_code_to_load() {
    let device = device();
    assert_eq!(device.info().code.is_some(), is_gpu());
    if let Some(code) = device.info().code {
        assert!(code.ms > 0.0, "{code:?}");
    }
}
