//! Machine code: PTX that the driver has compiled for one kind of GPU.

use std::ptr;
use std::slice;

use cust::sys::{CUjitInputType, CUlinkState, CUresult};

use crate::error::DriverError;
use crate::jit::ErrorLog;
use crate::module::Module;
use crate::symbols::calls;

/// Machine code as the driver's compiler wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cubin(Vec<u8>);

impl Cubin {
    /// Compiles PTX for the current context's GPU.
    pub fn compile(ptx: &str) -> Result<Self, DriverError> {
        let mut log = ErrorLog::new();
        // The linker is gone when the log is read: it no longer writes to it.
        let linked = link(ptx, &mut log);
        linked.map(Self).map_err(|error| log.explain(error))
    }

    /// Machine code that was kept.
    ///
    /// # Safety
    /// The bytes must be those of a [`Cubin`], all of them and unchanged: the driver trusts the lengths and offsets
    /// in them.
    pub unsafe fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Loads it into the current context. A driver refuses what is for another kind of GPU.
    pub fn load(&self) -> Result<Module, DriverError> {
        // SAFETY: whole, as a compiler wrote it.
        unsafe { Module::from_image(&self.0) }
    }
}

/// The driver's linker, which is also its compiler.
struct Linker(CUlinkState);

impl Drop for Linker {
    fn drop(&mut self) {
        // SAFETY: the handle came from the driver and is destroyed once; nothing that it owns is used any longer.
        let _ = unsafe { calls::cuLinkDestroy(self.0) };
    }
}

fn link(ptx: &str, log: &mut ErrorLog) -> Result<Vec<u8>, DriverError> {
    // The driver reads to the first NUL, which its length of the text includes.
    let mut text = ptx.as_bytes().to_vec();
    text.push(0);
    let (count, options, values) = log.options();
    let mut state: CUlinkState = ptr::null_mut();
    // SAFETY: the options and their values match in number and kind, and outlive the linker, which is dropped when this
    // function returns.
    unsafe { calls::cuLinkCreate_v2(count, options, values, &mut state) }.check()?;
    let linker = Linker(state);
    // SAFETY: the text is NUL-terminated and has that length; the driver copies it. There are no further options.
    unsafe {
        calls::cuLinkAddData_v2(
            linker.0,
            CUjitInputType::CU_JIT_INPUT_PTX,
            text.as_mut_ptr().cast(),
            text.len(),
            c"kernels.ptx".as_ptr(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    }
    .check()?;
    let (mut start, mut len) = (ptr::null_mut(), 0);
    // SAFETY: both are valid for the writes.
    unsafe { calls::cuLinkComplete(linker.0, &mut start, &mut len) }.check()?;
    if start.is_null() {
        return Err(DriverError::from_code("cuLinkComplete", CUresult::CUDA_ERROR_INVALID_IMAGE as i32));
    }
    // SAFETY: the driver gave the address and length of memory that the linker owns, and the linker is still there.
    Ok(unsafe { slice::from_raw_parts(start.cast::<u8>(), len) }.to_vec())
}
