//! Recording a stream's work, to launch it again as one.

use std::ptr;

use cust::stream::Stream;
use cust::sys::{CUgraph, CUgraphExec, CUstream, CUstreamCaptureMode_enum};

use crate::error::DriverError;
use crate::symbols::calls;

/// Work that was recorded, not run.
#[derive(Debug)]
pub struct Graph {
    raw: CUgraph,
}

// SAFETY: a graph may be used by any thread, if by one at a time; it is not `Sync`.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `record` queues on `stream` in place of running it.
    ///
    /// The recording ends whatever becomes of `record`: if it fails or panics, what it recorded is dropped and the
    /// stream runs its work again. While it records, other threads are free to use the driver; this one must not
    /// synchronise or allocate, which spoils the recording.
    pub fn capture<E: From<DriverError>>(
        stream: &Stream,
        record: impl FnOnce(&Stream) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mode = CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives as long as the capture, which ends in this function.
        unsafe { calls::cuStreamBeginCapture_v2(stream.as_inner(), mode) }.check()?;
        let capture = Capture { stream: stream.as_inner() };
        record(stream)?;
        Ok(capture.end()?)
    }

    /// How many operations were recorded.
    pub fn node_count(&self) -> Result<usize, DriverError> {
        let mut count = 0;
        // SAFETY: with no room for nodes the driver only writes their number.
        unsafe { calls::cuGraphGetNodes(self.raw, ptr::null_mut(), &mut count) }.check()?;
        Ok(count)
    }

    /// Prepares the work to be launched. The result does not need the graph any more.
    pub fn instantiate(&self) -> Result<GraphExec, DriverError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the graph is alive and `raw` is valid for the write.
        unsafe { calls::cuGraphInstantiateWithFlags(&mut raw, self.raw, 0) }.check()?;
        Ok(GraphExec { raw })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: the handle came from the driver and is destroyed once.
        let _ = unsafe { calls::cuGraphDestroy(self.raw) };
    }
}

/// A recording under way. Dropping it ends it and throws away what was recorded.
struct Capture {
    stream: CUstream,
}

impl Capture {
    fn end(self) -> Result<Graph, DriverError> {
        let stream = self.stream;
        std::mem::forget(self);
        end_capture(stream)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(end_capture(self.stream));
    }
}

fn end_capture(stream: CUstream) -> Result<Graph, DriverError> {
    let mut raw = ptr::null_mut();
    // SAFETY: the stream is alive, since `Graph::capture` borrows it, and `raw` is valid for the write.
    let outcome = unsafe { calls::cuStreamEndCapture(stream, &mut raw) };
    outcome.check()?;
    Ok(Graph { raw })
}

/// Recorded work, ready to run.
#[derive(Debug)]
pub struct GraphExec {
    raw: CUgraphExec,
}

// SAFETY: as for `Graph`.
unsafe impl Send for GraphExec {}

impl GraphExec {
    /// Records what `record` queues on `stream` and prepares it: [`Graph::capture`] and [`Graph::instantiate`].
    pub fn capture<E: From<DriverError>>(
        stream: &Stream,
        record: impl FnOnce(&Stream) -> Result<(), E>,
    ) -> Result<Self, E> {
        Ok(Graph::capture(stream, record)?.instantiate()?)
    }

    /// Queues the work on `stream`.
    ///
    /// # Safety
    /// All that the recorded work refers to (kernels' modules, memory, events) still exists, and what it does with
    /// it, it may do again until the stream is synchronised.
    pub unsafe fn launch(&self, stream: &Stream) -> Result<(), DriverError> {
        // SAFETY: the caller vouches for the work; both handles are alive.
        unsafe { calls::cuGraphLaunch(self.raw, stream.as_inner()) }.check()
    }
}

impl Drop for GraphExec {
    fn drop(&mut self) {
        // SAFETY: the handle came from the driver and is destroyed once; launches under way keep what they need.
        let _ = unsafe { calls::cuGraphExecDestroy(self.raw) };
    }
}
