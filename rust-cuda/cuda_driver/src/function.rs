//! A kernel's attributes, its occupancy and its launch.

use std::ffi::{c_int, c_void};

use cust::function::{BlockSize, GridSize};
use cust::stream::Stream;
use cust::sys::{CUfunction, CUfunction_attribute};

use crate::error::DriverError;
use crate::launch::{LaunchAttributes, launch_kernel};
use crate::module::Module;
use crate::symbols::calls;

/// A kernel of a [`Module`], which stays loaded as long as this lives.
#[derive(Clone, Debug)]
pub struct Function {
    raw: CUfunction,
    _module: Module,
}

// SAFETY: the driver's functions on kernels may be called from any thread, as `cust` says of its own.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// What a kernel needs, as the driver compiled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionAttributes {
    /// Registers of each thread.
    pub registers: u32,
    /// Local memory of each thread, in bytes: spills and arrays that did not fit registers.
    pub local_bytes: u32,
    /// Statically declared shared memory of a block, in bytes.
    pub static_shared_bytes: u32,
    /// The most dynamic shared memory that a launch may ask for, in bytes.
    pub max_dynamic_shared_bytes: u32,
    /// Constant memory, in bytes.
    pub constant_bytes: u32,
    /// The most threads that a block may have.
    pub max_threads_per_block: u32,
    /// The PTX version it came from, 10 · major + minor.
    pub ptx_version: u32,
    /// The architecture it was compiled for, 10 · major + minor.
    pub binary_version: u32,
}

impl Function {
    pub(crate) fn new(raw: CUfunction, module: Module) -> Self {
        Self { raw, _module: module }
    }

    /// The driver's handle, valid as long as this lives.
    pub fn as_raw(&self) -> CUfunction {
        self.raw
    }

    /// What the kernel needs.
    pub fn attributes(&self) -> Result<FunctionAttributes, DriverError> {
        use CUfunction_attribute as A;
        Ok(FunctionAttributes {
            registers: self.attribute(A::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
            local_bytes: self.attribute(A::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
            static_shared_bytes: self.attribute(A::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?,
            max_dynamic_shared_bytes: self.attribute(A::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)?,
            constant_bytes: self.attribute(A::CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES)?,
            max_threads_per_block: self.attribute(A::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            ptx_version: self.attribute(A::CU_FUNC_ATTRIBUTE_PTX_VERSION)?,
            binary_version: self.attribute(A::CU_FUNC_ATTRIBUTE_BINARY_VERSION)?,
        })
    }

    fn attribute(&self, attribute: CUfunction_attribute) -> Result<u32, DriverError> {
        let mut value: c_int = 0;
        // SAFETY: the kernel's module is loaded and `value` is valid for the write.
        unsafe { calls::cuFuncGetAttribute(&mut value, attribute, self.raw) }.check()?;
        Ok(u32::try_from(value).unwrap_or(0))
    }

    /// Lets launches ask for up to `bytes` of dynamic shared memory; without this the limit is 48 KiB.
    pub fn set_max_dynamic_shared_bytes(&self, bytes: u32) -> Result<(), DriverError> {
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // A size beyond the range is as far beyond any GPU's memory as the largest in it.
        let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
        // SAFETY: the kernel's module is loaded; the driver checks the value.
        unsafe { calls::cuFuncSetAttribute(self.raw, attribute, bytes) }.check()
    }

    /// How many blocks of `threads` threads and `shared_bytes` of dynamic shared memory one multiprocessor holds at
    /// once. Times the number of multiprocessors, this is the largest cooperative grid.
    pub fn max_active_blocks(&self, threads: u32, shared_bytes: u32) -> Result<u32, DriverError> {
        let mut blocks: c_int = 0;
        let threads = c_int::try_from(threads).unwrap_or(c_int::MAX);
        // SAFETY: the kernel's module is loaded and `blocks` is valid for the write.
        unsafe {
            calls::cuOccupancyMaxActiveBlocksPerMultiprocessor(
                &mut blocks,
                self.raw,
                threads,
                shared_bytes as usize,
            )
        }
        .check()?;
        Ok(u32::try_from(blocks).unwrap_or(0))
    }

    /// Queues the kernel on `stream`; `params` holds the address of each of its parameters.
    ///
    /// # Safety
    /// The context that the module was loaded into is current. `params` has an address for each of the kernel's
    /// parameters, each valid for reads of that parameter's type. What the kernel then does with them, it may do
    /// until the stream is synchronised.
    pub unsafe fn launch(
        &self,
        grid: impl Into<GridSize>,
        block: impl Into<BlockSize>,
        shared_bytes: u32,
        stream: &Stream,
        params: &mut [*mut c_void],
        attributes: LaunchAttributes,
    ) -> Result<(), DriverError> {
        // SAFETY: the module is loaded; the caller vouches for the rest.
        unsafe { launch_kernel(self.raw, grid, block, shared_bytes, stream, params, attributes) }
    }
}
