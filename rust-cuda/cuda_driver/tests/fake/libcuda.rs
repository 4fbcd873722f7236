//! A stand-in for the driver's library, compiled by the tests. It has a few of the driver's functions, with the
//! types of the C header written out by hand; environment variables choose what they answer.

#![allow(non_snake_case)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

type Handle = *mut c_void;

static CAPTURING: AtomicI32 = AtomicI32::new(0);
static GRAPHS: AtomicI32 = AtomicI32::new(0);
static PINNED: AtomicI32 = AtomicI32::new(0);
static LINKERS: AtomicI32 = AtomicI32::new(0);
static MODULES: AtomicI32 = AtomicI32::new(0);

fn setting(name: &str, default: c_int) -> c_int {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Not the driver's: how many captures, graphs, pinned buffers, linkers and modules are alive.
#[unsafe(no_mangle)]
pub extern "C" fn fake_live(which: c_int) -> c_int {
    [&CAPTURING, &GRAPHS, &PINNED, &LINKERS, &MODULES][which as usize].load(SeqCst)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(flags: c_uint) -> c_int {
    if flags == 0 { setting("FAKE_INIT", 0) } else { 1 }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDriverGetVersion(version: &mut c_int) -> c_int {
    *version = setting("FAKE_VERSION", 12_040);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetCount(count: &mut c_int) -> c_int {
    *count = setting("FAKE_DEVICES", 1);
    0
}

fn words(code: c_int) -> Option<(&'static CStr, &'static CStr)> {
    match code {
        1 => Some((c"CUDA_ERROR_INVALID_VALUE", c"invalid argument")),
        100 => Some((c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected")),
        209 => Some((c"CUDA_ERROR_NO_BINARY_FOR_GPU", c"no kernel image is available")),
        218 => Some((c"CUDA_ERROR_INVALID_PTX", c"a PTX JIT compilation failed")),
        2000 => Some((c"CUDA_ERROR_FROM_THE_FUTURE", c"newer than the header")),
        _ => None,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorName(code: c_int, out: &mut *const c_char) -> c_int {
    *out = words(code).map_or(std::ptr::null(), |(name, _)| name.as_ptr());
    if out.is_null() { 1 } else { 0 }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorString(code: c_int, out: &mut *const c_char) -> c_int {
    *out = words(code).map_or(std::ptr::null(), |(_, text)| text.as_ptr());
    if out.is_null() { 1 } else { 0 }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetInfo_v2(free: &mut usize, total: &mut usize) -> c_int {
    *free = 123;
    *total = 456;
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAlloc_v2(_: &mut u64, _: usize) -> c_int {
    2000
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreateWithPriority(stream: &mut Handle, _: c_uint, _: c_int) -> c_int {
    *stream = 0x57 as Handle;
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(_: Handle) -> c_int {
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture_v2(_: Handle, mode: c_int) -> c_int {
    if mode != 1 || CAPTURING.swap(1, SeqCst) == 1 { 1 } else { 0 }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamEndCapture(_: Handle, graph: &mut Handle) -> c_int {
    if CAPTURING.swap(0, SeqCst) == 0 {
        return 1;
    }
    GRAPHS.fetch_add(1, SeqCst);
    *graph = 0x6 as Handle;
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphDestroy(_: Handle) -> c_int {
    GRAPHS.fetch_sub(1, SeqCst);
    0
}

/// What machine code begins with; its stamp, the length of its text, and the text follow.
const MAGIC: &[u8; 8] = b"\0machine";

/// CU_JIT_ERROR_LOG_BUFFER and its size.
#[derive(Clone, Copy)]
struct Log(*mut u8, usize);

impl Log {
    unsafe fn of(count: c_uint, options: *const c_int, values: *const *mut c_void) -> Self {
        let options = unsafe { std::slice::from_raw_parts(options, count as usize) };
        let values = unsafe { std::slice::from_raw_parts(values, count as usize) };
        let value = |option| values[options.iter().position(|&o| o == option).unwrap()];
        Self(value(5).cast(), value(6) as usize)
    }

    /// The result for a text, with the log filled to the last byte, as by a long one, where it is refused.
    fn check(self, text: &CStr) -> c_int {
        if !text.to_bytes().starts_with(b"nonsense") {
            return 0;
        }
        let mut log = format!("ptxas: {} bytes of nonsense\n", text.to_bytes().len()).into_bytes();
        log.resize(self.1, b'.');
        unsafe { std::ptr::copy_nonoverlapping(log.as_ptr(), self.0, self.1) };
        218
    }
}

/// A linker: its log, and its code once there is some.
struct Linker(Log, Vec<u8>);

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkCreate_v2(
    count: c_uint, options: *const c_int, values: *const *mut c_void, out: &mut *mut Linker,
) -> c_int {
    LINKERS.fetch_add(1, SeqCst);
    *out = Box::into_raw(Box::new(Linker(unsafe { Log::of(count, options, values) }, Vec::new())));
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkAddData_v2(
    linker: &mut Linker, kind: c_int, data: *const u8, size: usize, _: *const c_char, count: c_uint, _: Handle,
    _: Handle,
) -> c_int {
    let data = unsafe { std::slice::from_raw_parts(data, size) };
    // CU_JIT_INPUT_PTX, with its NUL.
    let (1, 0, Ok(text)) = (kind, count, CStr::from_bytes_with_nul(data)) else { return 1 };
    linker.1 = [&MAGIC[..], &setting("FAKE_STAMP", 0).to_le_bytes(), &(size as u32).to_le_bytes(), data].concat();
    linker.0.check(text)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkComplete(linker: &mut Linker, out: &mut *mut u8, size: &mut usize) -> c_int {
    *out = linker.1.as_mut_ptr();
    *size = linker.1.len();
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkDestroy(linker: *mut Linker) -> c_int {
    let mut linker = unsafe { Box::from_raw(linker) };
    // Whoever still reads it must notice.
    linker.1.fill(0);
    LINKERS.fetch_sub(1, SeqCst);
    0
}

/// Takes text, and machine code that is whole and has this process's stamp.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadDataEx(
    module: &mut Handle, image: *const c_char, count: c_uint, options: *const c_int, values: *const *mut c_void,
) -> c_int {
    let word = |at: usize| unsafe { image.add(at).cast::<c_int>().read_unaligned() };
    let result = if unsafe { image.read() } != 0 {
        unsafe { Log::of(count, options, values).check(CStr::from_ptr(image)) }
    } else if unsafe { std::slice::from_raw_parts(image.cast::<u8>(), 8) } != MAGIC {
        200
    } else if word(8) != setting("FAKE_STAMP", 0) {
        209
    } else {
        let text = unsafe { CStr::from_ptr(image.add(16)) };
        if text.count_bytes() + 1 == word(12) as usize { 0 } else { 200 }
    };
    if result == 0 {
        MODULES.fetch_add(1, SeqCst);
        *module = 0x30 as Handle;
    }
    result
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(_: Handle) -> c_int {
    MODULES.fetch_sub(1, SeqCst);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostAlloc(out: &mut *mut c_void, bytes: usize, flags: c_uint) -> c_int {
    if bytes == 0 || flags != 3 {
        return 1;
    }
    // Not zeroed, so that the wrapper's zeroes are its own.
    let memory = vec![0xa5u64; bytes.div_ceil(8)].leak();
    PINNED.fetch_add(1, SeqCst);
    *out = memory.as_mut_ptr().cast();
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeHost(_: *mut c_void) -> c_int {
    PINNED.fetch_sub(1, SeqCst);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernel(
    f: Handle, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint,
    stream: Handle, params: *const *const u32, extra: Handle,
) -> c_int {
    let value = unsafe { **params };
    println!("plain {f:?} {gx},{gy},{gz} {bx},{by},{bz} {shared} {stream:?} {value} {extra:?}");
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchCooperativeKernel(
    f: Handle, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint,
    stream: Handle, params: *const *const u32,
) -> c_int {
    let value = unsafe { **params };
    println!("cooperative {f:?} {gx},{gy},{gz} {bx},{by},{bz} {shared} {stream:?} {value}");
    0
}

/// Reads the configuration by the header's offsets.
#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernelEx(config: *const u8, f: Handle, params: *const *const u32, extra: Handle) -> c_int {
    let word = |at: *const u8, offset: usize| unsafe { at.add(offset).cast::<u32>().read() };
    let address = |offset: usize| unsafe { config.add(offset).cast::<*const u8>().read() };
    let shape: Vec<u32> = (0..7).map(|i| word(config, 4 * i)).collect();
    let stream = address(32);
    let attributes = address(40);
    let list: Vec<String> = (0..word(config, 48) as usize)
        .map(|i| {
            let [id, a, b, c] = [0, 8, 12, 16].map(|offset| word(attributes, 72 * i + offset));
            format!("{id}:{a},{b},{c}")
        })
        .collect();
    let value = unsafe { **params };
    println!("ex {f:?} {shape:?} {stream:?} {value} {extra:?} {}", list.join(" "));
    0
}
