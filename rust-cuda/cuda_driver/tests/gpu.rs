//! The wrappers on a real GPU. Without a driver, or with one too old, each test says so and passes.

use std::ffi::c_void;

use cuda_driver::cache::{CodeCache, Origin, Source};
use cuda_driver::cubin::Cubin;
use cuda_driver::graph::{Graph, GraphExec};
use cuda_driver::launch::LaunchAttributes;
use cuda_driver::module::Module;
use cuda_driver::pinned::PinnedBuffer;
use cuda_driver::{DriverError, DriverVersion, device_attribute, status};
use cust::context::Context;
use cust::device::{Device, DeviceAttribute};
use cust::memory::{CopyDestination, DeviceBuffer};
use cust::stream::{Stream, StreamFlags};
use cust::sys::{CUdevice_attribute, CUdeviceptr};

/// `counter[i] += step` for the thread's global index `i`.
const ADD: &str = "
.version 7.0
.target sm_70
.address_size 64
.visible .entry add(.param .u64 counter, .param .u32 step)
{
    .reg .b32 %r<7>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [counter];
    ld.param.u32 %r1, [step];
    cvta.to.global.u64 %rd2, %rd1;
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    mul.wide.u32 %rd3, %r5, 4;
    add.s64 %rd4, %rd2, %rd3;
    ld.global.u32 %r6, [%rd4];
    add.u32 %r6, %r6, %r1;
    st.global.u32 [%rd4], %r6;
    ret;
}
";

const BLOCKS: u32 = 3;
const THREADS: u32 = 64;

/// The first GPU with its primary context current on this thread, or `None` after a line that says why.
fn gpu() -> Option<(Device, Context)> {
    if let Err(error) = status(DriverVersion::CUDA_12_0) {
        println!("skipped: {error}");
        return None;
    }
    let device = Device::get_device(0).expect("a device");
    Some((device, Context::new(device).expect("a context")))
}

/// Queues `add` once.
fn add(
    function: &cuda_driver::function::Function,
    stream: &Stream,
    mut counter: CUdeviceptr,
    mut step: u32,
    attributes: LaunchAttributes,
) -> Result<(), DriverError> {
    let mut params = [(&raw mut counter).cast::<c_void>(), (&raw mut step).cast()];
    // SAFETY: the kernel has these two parameters; the callers' counters have an element for each thread and live
    // until the stream is synchronised.
    unsafe { function.launch(BLOCKS, THREADS, 0, stream, &mut params, attributes) }
}

#[test]
fn launches_of_every_kind_and_graphs_add_up() {
    let Some((device, _context)) = gpu() else { return };
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("a stream");
    let function = Module::from_ptx(ADD).expect("a module").function("add").expect("a kernel");
    let counter = DeviceBuffer::from_slice(&[0u32; (BLOCKS * THREADS) as usize]).expect("memory");
    let address = counter.as_device_ptr().as_raw();
    let plain = LaunchAttributes::new();

    add(&function, &stream, address, 1, plain).expect("a launch");
    add(&function, &stream, address, 10, plain.cooperative()).expect("a cooperative launch");
    let mut expected = 11;
    if device.get_attribute(DeviceAttribute::ComputeCapabilityMajor).expect("an attribute") >= 9 {
        // This kernel waits for nothing, so the one ahead must be done.
        stream.synchronize().expect("both ran");
        add(&function, &stream, address, 100, plain.programmatic_dependent()).expect("a dependent launch");
        stream.synchronize().expect("it ran");
        add(&function, &stream, address, 100, plain.cluster(3, 1, 1)).expect("a launch in clusters");
        expected += 200;
    }

    let graph = Graph::capture::<DriverError>(&stream, |stream| {
        add(&function, stream, address, 1000, plain)?;
        add(&function, stream, address, 2000, plain)
    })
    .expect("a graph");
    assert_eq!(graph.node_count(), Ok(2));
    let graph = graph.instantiate().expect("an executable graph");
    for _ in 0..3 {
        // SAFETY: module and memory live on.
        unsafe { graph.launch(&stream) }.expect("a launch of the graph");
    }
    expected += 3 * 3000;

    stream.synchronize().expect("all ran");
    let mut host = [0u32; (BLOCKS * THREADS) as usize];
    counter.copy_to(&mut host).expect("a copy");
    assert_eq!(host, [expected; (BLOCKS * THREADS) as usize]);
}

