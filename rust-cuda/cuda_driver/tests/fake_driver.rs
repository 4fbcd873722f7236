//! The loader and the wrappers against no driver and against a stand-in for one.
//!
//! A process looks for its driver once, so each case runs in a process of its own: this same test binary, told by
//! environment variables which case to play. What the case prints is what is checked.

use std::ffi::{CString, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cuda_driver::cache::{CodeCache, Origin};
use cuda_driver::cubin::Cubin;
use cuda_driver::graph::{Graph, GraphExec};
use cuda_driver::launch::{LaunchAttributes, launch_kernel};
use cuda_driver::module::Module;
use cuda_driver::pinned::PinnedBuffer;
use cuda_driver::{DriverError, DriverVersion, status};
use cust::error::CudaError;
use cust::stream::{Stream, StreamFlags};

const CASE: &str = "CUDA_DRIVER_TEST_CASE";
const NO_DRIVER: &str = "/nonexistent/libcuda.so.1";

/// The stand-in, compiled once.
static FAKE: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake/libcuda.rs");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join("libfake_cuda.so");
    // Moved into place when whole, since another run of these tests may be using the file.
    let fresh = folder.join(format!("libfake_cuda_{}.so", std::process::id()));
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(compiler)
        .args([
            "--crate-type",
            "cdylib",
            "--crate-name",
            "fake_cuda",
            "--edition",
            "2024",
            "-A",
            "warnings",
            "-o",
        ])
        .args([&fresh, &source])
        .status()
        .expect("rustc runs");
    assert!(status.success(), "the stand-in compiles");
    std::fs::rename(&fresh, &library).expect("moved into place");
    library
});

