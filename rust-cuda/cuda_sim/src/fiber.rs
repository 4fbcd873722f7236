//! A GPU thread as a fiber: a stack, and what the thread waits for.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::convert::Infallible;
use std::panic::{self, AssertUnwindSafe, Location};
use std::ptr;
use std::rc::Rc;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::barrier::AsyncCopies;
use crate::block::View;
use crate::fault::{self, FaultKind, SourceLine};
use crate::stack::ColouredStack;
use crate::warp::{Gathered, Offer, WarpWait};

/// Why a thread does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It may: it waits for its turn only.
    Ready,
    /// It polls another thread's write: it may run, but running it is not progress.
    Spin,
    /// It waits at a barrier of its block.
    Barrier,
    /// It waits for the other lanes that its operation names.
    Warp,
    /// It has ended.
    Ended,
}

/// A thread at a barrier of its block.
#[derive(Clone, Copy, Default)]
pub(crate) struct BarrierWait {
    pub id: u32,
    /// How many threads the barrier waits for; `None`: all of the block.
    pub expected: Option<u32>,
    pub predicate: bool,
}

/// The addresses that a thread has read since anybody last wrote: reading one of them again is waiting.
#[derive(Default)]
struct Seen {
    writes: u64,
    addresses: HashSet<usize>,
}

/// One GPU thread, as the fiber that runs it and the scheduler both see it.
pub(crate) struct Thread {
    pub index: Cell<[u32; 3]>,
    pub linear: Cell<u32>,
    pub view: Cell<*const View>,
    pub state: Cell<State>,
    /// Where the thread waits.
    pub at: Cell<&'static Location<'static>>,
    pub barrier: Cell<BarrierWait>,
    pub warp: Cell<WarpWait>,
    /// What the operation that the thread waited for gave.
    pub result: Cell<u64>,
    pub gathered: Cell<Option<Rc<Gathered>>>,
    /// What the thread offers to the other lanes of a gather.
    pub offered: Cell<Offer>,
    pub copies: RefCell<AsyncCopies>,
    seen: RefCell<Seen>,
    /// The address that the thread read last past its caches.
    pub reread: Cell<usize>,
    /// Accesses since the thread ran last.
    accesses: Cell<u32>,
    kernel: Cell<Option<*const dyn Fn()>>,
    yielder: Cell<*const Yielder<(), ()>>,
    fault: RefCell<Option<(FaultKind, Option<SourceLine>)>>,
}

impl Thread {
    fn new() -> Self {
        Self {
            index: Cell::default(),
            linear: Cell::default(),
            view: Cell::new(ptr::null()),
            state: Cell::new(State::Ended),
            at: Cell::new(Location::caller()),
            barrier: Cell::default(),
            warp: Cell::default(),
            result: Cell::default(),
            gathered: Cell::default(),
            offered: Cell::default(),
            copies: RefCell::default(),
            seen: RefCell::default(),
            reread: Cell::default(),
            accesses: Cell::default(),
            kernel: Cell::default(),
            yielder: Cell::new(ptr::null()),
            fault: RefCell::default(),
        }
    }

    pub fn lane(&self) -> u32 {
        self.linear.get() % crate::WARP
    }

    /// Lets other threads run until the scheduler resumes this one.
    pub fn suspend(&self, state: State, at: &'static Location<'static>) {
        self.at.set(at);
        self.state.set(state);
        self.accesses.set(0);
        // SAFETY: called from within the fiber, whose yielder lives as long as the fiber's stack.
        unsafe { (*self.yielder.get()).suspend(()) };
    }

    /// Counts an access. Whether there were more than `most` without a wait.
    #[inline]
    pub fn never_ends(&self, most: u32) -> bool {
        let count = self.accesses.get();
        self.accesses.set(count.saturating_add(1));
        count >= most
    }

    /// Whether the thread reads `address` for the first time since anybody wrote. `writes` counts the writes.
    pub fn sees_first(&self, address: usize, writes: u64) -> bool {
        let mut seen = self.seen.borrow_mut();
        if seen.writes != writes {
            seen.writes = writes;
            seen.addresses.clear();
        }
        seen.addresses.insert(address)
    }

    pub fn take_fault(&self) -> Option<(FaultKind, Option<SourceLine>)> {
        self.fault.take()
    }
}

/// A stack that runs one thread of a kernel after the other, and the thread it runs.
pub(crate) struct Fiber {
    /// Before the thread, which the stack points to.
    coroutine: Coroutine<(), (), Infallible, ColouredStack>,
    thread: Box<Thread>,
}

impl Fiber {
    fn new(number: usize) -> std::io::Result<Self> {
        let thread = Box::new(Thread::new());
        let shared: *const Thread = &*thread;
        let body = move |yielder: &Yielder<(), ()>, ()| -> Infallible {
            // SAFETY: the fiber owns the thread in a box, and drops the stack first.
            let thread = unsafe { &*shared };
            thread.yielder.set(yielder);
            loop {
                if let Some(kernel) = thread.kernel.take() {
                    // SAFETY: the launch that started this thread borrows the kernel until the thread has ended.
                    let kernel = unsafe { &*kernel };
                    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(kernel)) {
                        thread.fault.replace(Some(fault::from_payload(payload)));
                    }
                }
                thread.suspend(State::Ended, Location::caller());
            }
        };
        // SAFETY: as above: what the body captures outlives the stack.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(ColouredStack::new(number)?, body) };
        Ok(Self { coroutine, thread })
    }

    /// Makes the fiber the thread of this index, ready to run the kernel.
    ///
    /// # Safety
    /// `view` and `kernel` must live until the thread has ended or the fiber is dropped.
    pub unsafe fn start(&mut self, index: [u32; 3], linear: u32, view: *const View, kernel: *const dyn Fn()) {
        let thread = &self.thread;
        thread.index.set(index);
        thread.linear.set(linear);
        thread.view.set(view);
        thread.kernel.set(Some(kernel));
        thread.copies.borrow_mut().clear();
        thread.reread.set(0);
        thread.state.set(State::Ready);
    }

    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Runs the thread until it waits or ends.
    pub fn resume(&mut self) {
        match self.coroutine.resume(()) {
            CoroutineResult::Yield(()) => {}
            CoroutineResult::Return(never) => match never {},
        }
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        // SAFETY: the frames are never resumed. Between threads they own nothing; in the middle of one, which its
        // launch's failure has ended, what they own is leaked, which is safe. Nothing outside points into them.
        unsafe { self.coroutine.force_reset() };
    }
}

/// Fibers that are between threads.
#[derive(Default)]
pub(crate) struct FiberPool(Vec<Fiber>);

impl FiberPool {
    /// Takes `count` fibers.
    pub fn take(&mut self, count: usize) -> std::io::Result<Vec<Fiber>> {
        while self.0.len() < count {
            self.0.push(Fiber::new(self.0.len())?);
        }
        Ok(self.0.split_off(self.0.len() - count))
    }

    /// Takes back fibers whose threads have ended.
    pub fn give_back(&mut self, fibers: Vec<Fiber>) {
        self.0.extend(fibers.into_iter().filter(|f| f.thread.state.get() == State::Ended));
    }
}
