//! A GPU thread as a fiber: a stack, and what the thread waits for.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, Location};
use std::ptr;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::barrier::AsyncCopies;
use crate::block::Block;
use crate::fault::{self, FaultKind, SourceLine};
use crate::warp::WarpWait;

/// Enough for optimised and unoptimised kernels and a panic's formatting; only touched pages take memory.
const STACK_BYTES: usize = 256 << 10;

/// Stacks of fibers that have ended.
#[derive(Default)]
pub(crate) struct StackPool(Vec<DefaultStack>);

impl StackPool {
    fn take(&mut self) -> std::io::Result<DefaultStack> {
        self.0.pop().map_or_else(|| DefaultStack::new(STACK_BYTES), Ok)
    }

    fn give_back(&mut self, stack: DefaultStack) {
        self.0.push(stack);
    }
}

/// What a suspended thread waits for.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// Nothing: it may run.
    Ready,
    /// Another thread's write: it may run, but running it is not progress.
    Spin(&'static Location<'static>),
    /// A barrier of its block.
    Barrier(BarrierWait),
    /// The other lanes that its operation names.
    Warp(WarpWait),
    /// Nothing any more.
    Ended,
}

/// A thread at a barrier of its block.
#[derive(Clone, Copy)]
pub(crate) struct BarrierWait {
    pub id: u32,
    /// How many threads the barrier waits for; `None`: all of the block.
    pub expected: Option<u32>,
    pub predicate: bool,
    pub at: &'static Location<'static>,
}

/// One GPU thread, as the fiber that runs it and the scheduler both see it.
pub(crate) struct Thread {
    pub index: [u32; 3],
    pub linear: u32,
    pub block: *const Block,
    pub wait: Cell<Wait>,
    /// What the operation that the thread waited for gave.
    pub result: Cell<u64>,
    pub gathered: RefCell<Option<Rc<Vec<Vec<u32>>>>>,
    /// What the thread offers to the other lanes of a gather.
    pub offered: RefCell<Vec<u32>>,
    pub copies: RefCell<AsyncCopies>,
    yielder: Cell<*const Yielder<(), ()>>,
    fault: RefCell<Option<(FaultKind, Option<SourceLine>)>>,
}

impl Thread {
    pub fn new(index: [u32; 3], linear: u32) -> Self {
        Self {
            index,
            linear,
            block: ptr::null(),
            wait: Cell::new(Wait::Ready),
            result: Cell::new(0),
            gathered: RefCell::new(None),
            offered: RefCell::default(),
            copies: RefCell::default(),
            yielder: Cell::new(ptr::null()),
            fault: RefCell::new(None),
        }
    }

    pub fn lane(&self) -> u32 {
        self.linear % crate::WARP
    }

    /// Lets other threads run until the scheduler resumes this one.
    pub fn suspend(&self, wait: Wait) {
        self.wait.set(wait);
        // SAFETY: called from within the fiber, whose yielder lives as long as the fiber's stack.
        unsafe { (*self.yielder.get()).suspend(()) };
    }

    pub fn take_fault(&self) -> Option<(FaultKind, Option<SourceLine>)> {
        self.fault.take()
    }
}

/// The fiber that runs one thread of a kernel.
pub(crate) struct Fiber(Option<Coroutine<(), (), (), DefaultStack>>);

impl Fiber {
    /// # Safety
    /// `thread` and `kernel` must outlive the fiber.
    pub unsafe fn new(
        stacks: &mut StackPool,
        thread: *const Thread,
        kernel: *const dyn Fn(),
    ) -> std::io::Result<Self> {
        let body = move |yielder: &Yielder<(), ()>, ()| {
            // SAFETY: both outlive the fiber, as the caller promised.
            let (thread, kernel) = unsafe { (&*thread, &*kernel) };
            thread.yielder.set(yielder);
            if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(kernel)) {
                thread.fault.replace(Some(fault::from_payload(payload)));
            }
        };
        // SAFETY: as above: what the body captures outlives the fiber.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stacks.take()?, body) };
        Ok(Self(Some(coroutine)))
    }

    /// Runs the thread until it waits or ends; whether it has ended.
    pub fn resume(&mut self, stacks: &mut StackPool) -> bool {
        let Some(coroutine) = self.0.as_mut() else { return true };
        match coroutine.resume(()) {
            CoroutineResult::Yield(()) => false,
            CoroutineResult::Return(()) => {
                if let Some(ended) = self.0.take() {
                    stacks.give_back(ended.into_stack());
                }
                true
            }
        }
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        if let Some(mut left) = self.0.take() {
            // SAFETY: a fiber is dropped before its end only when its launch has failed. Its frames are then never
            // resumed; what they own is leaked, which is safe, and nothing outside points into them.
            unsafe { left.force_reset() };
        }
    }
}