/// Plays `case` with the driver at `library` and returns what it printed.
fn play(case: &str, library: &Path, settings: &[(&str, &str)]) -> Vec<String> {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "case", "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .env("PSIONIC_LIBCUDA", library)
        .envs(settings.iter().copied())
        .output()
        .expect("this test runs again");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    // The harness prints around the case's lines, at times on the same line as its first.
    let (_, rest) = text.split_once("BEGIN\n").expect("the case began");
    let (lines, _) = rest.split_once("END\n").expect("the case ended");
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn case() {
    let Ok(case) = std::env::var(CASE) else { return };
    println!("\nBEGIN");
    match case.as_str() {
        "status" => println!("{:?}", status(DriverVersion::CUDA_12_0)),
        "words" => words(),
        "forward" => forward(),
        "capture" => capture(),
        "module" => module(),
        "cache" => cache(),
        "pinned" => pinned(),
        "launch" => launch(),
        other => panic!("no case {other}"),
    }
    println!("END");
}

#[test]
fn no_driver_is_named() {
    let lines = play("status", Path::new(NO_DRIVER), &[]);
    assert_eq!(lines[0], "Err(NoDriver { tried: \"/nonexistent/libcuda.so.1: not found\" })");
}

#[test]
fn a_file_that_is_no_library_is_no_driver() {
    let lines = play("status", &Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"), &[]);
    assert!(lines[0].starts_with("Err(NoDriver"), "{lines:?}");
    assert!(lines[0].contains("Cargo.toml"), "{lines:?}");
}

#[test]
fn status_tells_states_of_a_driver_apart() {
    let play = |settings: &[_]| play("status", &FAKE, settings).remove(0);
    assert_eq!(play(&[]), "Ok(DriverVersion { major: 12, minor: 4 })");
    assert_eq!(play(&[("FAKE_VERSION", "12000")]), "Ok(DriverVersion { major: 12, minor: 0 })");
    let too_old = "Err(TooOld { found: DriverVersion { major: 11, minor: 8 }, required: DriverVersion { major: 12, minor: 0 } })";
    assert_eq!(play(&[("FAKE_VERSION", "11080")]), too_old);
    // Even where the old driver does not start.
    assert_eq!(play(&[("FAKE_VERSION", "11080"), ("FAKE_INIT", "999")]), too_old);
    assert_eq!(play(&[("FAKE_INIT", "100")]), "Err(NoDevice)");
    assert_eq!(play(&[("FAKE_DEVICES", "0")]), "Err(NoDevice)");
    assert!(play(&[("FAKE_INIT", "34")]).starts_with("Err(NoDriver"));
    // The driver has no words for this one, so the name is the header's.
    let mismatch = play(&[("FAKE_INIT", "803")]);
    assert!(
        mismatch.contains("call: \"cuInit\", code: 803, name: \"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH\""),
        "{mismatch}"
    );
    let newer = play(&[("FAKE_INIT", "2000")]);
    assert!(
        newer.contains("code: 2000, name: \"CUDA_ERROR_FROM_THE_FUTURE\", text: \"newer than the header\""),
        "{newer}"
    );
}

/// `cust` reads a string for every error that it displays; there must be one in every state.
fn words() {
    println!("{:?}", cust::init(cust::CudaFlags::empty()));
    for error in [CudaError::NoDevice, CudaError::SharedObjectInitFailed, CudaError::LaunchTimeout] {
        println!("{error}");
    }
    println!("{:?}", DriverError::from_cust("cuInit", CudaError::SharedObjectInitFailed));
    println!("{:?}", DriverError::from_cust("cuMemAlloc", CudaError::InvalidMemoryAllocation));
}

#[test]
fn errors_have_words_without_a_driver() {
    let lines = play("words", Path::new(NO_DRIVER), &[]);
    assert_eq!(lines[0], "Err(SharedObjectInitFailed)");
    assert_eq!(lines[1], "\"the driver has no words for this error\"");
    assert!(lines[2].starts_with("\"no NVIDIA driver was found"), "{lines:?}");
    assert!(lines[4].starts_with("NoDriver"), "{lines:?}");
    assert!(lines[5].contains("InvalidMemoryAllocation"), "{lines:?}");
}

#[test]
fn errors_have_the_drivers_words() {
    let lines = play("words", &FAKE, &[]);
    assert_eq!(lines[0], "Ok(())");
    assert_eq!(lines[1], "\"no CUDA-capable device is detected\"");
    assert_eq!(lines[3], "\"the driver has no words for this error\"");
    // There is a driver: its own code 303 is not "no driver".
    assert!(lines[4].starts_with("Call { call: \"cuInit\", code: 303"), "{lines:?}");
}

fn forward() {
    // Forwarded, with its results.
    println!("{:?}", cust::memory::mem_get_info());
    // A code that `cust`'s enum does not have must not become one of its values.
    // SAFETY: nothing is launched; the allocation fails.
    println!("{:?}", unsafe { cust::memory::cuda_malloc::<u8>(1) }.map(drop));
    // Not in the stand-in: this call fails, the next one does not.
    println!("{:?}", cust::context::CurrentContext::synchronize());
    println!("{}", CudaError::SharedObjectSymbolNotFound);
    println!("{:?}", cust::device::Device::num_devices());
}

#[test]
fn calls_are_forwarded_one_by_one() {
    let lines = play("forward", &FAKE, &[]);
    assert_eq!(lines[0], "Ok((123, 456))");
    assert_eq!(lines[1], "Err(UnknownError)");
    assert_eq!(lines[2], "Err(SharedObjectSymbolNotFound)");
    assert!(lines[3].contains("does not have this function"), "{lines:?}");
    assert_eq!(lines[4], "Ok(1)");
}

#[test]
fn calls_fail_without_a_driver() {
    let lines = play("forward", Path::new(NO_DRIVER), &[]);
    for line in [0, 1, 2, 4] {
        assert_eq!(lines[line], "Err(SharedObjectInitFailed)");
    }
}

/// The stand-in's count of live captures, graphs, pinned buffers, linkers and modules.
fn live(which: i32) -> i32 {
    let path = CString::new(std::env::var("PSIONIC_LIBCUDA").expect("set by `play`")).expect("a path");
    // SAFETY: this process already loaded the stand-in, and the function has this type there.
    unsafe {
        let library = libloading::Library::new(path.to_str().expect("UTF-8")).expect("loaded");
        library.get::<unsafe extern "C" fn(i32) -> i32>(b"fake_live").expect("exported")(which)
    }
}

fn capture() {
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("the stand-in makes streams");
    let graph = Graph::capture::<DriverError>(&stream, |_| {
        println!("recording {}", live(0));
        Ok(())
    })
    .expect("a graph");
    println!("captured {} {}", live(0), live(1));
    // Not in the stand-in, as in a driver before 11.4.
    println!("{:?}", graph.instantiate().map(drop));
    drop(graph);
    println!("dropped {}", live(1));
    let failed = GraphExec::capture(&stream, |_| Err(DriverError::NoDevice));
    println!("{:?} {} {}", failed.map(drop), live(0), live(1));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        Graph::capture::<DriverError>(&stream, |_| std::panic::resume_unwind(Box::new(())))
    }));
    println!("{} {} {}", panicked.is_err(), live(0), live(1));
    println!("{}", Graph::capture::<DriverError>(&stream, |_| Ok(())).is_ok());
}

