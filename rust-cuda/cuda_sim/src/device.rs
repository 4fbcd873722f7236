//! What `cuda_std` calls when a kernel runs on the simulator: the running thread's view of its GPU.
//!
//! Every function panics when no simulated kernel is running, with a message that says so.

use std::cell::{Cell, RefCell};
use std::panic::{self, Location};
use std::ptr;
use std::rc::Rc;

use crate::barrier::{BARRIERS, Copy};
use crate::block::View;
use crate::check::{AtomicAccess, BlockCheck, Checker, Plain, Spot};
use crate::fault::{Access, FaultKind, Raised, source_line};
use crate::fiber::{BarrierWait, State, Thread};
use crate::grid::Grid;
use crate::warp::{self, Combine, Gathered, Offer, WarpWait};

thread_local! {
    static CURRENT: Cell<*const Thread> = const { Cell::new(ptr::null()) };
    /// Counts writes that another thread may be polling for.
    static WRITES: Cell<u64> = const { Cell::new(0) };
}

/// Runs a fiber's slice with `thread` as the running one.
pub(crate) fn enter<R>(thread: *const Thread, slice: impl FnOnce() -> R) -> R {
    let outer = CURRENT.replace(thread);
    let result = slice();
    CURRENT.set(outer);
    result
}

pub(crate) fn writes() -> u64 {
    WRITES.get()
}

/// Whether the caller is a kernel on the simulator.
pub fn is_running() -> bool {
    !CURRENT.get().is_null()
}

#[inline]
fn thread<'a>() -> &'a Thread {
    let current = CURRENT.get();
    assert!(
        !current.is_null(),
        "a GPU intrinsic was called outside a kernel: launch the kernel on a simulator"
    );
    // SAFETY: set by `enter` for as long as the fiber runs, and the block owns the thread in a box.
    unsafe { &*current }
}

#[inline]
fn block<'a>() -> &'a View {
    // SAFETY: a thread that runs has a block, which outlives it.
    unsafe { &*thread().view.get() }
}

#[inline]
fn grid<'a>() -> &'a Grid {
    // SAFETY: a grid outlives its blocks.
    unsafe { &*block().grid }
}

#[track_caller]
fn raise(kind: FaultKind) -> ! {
    panic::resume_unwind(Box::new(Raised(kind, Some(source_line(Location::caller())))))
}

/// As `unwrap_or_else`, whose closure would hide the caller's line.
#[track_caller]
fn or_raise<T>(result: Result<T, FaultKind>) -> T {
    match result {
        Ok(value) => value,
        Err(kind) => raise(kind),
    }
}

/// `threadIdx`.
#[inline]
pub fn thread_idx() -> [u32; 3] {
    thread().index.get()
}

/// `blockIdx`.
#[inline]
pub fn block_idx() -> [u32; 3] {
    block().index.get()
}

/// `blockDim`.
#[inline]
pub fn block_dim() -> [u32; 3] {
    grid().block_dim
}

/// `gridDim`.
#[inline]
pub fn grid_dim() -> [u32; 3] {
    grid().grid_dim
}

/// The lane in the warp.
#[inline]
pub fn lane() -> u32 {
    thread().lane()
}

/// Waits until the threads of the block (or `expected` of them) have come to barrier `id`; gives how many came with
/// a true predicate.
#[track_caller]
pub fn barrier(id: u32, expected: Option<u32>, predicate: bool) -> u32 {
    check_barrier(id, expected);
    let t = thread();
    t.barrier.set(BarrierWait { id, expected, predicate });
    t.suspend(State::Barrier, Location::caller());
    t.result.get() as u32
}

/// Counts as having come to barrier `id` of `expected` threads, without waiting.
#[track_caller]
pub fn barrier_arrive(id: u32, expected: u32) {
    check_barrier(id, Some(expected));
    let mut arrived = block().arrived.get();
    let (count, before) = &mut arrived[id as usize];
    if *count > 0 && *before != expected {
        let text = format!("barrier {id} is arrived at for {before} threads and for {expected}");
        raise(FaultKind::BadBarrier(text));
    }
    (*count, *before) = (*count + 1, expected);
    block().arrived.set(arrived);
    checked(|checker, at| checker.arrive(at, id));
    wrote();
}

