//! A block: its threads, its shared memory, its barriers.

use std::alloc::{self, Layout};
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::ptr::NonNull;

use crate::barrier::{Arrivals, Barriers, MBarriers};
use crate::check::{BlockCheck, Checker, Place};
use crate::fault::{Fault, FaultKind, Piece, PieceOf, SourceLine, source_line};
use crate::fiber::{Fiber, FiberPool, State};
use crate::grid::{Grid, Order};
use crate::memory::{GUARD, POISON, written_guard};
use crate::warp::{self, Lanes, WARP};

const SHARED_ALIGN: usize = 1024;

/// Shared memory, filled with a pattern that no kernel wrote.
pub(crate) struct Shared {
    pointer: NonNull<u8>,
    layout: Layout,
    bytes: usize,
}

impl Shared {
    pub fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes + GUARD, SHARED_ALIGN).expect("shared memory is small");
        // SAFETY: the layout's size is not zero.
        let pointer = unsafe { alloc::alloc(layout) };
        let Some(pointer) = NonNull::new(pointer) else { alloc::handle_alloc_error(layout) };
        let shared = Self { pointer, layout, bytes };
        shared.poison();
        shared
    }

    /// Forgets what was written, for the next block.
    fn poison(&self) {
        // SAFETY: the allocation has `layout.size()` bytes.
        unsafe { self.pointer.as_ptr().write_bytes(POISON, self.layout.size()) };
    }

    pub fn as_ptr(&self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    pub fn len(&self) -> usize {
        self.bytes
    }

    fn covers(&self, address: usize, bytes: usize) -> bool {
        let start = self.pointer.as_ptr() as usize;
        address >= start && bytes <= self.bytes && address - start <= self.bytes - bytes
    }

    /// The first byte behind it that something has written.
    fn overrun(&self) -> Option<usize> {
        // SAFETY: the guard is behind the bytes.
        let first = unsafe { written_guard(self.pointer.as_ptr().add(self.bytes)) }?;
        Some(self.bytes + first)
    }

    /// Where a byte of it is.
    fn offset(&self, address: usize) -> Option<usize> {
        self.covers(address, 1).then(|| address - self.pointer.as_ptr() as usize)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { alloc::dealloc(self.pointer.as_ptr(), self.layout) };
    }
}

/// What the threads of a block see of it.
pub(crate) struct View {
    pub grid: *const Grid,
    pub index: Cell<[u32; 3]>,
    pub dynamic: Shared,
    /// The static arrays, by the place that declares them. A kernel has few.
    arrays: RefCell<Vec<(usize, Shared)>>,
    pub mbarriers: RefCell<MBarriers>,
    /// Threads that came to a named barrier without waiting at it.
    pub arrived: Cell<Arrivals>,
    /// There if the launch is checked.
    pub check: Option<RefCell<BlockCheck>>,
}

impl View {
    /// Whether shared memory holds the whole range.
    pub fn covers(&self, address: usize, bytes: usize) -> bool {
        self.dynamic.covers(address, bytes)
            || self.arrays.borrow().iter().any(|(_, a)| a.covers(address, bytes))
    }

    /// Calls with every piece of shared memory until one gives something.
    fn find<T>(&self, mut of: impl FnMut(PieceOf, &Shared) -> Option<T>) -> Option<T> {
        let dynamic = of(PieceOf::Dynamic, &self.dynamic);
        dynamic.or_else(|| self.arrays.borrow().iter().find_map(|(_, array)| of(PieceOf::Static, array)))
    }

    /// A piece of shared memory behind whose end something was written.
    fn overrun(&self) -> Option<Piece> {
        self.find(|of, memory| Some(Piece { of, offset: memory.overrun()?, bytes: memory.len() }))
    }

    /// What an address that is in no memory of the block may have been meant for: the piece of shared memory or the
    /// `buffer` (its start and size) that begins last before it.
    pub fn nearest(&self, address: usize, buffer: Option<(usize, usize)>) -> Option<Piece> {
        let mut nearest = None;
        let mut take = |of, start, bytes| {
            if let Some(offset) = address.checked_sub(start)
                && nearest.as_ref().is_none_or(|piece: &Piece| offset < piece.offset)
            {
                nearest = Some(Piece { of, offset, bytes });
            }
        };
        if let Some((start, bytes)) = buffer {
            take(PieceOf::Buffer { start, parameter: None }, start, bytes);
        }
        self.find(|of, memory| {
            take(of, memory.as_ptr() as usize, memory.len());
            None::<()>
        });
        nearest
    }

    /// The launch's checks.
    pub fn checker(&self) -> Option<&Checker> {
        // SAFETY: a grid outlives its blocks.
        unsafe { (*self.grid).checker.as_deref() }
    }

    /// Lanes of a warp have met in an operation; if `all`, none is elsewhere.
    fn met(&self, warp: usize, mask: u32, all: bool, operation: &'static str) {
        if let (Some(check), Some(checker)) = (&self.check, self.checker()) {
            let check = &mut check.borrow_mut();
            checker.met(check, warp, mask, all);
            if operation == warp::SYNC {
                check.sync_warp(warp, mask);
            }
        }
    }

