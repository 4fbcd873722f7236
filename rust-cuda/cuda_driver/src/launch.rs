//! Launches with attributes.

use std::ffi::c_void;
use std::ptr;

use cust::function::{BlockSize, GridSize};
use cust::stream::Stream;
use cust::sys::CUfunction;

use crate::error::DriverError;
use crate::symbols::calls;
use crate::sys;

/// What a launch asks for beyond its grid and blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaunchAttributes {
    cooperative: bool,
    programmatic: bool,
    cluster: Option<[u32; 3]>,
}

impl LaunchAttributes {
    /// An ordinary launch.
    pub const fn new() -> Self {
        Self { cooperative: false, programmatic: false, cluster: None }
    }

    /// Runs all blocks at once, so that they may wait for each other; a grid that does not fit is refused.
    pub const fn cooperative(mut self) -> Self {
        self.cooperative = true;
        self
    }

    /// Lets the grid start before the one ahead of it in the stream has ended (programmatic dependent launch).
    ///
    /// The kernel must wait (`griddepcontrol.wait`) before it touches what that grid reads or writes. GPUs before
    /// `sm_90` refuse such a launch.
    pub const fn programmatic_dependent(mut self) -> Self {
        self.programmatic = true;
        self
    }

    /// Groups the blocks into clusters of this many; `sm_90` and newer.
    pub const fn cluster(mut self, x: u32, y: u32, z: u32) -> Self {
        self.cluster = Some([x, y, z]);
        self
    }

    /// The attributes in the driver's form; the first `.1` of `.0` count.
    fn to_raw(self) -> ([sys::CUlaunchAttribute; 3], u32) {
        let unset = sys::CUlaunchAttribute { id: 0, value: sys::CUlaunchAttributeValue { pad: [0; 8] } };
        let mut list = [unset; 3];
        let mut count = 0;
        // The padding of the value is left zero, as the header asks.
        if self.cooperative {
            list[count].id = sys::CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
            list[count].value.cooperative = 1;
            count += 1;
        }
        if self.programmatic {
            list[count].id = sys::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
            list[count].value.programmaticStreamSerializationAllowed = 1;
            count += 1;
        }
        if let Some(cluster) = self.cluster {
            list[count].id = sys::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
            list[count].value.clusterDim = cluster;
            count += 1;
        }
        (list, count as u32)
    }
}

/// Queues a kernel on `stream`; `params` holds the address of each of its parameters.
///
/// Takes the raw handle so that it serves `cust`'s functions (`to_raw`) and this crate's
/// ([`Function::as_raw`](crate::function::Function::as_raw)) alike. Launches that an older function of the driver
/// can do go through that one, so only those with newer attributes need a newer driver.
///
/// # Safety
/// `function` is a kernel of a module that is loaded, in the current context. `params` has an address for each of
/// its parameters, each valid for reads of that parameter's type. What the kernel then does with them, it may do
/// until the stream is synchronised.
pub unsafe fn launch_kernel(
    function: CUfunction,
    grid: impl Into<GridSize>,
    block: impl Into<BlockSize>,
    shared_bytes: u32,
    stream: &Stream,
    params: &mut [*mut c_void],
    attributes: LaunchAttributes,
) -> Result<(), DriverError> {
    let (grid, block) = (grid.into(), block.into());
    let stream = stream.as_inner();
    let params = params.as_mut_ptr();
    match attributes {
        // SAFETY: the caller vouches for the function and its parameters; there is no `extra`.
        LaunchAttributes { cooperative: false, programmatic: false, cluster: None } => unsafe {
            calls::cuLaunchKernel(
                function,
                grid.x,
                grid.y,
                grid.z,
                block.x,
                block.y,
                block.z,
                shared_bytes,
                stream,
                params,
                ptr::null_mut(),
            )
            .check()
        },
        // SAFETY: as above.
        LaunchAttributes { cooperative: true, programmatic: false, cluster: None } => unsafe {
            calls::cuLaunchCooperativeKernel(
                function,
                grid.x,
                grid.y,
                grid.z,
                block.x,
                block.y,
                block.z,
                shared_bytes,
                stream,
                params,
            )
            .check()
        },
        _ => {
            let (mut list, count) = attributes.to_raw();
            let config = sys::CUlaunchConfig {
                gridDimX: grid.x,
                gridDimY: grid.y,
                gridDimZ: grid.z,
                blockDimX: block.x,
                blockDimY: block.y,
                blockDimZ: block.z,
                sharedMemBytes: shared_bytes,
                hStream: stream,
                attrs: list.as_mut_ptr(),
                numAttrs: count,
            };
            // SAFETY: as above; the configuration and its attributes outlive the call, which copies them.
            unsafe { sys::cuLaunchKernelEx(&config, function, params, ptr::null_mut()) }
        }
    }
}
