//! Stacks for fibers.

use corosensei::stack::{DefaultStack, Stack, StackPointer};

/// Enough for optimised and unoptimised kernels and a panic's formatting; only touched pages take memory.
const BYTES: usize = 256 << 10;

/// How far apart neighbours begin, within their pages' first few. Stacks that all began at the same place of a page
/// would fight for the same few lines of the caches, and a block has hundreds that are used in turn.
const STEP: usize = 17 * 64;

/// How many different beginnings there are.
const STEPS: usize = 60;

/// A stack that begins a little below the top of its memory.
pub(crate) struct ColouredStack {
    memory: DefaultStack,
    #[cfg_attr(windows, allow(dead_code))]
    base: StackPointer,
}

impl ColouredStack {
    /// The stack of the fiber with this number.
    pub fn new(number: usize) -> std::io::Result<Self> {
        let memory = DefaultStack::new(BYTES)?;
        let base = memory.base().get() - number % STEPS * STEP;
        let base = StackPointer::new(base).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self { memory, base })
    }
}

// SAFETY: from the limit to the base is a part of a valid stack's memory, and keeps its guard page. The base is lowered by
// a multiple of 64, which keeps its alignment, and by less than the stack has.
unsafe impl Stack for ColouredStack {
    #[cfg(not(windows))]
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.memory.limit()
    }

    // Windows knows where its stacks begin.
    #[cfg(windows)]
    fn base(&self) -> StackPointer {
        self.memory.base()
    }

    #[cfg(windows)]
    fn teb_fields(&self) -> corosensei::stack::StackTebFields {
        self.memory.teb_fields()
    }

    #[cfg(windows)]
    fn update_teb_fields(&mut self, stack_limit: usize, guaranteed_stack_bytes: usize) {
        self.memory.update_teb_fields(stack_limit, guaranteed_stack_bytes);
    }
}
