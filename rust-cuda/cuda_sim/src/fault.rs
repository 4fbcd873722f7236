//! What ends a launch: the mistake, and where it was made.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{self, Location};
use std::sync::Once;

/// Why a launch ended early, and which thread of which kernel was to blame.
#[derive(Clone, Debug, thiserror::Error)]
#[error("kernel {kernel}{}{}: {kind}", Who(.kind, *.block, *.thread), At(.location))]
pub struct Fault {
    /// The kernel's name.
    pub kernel: String,
    /// The block's index in the grid; zeros where the whole launch is to blame.
    pub block: [u32; 3],
    /// The thread's index in the block; zeros where none alone is to blame.
    pub thread: [u32; 3],
    /// The source line, where it is known.
    pub location: Option<SourceLine>,
    /// The mistake.
    pub kind: FaultKind,
}

impl Fault {
    /// A mistake of the whole launch and no thread's.
    pub(crate) fn of_launch(kernel: &str, kind: FaultKind) -> Self {
        Self { kernel: kernel.to_owned(), block: [0; 3], thread: [0; 3], location: None, kind }
    }

    /// Names the buffer that the mistake is about after the kernel's parameter that points into it.
    pub(crate) fn name_buffer(mut self, parameters: &[(&str, usize)]) -> Self {
        if let FaultKind::OutOfBounds { nearest: Some(piece), .. } | FaultKind::Overrun(piece) =
            &mut self.kind
            && let PieceOf::Buffer { start, parameter } = &mut piece.of
        {
            let inside = |address: usize| address >= *start && address - *start <= piece.bytes;
            let named = parameters.iter().find(|(_, address)| inside(*address));
            *parameter = named.map(|(name, _)| (*name).to_owned());
        }
        self
    }
}

/// Block and thread, as far as there is one to blame.
struct Who<'a>(&'a FaultKind, [u32; 3], [u32; 3]);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(kind, [bx, by, bz], [tx, ty, tz]) = self;
        match kind {
            FaultKind::LaunchTooLarge { .. } | FaultKind::EmptyLaunch { .. } => Ok(()),
            FaultKind::Overrun(piece) if matches!(piece.of, PieceOf::Buffer { .. }) => Ok(()),
            FaultKind::Overrun(_) => write!(f, ", block ({bx}, {by}, {bz})"),
            _ => write!(f, ", block ({bx}, {by}, {bz}), thread ({tx}, {ty}, {tz})"),
        }
    }
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
    #[error("{access} of {bytes} bytes at {address:#x} is outside every allocation{}", Near(.nearest.as_deref()))]
    OutOfBounds {
        /// Load or store.
        access: Access,
        /// The address.
        address: usize,
        /// The size of the access.
        bytes: usize,
        /// The memory that begins last before the address.
        nearest: Option<Box<Piece>>,
    },
    /// Memory past the end of a buffer or shared array was written, through a raw pointer.
    #[error("{}, was written through a raw pointer; {} would report the thread and the line", .0, .0.of.checked())]
    Overrun(Box<Piece>),
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

/// A byte that is counted from the start of a piece of memory, and not inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What the memory is.
    pub of: PieceOf,
    /// Bytes from its start.
    pub offset: usize,
    /// Its size in bytes.
    pub bytes: usize,
}

/// What a piece of memory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PieceOf {
    /// A buffer in global memory.
    Buffer {
        /// Its address.
        start: usize,
        /// The kernel's parameter that points into it, if one does.
        parameter: Option<String>,
    },
    /// The block's dynamic shared memory.
    Dynamic,
    /// A static shared array.
    Static,
}

impl PieceOf {
    /// The accesses to such memory that are checked.
    fn checked(&self) -> &'static str {
        match self {
            Self::Buffer { .. } => "`global::store`",
            Self::Dynamic | Self::Static => "`shared::Slice`",
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, offset, bytes } = self;
        write!(f, "byte {offset} of ")?;
        match of {
            PieceOf::Buffer { parameter: None, .. } => write!(f, "a buffer of {bytes}"),
            PieceOf::Buffer { parameter: Some(name), .. } => write!(f, "`{name}`, a buffer of {bytes}"),
            PieceOf::Dynamic => {
                write!(f, "dynamic shared memory, of which the launch's `shared_bytes` gave {bytes}")
            }
            PieceOf::Static => write!(f, "a shared array of {bytes}"),
        }
    }
}

struct Near<'a>(Option<&'a Piece>);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |piece| write!(f, " (the nearest: {piece})"))
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
