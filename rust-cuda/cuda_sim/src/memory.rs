//! Device memory: allocations that accesses are checked against.

use std::alloc::{self, Layout};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::check::Checker;
use crate::fault::{Piece, PieceOf};

/// What fresh memory holds: as a float of any size it is no number, as an index it is out of range.
pub(crate) const POISON: u8 = 0xff;
const ALIGN: usize = 256;

/// Bytes behind every piece of memory that belong to nobody. Stores through raw pointers cannot be checked when they are
/// made; those that begin at a piece's end, as one thread too many does, are found here afterwards.
pub(crate) const GUARD: usize = 1 << 10;

/// The first byte of a guard that something has written, counted from its start. The guard is as before then.
///
/// # Safety
/// At `guard` there must be [`GUARD`] bytes, which nobody else uses.
pub(crate) unsafe fn written_guard(guard: *mut u8) -> Option<usize> {
    // SAFETY: as the caller promises; every byte was set when the memory was made.
    let bytes = unsafe { std::slice::from_raw_parts_mut(guard, GUARD) };
    let first = bytes.iter().position(|byte| *byte != POISON)?;
    bytes.fill(POISON);
    Some(first)
}

/// The simulated GPU has not enough memory left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulated GPU has {free} bytes left, {asked} were asked for")]
pub struct OutOfMemory {
    /// Bytes asked for.
    pub asked: usize,
    /// Bytes left.
    pub free: usize,
}

const RECENT: usize = 8;

/// The start and size of every living allocation.
pub(crate) struct Memory {
    ranges: RefCell<BTreeMap<usize, usize>>,
    /// The ranges found last: most accesses of a kernel go to few buffers.
    recent: [Cell<(usize, usize)>; RECENT],
    /// The one of these to be replaced next.
    next: Cell<usize>,
    limit: usize,
    used: Cell<usize>,
    /// Told what was written.
    checker: Option<Rc<Checker>>,
}

impl Memory {
    pub fn new(limit: usize, checker: Option<Rc<Checker>>) -> Self {
        Self {
            ranges: RefCell::default(),
            recent: Default::default(),
            next: Cell::default(),
            limit,
            used: Cell::default(),
            checker,
        }
    }

    /// The start and size of the allocation that holds a byte.
    pub fn allocation(&self, address: usize) -> Option<(usize, usize)> {
        let ranges = self.ranges.borrow();
        let (start, bytes) = ranges.range(..=address).next_back()?;
        (address - start < *bytes).then_some((*start, *bytes))
    }

    pub fn free_bytes(&self) -> usize {
        self.limit - self.used.get()
    }

    /// Finds a buffer behind whose end something was written, and makes all that is behind buffers as it was.
    pub fn overrun(&self) -> Option<Piece> {
        let mut found = None;
        for (&start, &bytes) in self.ranges.borrow().iter() {
            // SAFETY: every allocation has its guard behind it.
            if let Some(first) = unsafe { written_guard((start + bytes) as *mut u8) } {
                found.get_or_insert_with(|| Piece {
                    of: PieceOf::Buffer { start, parameter: None },
                    offset: bytes + first,
                    bytes,
                });
            }
        }
        found
    }

    /// Whether one allocation holds the whole range; if none does, the one at or before the address.
    pub fn covers(&self, address: usize, bytes: usize) -> Result<(), Option<(usize, usize)>> {
        let inside =
            |(start, len): (usize, usize)| address >= start && bytes <= len && address - start <= len - bytes;
        if self.recent.iter().any(|range| inside(range.get())) {
            return Ok(());
        }
        let ranges = self.ranges.borrow();
        let nearest = ranges.range(..=address).next_back().map(|(start, len)| (*start, *len));
        match nearest {
            Some(range) if inside(range) => {
                let next = self.next.get();
                self.recent[next].set(range);
                self.next.set((next + 1) % RECENT);
                Ok(())
            }
            _ => Err(nearest),
        }
    }
}

/// A piece of simulated device memory, given back when dropped.
pub struct Allocation {
    memory: Rc<Memory>,
    pointer: NonNull<u8>,
    layout: Layout,
    bytes: usize,
}

impl Allocation {
    pub(crate) fn new(memory: &Rc<Memory>, bytes: usize) -> Result<Self, OutOfMemory> {
        let free = memory.free_bytes();
        let refused = OutOfMemory { asked: bytes, free };
        if bytes > free {
            return Err(refused);
        }
        let whole = bytes.checked_add(GUARD).ok_or(refused)?;
        let layout = Layout::from_size_align(whole, ALIGN).map_err(|_| refused)?;
        // SAFETY: the layout's size is not zero.
        let pointer = NonNull::new(unsafe { alloc::alloc(layout) }).ok_or(refused)?;
        // SAFETY: the allocation has `layout.size()` bytes.
        unsafe { pointer.as_ptr().write_bytes(POISON, layout.size()) };
        memory.ranges.borrow_mut().insert(pointer.as_ptr() as usize, bytes);
        memory.used.set(memory.used.get() + bytes);
        let allocation = Self { memory: Rc::clone(memory), pointer, layout, bytes };
        allocation.forget(0, bytes);
        Ok(allocation)
    }

    /// Tells the checks that the host has written a range, which they cannot see. Without it, and without a kernel that
    /// writes there, a kernel's read of it is one of what nobody wrote.
    pub fn written(&self, offset: usize, bytes: usize) {
        if let Some(checker) = &self.memory.checker {
            checker.written(self.pointer.as_ptr() as usize + offset, bytes);
        }
    }

    /// Tells the checks that a range holds nothing that a kernel may read before one has written it.
    pub fn forget(&self, offset: usize, bytes: usize) {
        if let Some(checker) = &self.memory.checker {
            checker.forget(self.pointer.as_ptr() as usize + offset, bytes);
        }
    }

    /// The address, the same for the host and for simulated kernels.
    pub fn as_ptr(&self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.memory.ranges.borrow_mut().remove(&(self.pointer.as_ptr() as usize));
        self.memory.recent.iter().for_each(|range| range.set((0, 0)));
        self.memory.used.set(self.memory.used.get() - self.bytes);
        self.written(0, self.bytes);
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { alloc::dealloc(self.pointer.as_ptr(), self.layout) };
    }
}