    /// The place of a byte in shared memory.
    pub fn place(&self, address: usize) -> Option<Place> {
        let of_array = |(array, (_, memory)): (usize, &(usize, Shared))| {
            Some(Place::Static { array, offset: memory.offset(address)? })
        };
        let dynamic = self.dynamic.offset(address).map(Place::Dynamic);
        dynamic.or_else(|| self.arrays.borrow().iter().enumerate().find_map(of_array))
    }

    /// What a byte of shared memory holds.
    pub fn byte(&self, address: usize) -> Option<u8> {
        // SAFETY: inside shared memory, whose every byte was set when it was made.
        self.covers(address, 1).then(|| unsafe { (address as *const u8).read() })
    }

    /// The start and size of the global allocation that holds a byte.
    pub fn allocation(&self, address: usize) -> Option<(usize, usize)> {
        // SAFETY: a grid outlives its blocks.
        unsafe { (*self.grid).memory.allocation(address) }
    }

    /// The static array declared at `site`.
    pub fn array(&self, site: usize, bytes: usize) -> *mut u8 {
        let mut arrays = self.arrays.borrow_mut();
        if let Some((_, array)) = arrays.iter().find(|(s, _)| *s == site) {
            return array.as_ptr();
        }
        let array = Shared::new(bytes);
        let pointer = array.as_ptr();
        arrays.push((site, array));
        pointer
    }
}

/// Room for a block to run in: its threads, and what they share. Runs one block of a launch after the other.
pub(crate) struct Block {
    /// Before what the fibers point to.
    fibers: Vec<Fiber>,
    view: Box<View>,
    barriers: Barriers,
    lanes: Vec<Lanes>,
    /// The order in which the warps run.
    warps: Vec<usize>,
    alive: usize,
    /// Looks in vain since a thread last did something else.
    looks: u64,
}

impl Block {
    pub fn new(pool: &mut FiberPool, grid: &Grid) -> std::io::Result<Self> {
        let count = grid.threads();
        let warps = count.div_ceil(WARP as usize);
        Ok(Self {
            fibers: pool.take(count)?,
            view: Box::new(View {
                grid,
                index: Cell::default(),
                dynamic: Shared::new(grid.shared_bytes),
                arrays: RefCell::default(),
                mbarriers: RefCell::default(),
                arrived: Cell::default(),
                check: grid.checker.is_some().then(RefCell::default),
            }),
            barriers: Barriers::default(),
            lanes: vec![Lanes::default(); warps],
            warps: (0..warps).collect(),
            alive: 0,
            looks: 0,
        })
    }

    /// Gives the threads' fibers back, for the next launch.
    pub fn give_back(self, pool: &mut FiberPool) {
        pool.give_back(self.fibers);
    }

    /// Makes this the block of `index`, about to run.
    ///
    /// # Safety
    /// The grid that the block was made with, and `kernel`, must live until the block has ended or is dropped.
    pub unsafe fn start(&mut self, index: [u32; 3], kernel: *const dyn Fn()) {
        let view = &self.view;
        view.index.set(index);
        view.dynamic.poison();
        view.arrays.borrow().iter().for_each(|(_, array)| array.poison());
        view.mbarriers.borrow_mut().clear();
        view.arrived.set(Arrivals::default());
        // SAFETY: the grid lives, as the caller promises.
        let grid = unsafe { &*view.grid };
        let [nx, ny, _] = grid.block_dim;
        if let Some(check) = &view.check {
            check.borrow_mut().start(grid.number(index), self.fibers.len() as u32);
        }
        let view: *const View = &**view;
        for (i, fiber) in self.fibers.iter_mut().enumerate() {
            let i = i as u32;
            // SAFETY: the block owns view and fibers, and drops the fibers first; the kernel lives.
            unsafe { fiber.start([i % nx, i / nx % ny, i / (nx * ny)], i, view, kernel) };
        }
        self.alive = self.fibers.len();
        for (w, lanes) in self.lanes.iter_mut().enumerate() {
            let there = (self.fibers.len() - w * WARP as usize).min(WARP as usize);
            let alive = u32::MAX >> (WARP as usize - there);
            *lanes = Lanes { alive, ready: alive, spinning: 0, meeting: 0 };
        }
        self.looks = 0;
    }

    pub fn ended(&self) -> bool {
        self.alive == 0
    }

    /// How often threads have looked in vain since one last did something else.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// Runs every thread as far as it goes without the other blocks. Whether anything happened but spinning.
    pub fn run(&mut self, order: &mut Order) -> Result<bool, Fault> {
        let mut progress = false;
        loop {
            order.shuffle(&mut self.warps);
            for w in 0..self.warps.len() {
                progress |= self.run_warp(self.warps[w], order)?;
            }
            let mut arrived = self.view.arrived.get();
            let (lanes, view, mut released) = (&mut self.lanes, &self.view, false);
            let result = self.barriers.release(&self.fibers, &mut arrived, |barrier, threads| {
                for i in threads {
                    lanes[i / WARP as usize].ready |= 1 << (i % WARP as usize);
                    released = true;
                }
                if let Some(check) = &view.check {
                    check.borrow_mut().barrier(barrier, threads);
                }
            });
            result.map_err(|(i, kind)| self.fault(i, kind))?;
            self.view.arrived.set(arrived);
            progress |= released;
            if !released {
                return Ok(progress);
            }
        }
    }