#[test]
fn a_capture_ends_whatever_happens() {
    let lines = play("capture", &FAKE, &[]);
    let expected = [
        "recording 1",
        "captured 0 1",
        "Err(MissingSymbol { symbol: \"cuGraphInstantiateWithFlags\" })",
        "dropped 0",
        "Err(NoDevice) 0 0",
        "true 0 0",
        "true",
    ];
    assert_eq!(lines, expected);
}

fn module() {
    println!("{:?}", Module::from_ptx("nonsense").map(drop));
    println!("{:?} {}", Cubin::compile("nonsense").map(drop), live(3));
    let cubin = Cubin::compile("kernels").expect("compiled");
    let module = cubin.load().expect("loaded");
    println!("{} {}", live(3), live(4));
    drop(module);
    println!("{}", live(4));
}

#[test]
fn refused_code_comes_with_the_compilers_log() {
    let lines = play("module", &FAKE, &[]);
    for line in &lines[..2] {
        assert!(line.starts_with("Err(Load { code: 218, name: \"CUDA_ERROR_INVALID_PTX\""), "{lines:?}");
        assert!(line.contains("ptxas: 8 bytes of nonsense"), "{lines:?}");
    }
    assert!(lines[1].ends_with(" 0"), "the linker is gone: {lines:?}");
    assert_eq!(lines[2..], ["0 1", "0"], "of linkers and modules, the loaded module is left");
}

/// Loads code as often as `LOADS` says, by as many threads at once, and prints where it came from.
fn cache() {
    let driver = status(DriverVersion::CUDA_12_0).expect("the stand-in's version");
    let setting = |name| std::env::var(name).expect(name);
    let cache = CodeCache::open(setting("FOLDER")).expect("a folder");
    let text = setting("TEXT");
    let origin = Origin { ptx: &text, driver, device: "Stand-in", capability: 90, program: "test 1" };
    let sources: Vec<String> = std::thread::scope(|scope| {
        let load = || match cache.load(&origin) {
            Ok((_module, source)) => format!("{source:?}"),
            Err(error) => format!("{error:?}"),
        };
        let threads: Vec<_> =
            (0..setting("LOADS").parse().expect("a number")).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    println!("{}", sources.join(" "));
    println!("{} {}", live(3), live(4));
}

/// Plays a load of `text` with the cache in `folder` and says where the code came from.
fn load(folder: &Path, text: &str, settings: &[(&str, &str)]) -> String {
    let own = [("FOLDER", folder.to_str().expect("UTF-8")), ("TEXT", text), ("LOADS", "1")];
    let mut lines = play("cache", &FAKE, &[&own, settings].concat());
    assert_eq!(lines[1], "0 0", "nothing is left open");
    lines.remove(0)
}

/// The folder's only file.
fn entry(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn code_is_compiled_once_for_a_driver() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = |text: &str, settings: &[_]| load(&folder.path().join("cache"), text, settings);
    assert_eq!(load("kernels", &[]), "Compiled");
    assert_eq!(load("kernels", &[]), "Cache");
    assert_eq!(load("other kernels", &[]), "Compiled");
    assert_eq!(load("kernels", &[("FAKE_VERSION", "13000")]), "Compiled");
    assert_eq!(load("kernels", &[("FAKE_VERSION", "13000")]), "Cache");
    assert_eq!(load("kernels", &[]), "Cache", "the older driver's is still there");
    assert!(load("nonsense", &[]).contains("ptxas: 8 bytes of nonsense"));
    assert!(load("nonsense", &[]).contains("ptxas: 8 bytes of nonsense"), "and nothing was kept");
}

#[test]
fn a_damaged_entry_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(load(folder.path(), "kernels", &[]), "Compiled");
    let path = entry(folder.path());
    let whole = std::fs::read(&path).expect("an entry");
    let mut changed = whole.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    for damaged in [&whole[..whole.len() - 1], &whole[..10], &changed, b"", b"something else entirely"] {
        std::fs::write(&path, damaged).expect("written");
        assert_eq!(load(folder.path(), "kernels", &[]), "Compiled");
        assert!(std::fs::read(entry(folder.path())).expect("an entry") == whole, "as before");
        assert_eq!(load(folder.path(), "kernels", &[]), "Cache");
    }
}

#[test]
fn an_entry_that_the_driver_refuses_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(load(folder.path(), "kernels", &[("FAKE_STAMP", "1")]), "Compiled");
    assert_eq!(load(folder.path(), "kernels", &[("FAKE_STAMP", "2")]), "Compiled");
    assert_eq!(load(folder.path(), "kernels", &[("FAKE_STAMP", "2")]), "Cache");
    entry(folder.path());
}

