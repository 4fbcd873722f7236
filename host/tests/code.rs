//! The kernels' machine code: where it comes from, and how much of it a device holds at once.

use cuda_driver::cubin::Cubin;
use cuda_driver::function::FunctionAttributes;
use cuda_driver::module::Module;
use psionic::device::PTX;

use crate::machine::{device, is_gpu};

/// The linker, whose code can be kept, compiles as well as the loader, whose code cannot.
#[test]
fn code_that_is_kept_is_as_good_as_code_that_is_not() {
    if !is_gpu() {
        println!("skipped: only a GPU has machine code");
        return;
    }
    // Its context is current on this thread.
    let device = device();
    let (_, ptx) = PTX.iter().find(|(sm, _)| Some(*sm) == device.info().ptx).unwrap();
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
            "{entry}: loaded {} registers, {} blocks; kept {} registers, {} blocks",
            loaded.registers, blocks[0], kept.registers, blocks[1]
        );
        let of = |a: FunctionAttributes| (a.local_bytes, a.static_shared_bytes, a.binary_version);
        if blocks[1] < blocks[0] || of(kept) != of(loaded) {
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