    /// Runs a warp's lanes as far as they go without the others. Those that spin get one look.
    fn run_warp(&mut self, warp: usize, order: &mut Order) -> Result<bool, Fault> {
        let first = warp * WARP as usize;
        let mut progress = false;
        let mut look = self.lanes[warp].spinning;
        loop {
            let run = self.lanes[warp].ready | look;
            if run == 0 {
                return Ok(progress);
            }
            let start = order.below(WARP as usize);
            for k in warp::lanes(run.rotate_right(start as u32)) {
                let lane = (start + k) % WARP as usize;
                progress |= self.run_thread(first + lane, look & (1 << lane) != 0)?;
            }
            look = 0;
            if self.lanes[warp].meeting != 0 {
                let end = (first + WARP as usize).min(self.fibers.len());
                let (view, now) = (&self.view, &self.lanes[warp]);
                let released = warp::release(&self.fibers[first..end], now, |mask, operation| {
                    view.met(warp, mask, mask == now.alive, operation);
                });
                let released = released.map_err(|(lane, kind)| self.fault(first + lane, kind))?;
                self.lanes[warp].meeting &= !released;
                self.lanes[warp].ready |= released;
            }
        }
    }

    /// Runs a thread until it waits. Whether it did anything but look in vain.
    fn run_thread(&mut self, index: usize, looks: bool) -> Result<bool, Fault> {
        let (warp, bit) = (index / WARP as usize, 1 << (index % WARP as usize));
        let writes = crate::device::writes();
        let fiber = &mut self.fibers[index];
        let thread: *const _ = fiber.thread();
        crate::device::enter(thread, || fiber.resume());
        let thread = self.fibers[index].thread();
        let state = thread.state.get();
        let lanes = &mut self.lanes[warp];
        lanes.ready &= !bit;
        lanes.spinning &= !bit;
        match state {
            State::Ready | State::Spin => lanes.spinning |= bit,
            State::Warp => lanes.meeting |= bit,
            State::Barrier => {
                self.barriers.join(&self.fibers, index).map_err(|(i, kind)| self.fault(i, kind))?;
            }
            State::Ended => {
                lanes.alive &= !bit;
                self.alive -= 1;
                if let Some((kind, line)) = thread.take_fault() {
                    return Err(self.fault_at(index, kind, line));
                }
                if self.alive == 0
                    && let (Some(check), Some(checker)) = (&self.view.check, self.view.checker())
                {
                    checker.ended(&mut check.borrow_mut());
                }
                if self.alive == 0
                    && let Some(piece) = self.view.overrun()
                {
                    return Err(self.fault_at(0, FaultKind::Overrun(Box::new(piece)), None));
                }
            }
        }
        if state != State::Spin {
            self.looks = 0;
            return Ok(true);
        }
        self.looks += u64::from(looks);
        // What it read for the first time since the last write was news to it.
        Ok(!looks || thread.result.get() != 0 || crate::device::writes() != writes)
    }

    /// What a block waits for that does not go on: the first waiting thread and a description.
    pub fn stuck(&self) -> Option<(usize, String)> {
        let (index, text) = self.fibers.iter().enumerate().find_map(|(i, fiber)| {
            let t = fiber.thread();
            let at = t.at.get();
            match t.state.get() {
                State::Spin => Some((i, format!("polls a value that nobody changes as it needs, at {at}"))),
                State::Barrier => {
                    let wait = t.barrier.get();
                    let expected = wait.expected.map_or("all".into(), |n| n.to_string());
                    Some((i, format!("waits at barrier {} ({expected} threads), at {at}", wait.id)))
                }
                State::Warp => {
                    let wait = t.warp.get();
                    Some((
                        i,
                        format!("waits in {} for the lanes {:#010x}, at {at}", wait.operation, wait.mask),
                    ))
                }
                State::Ready | State::Ended => None,
            }
        })?;
        Some((index, format!("thread {index} {text}; {} threads of the block have not ended", self.alive)))
    }

    /// The mistake of a thread that waits.
    pub fn fault(&self, thread: usize, kind: FaultKind) -> Fault {
        let at: &Location<'_> = self.fibers[thread].thread().at.get();
        self.fault_at(thread, kind, Some(source_line(at)))
    }

    fn fault_at(&self, thread: usize, kind: FaultKind, location: Option<SourceLine>) -> Fault {
        // SAFETY: the grid outlives its blocks.
        let kernel = unsafe { (*self.view.grid).kernel.clone() };
        let thread = self.fibers[thread].thread().index.get();
        Fault { kernel, block: self.view.index.get(), thread, location, kind }
    }
}