#[track_caller]
fn check_barrier(id: u32, expected: Option<u32>) {
    if id >= BARRIERS {
        raise(FaultKind::BadBarrier(format!("a block has the barriers 0 to {}, not {id}", BARRIERS - 1)));
    }
    if let Some(n) = expected
        && (n == 0 || !n.is_multiple_of(crate::WARP))
    {
        raise(FaultKind::BadBarrier(format!("barrier {id} must wait for whole warps, not for {n} threads")));
    }
}

/// Meets the lanes of `mask`, and orders their accesses before and after.
#[track_caller]
#[inline]
pub fn sync_warp(mask: u32) {
    warp(mask, warp::SYNC, 0, 0, |_| Ok(()));
}

/// Meets the lanes of `mask` in an operation; gives what `combine` makes of their values for this lane.
#[track_caller]
#[inline]
pub fn warp(mask: u32, operation: &'static str, value: u64, argument: u32, combine: Combine) -> u64 {
    let t = thread();
    t.warp.set(WarpWait { mask, operation, value, argument, combine: Some(combine) });
    t.suspend(State::Warp, Location::caller());
    t.result.get()
}

/// Meets all lanes of the warp and gives what each offers, in lane order.
#[track_caller]
pub fn warp_gather(operation: &'static str, offered: Offer) -> Rc<Gathered> {
    let t = thread();
    t.offered.set(offered);
    t.warp.set(WarpWait { mask: !0, operation, value: 0, argument: 0, combine: None });
    t.suspend(State::Warp, Location::caller());
    t.gathered.take().unwrap_or_default()
}

/// Lets the others run: the caller reads what they may write, and may do so until they do.
#[track_caller]
pub fn poll(address: usize) {
    let t = thread();
    t.result.set(t.sees_first(address, writes()).into());
    t.suspend(State::Spin, Location::caller());
}

/// Like [`poll`] when the caller read the same address the last time: then it may be waiting.
#[track_caller]
#[inline]
pub fn reread(address: usize) {
    if thread().reread.replace(address) == address {
        poll(address);
    }
}

/// A write was made that others may poll for.
#[inline]
pub fn wrote() {
    WRITES.set(WRITES.get() + 1);
}

/// Checks an access to global or shared memory.
#[track_caller]
#[inline]
pub fn check(address: usize, bytes: usize, align: usize, access: Access) {
    let t = thread();
    let most = grid().accesses;
    if t.never_ends(most) {
        let detail = format!(
            "thread {} has made {most} accesses without waiting for another thread: is this an endless loop? A \
             simulator's `SimConfig` can allow more",
            t.linear.get()
        );
        raise(FaultKind::Deadlock { detail });
    }
    if address & (align - 1) != 0 {
        raise(FaultKind::Misaligned { access, address, align });
    }
    // Shared memory first: it is few ranges, where a miss in global memory is a search among all allocations.
    if !block().covers(address, bytes)
        && let Err(nearest) = grid().memory.covers(address, bytes)
    {
        let nearest = block().nearest(address, nearest).map(Box::new);
        raise(FaultKind::OutOfBounds { access, address, bytes, nearest });
    }
}

