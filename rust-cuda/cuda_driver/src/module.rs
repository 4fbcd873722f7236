//! GPU code in the driver.

use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::Arc;

use cust::sys::{CUjit_option, CUmodule, CUresult};

use crate::error::{self, DriverError};
use crate::function::Function;
use crate::symbols::calls;

/// Room for what the driver's compiler has to say.
const LOG_BYTES: usize = 16 << 10;

/// GPU code that the driver has loaded into the current context.
///
/// Beside `cust`'s module, this one tells why code was refused, and its [`Function`]s keep it loaded, so that they
/// can be stored without a borrow. Clones are the same module. Drop the module and its functions before the
/// context.
#[derive(Clone, Debug)]
pub struct Module {
    loaded: Arc<Loaded>,
}

#[derive(Debug)]
struct Loaded(CUmodule);

// SAFETY: the driver's functions on modules may be called from any thread, as `cust` says of its own module.
unsafe impl Send for Loaded {}
// SAFETY: as above; nothing here changes through a shared reference.
unsafe impl Sync for Loaded {}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the handle came from a load and is unloaded once. A failure (the context is gone) leaves nothing
        // to do.
        let _ = unsafe { calls::cuModuleUnload(self.0) };
    }
}

impl Module {
    /// Compiles PTX for the current context's GPU and loads it.
    pub fn from_ptx(ptx: &str) -> Result<Self, DriverError> {
        // The driver reads to the first NUL; more of them at the end do no harm.
        let mut image = ptx.as_bytes().to_vec();
        image.push(0);
        // SAFETY: NUL-terminated text, which the driver parses as PTX.
        unsafe { Self::load(&image) }
    }

    /// Loads a cubin or fatbin.
    ///
    /// # Safety
    /// The driver trusts the lengths and offsets inside the image: it must be whole, as a compiler wrote it.
    pub unsafe fn from_image(image: &[u8]) -> Result<Self, DriverError> {
        let mut image = image.to_vec();
        image.push(0);
        // SAFETY: the caller vouches for what comes before the final NUL.
        unsafe { Self::load(&image) }
    }

    /// # Safety
    /// `image` ends with a NUL and is either text or a whole image.
    unsafe fn load(image: &[u8]) -> Result<Self, DriverError> {
        let mut log = vec![0u8; LOG_BYTES];
        let mut options =
            [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        // This one function takes small values in place of their addresses. One byte of the log is kept from the
        // driver, so that there always is a NUL.
        let mut values: [*mut c_void; 2] =
            [log.as_mut_ptr().cast(), ptr::without_provenance_mut(LOG_BYTES - 1)];
        let mut module: CUmodule = ptr::null_mut();
        // SAFETY: the caller vouches for the image; the options and their values match in number and kind, and the
        // log's length is given.
        let outcome = unsafe {
            calls::cuModuleLoadDataEx(
                &mut module,
                image.as_ptr().cast(),
                options.len() as u32,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        outcome.check().map_err(|error| with_log(error, &log))?;
        Ok(Self { loaded: Arc::new(Loaded(module)) })
    }

    /// The kernel of this name.
    pub fn function(&self, name: &str) -> Result<Function, DriverError> {
        let missing = || DriverError::NoFunction { name: name.to_owned() };
        let c_name = CString::new(name).map_err(|_| missing())?;
        let mut raw = ptr::null_mut();
        // SAFETY: the module is loaded, the name ends with a NUL, and `raw` is valid for the write.
        let outcome = unsafe { calls::cuModuleGetFunction(&mut raw, self.loaded.0, c_name.as_ptr()) };
        if outcome.result == Ok(CUresult::CUDA_ERROR_NOT_FOUND as i32) {
            return Err(missing());
        }
        outcome.check()?;
        Ok(Function::new(raw, self.clone()))
    }
}

/// Adds what the driver's compiler wrote to an error of loading.
fn with_log(error: DriverError, log: &[u8]) -> DriverError {
    let DriverError::Call { code, .. } = error else { return error };
    let log = CStr::from_bytes_until_nul(log).map(CStr::to_string_lossy).unwrap_or_default();
    let log = match log.trim() {
        "" => "the compiler wrote no log".to_owned(),
        written => written.to_owned(),
    };
    DriverError::Load { code, name: error::name(code), text: error::text(code), log }
}