/// Nobody, not even the administrator, can add files to this folder.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_no_error() {
    let folder = Path::new("/proc/self");
    assert!(!CodeCache::open(folder).expect("it can be read").is_writable());
    assert_eq!(load(folder, "kernels", &[]), "Compiled");
}

#[test]
fn many_processes_and_threads_share_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sources = load(folder.path(), "kernels", &[("LOADS", "8")]);
                let sources: Vec<_> = sources.split(' ').collect();
                assert_eq!(sources.len(), 8);
                assert!(sources.iter().all(|source| ["Cache", "Compiled"].contains(source)), "{sources:?}");
            });
        }
    });
    entry(folder.path());
    assert_eq!(load(folder.path(), "kernels", &[]), "Cache");
}

fn pinned() {
    let mut buffer = PinnedBuffer::<u32>::zeroed(3).expect("a buffer");
    println!("{buffer:?} {}", live(2));
    buffer[1] = 7;
    println!("{} {}", buffer.read_volatile(1), buffer.len());
    drop(buffer);
    println!("{}", live(2));
    println!("{:?}", PinnedBuffer::<u64>::zeroed(0).expect("an empty buffer"));
    println!("{:?}", PinnedBuffer::<u64>::zeroed(usize::MAX / 4).map(drop));
}

#[test]
fn pinned_buffers_are_zeroed_and_freed() {
    let lines = play("pinned", &FAKE, &[]);
    assert_eq!(lines[..4], ["[0, 0, 0] 1", "7 3", "0", "[]"]);
    assert!(lines[4].contains("CUDA_ERROR_OUT_OF_MEMORY"), "{lines:?}");
}

fn launch() {
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("the stand-in makes streams");
    let mut value = 42u32;
    let plain = LaunchAttributes::new();
    for attributes in [
        plain,
        plain.cooperative(),
        plain.programmatic_dependent(),
        plain.cooperative().programmatic_dependent().cluster(2, 1, 1),
    ] {
        let mut params = [(&raw mut value).cast::<c_void>()];
        let function = std::ptr::without_provenance_mut(0xf);
        // SAFETY: the stand-in only prints what it is given.
        let result =
            unsafe { launch_kernel(function, (4, 5, 6), (32, 2, 1), 1024, &stream, &mut params, attributes) };
        result.expect("a launch");
    }
}

#[test]
fn launches_carry_their_attributes() {
    let lines = play("launch", &FAKE, &[]);
    let expected = [
        "plain 0xf 4,5,6 32,2,1 1024 0x57 42 0x0",
        "cooperative 0xf 4,5,6 32,2,1 1024 0x57 42",
        "ex 0xf [4, 5, 6, 32, 2, 1, 1024] 0x57 42 0x0 6:1,0,0",
        "ex 0xf [4, 5, 6, 32, 2, 1, 1024] 0x57 42 0x0 2:1,0,0 6:1,0,0 4:2,1,1",
    ];
    assert_eq!(lines, expected);
}