/// Tells the launch's checks, if it has any.
#[track_caller]
#[inline]
fn checked(tell: impl FnOnce(&Checker, &Spot<'_>)) {
    let view = block();
    if let Some(check) = &view.check {
        tell_checks(view, check, Location::caller(), tell);
    }
}

/// Apart, so that without checks there is a test and nothing else.
#[cold]
#[inline(never)]
fn tell_checks(
    view: &View,
    block: &RefCell<BlockCheck>,
    location: &'static Location<'static>,
    tell: impl FnOnce(&Checker, &Spot<'_>),
) {
    if let Some(checker) = view.checker() {
        tell(checker, &Spot { view, block, thread: thread().linear.get() as usize, location });
    }
}

/// A load or store, which was checked to be inside memory, is made now.
#[track_caller]
#[inline]
pub fn plain(address: usize, bytes: usize, how: Plain) {
    checked(|checker, at| checker.plain(at, address, bytes, how));
}

/// An atomic access, which was checked to be inside memory, is made now.
#[track_caller]
#[inline]
pub fn atomic(address: usize, bytes: usize, access: AtomicAccess) {
    checked(|checker, at| checker.atomic(at, address, bytes, access));
}

/// A fence: of the block, or of the device.
#[track_caller]
#[inline]
pub fn fence(device: bool) {
    checked(|checker, at| checker.fence(at, device));
}

/// The block's copy of the static shared array declared at `site`.
pub fn shared_array(site: usize, bytes: usize) -> *mut u8 {
    block().array(site, bytes)
}

/// The block's dynamic shared memory and its size in bytes.
pub fn dynamic_shared() -> (*mut u8, usize) {
    (block().dynamic.as_ptr(), block().dynamic.len())
}

/// Asks for an asynchronous copy of `bytes`, with `zeros` bytes of zeros after them.
#[track_caller]
pub fn copy_async(to: *mut u8, from: *const u8, bytes: usize, zeros: usize) {
    check(to as usize, bytes + zeros, (bytes + zeros).max(1), Access::Write);
    check(from as usize, bytes, (bytes + zeros).max(1), Access::Read);
    checked(|checker, at| checker.copy(at, to as usize, from as usize, bytes, zeros));
    thread().copies.borrow_mut().start(Copy { to, from, bytes, zeros });
}

/// Ends the open group of asynchronous copies.
#[track_caller]
pub fn copy_async_commit() {
    checked(|checker, at| checker.copy_commit(at));
    thread().copies.borrow_mut().commit();
}

/// Waits for all but the newest `left` groups.
#[track_caller]
pub fn copy_async_wait(left: usize) {
    checked(|checker, at| checker.copy_wait(at, left));
    thread().copies.borrow_mut().wait(left);
}

/// Initialises the `mbarrier` at `address` for `expected` arrivals a phase.
#[track_caller]
pub fn mbarrier_init(address: usize, expected: u32) {
    check(address, 8, 8, Access::Write);
    checked(|checker, at| checker.mbarrier_init(at, address));
    block().mbarriers.borrow_mut().init(address, expected);
}

/// Arrives, and makes the phase wait for `bytes` more bytes of copies.
#[track_caller]
pub fn mbarrier_arrive(address: usize, bytes: u32) {
    let completes = or_raise(block().mbarriers.borrow_mut().arrive(address, bytes));
    checked(|checker, at| checker.mbarrier_arrive(at, address, completes));
    wrote();
}

/// Whether the phase of `parity` is complete.
#[track_caller]
pub fn mbarrier_test(address: usize, parity: u32) -> bool {
    let (completes, passes) = or_raise(block().mbarriers.borrow_mut().test(address, parity));
    checked(|checker, at| checker.mbarrier_test(at, address, completes, passes));
    passes
}

/// Asks for a bulk copy to shared memory that completes on an `mbarrier`.
#[track_caller]
pub fn bulk_copy(to: *mut u8, from: *const u8, bytes: usize, mbarrier: usize) {
    check(to as usize, bytes, 16, Access::Write);
    check(from as usize, bytes, 16, Access::Read);
    if !bytes.is_multiple_of(16) {
        raise(FaultKind::AsyncCopy(format!("a bulk copy moves a multiple of 16 bytes, not {bytes}")));
    }
    or_raise(block().mbarriers.borrow_mut().copy(mbarrier, Copy { to, from, bytes, zeros: 0 }));
    checked(|checker, at| checker.bulk(at, to as usize, from as usize, bytes, mbarrier));
}
