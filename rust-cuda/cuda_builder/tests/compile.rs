//! Compiles a real kernel crate, where this machine has a compiler for it.
use std::{
    fs,
    path::{Path, PathBuf},
};

use cuda_builder::{BarrierError, CudaBuilder, CudaBuilderError, NvvmArch, PtxError, compiler};
use tempfile::TempDir;

/// The crate: which barrier it uses and what is wrong with it is chosen by features.
const MANIFEST: &str = r#"[package]
name = "tiny-kernels"
version = "0.1.0"
edition = "2024"

[features]
asm = []
missing = []
wrong = []

[workspace]
"#;

const SOURCE: &str = r#"#![no_std]
#![feature(link_llvm_intrinsics, abi_unadjusted, stdarch_nvptx)]
#![allow(internal_features, improper_ctypes)]
use core::arch::{asm, global_asm};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

unsafe extern "unadjusted" {
    #[link_name = "llvm.nvvm.barrier.cta.sync.aligned.all"]
    fn barrier(index: i32);
}

#[inline(always)]
fn sync() {
    if cfg!(feature = "asm") { unsafe { asm!("bar.sync 0;") } } else { unsafe { barrier(0) } }
}

global_asm!("// cuda_std: launch_bounds exchange 256 2");

#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn exchange(x: *mut f32, n: u32) {
    let i = unsafe { core::arch::nvptx::_thread_idx_x() } as u32;
    let mut value = 0.0;
    if i < n {
        unsafe {
            value = *x.add(i as usize);
            *x.add(i as usize + 1024) = value;
        }
    }
    sync();
    if i < n {
        unsafe { *x.add(i as usize) = value + *x.add((i ^ 1) as usize + 1024) };
    }
}

/// A loop that is unrolled completely, its barrier included.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn sum(x: *mut f32) {
    let i = unsafe { core::arch::nvptx::_thread_idx_x() } as usize;
    let mut distance = 16;
    while distance > 0 {
        unsafe { *x.add(i) += *x.add(i + distance) };
        sync();
        distance /= 2;
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn which(x: *mut u32) {
    unsafe { *x = if cfg!(cuda_arch_ge_90) { 9009 } else { 8008 } };
}

#[cfg(feature = "missing")]
mod missing {
    unsafe extern "C" {
        fn somebody_elses(x: f32) -> f32;
    }
    #[unsafe(no_mangle)]
    pub unsafe extern "ptx-kernel" fn calls(x: *mut f32) {
        unsafe { *x = somebody_elses(*x) };
    }
}

#[cfg(feature = "wrong")]
const WRONG: u32 = "not a number";
"#;

/// A fresh copy of the crate, or none, with the reason printed, where nothing can compile it.
fn kernels() -> Option<TempDir> {
    if let Err(error) = compiler::find() {
        eprintln!("skipped: {error}");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("Cargo.toml"), MANIFEST).unwrap();
    fs::write(folder.path().join("src/lib.rs"), SOURCE).unwrap();
    Some(folder)
}

/// Cargo keeps `core` in a folder that outlives the test.
fn builder(crate_path: &Path, feature: &str) -> CudaBuilder {
    let builder =
        CudaBuilder::new(crate_path).target_dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda_builder"));
    let builder = builder.copy_to(crate_path.join("kernels.ptx"));
    if feature.is_empty() { builder } else { builder.build_args(&["--features", feature]) }
}

fn entry<'a>(ptx: &'a str, name: &str) -> &'a str {
    let body = ptx.split(".entry ").find(|text| text.starts_with(&format!("{name}("))).unwrap();
    body.split("\n}").next().unwrap()
}

#[test]
fn a_crate_becomes_ptx_for_each_architecture() {
    let Some(folder) = kernels() else { return };
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let sm_80 = read(builder(folder.path(), "").arch(NvvmArch::Compute80).build().unwrap());
    let sm_90 = read(builder(folder.path(), "").arch(NvvmArch::Compute90).ptx_version(80).build().unwrap());
    for (ptx, target, version, number) in [(&sm_80, "sm_80", "7.0", "8008"), (&sm_90, "sm_90", "8.0", "9009")]
    {
        assert!(ptx.contains(&format!(".target {target}\n")), "{ptx}");
        assert!(ptx.contains(&format!(".version {version}\n")), "{ptx}");
        assert!(entry(ptx, "which").contains(number), "{ptx}");
        assert!(entry(ptx, "exchange").contains("\n.maxntid 256, 1, 1\n.minnctapersm 2\n{"), "{ptx}");
        assert_eq!(
            entry(ptx, "exchange").matches("bar.sync").count()
                + entry(ptx, "exchange").matches("barrier.").count(),
            1
        );
        assert!(ptx.contains("\t.loc\t"));
    }
    let plain = read(builder(folder.path(), "").generate_line_info(false).build().unwrap());
    assert!(!plain.contains(".loc") && !plain.contains(".file") && plain.contains(".entry which"), "{plain}");
}

#[test]
fn an_unchanged_file_is_not_written_again() {
    let Some(folder) = kernels() else { return };
    let path = builder(folder.path(), "").build().unwrap();
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    builder(folder.path(), "").build().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
}

#[test]
fn a_barrier_that_the_compiler_copied_is_an_error() {
    let Some(folder) = kernels() else { return };
    let error = builder(folder.path(), "asm").build().unwrap_err();
    let CudaBuilderError::Barrier(BarrierError::Duplicated { function, location, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(function, "exchange");
    let line = 1 + SOURCE[..SOURCE.find("    sync();\n    if i < n").unwrap()].lines().count();
    assert!(location.contains(&format!("lib.rs:{line}:5")), "{location}");
    assert!(!folder.path().join("kernels.ptx").exists());
    builder(folder.path(), "asm").allow_duplicated_barrier("exchange").build().unwrap();
}

#[test]
fn what_cannot_become_ptx_is_an_error() {
    let Some(folder) = kernels() else { return };
    let error = builder(folder.path(), "missing").build().unwrap_err();
    assert!(
        matches!(&error, CudaBuilderError::Ptx(PtxError::Unresolved(names)) if names == &["somebody_elses"]),
        "{error}"
    );
    let error = builder(folder.path(), "wrong").build().unwrap_err();
    assert!(matches!(error, CudaBuilderError::BuildFailed(NvvmArch::Compute80)), "{error}");
    let error = builder(&folder.path().join("nowhere"), "").build().unwrap_err();
    assert!(matches!(error, CudaBuilderError::CratePathDoesntExist(_)), "{error}");
}
