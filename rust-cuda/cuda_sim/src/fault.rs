//! What ends a launch: the mistake, and where it was made.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{self, Location};
use std::sync::Once;

/// Why a launch ended early, and which thread of which kernel was to blame.
#[derive(Clone, Debug, thiserror::Error)]
#[error("kernel {kernel}, block ({}, {}, {}), thread ({}, {}, {}){}: {kind}",
    .block[0], .block[1], .block[2], .thread[0], .thread[1], .thread[2], At(.location))]
pub struct Fault {
    /// The kernel's name.
    pub kernel: String,
    /// The block's index in the grid.
    pub block: [u32; 3],
    /// The thread's index in the block.
    pub thread: [u32; 3],
    /// The source line, where it is known.
    pub location: Option<SourceLine>,
    /// The mistake.
    pub kind: FaultKind,
}

/// A line of source: file, line, column.
pub type SourceLine = (Box<str>, u32, u32);

pub(crate) fn source_line(location: &Location<'_>) -> SourceLine {
    (location.file().into(), location.line(), location.column())
}

struct At<'a>(&'a Option<SourceLine>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((file, line, column)) => write!(f, ", at {file}:{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// The direction of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::Read => "read",
            Access::Write => "write",
        })
    }
}

/// The mistakes that end a launch.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// The launch asks for more than the GPU has.
    #[error("the launch asks for {what} {asked}, the GPU has at most {limit}")]
    LaunchTooLarge {
        /// What is too large.
        what: &'static str,
        /// How much was asked for.
        asked: u64,
        /// How much there is.
        limit: u64,
    },
    /// The launch has no blocks or no threads.
    #[error("the launch has no threads: its grid is {grid:?}, its block {block:?}")]
    EmptyLaunch {
        /// Blocks in x, y, z.
        grid: [u32; 3],
        /// Threads of a block in x, y, z.
        block: [u32; 3],
    },
    /// A barrier is used as no GPU can.
    #[error("{0}")]
    BadBarrier(String),
    /// Threads of a block wait at different barriers, or some wait while others have ended.
    #[error("divergent barrier: {detail}")]
    DivergentBarrier {
        /// Who waits where.
        detail: String,
    },
    /// Lanes of a warp meet in different operations, or not with the lanes they name.
    #[error("divergent warp operation: {detail}")]
    DivergentWarp {
        /// Who does what.
        detail: String,
    },
    /// No thread can go on.
    #[error("deadlock: {detail}")]
    Deadlock {
        /// Who waits for what.
        detail: String,
    },
    /// An access that no allocation covers.
    #[error("{access} of {bytes} bytes at {address:#x} is outside every allocation{}", Near(.nearest))]
    OutOfBounds {
        /// Load or store.
        access: Access,
        /// The address.
        address: usize,
        /// The size of the access.
        bytes: usize,
        /// The allocation that begins at or before the address: its start and size.
        nearest: Option<(usize, usize)>,
    },
    /// An access whose address is not a multiple of its size.
    #[error("{access} at {address:#x} must be aligned to {align} bytes")]
    Misaligned {
        /// Load or store.
        access: Access,
        /// The address.
        address: usize,
        /// The alignment that the access needs.
        align: usize,
    },
    /// A lane reads a value from a lane that takes no part in the operation.
    #[error("{operation} reads from lane {lane}, which takes no part in it (mask {mask:#010x})")]
    InactiveLane {
        /// The operation.
        operation: &'static str,
        /// The lane read from.
        lane: u32,
        /// The lanes that take part.
        mask: u32,
    },
    /// An asynchronous copy or its barrier is misused.
    #[error("{0}")]
    AsyncCopy(String),
    /// The kernel panicked.
    #[error("panicked: {0}")]
    Panic(String),
}

struct Near<'a>(&'a Option<(usize, usize)>);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((start, len)) => write!(f, " (the nearest begins at {start:#x} and has {len} bytes)"),
            None => Ok(()),
        }
    }
}

/// How a fault travels out of a fiber: as a panic's payload, without the panic hook having been run.
pub(crate) struct Raised(pub FaultKind, pub Option<SourceLine>);

thread_local! {
    static PANIC: RefCell<Option<(String, Option<SourceLine>)>> = const { RefCell::new(None) };
}

/// While a fiber runs, a panic's message and line are kept instead of printed: they become part of the [`Fault`].
pub(crate) fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !crate::device::is_running() {
                return previous(info);
            }
            let message = info.payload_as_str().unwrap_or("a panic without a message").to_owned();
            PANIC.set(Some((message, info.location().map(source_line))));
        }));
    });
}

/// Turns what `catch_unwind` caught in a fiber into the mistake and its line.
pub(crate) fn from_payload(payload: Box<dyn Any + Send>) -> (FaultKind, Option<SourceLine>) {
    match payload.downcast::<Raised>() {
        Ok(raised) => (raised.0, raised.1),
        Err(_) => {
            let (message, line) = PANIC.take().unwrap_or_default();
            (FaultKind::Panic(message), line)
        }
    }
}
