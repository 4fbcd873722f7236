//! What the driver's compiler is told, and what it says when it refuses.

use std::ffi::{CStr, c_uint, c_void};
use std::ptr;

use cust::sys::CUjit_option;

use crate::error::{self, DriverError};

/// Room for what the driver's compiler has to say.
const LOG_BYTES: usize = 16 << 10;

/// The options of a compilation: where its errors are written.
pub(crate) struct ErrorLog {
    text: Vec<u8>,
    options: [CUjit_option; 2],
    values: [*mut c_void; 2],
}

impl ErrorLog {
    pub(crate) fn new() -> Self {
        let mut text = vec![0u8; LOG_BYTES];
        let options =
            [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        // The driver takes small values in place of their addresses. One byte of the log is kept from it, so that
        // there always is a NUL.
        let values = [text.as_mut_ptr().cast(), ptr::without_provenance_mut(LOG_BYTES - 1)];
        Self { text, options, values }
    }

    /// The options as the driver takes them: their number, names and values. The driver may write to them, and to the
    /// log, for as long as what they were given to is in use: this must stay where it is until then.
    pub(crate) fn options(&mut self) -> (c_uint, *mut CUjit_option, *mut *mut c_void) {
        (self.options.len() as c_uint, self.options.as_mut_ptr(), self.values.as_mut_ptr())
    }

    /// Adds the log to an error of compiling or loading.
    pub(crate) fn explain(&self, error: DriverError) -> DriverError {
        let DriverError::Call { code, .. } = error else { return error };
        let log = CStr::from_bytes_until_nul(&self.text).map(CStr::to_string_lossy).unwrap_or_default();
        let log = match log.trim() {
            "" => "the compiler wrote no log".to_owned(),
            written => written.to_owned(),
        };
        DriverError::Load { code, name: error::name(code), text: error::text(code), log }
    }
}
