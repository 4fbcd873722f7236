//! What the checks report: findings, and the traffic of each source line.

use std::fmt;
use std::panic::Location;

/// A line of source.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line(&'static Location<'static>);

impl Line {
    pub(super) fn new(location: &'static Location<'static>) -> Self {
        Self(location)
    }

    /// The file, as the compiler was given it.
    pub fn file(self) -> &'static str {
        self.0.file()
    }

    /// The line's number.
    pub fn line(self) -> u32 {
        self.0.line()
    }

    /// The column.
    pub fn column(self) -> u32 {
        self.0.column()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file(), self.line(), self.column())
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An atomic load.
    AtomicRead,
    /// An atomic store, or a change of what was there.
    AtomicWrite,
    /// The reading side of an asynchronous copy.
    CopyFrom,
    /// The writing side of one.
    CopyTo,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Read => "read",
            Deed::Write => "write",
            Deed::AtomicRead => "atomic read",
            Deed::AtomicWrite => "atomic write",
            Deed::CopyFrom => "read by an asynchronous copy",
            Deed::CopyTo => "write by an asynchronous copy",
        })
    }
}

/// Who did what, and where in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// What was done.
    pub deed: Deed,
    /// The block's index in the grid.
    pub block: [u32; 3],
    /// The thread's index in the block.
    pub thread: [u32; 3],
    /// The line.
    pub line: Line,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([bx, by, bz], [tx, ty, tz]) = (self.block, self.thread);
        let Self { deed, line, .. } = self;
        write!(f, "{deed} at {line} by block ({bx}, {by}, {bz}), thread ({tx}, {ty}, {tz})")
    }
}

/// A place in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a buffer of global memory.
    Global {
        /// The kernel's parameter that points to the buffer or into it; empty where none does.
        parameter: String,
        /// The buffer's size in bytes.
        size: usize,
        /// Bytes from the buffer's start.
        offset: usize,
    },
    /// In the dynamic shared memory, so many bytes from its start.
    Dynamic(usize),
    /// In a static shared array.
    Static {
        /// The array, in the order in which the block came to them.
        array: usize,
        /// Bytes from its start.
        offset: usize,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Global { parameter, size, offset } if parameter.is_empty() => {
                write!(f, "byte {offset} of a buffer of {size}")
            }
            Place::Global { parameter, size, offset } => {
                write!(f, "byte {offset} of `{parameter}`, a buffer of {size}")
            }
            Place::Dynamic(offset) => write!(f, "byte {offset} of dynamic shared memory"),
            Place::Static { array, offset } => write!(f, "byte {offset} of shared array {array}"),
        }
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// Two accesses, one of which writes, that nothing orders.
    Race,
    /// A use of memory that an asynchronous copy uses, by a thread's own program before it has waited for the copy.
    UnawaitedCopy,
    /// A use of memory that an asynchronous copy uses, where nothing orders the two: the copy's thread may have waited
    /// for it and told nobody, or it may have asked for the copy too early.
    CopyRace,
    /// A read of shared memory that nothing was written to since the block began.
    UninitialisedShared,
    /// A read of global memory that nothing was ever written to.
    UnwrittenGlobal,
    /// A read through the cache for what does not change, of what this launch has written.
    StaleRead,
}

impl FindingKind {
    /// A word for tables and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Race => "race",
            Self::UnawaitedCopy => "unawaited-copy",
            Self::CopyRace => "copy-race",
            Self::UninitialisedShared => "uninitialised-shared",
            Self::UnwrittenGlobal => "unwritten-global",
            Self::StaleRead => "stale-read",
        }
    }
}

/// A mistake, with its first example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The kernel.
    pub kernel: String,
    /// What was done last.
    pub act: Act,
    /// What it should have come after, where there is such.
    pub before: Option<Act>,
    /// The memory.
    pub place: Place,
    /// How many accesses at the same lines were wrong in the same way.
    pub count: u64,
    /// How many of them in the other order: what was done last here came first there.
    pub reversed: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, act, place, count, reversed, .. } = self;
        write!(f, "kernel {kernel}: {act}, of {place}, ")?;
        match (self.kind, &self.before) {
            (FindingKind::UnawaitedCopy, Some(copy)) => {
                write!(f, "comes before the wait for the {copy}")?;
            }
            (FindingKind::StaleRead, _) => {
                f.write_str("takes a cache that does not see this launch's writes")?
            }
            (_, Some(before)) => write!(f, "races with the {before}")?,
            (FindingKind::UninitialisedShared, None) => {
                f.write_str("was not written since the block began")?
            }
            (_, None) => f.write_str("was never written")?,
        }
        match (count, reversed) {
            (..=1, _) => Ok(()),
            (_, 0) => write!(f, " ({count} times at these lines)"),
            _ => write!(f, " ({count} times at these lines, {reversed} in the other order)"),
        }
    }
}

/// How a line of a kernel uses shared memory's banks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharedLine {
    /// The line.
    pub line: Line,
    /// Whether it stores.
    pub stores: bool,
    /// Bytes of a lane.
    pub bytes: u8,
    /// Instructions of warps.
    pub instructions: u64,
    /// How often shared memory answered.
    pub passes: u64,
    /// How often it would have without conflicts.
    pub ideal: u64,
    /// The most passes of an instruction for one that it needs.
    pub worst: f64,
}

impl SharedLine {
    /// The ways of the average conflict; 1 is none.
    pub fn ways(&self) -> f64 {
        self.passes as f64 / self.ideal.max(1) as f64
    }
}

/// How a line of a kernel uses the sectors of global memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalLine {
    /// The line.
    pub line: Line,
    /// Whether it stores.
    pub stores: bool,
    /// Bytes of a lane.
    pub bytes: u8,
    /// Instructions of warps.
    pub instructions: u64,
    /// Sectors of 32 bytes that were moved.
    pub sectors: u64,
    /// Sectors that the bytes would fill.
    pub needed: u64,
}

impl GlobalLine {
    /// How much of what was moved was wanted, in percent.
    pub fn efficiency(&self) -> f64 {
        100.0 * self.needed as f64 / self.sectors.max(1) as f64
    }
}

/// What the checks have found since they were last asked.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The mistakes: one for each pair of lines.
    pub findings: Vec<Finding>,
    /// The lines that use shared memory, in the order of the source.
    pub shared: Vec<SharedLine>,
    /// The lines that use global memory, in the order of the source.
    pub global: Vec<GlobalLine>,
}
