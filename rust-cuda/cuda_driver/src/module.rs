//! GPU code in the driver.

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;

use cust::sys::{CUmodule, CUresult};

use crate::error::DriverError;
use crate::function::Function;
use crate::jit::ErrorLog;
use crate::symbols::calls;

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
        let mut log = ErrorLog::new();
        let (count, options, values) = log.options();
        let mut module: CUmodule = ptr::null_mut();
        // SAFETY: the caller vouches for the image; the options and their values match in number and kind, and outlive
        // the call.
        let outcome =
            unsafe { calls::cuModuleLoadDataEx(&mut module, image.as_ptr().cast(), count, options, values) };
        outcome.check().map_err(|error| log.explain(error))?;
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
