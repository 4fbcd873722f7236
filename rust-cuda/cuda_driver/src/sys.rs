//! Raw declarations that `cust::sys` (CUDA 11.4) lacks, under the names of `cuda.h`.
//!
//! The functions are reached through the loader, not linked.

#![allow(non_camel_case_types, non_snake_case)]

use std::ffi::{c_int, c_uint, c_void};

use cust::sys::{CUfunction, CUstream};

use crate::error::{DriverError, Outcome};
use crate::loader::Symbol;
use crate::symbols::call;

/// Which attribute a [`CUlaunchAttribute`] sets. An integer, since newer drivers have more of them.
pub type CUlaunchAttributeID = c_uint;

/// All blocks of the grid run at once, so that they may wait for each other.
pub const CU_LAUNCH_ATTRIBUTE_COOPERATIVE: CUlaunchAttributeID = 2;
/// The dimensions of a thread block cluster.
pub const CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: CUlaunchAttributeID = 4;
/// The grid may start before the one ahead of it in the stream has ended.
pub const CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION: CUlaunchAttributeID = 6;

/// The value of a [`CUlaunchAttribute`]; which field counts depends on the id.
#[repr(C)]
#[derive(Clone, Copy)]
pub union CUlaunchAttributeValue {
    /// The size that the header fixes.
    pub pad: [u64; 8],
    /// For [`CU_LAUNCH_ATTRIBUTE_COOPERATIVE`].
    pub cooperative: c_int,
    /// For [`CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION`].
    pub clusterDim: [c_uint; 3],
    /// For [`CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION`].
    pub programmaticStreamSerializationAllowed: c_int,
}

/// One attribute of a launch.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CUlaunchAttribute {
    /// Which one.
    pub id: CUlaunchAttributeID,
    /// Its value.
    pub value: CUlaunchAttributeValue,
}

/// The shape of a launch.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CUlaunchConfig {
    /// Blocks in x.
    pub gridDimX: c_uint,
    /// Blocks in y.
    pub gridDimY: c_uint,
    /// Blocks in z.
    pub gridDimZ: c_uint,
    /// Threads of a block in x.
    pub blockDimX: c_uint,
    /// Threads of a block in y.
    pub blockDimY: c_uint,
    /// Threads of a block in z.
    pub blockDimZ: c_uint,
    /// Dynamic shared memory of a block.
    pub sharedMemBytes: c_uint,
    /// Where to queue the launch.
    pub hStream: CUstream,
    /// The attributes.
    pub attrs: *mut CUlaunchAttribute,
    /// How many there are.
    pub numAttrs: c_uint,
}

// The sizes and offsets of `cuda.h` on 64-bit machines.
const _: () = {
    assert!(size_of::<CUlaunchAttributeValue>() == 64);
    assert!(size_of::<CUlaunchAttribute>() == 72);
    assert!(std::mem::offset_of!(CUlaunchAttribute, value) == 8);
    assert!(size_of::<CUlaunchConfig>() == 56);
    assert!(std::mem::offset_of!(CUlaunchConfig, hStream) == 32);
};

/// Launches a kernel with attributes; drivers since CUDA 11.8 have it.
///
/// # Safety
/// As for the driver's function of this name.
pub unsafe fn cuLaunchKernelEx(
    config: *const CUlaunchConfig,
    function: CUfunction,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Result<(), DriverError> {
    call!(cuLaunchKernelEx(
        config: *const CUlaunchConfig,
        function: CUfunction,
        params: *mut *mut c_void,
        extra: *mut *mut c_void
    ))
    .check()
}