/// Runs `add` of a module once on zeroes.
fn adds(module: &Module) {
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("a stream");
    let counter = DeviceBuffer::from_slice(&[0u32; (BLOCKS * THREADS) as usize]).expect("memory");
    let function = module.function("add").expect("a kernel");
    let address = counter.as_device_ptr().as_raw();
    add(&function, &stream, address, 3, LaunchAttributes::new()).expect("a launch");
    stream.synchronize().expect("it ran");
    let mut host = [0u32; (BLOCKS * THREADS) as usize];
    counter.copy_to(&mut host).expect("a copy");
    assert_eq!(host, [3; (BLOCKS * THREADS) as usize]);
}

#[test]
fn code_from_the_cache_runs() {
    let Some((device, _context)) = gpu() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let cache = CodeCache::open(folder.path()).expect("a cache");
    let driver = status(DriverVersion::CUDA_12_0).expect("a driver");
    let name = device.name().expect("a name");
    let origin = Origin { ptx: ADD, driver, device: &name, capability: 0, program: "test" };
    for expected in [Source::Compiled, Source::Cache] {
        let (module, source) = cache.load(&origin).expect("code");
        assert_eq!(source, expected);
        adds(&module);
    }
    assert_eq!(cache.usage().expect("a listing").entries, 1);
}

#[test]
fn a_spoiled_capture_fails_and_leaves_the_stream_usable() {
    let Some((_, _context)) = gpu() else { return };
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("a stream");
    let spoiled = GraphExec::capture::<DriverError>(&stream, |stream| {
        // Not allowed while a stream records; it spoils the recording even if its own error is ignored.
        let _ = stream.synchronize();
        Ok(())
    });
    assert!(matches!(spoiled, Err(DriverError::Call { .. })), "{spoiled:?}");
    stream.synchronize().expect("the stream runs again");
}

#[test]
fn pinned_memory_is_seen_by_the_device() {
    let Some((_, _context)) = gpu() else { return };
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("a stream");
    let function = Module::from_ptx(ADD).expect("a module").function("add").expect("a kernel");
    let mut counter = PinnedBuffer::<u32>::zeroed((BLOCKS * THREADS) as usize).expect("pinned memory");
    counter[5] = 5;
    let address = counter.device_ptr().expect("an address");
    add(&function, &stream, address, 7, LaunchAttributes::new()).expect("a launch");
    stream.synchronize().expect("it ran");
    assert_eq!((counter[0], counter[5], counter[191]), (7, 12, 7));
}

#[test]
fn attributes_and_occupancy_are_plausible() {
    let Some((device, _context)) = gpu() else { return };
    let module = Module::from_ptx(ADD).expect("a module");
    let function = module.function("add").expect("a kernel");
    drop(module);
    let attributes = function.attributes().expect("attributes");
    assert!((1..=255).contains(&attributes.registers), "{attributes:?}");
    assert_eq!((attributes.local_bytes, attributes.static_shared_bytes), (0, 0));
    assert_eq!(attributes.ptx_version, 70);

    let optin = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
    let most = device_attribute(device, optin).expect("an attribute") as u32;
    let few = function.max_active_blocks(THREADS, 0).expect("an occupancy");
    function.set_max_dynamic_shared_bytes(most).expect("all of the shared memory");
    assert_eq!(function.attributes().expect("attributes").max_dynamic_shared_bytes, most);
    assert!(function.set_max_dynamic_shared_bytes(most + 1).is_err());
    let one = function.max_active_blocks(THREADS, most).expect("an occupancy");
    assert_eq!(one, 1);
    assert!(few > one);
}

#[test]
fn refused_code_says_why() {
    let Some((_, _context)) = gpu() else { return };
    let error = Module::from_ptx(&ADD.replace("add.u32 %r6", "sum.u32 %r6")).expect_err("nonsense");
    let compiled = Cubin::compile(&ADD.replace("add.u32 %r6", "sum.u32 %r6")).expect_err("nonsense");
    for error in [error, compiled] {
        let DriverError::Load { log, .. } = &error else { panic!("{error}") };
        assert!(log.contains("sum"), "{log}");
    }
    let module = Module::from_ptx(ADD).expect("a module");
    assert!(matches!(module.function("sub"), Err(DriverError::NoFunction { name }) if name == "sub"));
    assert!(matches!(module.function("a\0dd"), Err(DriverError::NoFunction { .. })));
}
